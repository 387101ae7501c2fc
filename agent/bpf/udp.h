/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What is remembered of UDP flows, and how it is looked up.
 */
#ifndef VIADUCT_AGENT_BPF_UDP_H
#define VIADUCT_AGENT_BPF_UDP_H

#include "agent/bpf/maps.h"

#define IDLE (AGENT_FLOW_IDLE_SECONDS * 1000000000ULL)

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, AGENT_MAX_FLOWS);
  __type(key, struct agent_udp_key);
  __type(value, struct agent_udp_flow);
} udp_flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, AGENT_MAX_FLOWS);
  __type(key, struct agent_udp_key);
  __type(value, struct agent_udp_way);
} udp_clients SEC(".maps");

STEP bool same_address(const struct address *one, const struct address *other) {
  return one->word[0] == other->word[0] && one->word[1] == other->word[1] &&
         one->word[2] == other->word[2] && one->word[3] == other->word[3];
}

/* What a socket is bound to, as an address of that family. It reads what it may not need: of a choice between two fields
 * the compiler makes arithmetic on the socket's address, which the verifier refuses. */
STEP void local_of(struct bpf_sock *sk, struct agent_udp_key *key) {
  struct address own = {.word = {sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3]}};
  __be32 own4 = sk->src_ip4;
  __u32 family = sk->family;

  __asm__ volatile("" : "+r"(own4), "+r"(family));
  key->local_port_host = (__u16)sk->src_port;
  if (family == FAMILY_IP4)
    key->local.word[0] = own4;
  else if (key->family == 6)
    key->local = own;
  else if (is_mapped(&own))
    key->local.word[0] = own.word[3];
}

STEP bool is_bound(const struct agent_udp_key *key) {
  return (key->local.word[0] | key->local.word[1] | key->local.word[2] | key->local.word[3]) != 0;
}

/* A socket that is bound to an address may go on with what came to one that was not. */
STEP void *look_up(void *map, struct agent_udp_key *key) {
  struct address any = {};
  void *found = bpf_map_lookup_elem(map, key);

  if (found || !is_bound(key))
    return found;
  key->local = any;
  return bpf_map_lookup_elem(map, key);
}

#endif
