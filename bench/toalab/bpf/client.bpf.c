/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A TOA (254/8) on every packet but the SYN that the kernel's own client sends, as a load balancer adds it behind the
 * handshake's beginning. The client's address is `client`, its port the socket's own.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { KIND = 254, LENGTH = 8, SYN = 0x02 };

struct option {
  __u8 kind, length;
  __be16 port;
  __be32 address;
};

const volatile __be32 client = 0;

SEC("sockops")
int add_toa(struct bpf_sock_ops *skops) {
  struct option option = {.kind = KIND, .length = LENGTH, .address = client};

  switch (skops->op) {
  case BPF_SOCK_OPS_TCP_CONNECT_CB:
    bpf_sock_ops_cb_flags_set(skops,
                              skops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
    break;
  case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
    if (!(skops->skb_tcp_flags & SYN))
      bpf_reserve_hdr_opt(skops, sizeof option, 0);
    break;
  case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
    option.port = bpf_htons((__u16)skops->local_port);
    if (!(skops->skb_tcp_flags & SYN))
      bpf_store_hdr_opt(skops, &option, sizeof option, 0);
    break;
  }
  return 1;
}

char licence[] SEC("license") = "Dual MIT/GPL";
