/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The maps that the agent's objects share, and what more than one of them does with these. The daemon hands the
 * maps of the first object to the others, and pins them.
 */
#ifndef VIADUCT_AGENT_BPF_MAPS_H
#define VIADUCT_AGENT_BPF_MAPS_H

#include <linux/bpf.h>

#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "agent/record.h"

#define STEP static __attribute__((always_inline)) inline

enum { FAMILY_IP4 = 2, FAMILY_IP6 = 10, SOCKET_STREAM = 1, SOCKET_MPTCP = 262 };

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct agent_record);
} connections SEC(".maps");

/* What is evicted here costs an MPTCP connection its client's address, never gives it another's. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, AGENT_MAX_MPTCP);
  __type(key, struct agent_tuple);
  __type(value, struct agent_record);
} by_tuple SEC(".maps");

struct agent_counts {
  __u64 value[AGENT_COUNTERS];
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct agent_counts);
} counters SEC(".maps");

STEP void count(enum agent_counter which) {
  __u32 zero = 0;
  struct agent_counts *counts = bpf_map_lookup_elem(&counters, &zero);

  if (counts)
    counts->value[which]++;
}

/* ::ffff:a.b.c.d */
STEP bool is_mapped(const struct address *address) {
  return address->word[0] == 0 && address->word[1] == 0 && address->word[2] == bpf_htonl(0xffff);
}

STEP void tuple_of(struct bpf_sock *sk, __u64 network_namespace, struct agent_tuple *tuple) {
  tuple->network_namespace = network_namespace;
  tuple->family = sk->family;
  if (sk->family == FAMILY_IP4) {
    tuple->local.word[0] = sk->src_ip4;
    tuple->remote.word[0] = sk->dst_ip4;
  } else {
    tuple->local.word[0] = sk->src_ip6[0];
    tuple->local.word[1] = sk->src_ip6[1];
    tuple->local.word[2] = sk->src_ip6[2];
    tuple->local.word[3] = sk->src_ip6[3];
    tuple->remote.word[0] = sk->dst_ip6[0];
    tuple->remote.word[1] = sk->dst_ip6[1];
    tuple->remote.word[2] = sk->dst_ip6[2];
    tuple->remote.word[3] = sk->dst_ip6[3];
  }
  tuple->local_port_host = (__u16)sk->src_port;
  tuple->remote_port = sk->dst_port;
}

/* What we know of a socket that a program holds. */
STEP struct agent_record *record_of(void *ctx, struct bpf_sock *sk) {
  struct agent_record *record = bpf_sk_storage_get(&connections, sk, NULL, 0);
  struct agent_tuple tuple = {};

  if (record || sk->protocol != SOCKET_MPTCP)
    return record;
  tuple_of(sk, bpf_get_netns_cookie(ctx), &tuple);
  record = bpf_map_lookup_elem(&by_tuple, &tuple);
  if (record)
    count(COUNTER_mptcp_fallback);
  return record;
}

STEP struct agent_record *believed_record_of(void *ctx, struct bpf_sock *sk) {
  struct agent_record *record = record_of(ctx, sk);

  return record && record->verdict == VERDICT_BELIEVED ? record : NULL;
}

#endif
