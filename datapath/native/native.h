/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The native build of the five steps: what viaductd, the tests and the fuzzers call.
 *
 * Ownership: an engine owns its tables and counters; workers belong to an engine and are used by
 * one thread each. A frame's memory is the caller's. Nothing is allocated between engine_new and
 * engine_free except by worker_new and engine_set_policy.
 */
#ifndef VIADUCT_DATAPATH_NATIVE_H
#define VIADUCT_DATAPATH_NATIVE_H

#include "datapath/event.h"
#include "datapath/types.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum {
  PROBES_PER_SWEEP = 4096, /* sessions that are due for more stay until the next sweep */
  FRAME_HEADROOM = 256,    /* bytes that must be writable before frame.data */
  FRAME_MAX = 65535,       /* longest packet */
};

/* One IP packet in a linear buffer. translate() moves `data` and `length` when headers grow or
 * shrink. */
struct frame {
  __u8 *data;
  __u32 length;
  __u8 partial_checksum; /* in/out: the transport checksum holds a pseudo-header sum only
                            (CHECKSUM_PARTIAL) */
  __u8 pad[3];
  __u32 segments;      /* in: packets on the wire that this is one super-packet of; at least 1 */
  __u32 segment_size;  /* in/out: most bytes of payload in each of those; 0: no super-packet */
  __u32 longest_piece; /* out: not 0: it must be cut (frame_cut) into fragments of at most so many
                          bytes; only IPv6 */
  __u32 transport;     /* out, when forwarded: offset of the transport header from data */
};

struct engine;
struct worker;

/* NULL when there is no memory. max_sessions is the ceiling of every table. */
struct engine *engine_new(__u32 max_sessions);

/* Tables that lie elsewhere, in BPF maps: how the native build reaches them. Any thread calls. */
enum remote_table { IN_BINDINGS, IN_PORTS, IN_SESSIONS, IN_SUBSCRIBERS, IN_PEERS };

struct remote_tables {
  void *context;
  void *calls;     /* struct session_call (session_call.h), SESSION_CALLS of them */
  __u32 call_size; /* from one to the next */
  /* Runs the session step over calls[slot]. 0, or -1 where it did not run. */
  int (*settle)(void *context, __u32 slot);
  /* Copies an entry. 1, or 0 where there is none. */
  int (*find)(void *context, enum remote_table table, const void *key, void *value);
  int (*hints)(void *context, __u32 index, struct port_hints *copy);
  /* Empties those at `index`; of the sweeper's thread. */
  void (*forget)(void *context, __u32 index);
};

/* Without tables of its own: for what the BPF build hands up. `remote` stays the caller's. */
struct engine *engine_new_remote(const struct remote_tables *remote);
void engine_free(struct engine *engine); /* after all of its workers */
/* Bytes that the tables take when all of them are full. */
__u64 engine_memory(__u32 max_sessions);

/* Copies the policy; returns 0, or -1 when there is no memory. Waits until no worker is inside with
 * the old one: the caller must have left. */
int engine_set_policy(struct engine *engine, const struct policy *policy);

/* Waits until every worker that is inside now has left: nobody looks any more at what was taken out
 * of a table before. */
void engine_wait(struct engine *engine);

struct worker *worker_new(struct engine *engine);
void worker_free(struct worker *worker);

/* Between enter and leave a worker may hold table entries; leave at least before every sleep. A
 * call of translate_frame outside enters and leaves by itself: for batches enter once around them.
 */
void worker_enter(struct worker *worker);
void worker_leave(struct worker *worker);

/* Time and chance are inputs: seconds of CLOCK_MONOTONIC; random numbers come from the kernel
 * unless a seed is given (repeatable, for fuzzers). */
void worker_set_now(struct worker *worker, __u32 now);
void worker_seed(struct worker *worker, __u64 seed);
/* Tests only: every random number is `value` from now on, as in the BPF build's test mode. */
void worker_fix_random(struct worker *worker, __u32 value);

/* Packets that are dealt with next: has the processor fetch what they will be looked up in, all at
 * once and not one after the other. A guess, it changes nothing. Only between worker_enter and
 * worker_leave. */
enum { EXPECTED_AT_MOST = 16 };
struct packet_ahead {
  const __u8 *data;
  __u32 length;
};
void worker_expect(struct worker *worker, const struct packet_ahead *packets, __u32 count);

/* Takes one packet through parse, classify, session, translate, emit. *reason says why.
 * Unless VERDICT_FORWARD comes back the frame is as it was. Where it was the last fragment of a
 * datagram, the verdict is the datagram's, and the frame, if forwarded, lies in memory of the
 * worker that is good until the next packet. */
enum verdict translate_frame(struct worker *worker, struct frame *frame, enum reason *reason);

/* One of the fragments that a frame with longest_piece leaves in. */
struct fragment {
  __u8 header[48];  /* IPv6 and Fragment header */
  const __u8 *data; /* what follows it: in the frame's memory */
  __u32 length;     /* of the data */
};

/* The fragment behind `fragment`, in its place; at first it must be all zeros. 0: that was the last
 * one. */
int frame_cut(const struct frame *frame, struct fragment *fragment);

/* One of the packets that a super-packet stands for. */
struct segment {
  __u8 header[128]; /* network and transport header: 60 bytes each at most */
  __u32 header_length;
  const __u8 *data; /* the payload: in the frame's memory */
  __u32 length;     /* of the payload */
  __u32 number;     /* from 0 */
};

/* The segment behind `segment`, in its place; at first it must be all zeros. `frame` is TCP or UDP
 * without IPv6 extension headers, and says where its transport header is and how long segments are.
 * Its checksum does not matter: each segment has its own, calculated. 0: that was the last one, or
 * this is no super-packet. A super-packet without payload is one segment. */
int frame_segment(const struct frame *frame, struct segment *segment);

/* Whether the whole checksum of a UDP datagram (no fragment, no extension headers) is right. */
int frame_checksum_right(const struct frame *frame);

/* Datagrams of one flow whose payloads stand one behind the other, under the first one's headers:
 * their lengths become the whole's, the UDP checksum a partial one. */
void frame_finish_train(struct frame *frame);

/* The ICMP error that the last packet is to be answered with, or NULL. Its memory is the worker's
 * and good until the next packet. At most policy.icmp_error_rate of them a second (RFC 4443 2.4 (f)). */
const struct frame *worker_answer(const struct worker *worker);

/* Counters, and the tun engine's own events. */
void worker_count(struct worker *worker, enum reason reason, __u64 times);
void engine_count(struct engine *engine, enum reason reason); /* of the sweeper's thread */
void engine_counters(const struct engine *engine, __u64 counters[REASON_COUNT]);

/* Whom a sweep asks and tells; any of them may be NULL. */
struct sweep_calls {
  void *context;
  /* Why a session is to end at once; WHY_NONE, or NULL: only where its timer has run out. */
  enum event_why (*cause)(void *context, const struct session_key *key,
                          const struct session *value);
  /* A packet to send because of what the sweep found: probes and ICMP errors, at most
   * PROBES_PER_SWEEP and policy.icmp_error_rate of them. Good until the call returns. 0, or -1 where it
   * could not be sent, which is counted. NULL: none is sent, and sessions move as if it were. */
  int (*send)(void *context, const struct frame *frame);
};

/* Ends what has expired (ageing.h) and what has a cause to, answers the SYNs that were held long
 * enough. Returns how many sessions ended. calls may be NULL. */
__u64 engine_sweep(struct engine *engine, __u32 now, const struct sweep_calls *calls);

/* The probe that an established session which has expired is asked by (RFC 6146 3.5.2.2). Its memory
 * is the sweeper's and good until the next call. */
const struct frame *engine_probe(struct engine *engine, const struct session_key *key,
                                 const struct session *value);

/* Static bindings (RFC 6146 3.1): of the sweeper's thread, too. 0, or -1 when somebody has one of
 * the two ends, or a table is full. What has sessions when it is unbound becomes a binding like any
 * other and ends with the last of them. */
int engine_bind(struct engine *engine, const struct binding_key *key,
                const struct port_key *outside);
void engine_unbind(struct engine *engine, const struct binding_key *key);

/* Dumps, safe beside running workers. cursor: 0 at first, then what came back; 0 again at the end.
 * Copies at most `limit` rows (at least 64 must fit) and sets *count. Sweep, dumps and set_policy
 * belong to one thread. */
__u64 engine_dump_sessions(struct engine *engine, __u64 cursor, struct session_key *keys,
                           struct session *values, __u32 limit, __u32 *count);
__u64 engine_dump_bindings(struct engine *engine, __u64 cursor, struct binding_key *keys,
                           struct binding *values, __u32 limit, __u32 *count);
__u64 engine_dump_ports(struct engine *engine, __u64 cursor, struct port_key *keys,
                        struct port *values, __u32 limit, __u32 *count);
__u64 engine_dump_subscribers(struct engine *engine, __u64 cursor, struct subscriber_key *keys,
                              struct subscriber *values, __u32 limit, __u32 *count);
__u64 engine_dump_peers(struct engine *engine, __u64 cursor, struct peer_key *keys,
                        struct peer *values, __u32 limit, __u32 *count);
/* Whether the prefix must not carry that address (RFC 6052 3.1), but for allow_private_ipv4. */
int prefix_refuses(const struct prefix6 *prefix, __be32 address);

/* Of the pool address with this slot. */
void engine_pool_use(const struct engine *engine, __u8 slot, struct pool_use *use);
/* Events, of the sweeper's thread too. Workers note them while somebody watches, in a ring each: who
 * does not come for them in time loses some, which are counted. A worker never waits. */
enum { EVENTS_HELD = 8192 /* of each worker */ };
void engine_watch(struct engine *engine, int watched);
/* Copies at most `limit` of them, the oldest first; returns how many, and adds to *lost. */
__u32 engine_events(struct engine *engine, struct event *events, __u32 limit, __u64 *lost);

void engine_usage(const struct engine *engine, __u32 *sessions, __u32 *bindings);

/* Puts entries in directly: the "given" of a packet test. 0, or -1 when the table is full or has
 * it. */
int engine_put_session(struct engine *engine, const struct session_key *key,
                       const struct session *value);
int engine_put_binding(struct engine *engine, const struct binding_key *key,
                       const struct binding *value);
int engine_put_port(struct engine *engine, const struct port_key *key, const struct port *value);
int engine_put_subscriber(struct engine *engine, const struct subscriber_key *key,
                          const struct subscriber *value);
int engine_put_peer(struct engine *engine, const struct peer_key *key, const struct peer *value);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
