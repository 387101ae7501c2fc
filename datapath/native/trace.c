/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The target of a dry walk (trace.h): table access that copies what it finds, and steps that say
 * what they decide.
 */
#include "datapath/native/trace.h"

#include "datapath/native/engine.h"
#include "datapath/native/target.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NOTE(p, name, ...) note(p, (struct note){.kind = NOTE_##name, __VA_ARGS__})
#define NOTE_ABOUT(thing, ...) note_##thing(__VA_ARGS__)

#include "datapath/packet.h"

#include "datapath/native/no_hints.h"

/* --- copies of entries ------------------------------------------------------------------------ */

DP_STATIC_ASSERT((int)LONGEST_TRACED >= (int)LONGEST_WHOLE);

enum { COPIES = 16, LONGEST_KEY = 24, LONGEST_VALUE = 80 };

/* What the walk sees of one table: the entries it has looked at, made or removed. */
struct overlay {
  struct table *table;
  enum remote_table remote;
  void (*copy)(void *to, const void *from);
  __u32 count;
  struct copied {
    __u8 key[LONGEST_KEY];
    __u8 value[LONGEST_VALUE] __attribute__((aligned(8)));
    bool removed;
  } copied[COPIES];
};

struct walk {
  struct engine *engine;
  struct trace *trace;
  struct frame *frame; /* the packet under way */
  __u32 whole_length;
  struct overlay bindings, ports, sessions, subscribers, peers;
  struct port_hints *hints[PORT_HINTS]; /* copies, NULL where none was asked for */
  struct scratch scratch;
  __u8 head[2 * HEAD_BYTES];
};

static struct walk *walk_of(const struct packet *p) {
  return p->target;
}

static struct copied *overlay_entry(struct overlay *overlay, const void *key) {
  for (__u32 i = 0; i < overlay->count; i++)
    if (memcmp(overlay->copied[i].key, key, overlay->table->key_size) == 0)
      return &overlay->copied[i];
  return NULL;
}

static struct copied *overlay_new(struct walk *walk, struct overlay *overlay, const void *key) {
  struct copied *copied;

  if (overlay->count == COPIES) {
    walk->trace->lost = 1;
    return NULL;
  }
  copied = &overlay->copied[overlay->count++];
  memcpy(copied->key, key, overlay->table->key_size);
  return copied;
}

/* A copy of what is in the table, which may lie elsewhere. */
static bool overlay_look(const struct walk *walk, const struct overlay *overlay, const void *key,
                         void *value) {
  const struct remote_tables *remote = walk->engine->remote;
  const void *live;

  if (remote)
    return remote->find(remote->context, overlay->remote, key, value) != 0;
  live = table_find(overlay->table, key);
  if (live)
    overlay->copy(value, live);
  return live != NULL;
}

static void *overlay_find(struct walk *walk, struct overlay *overlay, const void *key) {
  struct copied *copied = overlay_entry(overlay, key);
  __u8 value[LONGEST_VALUE] __attribute__((aligned(8)));

  if (copied)
    return copied->removed ? NULL : copied->value;
  if (!overlay_look(walk, overlay, key, value))
    return NULL;
  copied = overlay_new(walk, overlay, key);
  return copied ? memcpy(copied->value, value, overlay->table->value_size) : NULL;
}

static enum insertion overlay_insert(struct walk *walk, struct overlay *overlay, const void *key,
                                     const void *value) {
  struct copied *copied = overlay_entry(overlay, key);
  __u8 live[LONGEST_VALUE] __attribute__((aligned(8)));

  if (copied ? !copied->removed : overlay_look(walk, overlay, key, live))
    return EXISTS;
  if (!walk->engine->remote && !table_has_room(overlay->table))
    return FULL;
  if (!copied)
    copied = overlay_new(walk, overlay, key);
  if (!copied)
    return FULL;
  memcpy(copied->value, value, overlay->table->value_size);
  copied->removed = false;
  return INSERTED;
}

static void overlay_remove(struct walk *walk, struct overlay *overlay, const void *key) {
  struct copied *copied = overlay_entry(overlay, key);

  if (!copied)
    copied = overlay_new(walk, overlay, key);
  if (copied)
    copied->removed = true;
}

#define TABLE_ACCESS(name, overlay)                                                                \
  DP_STATIC_ASSERT(sizeof(struct name) <= LONGEST_VALUE);                                          \
  DP_STATIC_ASSERT(sizeof(struct name##_key) <= LONGEST_KEY);                                      \
  STEP struct name *name##_find(const struct packet *p, const struct name##_key *key) {            \
    return overlay_find(walk_of(p), &walk_of(p)->overlay, key);                                    \
  }                                                                                                \
  STEP int name##_insert(const struct packet *p, const struct name##_key *key,                     \
                         const struct name *value) {                                               \
    return overlay_insert(walk_of(p), &walk_of(p)->overlay, key, value);                           \
  }                                                                                                \
  STEP void name##_remove(const struct packet *p, const struct name##_key *key) {                  \
    overlay_remove(walk_of(p), &walk_of(p)->overlay, key);                                         \
  }

TABLE_ACCESS(binding, bindings)
TABLE_ACCESS(port, ports)
TABLE_ACCESS(session, sessions)
TABLE_ACCESS(subscriber, subscribers)
TABLE_ACCESS(peer, peers)

STEP bool subscriber_revive(struct subscriber *subscriber) {
  (void)subscriber;
  return false;
}

STEP struct port_hints *hints_find(const struct packet *p, const __u32 *index) {
  struct walk *walk = walk_of(p);
  const struct remote_tables *remote = walk->engine->remote;
  const struct port_hints *live = &walk->engine->hints[*index];
  struct port_hints **copy = &walk->hints[*index];

  if (*copy)
    return *copy;
  *copy = malloc(sizeof **copy);
  if (!*copy) {
    walk->trace->lost = 1;
    return NULL;
  }
  if (remote) {
    walk->trace->lost |= !remote->hints(remote->context, *index, *copy);
    return *copy;
  }
  for (size_t port = 0; port < sizeof live->port; port++)
    (*copy)->port[port] = READ(live->port[port]);
  (*copy)->used = READ(live->used);
  (*copy)->most = READ(live->most);
  return *copy;
}

/* --- what is said ----------------------------------------------------------------------------- */

STEP void count(const struct packet *p, __u32 reason) {
  walk_of(p)->trace->counted[reason]++;
}

static void note(const struct packet *p, struct note note) {
  struct trace *trace = walk_of(p)->trace;

  if (trace->note_count < MAX_NOTES)
    trace->note[trace->note_count++] = note;
  else
    trace->lost = 1;
}

/* The ends of a note, as the steps write them. */
#define ADDRESS6(value)                                                                            \
  { .address = (value), .family = FAMILY_6, .kind = END_ADDRESS }
#define ADDRESS4(value)                                                                            \
  { .address = {.word = {(value)}}, .family = FAMILY_4, .kind = END_ADDRESS }
#define ENDPOINT6(value, at)                                                                       \
  { .address = (value), .port = (at), .family = FAMILY_6, .kind = END_ENDPOINT }
#define ENDPOINT4(value, at)                                                                       \
  { .address = {.word = {(value)}}, .port = (at), .family = FAMILY_4, .kind = END_ENDPOINT }
#define PREFIX6(value, bits)                                                                       \
  { .address = (value), .family = FAMILY_6, .kind = END_PREFIX, .length = (bits) }
/* An address of whichever family the packet under way has. */
#define ADDRESS_IN(p, value)                                                                       \
  { .address = (value), .family = (p)->headers->family, .kind = END_ADDRESS }
#define ENDPOINT_IN(p, value, at)                                                                  \
  { .address = (value), .port = (at), .family = (p)->headers->family, .kind = END_ENDPOINT }

static void note_transport(const struct packet *p) {
  const struct headers *h = p->headers;
  __u32 from = HOST16(p->in->source_port), to = HOST16(p->in->destination_port);
  __u32 first = HOST32(p->transport[0]), data = h->transport_length - h->transport_header;

  if (h->icmp_error)
    NOTE(p, icmp_error, .n = {first >> 24, first >> 16 & 0xff});
  else if (h->protocol == PROTOCOL_TCP)
    NOTE(p, tcp, .n = {from, to, h->tcp_flags, data});
  else if (h->protocol == PROTOCOL_UDP)
    NOTE(p, udp, .n = {from, to, data, h->zero_checksum});
  else
    NOTE(p, echo, .n = {h->icmp_reply, from});
}

/* REQUIRES: scratch->session_key names it. */
static void note_session(const struct packet *p, const struct session *session) {
  const struct session_key *key = &p->scratch->session_key;
  __u32 left = session->expires > p->now ? session->expires - p->now : 0;

  if (key->protocol == PROTOCOL_ICMP)
    NOTE(p, session_found, .n = {session->state, left},
         .a = ENDPOINT4(key->pool_address, key->pool_port), .b = ADDRESS4(key->remote_address));
  else
    NOTE(p, session_found, .n = {session->state, left},
         .a = ENDPOINT4(key->pool_address, key->pool_port),
         .b = ENDPOINT4(key->remote_address, key->remote_port));
}

static void note_subscriber(const struct packet *p, const struct subscriber_key *key,
                            __u32 before) {
  struct note_end prefix = PREFIX6(key->prefix, p->policy->subscriber_prefix);
  __u32 most = p->policy->max_sessions_per_subscriber;

  if (before)
    NOTE(p, subscriber_known, .a = prefix, .n = {before & ~BINDING_DEAD, most});
  else
    NOTE(p, subscriber_new, .a = prefix, .n = {before, most});
}

static void note_bindings(const struct packet *p, const struct subscriber *subscriber, __u32 most) {
  if (most)
    NOTE(p, bindings_limited, .n = {subscriber->bindings, most});
}

static void note_translated(const struct packet *p) {
  const __be32 *h = p->rewrite->network;
  __u32 length = p->rewrite->network_length + p->headers->transport_length;

  if (p->headers->family == FAMILY_6)
    NOTE(p, to_ipv4, .n = {length, p->headers->hop_limit, !!(HOST32(h[1]) & IPV4_DF)});
  else
    NOTE(p, to_ipv6,
         .n = {length, p->headers->hop_limit, p->rewrite->network_length > IPV6_HEADER});
  if (p->headers->opaque)
    NOTE(p, untouched);
  else if (p->rewrite->compute)
    NOTE(p, checksum_made);
  else
    NOTE(p, checksum_follows, .n = {p->headers->protocol});
}

static enum verdict settle(struct packet *p);
static enum verdict emit(struct packet *p);
static enum verdict answer(struct packet *p);
static enum verdict hold_syn(struct packet *p);
static enum verdict reassemble(struct packet *p);

#include "datapath/path.h"

static enum verdict settle(struct packet *p) {
  return session(p); /* on copies of what is in the tables, wherever those are */
}

#include "datapath/native/emit_answer.h"
#include "datapath/native/emit_error.h"
#include "datapath/native/emit_linear.h"
#include "datapath/native/gather_piece.h"

static enum verdict emit(struct packet *p) {
  struct frame *frame = walk_of(p)->frame;

  return p->headers->icmp_error ? emit_error(p, frame) : emit_flow(p, frame);
}

/* Whether the rate limit would let it go is not known: the worker that meets the packet has a
 * bucket of its own. */
static enum verdict answer(struct packet *p) {
  struct walk *walk = walk_of(p);
  struct icmp_message message = answer_message(p);

  if (!may_be_answered(p)) {
    NOTE(p, no_answer);
    return VERDICT_DROP;
  }
  if (p->policy->icmp_error_rate == 0) {
    NOTE(p, answers_off);
    count(p, REASON_answer_limited);
    return VERDICT_DROP;
  }
  NOTE(p, answer, .n = {message.type, message.code, p->policy->icmp_error_rate});
  walk->trace->answer = (struct frame){.data = walk->trace->answer_bytes};
  emit_answer(p, message, walk->frame, &walk->trace->answer);
  count(p, REASON_answer_sent);
  return VERDICT_DROP;
}

static enum verdict hold_syn(struct packet *p) {
  struct table *held = &walk_of(p)->engine->held;

  if (table_find(held, &p->scratch->session_key)) {
    NOTE(p, syn_is_held);
    return drop(p, REASON_syn_held);
  }
  if (!table_has_room(held))
    return drop(p, REASON_syn_hold_full);
  NOTE(p, syn_waits, .n = {p->policy->timeouts.tcp_incoming_syn});
  return drop(p, REASON_syn_held);
}

static enum verdict reassemble(struct packet *p) {
  struct walk *walk = walk_of(p);
  struct piece piece = piece_of(p, walk->frame->data);
  struct gathered result;

  reassembly_foresee(walk->engine->reassembly, &piece, p->now, walk->trace->whole + FRAME_HEADROOM,
                     &result);
  walk->whole_length = result.length;
  walk->trace->counted[REASON_fragments_missing] += result.given_up;
  if (result.gathering == GATHERING && result.length)
    NOTE(p, fragment_completes, .n = {result.length});
  else if (result.gathering == GATHERING)
    NOTE(p, fragment_waits, .n = {result.bytes, p->policy->timeouts.fragment});
  return gathering_verdict(p, result.gathering);
}

/* --- the walk --------------------------------------------------------------------------------- */

static void walk_one(struct walk *walk, struct frame *frame, __u32 now, __u32 random) {
  struct packet p = {.target = walk,
                     .head = walk->head,
                     .policy = __atomic_load_n(&walk->engine->policy, __ATOMIC_ACQUIRE),
                     .length = frame->length,
                     .head_length = frame->length < HEAD_BYTES ? frame->length : HEAD_BYTES,
                     .segments = frame->segments ? frame->segments : 1,
                     .segment_size = frame->segment_size,
                     .partial_checksum = frame->partial_checksum,
                     .now = now,
                     .random = random};

  packet_start(&p, &walk->scratch);
  walk->frame = frame;
  walk->whole_length = 0;
  memcpy(walk->head, frame->data, p.head_length);
  walk->trace->verdict = path(&p);
  walk->trace->reason = p.reason;
}

static struct walk *walk_new(struct engine *engine, struct trace *trace) {
  struct walk *walk = calloc(1, sizeof *walk);

  if (!walk)
    return NULL;
  walk->engine = engine;
  walk->trace = trace;
  walk->bindings = (struct overlay){&engine->bindings, IN_BINDINGS, copy_binding, 0, {}};
  walk->ports = (struct overlay){&engine->ports, IN_PORTS, copy_port, 0, {}};
  walk->sessions = (struct overlay){&engine->sessions, IN_SESSIONS, copy_session, 0, {}};
  walk->subscribers =
      (struct overlay){&engine->subscribers, IN_SUBSCRIBERS, copy_subscriber, 0, {}};
  walk->peers = (struct overlay){&engine->peers, IN_PEERS, copy_peer, 0, {}};
  return walk;
}

static void walk_free(struct walk *walk) {
  for (__u32 i = 0; i < PORT_HINTS; i++)
    free(walk->hints[i]);
  free(walk);
}

static __u32 chance(void) {
  __u32 random;

  while (getrandom(&random, sizeof random, 0) != (long)sizeof random)
    ;
  return random;
}

int engine_trace(struct engine *engine, const struct frame *in, __u32 now, const __u32 *random,
                 struct trace *trace) {
  struct walk *walk = walk_new(engine, trace);
  struct frame *frame = &trace->frame;
  __u32 whole;

  if (!walk)
    return -1;
  memset(trace, 0, offsetof(struct trace, packet));
  *frame = *in;
  frame->data = trace->packet + FRAME_HEADROOM;
  frame->longest_piece = 0;
  memcpy(frame->data, in->data, in->length);
  worker_enter(engine->sweeper);
  walk_one(walk, frame, now, random ? *random : chance());
  whole = walk->whole_length;
  if (whole) {
    *frame = (struct frame){.data = trace->whole + FRAME_HEADROOM, .length = whole, .segments = 1};
    walk_one(walk, frame, now, random ? *random : chance());
  }
  worker_leave(engine->sweeper);
  walk_free(walk);
  return 0;
}
