/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The least that an XDP program which forwards IPv6 must do: ask the kernel's routes, count the
 * hop, write the addresses of the next link. What a translator in XDP is compared with.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

enum { FAMILY_INET6 = 10, ETHERNET = 14, IPV6 = 40 };

SEC("xdp")
int forward(struct xdp_md *ctx) {
  __u8 *frame = (__u8 *)(long)ctx->data, *ip = frame + ETHERNET;
  struct bpf_fib_lookup route = {.family = FAMILY_INET6, .ifindex = ctx->ingress_ifindex};

  if (ip + IPV6 > (__u8 *)(long)ctx->data_end)
    return XDP_PASS;
  if (*(__u16 *)(frame + 12) != __builtin_bswap16(0x86dd) || ip[7] <= 1)
    return XDP_PASS;
  route.l4_protocol = ip[6];
  route.tot_len = __builtin_bswap16(*(__u16 *)(ip + 4)) + IPV6;
  __builtin_memcpy(route.ipv6_src, ip + 8, 16);
  __builtin_memcpy(route.ipv6_dst, ip + 24, 16);
  if (bpf_fib_lookup(ctx, &route, sizeof route, 0) != BPF_FIB_LKUP_RET_SUCCESS)
    return XDP_PASS; /* the stack finds the neighbour, or has an answer */
  ip[7]--;
  __builtin_memcpy(frame, route.dmac, 6);
  __builtin_memcpy(frame + 6, route.smac, 6);
  return (int)bpf_redirect(route.ifindex, 0);
}

char license_[] SEC("license") = "Dual MIT/GPL";
