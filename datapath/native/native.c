/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The native target: the interface of native.h around the steps. The sweep is in sweep.c.
 */
#include "datapath/native/native.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "datapath/native/steps.h"

#include "datapath/session_call.h"

enum { HINTS_SIZE = PORT_HINTS * sizeof(struct port_hints) };

static enum verdict settle(struct packet *p);
static enum verdict emit(struct packet *p);
static enum verdict answer(struct packet *p);
static enum verdict hold_syn(struct packet *p);
static enum verdict reassemble(struct packet *p);

#include "datapath/path.h"

#include "datapath/native/emit_answer.h"
#include "datapath/native/emit_error.h"
#include "datapath/native/emit_linear.h"
#include "datapath/native/gather_piece.h"
#include "datapath/native/syn_hold.h"

static enum verdict emit(struct packet *p) {
  struct frame *frame = ((struct worker *)p->target)->frame;

  return p->headers->icmp_error ? emit_error(p, frame) : emit_flow(p, frame);
}

static enum verdict answer(struct packet *p) {
  struct worker *worker = p->target;
  struct icmp_message message = answer_message(p);

  if (!may_be_answered(p))
    return VERDICT_DROP;
  if (!answer_is_due(worker, p->policy)) {
    count(p, REASON_answer_limited);
    return VERDICT_DROP;
  }
  worker->answer = (struct frame){.data = worker->answer_bytes};
  emit_answer(p, message, worker->frame, &worker->answer);
  count(p, REASON_answer_sent);
  return VERDICT_DROP;
}

static enum verdict hold_syn(struct packet *p) {
  struct worker *worker = p->target;

  return syn_hold(p, &worker->engine->held, worker->frame);
}

/* --- the session step, here or where the tables are -------------------------------------------- */

static struct session_call *call_of(const struct worker *worker) {
  const struct remote_tables *remote = worker->engine->remote;

  return (struct session_call *)((__u8 *)remote->calls + (size_t)worker->slot * remote->call_size);
}

static enum verdict settle_remotely(struct packet *p) {
  struct worker *worker = p->target;
  const struct remote_tables *remote = worker->engine->remote;
  struct session_call *call = call_of(worker);

  call->now = p->now;
  call->random = p->random;
  call->length = p->length;
  call->segments = p->segments;
  call->segment_size = p->segment_size;
  call->head_length = p->head_length;
  memcpy(call->head, p->head, p->head_length);
  call->scratch = *p->scratch;
  if (remote->settle(remote->context, worker->slot) != 0)
    return drop(p, REASON_keeper_refused);
  *p->scratch = call->scratch;
  p->reason = call->reason;
  p->detail = call->detail;
  return call->verdict == VERDICT_PUNT ? hold_syn(p) : (enum verdict)call->verdict;
}

static enum verdict settle(struct packet *p) {
  return ((struct worker *)p->target)->engine->remote ? settle_remotely(p) : session(p);
}

const struct frame *worker_answer(const struct worker *worker) {
  return worker->answer.length ? &worker->answer : NULL;
}

/* --- fragments -------------------------------------------------------------------------------- */

static enum verdict reassemble(struct packet *p) {
  struct worker *worker = p->target;
  struct piece piece = piece_of(p, worker->frame->data);
  __u32 given_up = 0;
  enum gathering result =
      reassembly_add(worker->engine->reassembly, &piece, p->now, p->policy->timeouts.fragment,
                     worker->whole + FRAME_HEADROOM, &worker->whole_length, &given_up);

  if (given_up)
    add_counter(worker, REASON_fragments_missing, given_up);
  return gathering_verdict(p, result);
}

int frame_cut(const struct frame *frame, struct fragment *fragment) {
  const __u32 header = sizeof fragment->header;
  const __u8 *start = frame->data + header, *end = frame->data + frame->length;
  const __u8 *data = fragment->data ? fragment->data + fragment->length : start;
  __u32 room = (frame->longest_piece - header) & ~7U, rest = (__u32)(end - data);
  __u32 word = HOST32(load32(frame->data + IPV6_HEADER)) + (__u32)(data - start);

  if (rest == 0)
    return 0;
  fragment->data = data;
  fragment->length = rest > frame->longest_piece - header ? room : rest;
  if (fragment->length < rest)
    word |= 1; /* more fragments; the last one has what the whole had */
  memcpy(fragment->header, frame->data, header);
  *(any16 *)(fragment->header + 4) = BE16(FRAGMENT_HEADER + fragment->length);
  *(any32 *)(fragment->header + IPV6_HEADER) = BE32(word);
  return 1;
}

/* --- engine ----------------------------------------------------------------------------------- */

/* One that its thread has given back; its slot and its counters stay. */
static struct worker *worker_again(struct engine *engine) {
  for (struct worker *w = __atomic_load_n(&engine->workers, __ATOMIC_ACQUIRE); w; w = w->next)
    if (READ(w->taken) == 0 && SWAP_IF(w->taken, 0, 1))
      return w;
  return NULL;
}

static void worker_give_back(struct worker *worker) {
  __atomic_store_n(&worker->taken, 0, __ATOMIC_RELEASE);
}

static struct worker *worker_first(struct engine *engine) {
  struct worker *worker = calloc(1, sizeof *worker);

  if (!worker)
    return NULL;
  worker->engine = engine;
  worker->taken = 1;
  worker->slot = __atomic_fetch_add(&engine->slots, 1, __ATOMIC_RELAXED);
  worker->events = calloc(EVENTS_HELD, sizeof *worker->events);
  if (!worker->events || (engine->remote && worker->slot >= SESSION_CALLS)) {
    free(worker->events);
    free(worker);
    return NULL;
  }
  worker->next = __atomic_load_n(&engine->workers, __ATOMIC_ACQUIRE);
  while (!__atomic_compare_exchange_n(&engine->workers, &worker->next, worker, true,
                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    ;
  return worker;
}

static struct worker *worker_make(struct engine *engine) {
  struct worker *worker = worker_again(engine);

  if (!worker)
    worker = worker_first(engine);
  if (!worker)
    return NULL;
  worker->now = 0;
  worker->answer.length = 0;
  worker->answers_second = worker->answers_left = 0;
  worker->random_is_fixed = worker->random_is_seeded = 0;
  worker->reader = reader_register(&engine->epochs);
  if (worker->reader >= 0)
    return worker;
  worker_give_back(worker);
  return NULL;
}

static struct engine *engine_make(__u32 max_sessions, const struct remote_tables *remote) {
  struct engine *engine = aligned_alloc(64, (sizeof(struct engine) + 63) & ~(size_t)63);

  if (!engine)
    return NULL;
  memset(engine, 0, sizeof *engine);
  epochs_init(&engine->epochs);
  engine->remote = remote;
  engine->policy = calloc(1, sizeof(struct policy));
  engine->hints = memory_reserve(HINTS_SIZE);
  engine->sweeper = worker_make(engine);
  engine->reassembly = reassembly_new();
  if (!engine->policy || !engine->hints || !engine->sweeper || !engine->reassembly ||
      !table_init(&engine->bindings, &engine->epochs, max_sessions, sizeof(struct binding_key),
                  sizeof(struct binding)) ||
      !table_init(&engine->ports, &engine->epochs, max_sessions, sizeof(struct port_key),
                  sizeof(struct port)) ||
      !table_init(&engine->sessions, &engine->epochs, max_sessions, sizeof(struct session_key),
                  sizeof(struct session)) ||
      !table_init(&engine->subscribers, &engine->epochs, SUBSCRIBERS_OF(max_sessions),
                  sizeof(struct subscriber_key), sizeof(struct subscriber)) ||
      !table_init(&engine->peers, &engine->epochs, max_sessions, sizeof(struct peer_key),
                  sizeof(struct peer)) ||
      !table_init(&engine->held, &engine->epochs, HELD_SYNS, sizeof(struct session_key),
                  sizeof(struct held_syn))) {
    engine_free(engine);
    return NULL;
  }
  return engine;
}

struct engine *engine_new(__u32 max_sessions) {
  return engine_make(max_sessions, NULL);
}

struct engine *engine_new_remote(const struct remote_tables *remote) {
  return engine_make(1, remote); /* what stays empty takes no memory */
}

void engine_wait(struct engine *engine) {
  epochs_wait(&engine->epochs);
}

__u64 engine_memory(__u32 max_sessions) {
  return table_memory(max_sessions, sizeof(struct binding_key), sizeof(struct binding)) +
         table_memory(max_sessions, sizeof(struct port_key), sizeof(struct port)) +
         table_memory(max_sessions, sizeof(struct session_key), sizeof(struct session)) +
         table_memory(SUBSCRIBERS_OF(max_sessions), sizeof(struct subscriber_key),
                      sizeof(struct subscriber)) +
         table_memory(max_sessions, sizeof(struct peer_key), sizeof(struct peer));
}

void engine_free(struct engine *engine) {
  if (!engine)
    return;
  while (engine->workers) {
    struct worker *worker = engine->workers;
    engine->workers = worker->next;
    free(worker->events);
    free(worker);
  }
  table_free(&engine->bindings);
  table_free(&engine->ports);
  table_free(&engine->sessions);
  table_free(&engine->subscribers);
  table_free(&engine->peers);
  table_free(&engine->held);
  reassembly_free(engine->reassembly);
  if (engine->hints)
    munmap(engine->hints, HINTS_SIZE);
  free(engine->policy);
  free(engine);
}

/* 0.0.0.0: none. */
static __be32 address_in_slot(const struct policy *policy, __u32 slot) {
  for (__u8 i = 0; i < policy->pool_count; i++)
    if (policy->pool[i].slot == slot)
      return policy->pool[i].address;
  return 0;
}

static void forget_hints(struct port_hints *h) {
  for (size_t port = 0; port < sizeof h->port; port++)
    if (READ(h->port[port]) != HINT_NONE) /* pages that were never used stay so */
      WRITE(h->port[port], HINT_NONE);
  if (READ(h->used))
    WRITE(h->used, 0);
  if (READ(h->most))
    WRITE(h->most, 0);
}

static void forget_address(struct engine *engine, __u32 slot) {
  for (__u32 i = slot * PORT_PROTOCOLS; i < (slot + 1) * PORT_PROTOCOLS; i++) {
    if (engine->remote)
      engine->remote->forget(engine->remote->context, i);
    else
      forget_hints(&engine->hints[i]);
  }
}

int engine_set_policy(struct engine *engine, const struct policy *policy) {
  struct policy *fresh = malloc(sizeof *fresh), *old;

  if (!fresh)
    return -1;
  *fresh = *policy;
  old = __atomic_exchange_n(&engine->policy, fresh, __ATOMIC_ACQ_REL);
  epochs_wait(&engine->epochs);
  /* Addresses that have left the pool: nobody writes to their hints any more. */
  for (__u32 slot = 0; slot < MAX_POOL; slot++) {
    __be32 address = address_in_slot(old, slot);
    if (address && address != address_in_slot(fresh, slot))
      forget_address(engine, slot);
  }
  free(old);
  return 0;
}

void engine_counters(const struct engine *engine, __u64 counters[REASON_COUNT]) {
  memset(counters, 0, REASON_COUNT * sizeof counters[0]);
  for (const struct worker *w = __atomic_load_n(&engine->workers, __ATOMIC_ACQUIRE); w; w = w->next)
    for (int i = 0; i < REASON_COUNT; i++)
      counters[i] += __atomic_load_n(&w->counters[i], __ATOMIC_RELAXED);
}

void engine_count(struct engine *engine, enum reason reason) {
  add_counter(engine->sweeper, reason, 1);
}

int prefix_refuses(const struct prefix6 *prefix, __be32 address) {
  return is_private_under(prefix, address);
}

void engine_pool_use(const struct engine *engine, __u8 slot, struct pool_use *use) {
  memset(use, 0, sizeof *use);
  for (size_t i = 0; slot < MAX_POOL && i < PORT_PROTOCOLS; i++) {
    const struct port_hints *hints = &engine->hints[slot * PORT_PROTOCOLS + i];
    use->used[i] = READ(hints->used);
    use->most[i] = READ(hints->most);
  }
}

void engine_usage(const struct engine *engine, __u32 *sessions, __u32 *bindings) {
  *sessions = __atomic_load_n(&engine->sessions.in_use, __ATOMIC_RELAXED);
  *bindings = __atomic_load_n(&engine->bindings.in_use, __ATOMIC_RELAXED);
}

/* --- workers ---------------------------------------------------------------------------------- */

struct worker *worker_new(struct engine *engine) {
  return worker_make(engine);
}

void worker_free(struct worker *worker) {
  if (!worker)
    return;
  reader_release(&worker->engine->epochs, worker->reader);
  worker_give_back(worker);
}

void worker_enter(struct worker *worker) {
  reader_enter(&worker->engine->epochs, worker->reader);
  worker->inside = true;
}

void worker_leave(struct worker *worker) {
  worker->inside = false;
  reader_leave(&worker->engine->epochs, worker->reader);
}

void worker_set_now(struct worker *worker, __u32 now) {
  worker->now = now;
}

void worker_seed(struct worker *worker, __u64 seed) {
  worker->random_is_seeded = true;
  worker->random_state = seed;
}

void worker_fix_random(struct worker *worker, __u32 value) {
  worker->random_is_fixed = true;
  worker->fixed_random = value;
}

void worker_count(struct worker *worker, enum reason reason, __u64 times) {
  add_counter(worker, reason, times);
}

static enum verdict translate_one(struct worker *worker, struct frame *frame, enum reason *reason) {
  struct packet p;
  enum verdict v;

  packet_init(&p, worker);
  p.length = frame->length;
  p.head_length = frame->length < HEAD_BYTES ? frame->length : HEAD_BYTES;
  p.segments = frame->segments ? frame->segments : 1;
  p.segment_size = frame->segment_size;
  p.partial_checksum = frame->partial_checksum;
  p.random = next_random(worker);
  worker->frame = frame;
  worker->answer.length = 0;
  worker->whole_length = 0;
  memcpy(worker->head, frame->data, p.head_length);
  v = path(&p);
  *reason = (enum reason)p.reason;
  return v;
}

/* The datagram that the fragment in `frame` was the last one of. */
static enum verdict translate_whole(struct worker *worker, struct frame *frame,
                                    enum reason *reason) {
  struct frame whole = {
      .data = worker->whole + FRAME_HEADROOM, .length = worker->whole_length, .segments = 1};
  enum verdict v = translate_one(worker, &whole, reason);

  if (v == VERDICT_FORWARD)
    *frame = whole;
  return v;
}

enum verdict translate_frame(struct worker *worker, struct frame *frame, enum reason *reason) {
  bool was_inside = worker->inside;
  enum verdict v;

  if (!was_inside)
    worker_enter(worker);
  frame->longest_piece = 0;
  v = translate_one(worker, frame, reason);
  if (worker->whole_length)
    v = translate_whole(worker, frame, reason);
  if (!was_inside)
    worker_leave(worker);
  return v;
}
