/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The connections that have a record, for `viaduct-agent show connections`: the kernel walks the sockets of the
 * map `connections`, in all network namespaces, and this writes a row for each; or, where it refuses that, the files
 * of all processes. One of both is loaded while somebody looks.
 */
#include "agent/bpf/kernel.h"
#include "agent/bpf/maps.h"

STEP void copy_addresses(struct sock_common *from, struct agent_row *row) {
  if (row->family == FAMILY_IP4) {
    row->local.word[0] = from->skc_rcv_saddr;
    row->remote.word[0] = from->skc_daddr;
    return;
  }
  row->local.word[0] = from->skc_v6_rcv_saddr.in6_u.u6_addr32[0];
  row->local.word[1] = from->skc_v6_rcv_saddr.in6_u.u6_addr32[1];
  row->local.word[2] = from->skc_v6_rcv_saddr.in6_u.u6_addr32[2];
  row->local.word[3] = from->skc_v6_rcv_saddr.in6_u.u6_addr32[3];
  row->remote.word[0] = from->skc_v6_daddr.in6_u.u6_addr32[0];
  row->remote.word[1] = from->skc_v6_daddr.in6_u.u6_addr32[1];
  row->remote.word[2] = from->skc_v6_daddr.in6_u.u6_addr32[2];
  row->remote.word[3] = from->skc_v6_daddr.in6_u.u6_addr32[3];
}

STEP void write_row(struct seq_file *seq, struct sock *sk, const struct agent_record *record) {
  struct agent_row row = {};

  row.record = *record;
  row.family = sk->__sk_common.skc_family;
  row.state = sk->__sk_common.skc_state;
  row.remote_port = sk->__sk_common.skc_dport;
  row.local_port_host = sk->__sk_common.skc_num;
  copy_addresses(&sk->__sk_common, &row);
  bpf_seq_write(seq, &row, sizeof row);
}

SEC("iter/bpf_sk_storage_map")
int agent_view(struct bpf_iter__bpf_sk_storage_map *ctx) {
  if (ctx->sk && ctx->value)
    write_row(ctx->meta->seq, ctx->sk, ctx->value);
  return 0;
}

/* Once for each file of each process that has the connection. */
SEC("iter/task_file")
int agent_view_of_files(struct bpf_iter__task_file *ctx) {
  struct agent_record *record;
  struct socket *socket;
  struct file *file = ctx->file;

  if (!file)
    return 0;
  socket = bpf_sock_from_file(file);
  if (!socket || !socket->sk)
    return 0;
  record = bpf_sk_storage_get(&connections, socket->sk, NULL, 0);
  if (record)
    write_row(ctx->meta->seq, socket->sk, record);
  return 0;
}

char licence[] SEC("license") = "Dual MIT/GPL";
