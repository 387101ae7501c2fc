/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Whose TOA and UOA is believed: the maps that the daemon fills from [agent] senders.
 */
#ifndef VIADUCT_AGENT_BPF_SENDERS_H
#define VIADUCT_AGENT_BPF_SENDERS_H

#include "agent/bpf/maps.h"

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, AGENT_MAX_SENDERS);
  __type(key, struct agent_sender4);
  __type(value, __u32);
} senders4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, AGENT_MAX_SENDERS);
  __type(key, struct agent_sender6);
  __type(value, __u32);
} senders6 SEC(".maps");

STEP bool is_listed4(__be32 address) {
  struct agent_sender4 key = {.length = 32, .address = address};

  return bpf_map_lookup_elem(&senders4, &key) != NULL;
}

STEP bool is_listed6(const struct address *address) {
  struct agent_sender6 key = {.length = 128, .address = *address};

  return bpf_map_lookup_elem(&senders6, &key) != NULL;
}

#endif
