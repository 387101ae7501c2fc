/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Somebody else's programs on the agent's hooks: one that looks at headers of its connections, all or those with
 * options that the kernel does not know (WANTED; with the first one behind data LATER, too), and one that is asked about
 * names. They count and change nothing; `flags` is what the first last saw in a socket.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#ifndef WANTED
#define WANTED BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG
#endif

#ifndef LATER
#define LATER 0
#endif

enum { SEEN_CONNECTIONS, SEEN_HEADERS, SEEN_NAMES, SEEN_FLAGS, SEEN };

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SEEN);
  __type(key, __u32);
  __type(value, __u64);
} seen SEC(".maps");

static __attribute__((always_inline)) inline void note(__u32 what, __u64 more) {
  __u64 *value = bpf_map_lookup_elem(&seen, &what);

  if (value)
    __sync_fetch_and_add(value, more);
}

SEC("sockops")
int neighbour_sock_ops(struct bpf_sock_ops *skops) {
  __u32 what = SEEN_FLAGS;
  __u64 *flags = bpf_map_lookup_elem(&seen, &what);

  if (skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
    bpf_sock_ops_cb_flags_set(skops, skops->bpf_sock_ops_cb_flags | WANTED);
    note(SEEN_CONNECTIONS, 1);
  }
  if (skops->op == BPF_SOCK_OPS_PARSE_HDR_OPT_CB) {
    note(SEEN_HEADERS, 1);
    if (flags)
      *flags = skops->bpf_sock_ops_cb_flags;
    if (LATER && skops->bytes_received > 0)
      bpf_sock_ops_cb_flags_set(skops, skops->bpf_sock_ops_cb_flags | LATER);
  }
  return 1;
}

SEC("cgroup/getpeername4")
int neighbour_getpeername(struct bpf_sock_addr *ctx) {
  (void)ctx;
  note(SEEN_NAMES, 1);
  return 1;
}

char licence[] SEC("license") = "Dual MIT/GPL";
