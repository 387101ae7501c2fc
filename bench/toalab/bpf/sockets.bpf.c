/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A byte for each socket that has something in a map of socket storage. bpftool cannot count these.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* Of the kernel, by name: libbpf finds where these lie in the running one. */
#define OF_THE_KERNEL __attribute__((preserve_access_index))

struct seq_file;

struct bpf_iter_meta {
  struct seq_file *seq;
} OF_THE_KERNEL;

struct bpf_iter__bpf_sk_storage_map {
  struct bpf_iter_meta *meta;
  struct bpf_map *map;
  struct sock *sk;
  void *value;
} OF_THE_KERNEL;

SEC("iter/bpf_sk_storage_map")
int tell_socket(struct bpf_iter__bpf_sk_storage_map *ctx) {
  char byte = 's';

  if (ctx->sk && ctx->value)
    bpf_seq_write(ctx->meta->seq, &byte, sizeof byte);
  return 0;
}

char licence[] SEC("license") = "Dual MIT/GPL";
