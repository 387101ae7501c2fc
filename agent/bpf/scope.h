/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * For whom the agent works, besides the programs of its cgroup: one value that the daemon fills from [agent] ports
 * and network_namespace.
 */
#ifndef VIADUCT_AGENT_BPF_SCOPE_H
#define VIADUCT_AGENT_BPF_SCOPE_H

#include "agent/bpf/maps.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct agent_scope);
} scope SEC(".maps");

STEP const struct agent_scope *scope_now(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&scope, &zero);
}

/* The port of a listener, in host order. The compiler knows that a port has sixteen bits and drops the bound; the
 * verifier of 6.1 does not know. */
STEP bool port_is_ours(__u32 port) {
  const struct agent_scope *now = scope_now();
  __u64 word = port >> 6;

  if (!now)
    return false;
  __asm__ volatile("" : "+r"(word));
  word &= AGENT_PORT_WORDS - 1;
  return now->all_ports || (now->ports[word] >> (port & 63) & 1);
}

STEP bool namespace_is_ours(__u64 cookie) {
  const struct agent_scope *now = scope_now();

  return now && (!now->network_namespace || now->network_namespace == cookie);
}

STEP bool one_namespace_only(void) {
  const struct agent_scope *now = scope_now();

  return now && now->network_namespace;
}

#endif
