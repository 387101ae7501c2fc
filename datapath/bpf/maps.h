/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The BPF build's tables: maps, and the table access of tables.h over them. They are the authority,
 * so none of them may evict (no LRU), and all are preallocated: a third of the new-flow rate is
 * lost otherwise. The sizes are set before loading, from max_sessions.
 */
#ifndef VIADUCT_DATAPATH_BPF_MAPS_H
#define VIADUCT_DATAPATH_BPF_MAPS_H

#include "datapath/packet.h"
#include "datapath/tables.h"

#define TABLE_MAP(name, map)                                                                       \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_HASH);                                                               \
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
  }                                                                                                \
  STEP void name##_remove(const struct packet *p, const struct name##_key *key) {                  \
    (void)p;                                                                                       \
    bpf_map_delete_elem(&map, key);                                                                \
  }

enum { ERROR_EXISTS = 17 /* EEXIST */ };

TABLE_MAP(binding, bindings)
TABLE_MAP(port, ports)
TABLE_MAP(session, sessions)
TABLE_MAP(subscriber, subscribers)
TABLE_MAP(peer, peers)

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

/* Two policies, so that a new one can be written whole before policy_index names it. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct policy);
} policies SEC(".maps");

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

STEP void count(const struct packet *p, __u32 reason) {
  __u64 *counter = bpf_map_lookup_elem(&counters, &reason);

  (void)p;
  if (counter)
    (*counter)++; /* per CPU, and programs do not interrupt one another here */
}

#endif
