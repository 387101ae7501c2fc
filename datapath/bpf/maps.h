/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The BPF build's tables: maps, and the table access of tables.h over them. They are the authority,
 * so none of them may evict (no LRU). What each session or binding has an entry of is preallocated: a
 * third of the new-flow rate is lost otherwise. The others mostly stay small, and take memory as they
 * fill. The sizes are set before loading, from max_sessions.
 */
#ifndef VIADUCT_DATAPATH_BPF_MAPS_H
#define VIADUCT_DATAPATH_BPF_MAPS_H

#include "datapath/event.h"
#include "datapath/keeper.h"
#include "datapath/packet.h"
#include "datapath/tables.h"

/* Test runs only: the clock and the chance are given, and nobody buries the dead. */
const volatile __u32 testing = 0;

/* struct dead_entry; room for 100,000 of them. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4 << 20);
} dead SEC(".maps");

/* False where there is no room, and where nobody would come for it. */
STEP bool wait_for_burial(const struct dead_entry *entry) {
  return !testing && bpf_ringbuf_output(&dead, (void *)entry, sizeof *entry, BPF_RB_NO_WAKEUP) == 0;
}

#define TABLE_MAP(name, map, flags)                                                                \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_HASH);                                                               \
    __uint(map_flags, flags);                                                                      \
    __uint(max_entries, 65536);                                                                    \
    __type(key, struct name##_key);                                                                \
    __type(value, struct name);                                                                    \
  } map SEC(".maps");                                                                              \
                                                                                                   \
  STEP struct name *name##_find(const struct packet *p, const struct name##_key *key) {            \
    (void)p;                                                                                       \
    return bpf_map_lookup_elem(&map, key);                                                         \
  }                                                                                                \
  STEP int name##_insert(const struct packet *p, const struct name##_key *key,                     \
                         const struct name *value) {                                               \
    /* Before 6.4 the upper half of the result is not set (the kernel calls a function that */     \
    /* returns int): only the lower one may be looked at. */                                       \
    int result = (int)bpf_map_update_elem(&map, key, value, BPF_NOEXIST);                          \
    (void)p;                                                                                       \
    return result == 0 ? INSERTED : result == -ERROR_EXISTS ? EXISTS : FULL;                       \
  }

/* Whom other CPUs may have found: removed by the daemon, when nobody can look at it any more. That
 * it is dead everybody sees at once. */
#define REMOVED_LATER(name, map, dead_as)                                                          \
  STEP void name##_remove(const struct packet *p, const struct name##_key *key) {                  \
    struct dead_entry entry = {.table = dead_as};                                                  \
    (void)p;                                                                                       \
    __builtin_memcpy(entry.key, key, sizeof *key);                                                 \
    if (!wait_for_burial(&entry))                                                                  \
      bpf_map_delete_elem(&map, key);                                                              \
  }

enum { ERROR_EXISTS = 17 /* EEXIST */ };

TABLE_MAP(binding, bindings, 0)
TABLE_MAP(port, ports, 0)
TABLE_MAP(session, sessions, 0)
TABLE_MAP(subscriber, subscribers, BPF_F_NO_PREALLOC)
TABLE_MAP(peer, peers, BPF_F_NO_PREALLOC)

REMOVED_LATER(binding, bindings, DEAD_BINDING)
REMOVED_LATER(session, sessions, DEAD_SESSION)
REMOVED_LATER(subscriber, subscribers, DEAD_SUBSCRIBER)
REMOVED_LATER(peer, peers, DEAD_PEER)

/* Its value is only read, and who reads it asks the binding whether it is true. */
STEP void port_remove(const struct packet *p, const struct port_key *key) {
  (void)p;
  bpf_map_delete_elem(&ports, key);
}

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, PORT_HINTS);
  __type(key, __u32);
  __type(value, struct port_hints);
} hints SEC(".maps");

STEP struct port_hints *hints_find(const struct packet *p, const __u32 *index) {
  (void)p;
  return bpf_map_lookup_elem(&hints, index);
}

#define READ(field) (*(const volatile __typeof__(field) *)&(field))
#define WRITE(field, value) (*(volatile __typeof__(field) *)&(field) = (value))
#define ADD(field, n) __sync_fetch_and_add(&(field), (n))
#define SWAP_IF(field, old, new) (__sync_val_compare_and_swap(&(field), (old), (new)) == (old))

/* A subscriber without sessions that waits for its burial may come back: who has none because no
 * port was found for the first must not wait that long. */
STEP bool subscriber_revive(struct subscriber *subscriber) {
  return SWAP_IF(subscriber->sessions, BINDING_DEAD, 0);
}

/* Two policies, so that a new one can be written whole before it is named. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct policy);
} policies SEC(".maps");

/* One, written by the daemon. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct settings);
} settings SEC(".maps");

STEP struct settings *settings_find(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&settings, &zero);
}

STEP const struct policy *policy_now(void) {
  const struct settings *now = settings_find();
  __u32 slot;

  if (!now)
    return NULL;
  slot = READ(now->policy) & 1;
  return bpf_map_lookup_elem(&policies, &slot);
}

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, REASON_COUNT);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

enum { SUM_CHUNK = 512 }; /* what bpf_csum_diff takes at once */

/* What a packet needs and the stack has no room for. */
struct workspace {
  struct scratch scratch;
  __u8 head[2 * HEAD_BYTES];
  __u32 sum;
  __u8 chunk[SUM_CHUNK]; /* of a datagram that is summed */
  __u8 link[12];         /* both addresses of a frame that leaves by XDP */
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct workspace);
} workspaces SEC(".maps");

STEP struct workspace *workspace_find(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&workspaces, &zero);
}

/* Per CPU. Programs of packets do not interrupt one another there, but they interrupt the keeper. */
STEP void count(const struct packet *p, __u32 reason) {
  __u64 *counter = bpf_map_lookup_elem(&counters, &reason);

  (void)p;
  if (counter)
    COUNT_UP(*counter);
}

/* --- events, while somebody watches ------------------------------------------------------------- */

/* struct event. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 2 << 20);
} events SEC(".maps");

STEP struct event *event_begin(const struct packet *p, __u32 kind) {
  struct settings *now = settings_find();
  struct event *event;

  (void)p;
  if (!now || !READ(now->watched))
    return NULL;
  event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
  if (!event) {
    ADD(now->events_lost, 1);
    return NULL;
  }
  *event = (struct event){.order = bpf_ktime_get_ns(), .kind = kind};
  return event;
}

STEP void event_end(const struct packet *p, struct event *event) {
  (void)p;
  bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* As good as one: its fields are read on their own, and who is told of them wants no more. */
STEP void copy_session(struct session *to, const struct session *from) {
  *to = *from;
}

#include "datapath/event_steps.h"

#endif
