/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The native target: tables and chance for the steps, and the interface of native.h around them.
 */
#include "datapath/native/native.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define EVENT(p, kind, ...) event_##kind(p, __VA_ARGS__)

#include "datapath/native/worker.h"

#include "datapath/keeper.h"
#include "datapath/session_call.h"

enum { HINTS_SIZE = PORT_HINTS * sizeof(struct port_hints) };

/* --- what the steps call ---------------------------------------------------------------------- */

STEP void count(const struct packet *p, __u32 reason) {
  add_counter(p->target, reason, 1);
}

#include "datapath/native/event_ring.h"

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

static enum verdict settle(struct packet *p);
static enum verdict emit(struct packet *p);
static enum verdict answer(struct packet *p);
static enum verdict hold_syn(struct packet *p);
static enum verdict reassemble(struct packet *p);

#include "datapath/path.h"
#include "datapath/static_binding.h"

#include "datapath/native/emit_answer.h"
#include "datapath/native/emit_error.h"
#include "datapath/native/emit_linear.h"
#include "datapath/native/emit_probe.h"
#include "datapath/native/gather_piece.h"
#include "datapath/native/syn_hold.h"

static enum verdict emit(struct packet *p) {
  struct frame *frame = ((struct worker *)p->target)->frame;

  return p->headers->icmp_error ? emit_error(p, frame) : emit_flow(p, frame);
}

/* A bucket of tokens that fills up every second. */
static bool answer_is_due(struct worker *worker, const struct policy *policy) {
  if (worker->answers_second != worker->now) {
    worker->answers_second = worker->now;
    worker->answers_left = policy->icmp_error_rate;
  }
  if (worker->answers_left == 0)
    return false;
  worker->answers_left--;
  return true;
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
         table_memory(max_sessions, sizeof(struct subscriber_key), sizeof(struct subscriber)) +
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

/* Ports must not be guessable (RFC 6056), so chance comes from the kernel, 1 KiB at a time. */
static __u32 next_random(struct worker *worker) {
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

static void packet_init(struct packet *p, struct worker *worker) {
  memset(p, 0, sizeof *p);
  p->target = worker;
  p->head = worker->head;
  packet_start(p, &worker->scratch);
  p->policy = __atomic_load_n(&worker->engine->policy, __ATOMIC_ACQUIRE);
  p->now = worker->now;
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

/* --- the sweep: the sweeper's thread ------------------------------------------------------------ */

enum { WALK_BUCKETS = 4096 };

struct sweep {
  struct packet packet;
  struct sweep_calls calls;
  __u32 probes; /* sent by this sweep */
  __u64 ended;
};

static void sweep_send(struct sweep *sweep, const struct frame *frame) {
  if (sweep->calls.send && sweep->calls.send(sweep->calls.context, frame) != 0)
    count(&sweep->packet, REASON_tun_own_refused);
}

static void sweep_session(void *context, const void *key, void *value) {
  struct sweep *sweep = context;
  struct worker *worker = sweep->packet.target;
  bool keep = !sweep->calls.keep || sweep->calls.keep(sweep->calls.context, key, value);

  switch (session_expire(&sweep->packet, key, value, !keep, sweep->probes < PROBES_PER_SWEEP)) {
  case SESSION_ENDED:
    sweep->ended++;
    break;
  case SESSION_PROBE:
    sweep->probes++;
    sweep_send(sweep, engine_probe(worker->engine, key, value));
    break;
  default:
    break;
  }
}

static bool session_exists(struct packet *p, const struct session_key *key) {
  const struct remote_tables *remote = ((struct worker *)p->target)->engine->remote;
  struct session copy;

  if (!remote)
    return session_find(p, key) != NULL;
  return remote->find(remote->context, IN_SESSIONS, key, &copy) != 0;
}

/* A SYN that was held long enough. Who opened the connection from the other side meanwhile has made
 * its session. */
static void sweep_held(void *context, const void *key, void *value) {
  struct sweep *sweep = context;
  struct packet *p = &sweep->packet;
  struct worker *worker = p->target;
  struct held_syn *syn = value;
  struct frame in = {.data = syn->bytes, .length = at_most(syn->length, HELD_BYTES)};
  struct frame out = {.data = worker->answer_bytes};

  if (p->now <= syn->until)
    return;
  packet_init(p, worker);
  if (!session_exists(p, key)) {
    p->length = syn->length;
    p->head_length = at_most(in.length, HEAD_BYTES);
    p->random = next_random(worker);
    memcpy(worker->head, syn->bytes, p->head_length);
    if (parse(p) == VERDICT_NEXT && may_be_answered(p) && answer_is_due(worker, p->policy)) {
      emit_answer(p, (struct icmp_message){ICMP4_UNREACHABLE, 3, 0}, &in, &out);
      count(p, REASON_syn_unanswered);
      sweep_send(sweep, &out);
    } else {
      count(p, REASON_answer_limited);
    }
  }
  table_remove(&worker->engine->held, key);
}

static void sweep_table(struct sweep *sweep, struct table *table, table_visit visit) {
  struct worker *sweeper = sweep->packet.target;
  __u64 cursor = 0;

  do {
    worker_enter(sweeper);
    packet_init(&sweep->packet, sweeper);
    cursor = table_walk(table, cursor, WALK_BUCKETS, visit, sweep);
    worker_leave(sweeper);
  } while (cursor);
}

__u64 engine_sweep(struct engine *engine, __u32 now, const struct sweep_calls *calls) {
  struct sweep sweep = {.packet.target = engine->sweeper};

  if (calls)
    sweep.calls = *calls;
  engine->sweeper->now = now;
  add_counter(engine->sweeper, REASON_fragments_missing,
              reassembly_expire(engine->reassembly, now));
  sweep_table(&sweep, &engine->sessions, sweep_session);
  sweep_table(&sweep, &engine->held, sweep_held);
  table_reclaim(&engine->sessions);
  table_reclaim(&engine->bindings);
  table_reclaim(&engine->ports);
  table_reclaim(&engine->subscribers);
  table_reclaim(&engine->peers);
  table_reclaim(&engine->held);
  return sweep.ended;
}

const struct frame *engine_probe(struct engine *engine, const struct session_key *key,
                                 const struct session *value) {
  struct worker *sweeper = engine->sweeper;
  struct packet p;

  packet_init(&p, sweeper);
  sweeper->answer = (struct frame){.data = sweeper->answer_bytes};
  emit_probe(&p, key, value, &sweeper->answer);
  add_counter(sweeper, REASON_probe_sent, 1);
  return &sweeper->answer;
}

/* --- static bindings: the sweeper's thread ---------------------------------------------------- */

int engine_bind(struct engine *engine, const struct binding_key *key,
                const struct port_key *outside) {
  struct packet p;
  bool done;

  worker_enter(engine->sweeper);
  packet_init(&p, engine->sweeper);
  done = bind(&p, key, outside);
  worker_leave(engine->sweeper);
  return done ? 0 : -1;
}

void engine_unbind(struct engine *engine, const struct binding_key *key) {
  struct packet p;

  worker_enter(engine->sweeper);
  packet_init(&p, engine->sweeper);
  unbind(&p, key);
  worker_leave(engine->sweeper);
}
