/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What one thread does for all: the sweep, which ends what has expired, and static bindings.
 */
#include "datapath/native/native.h"

#include "datapath/native/steps.h"

/* No packet comes this way. */
STEP enum verdict hold_syn(struct packet *p) {
  return drop(p, REASON_syn_hold_full);
}

#include "datapath/ageing.h"
#include "datapath/answer.h"
#include "datapath/parse_inner.h"
#include "datapath/static_binding.h"
#include "datapath/translate.h"

#include "datapath/native/emit_answer.h"
#include "datapath/native/emit_probe.h"
#include "datapath/native/syn_hold.h"

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
  enum event_why cause =
      sweep->calls.cause ? sweep->calls.cause(sweep->calls.context, key, value) : WHY_NONE;

  switch (session_expire(&sweep->packet, key, value, cause, sweep->probes < PROBES_PER_SWEEP)) {
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

/* One that lives: the BPF engine's dead stay in their table until they are buried. */
static bool session_exists(struct packet *p, const struct session_key *key) {
  const struct remote_tables *remote = ((struct worker *)p->target)->engine->remote;
  struct session copy;

  if (!remote)
    return session_find(p, key) != NULL;
  return remote->find(remote->context, IN_SESSIONS, key, &copy) && copy.expires != SESSION_DEAD;
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
