/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the steps call in the native build: tables, events, counters and chance, those of the worker that
 * is their target.
 */
#ifndef VIADUCT_DATAPATH_NATIVE_STEPS_H
#define VIADUCT_DATAPATH_NATIVE_STEPS_H

#define EVENT(p, kind, ...) event_##kind(p, __VA_ARGS__)

#include "datapath/native/worker.h"

#include <string.h>
#include <sys/random.h>

STEP void count(const struct packet *p, __u32 reason) {
  add_counter(p->target, reason, 1);
}

#include "datapath/native/event_ring.h"
#include "datapath/native/no_hints.h"

#include "datapath/event_steps.h"

#define TABLE_ACCESS(name, table)                                                                  \
  STEP struct name *name##_find(const struct packet *p, const struct name##_key *key) {            \
    return table_find(&((struct worker *)p->target)->engine->table, key);                          \
  }                                                                                                \
  STEP int name##_insert(const struct packet *p, const struct name##_key *key,                     \
                         const struct name *value) {                                               \
    return table_insert(&((struct worker *)p->target)->engine->table, key, value);                 \
  }                                                                                                \
  STEP void name##_remove(const struct packet *p, const struct name##_key *key) {                  \
    table_remove(&((struct worker *)p->target)->engine->table, key);                               \
  }

TABLE_ACCESS(binding, bindings)
TABLE_ACCESS(port, ports)
TABLE_ACCESS(session, sessions)
TABLE_ACCESS(subscriber, subscribers)
TABLE_ACCESS(peer, peers)

/* The dead are out of the table at once. */
STEP bool subscriber_revive(struct subscriber *subscriber) {
  (void)subscriber;
  return false;
}

STEP struct port_hints *hints_find(const struct packet *p, const __u32 *index) {
  return &((struct worker *)p->target)->engine->hints[*index];
}

/* Ports must not be guessable (RFC 6056), so chance comes from the kernel, 1 KiB at a time. */
STEP __u32 next_random(struct worker *worker) {
  if (worker->random_is_fixed)
    return worker->fixed_random;
  if (worker->random_is_seeded) { /* splitmix64 */
    __u64 z = (worker->random_state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (__u32)((z ^ (z >> 31)) >> 32);
  }
  if (worker->random_left == 0) {
    while (getrandom(worker->random_pool, sizeof worker->random_pool, 0) !=
           (long)sizeof worker->random_pool)
      ;
    worker->random_left = sizeof worker->random_pool / sizeof worker->random_pool[0];
  }
  return worker->random_pool[--worker->random_left];
}

STEP void packet_init(struct packet *p, struct worker *worker) {
  memset(p, 0, sizeof *p);
  p->target = worker;
  p->head = worker->head;
  packet_start(p, &worker->scratch);
  p->policy = __atomic_load_n(&worker->engine->policy, __ATOMIC_ACQUIRE);
  p->now = worker->now;
}

/* A bucket of tokens that fills up every second. */
STEP bool answer_is_due(struct worker *worker, const struct policy *policy) {
  if (worker->answers_second != worker->now) {
    worker->answers_second = worker->now;
    worker->answers_left = policy->icmp_error_rate;
  }
  if (worker->answers_left == 0)
    return false;
  worker->answers_left--;
  return true;
}

#endif
