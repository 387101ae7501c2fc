/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Listeners that are older than the agent, or than the reload that has given their ports to it: agent_keep_syns has
 * them keep SYNs from now on, agent_listeners tells which of our listeners keep none.
 *
 * An object of its own: where a kernel refuses it, such listeners are missed when only the SYN has a TOA. The first
 * walks the sockets of the network namespace that it is run in, and may set their options. The second walks the files of
 * all processes, in whatever namespace, and may only look.
 */
#include "agent/bpf/kernel.h"
#include "agent/bpf/scope.h"

#include <bpf/bpf_core_read.h>

enum { LEVEL_TCP = 6, OPTION_SAVE_SYN = 27, MOST_LEVELS = 64 };

/* The agent's, by the kernel's number of it. */
const volatile __u64 our_cgroup = 0;

/* A socket belongs to the cgroup that made it, and to those above. */
STEP bool cgroup_is_ours(struct sock *sk) {
  struct cgroup *cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
  int i;

  for (i = 0; i < MOST_LEVELS && cgroup; i++) {
    if (BPF_CORE_READ(cgroup, kn, id) == our_cgroup)
      return true;
    cgroup = (struct cgroup *)BPF_CORE_READ(cgroup, self.parent);
  }
  return false;
}

STEP bool listens_for_us(struct sock *sk) {
  return BPF_CORE_READ(sk, __sk_common.skc_state) == BPF_TCP_LISTEN &&
         BPF_CORE_READ(sk, sk_protocol) == PROTOCOL_TCP &&
         port_is_ours(BPF_CORE_READ(sk, __sk_common.skc_num)) &&
         namespace_is_ours(BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie)) &&
         cgroup_is_ours(sk);
}

/* A program that has asked for SYNs itself may have asked for more of them. */
SEC("iter/tcp")
int agent_keep_syns(struct bpf_iter__tcp *ctx) {
  struct sock_common *common = ctx->sk_common;
  struct tcp_sock *tcp;
  int one = 1, now = 0;

  if (!common || !listens_for_us((struct sock *)common))
    return 0;
  tcp = bpf_skc_to_tcp_sock(common);
  if (!tcp)
    return 0;
  if (bpf_getsockopt(tcp, LEVEL_TCP, OPTION_SAVE_SYN, &now, sizeof now) == 0 && now != 0)
    return 0;
  bpf_setsockopt(tcp, LEVEL_TCP, OPTION_SAVE_SYN, &one, sizeof one);
  return 0;
}

/* Once for each process that has the listener. */
SEC("iter/task_file")
int agent_listeners(struct bpf_iter__task_file *ctx) {
  struct file *file = ctx->file;
  struct agent_listener row = {};
  struct socket *socket;
  struct sock *sk;

  if (!file)
    return 0;
  socket = bpf_sock_from_file(file);
  if (!socket)
    return 0;
  sk = BPF_CORE_READ(socket, sk);
  if (!sk || !listens_for_us(sk) ||
      BPF_CORE_READ_BITFIELD_PROBED((struct tcp_sock *)sk, save_syn) != 0)
    return 0;
  row.network_namespace = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
  row.family = BPF_CORE_READ(sk, __sk_common.skc_family);
  row.port_host = BPF_CORE_READ(sk, __sk_common.skc_num);
  if (row.family == FAMILY_IP4)
    row.local.word[0] = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
  else
    BPF_CORE_READ_INTO(&row.local, sk, __sk_common.skc_v6_rcv_saddr);
  bpf_seq_write(ctx->meta->seq, &row, sizeof row);
  return 0;
}

char licence[] SEC("license") = "Dual MIT/GPL";
