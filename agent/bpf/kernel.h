/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What iterators (the agent's, and the one that the load test counts sockets with) read of the kernel, by name: libbpf
 * finds where these lie in the running one.
 */
#ifndef VIADUCT_AGENT_BPF_KERNEL_H
#define VIADUCT_AGENT_BPF_KERNEL_H

#include <linux/bpf.h>

#define OF_THE_KERNEL __attribute__((preserve_access_index))

struct file;
struct seq_file;
struct task_struct;

struct bpf_iter_meta {
  struct seq_file *seq;
} OF_THE_KERNEL;

struct in6_addr {
  union {
    __be32 u6_addr32[4];
  } in6_u;
} OF_THE_KERNEL;

struct ns_common {
  unsigned int inum;
} OF_THE_KERNEL;

struct net {
  __u64 net_cookie;
  struct ns_common ns;
} OF_THE_KERNEL;

typedef struct {
  struct net *net;
} possible_net_t;

struct sock_common {
  __be32 skc_daddr;
  __be32 skc_rcv_saddr;
  __be16 skc_dport;
  __u16 skc_num;
  unsigned short skc_family;
  volatile unsigned char skc_state;
  possible_net_t skc_net;
  struct in6_addr skc_v6_daddr;
  struct in6_addr skc_v6_rcv_saddr;
} OF_THE_KERNEL;

struct kernfs_node {
  __u64 id;
} OF_THE_KERNEL;

struct cgroup_subsys_state {
  struct cgroup_subsys_state *parent;
} OF_THE_KERNEL;

struct cgroup {
  struct cgroup_subsys_state self; /* the first: the parent's is the parent */
  struct kernfs_node *kn;
} OF_THE_KERNEL;

struct sock_cgroup_data {
  struct cgroup *cgroup;
} OF_THE_KERNEL;

struct sock {
  struct sock_common __sk_common;
  __u16 sk_protocol;
  struct sock_cgroup_data sk_cgrp_data;
} OF_THE_KERNEL;

struct tcp_sock {
  unsigned char save_syn : 2;
} OF_THE_KERNEL;

struct socket {
  struct sock *sk;
} OF_THE_KERNEL;

struct bpf_iter__task_file {
  struct bpf_iter_meta *meta;
  struct task_struct *task;
  struct file *file;
} OF_THE_KERNEL;

struct bpf_iter__tcp {
  struct bpf_iter_meta *meta;
  struct sock_common *sk_common;
} OF_THE_KERNEL;

struct bpf_iter__bpf_sk_storage_map {
  struct bpf_iter_meta *meta;
  struct bpf_map *map;
  struct sock *sk;
  void *value;
} OF_THE_KERNEL;

#endif
