/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A byte for each socket that has something in a map of socket storage. bpftool cannot count these.
 */
#include "agent/bpf/kernel.h"

#include <bpf/bpf_helpers.h>

SEC("iter/bpf_sk_storage_map")
int tell_socket(struct bpf_iter__bpf_sk_storage_map *ctx) {
  char byte = 's';

  if (ctx->sk && ctx->value)
    bpf_seq_write(ctx->meta->seq, &byte, sizeof byte);
  return 0;
}

char licence[] SEC("license") = "Dual MIT/GPL";
