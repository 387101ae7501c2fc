/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The sink, for XDP on the receiver's port: counts the lab's frames, of either family, and drops
 * them. Everything else goes on to the stack, so that the receiver still answers its neighbours.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bench/packetlab/frame.h"

const volatile __u32 verify = 0; /* checksums are calculated anew */

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct arrivals);
} arrived SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LATENCY_CLASSES);
  __type(key, __u32);
  __type(value, __u64);
} latencies SEC(".maps");

static __always_inline __u32 words(const __u8 *start, __u32 count) {
  __u32 sum = 0;

#pragma clang loop unroll(full)
  for (__u32 i = 0; i < count; i++)
    sum += *(const __u16 *)(start + 2 * i);
  return sum;
}

static __always_inline int is_whole(__u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

/* Addresses, length and protocol, then the datagram with its checksum: all ones if it is right.
 * IPv6 must have one; so must IPv4 here, as the generator sets one. */
static __always_inline int is_good(const __u8 *frame, __u32 network) {
  const __u8 *ip = frame + FRAME_ETHERNET, *udp = ip + network;
  __u32 sum = words(udp, (FRAME_UDP + FRAME_PAYLOAD) / 2) + *(const __u16 *)(udp + 4) +
              __builtin_bswap16(17);

  if (*(const __u16 *)(udp + 6) == 0)
    return 0;
  if (network == FRAME_IPV6)
    return is_whole(sum + words(ip + 8, 16));
  return is_whole(sum + words(ip + 12, 4)) && is_whole(words(ip, FRAME_IPV4 / 2));
}

static __always_inline __u32 latency_class(__u32 ns) {
  __u32 power = 0, rest = ns;

  if (rest >> 16) {
    rest >>= 16;
    power += 16;
  }
  if (rest >> 8) {
    rest >>= 8;
    power += 8;
  }
  if (rest >> 4) {
    rest >>= 4;
    power += 4;
  }
  if (rest >> 2) {
    rest >>= 2;
    power += 2;
  }
  power += rest >> 1;
  if (power < LATENCY_STEPS_BITS)
    return ns;
  return power * LATENCY_STEPS + ((ns >> (power - LATENCY_STEPS_BITS)) & (LATENCY_STEPS - 1));
}

static __always_inline void count_latency(__u64 sent) {
  __u64 ns = bpf_ktime_get_ns() - sent;
  __u32 at = latency_class(ns > 0xffffffff ? 0xffffffff : (__u32)ns);
  __u64 *count = bpf_map_lookup_elem(&latencies, &at);

  if (count)
    (*count)++;
}

static __always_inline int take(struct xdp_md *ctx, __u32 network) {
  const __u8 *frame = (const __u8 *)(long)ctx->data, *udp = frame + FRAME_ETHERNET + network;
  __u32 first = 0;
  struct arrivals *a = bpf_map_lookup_elem(&arrived, &first);

  if (udp + FRAME_UDP + FRAME_PAYLOAD > (const __u8 *)(long)ctx->data_end || !a)
    return XDP_PASS;
  if (*(const __u16 *)(udp + 2) != __builtin_bswap16(FRAME_PORT))
    return XDP_PASS;
  a->packets++;
  a->bytes += ctx->data_end - ctx->data;
  if (verify && !is_good(frame, network))
    a->bad++;
  if (*(const __u64 *)(udp + FRAME_UDP))
    count_latency(*(const __u64 *)(udp + FRAME_UDP));
  return XDP_DROP;
}

SEC("xdp")
int sink(struct xdp_md *ctx) {
  const __u8 *frame = (const __u8 *)(long)ctx->data;

  if (frame + FRAME_ETHERNET + FRAME_IPV4 > (const __u8 *)(long)ctx->data_end)
    return XDP_PASS;
  /* The version and length of IPv4 without options, then the protocol. */
  if (*(const __u16 *)(frame + 12) == __builtin_bswap16(0x0800) && frame[14] == 0x45 &&
      frame[23] == 17)
    return take(ctx, FRAME_IPV4);
  if (*(const __u16 *)(frame + 12) == __builtin_bswap16(0x86dd) && frame[20] == 17)
    return take(ctx, FRAME_IPV6);
  return XDP_PASS;
}

char license_[] SEC("license") = "Dual MIT/GPL";
