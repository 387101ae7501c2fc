/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The generator: run by BPF_PROG_TEST_RUN with live frames, it writes each of them anew (frames are
 * recycled, with what became of them on their way) and redirects it into a port of the sender.
 * What differs from frame to frame is the source, by flow, and the time of sending; the checksum
 * is that of the pattern, corrected by both.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bench/packetlab/frame.h"

/* Set before loading. */
const volatile __u32 port = 0;    /* index of the interface it goes into */
const volatile __u32 network = 0; /* length of the network header: the family */
const volatile __u32 flows = 1;   /* 0: no frame has the source of another one */
const volatile __u32 host_base =
    0; /* the source's word (FRAME_HOST), host order, of the first host */
const volatile __u32 stamped = 0; /* frames carry the time of sending */
const volatile __u32 batch = 1;   /* frames that leave together; only the first waits */
const volatile __u64 pace = 0; /* nanoseconds from one batch to the next; 0: as fast as it goes */

/* The frame with source word, source port and time zero, and with them the sums of the words that
 * each checksum is about. */
const volatile __u8 pattern[FRAME_LONGEST] = {};
const volatile __u32 udp_sum = 0;
const volatile __u32 ipv4_sum = 0;

__u64 next_frame = 0; /* set to the first flow before a run */
__u64 begin = 0;      /* when the first batch began, and the last one */
__u64 end = 0;
__u64 next_batch = 0; /* when it is due */

static __always_inline __u16 fold(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)~sum;
}

static __always_inline __u32 halves(__u32 word) {
  return (word & 0xffff) + (word >> 16);
}

static long is_due(__u32 index, void *unused) {
  (void)index;
  (void)unused;
  return bpf_ktime_get_ns() >= next_batch; /* 1 ends the loop */
}

/* Waits for the time of this batch. One that is late is not made up for by a burst. */
static __always_inline void wait_for_batch(void) {
  __u64 now = bpf_ktime_get_ns();

  if (now > next_batch)
    next_batch = now;
  else
    bpf_loop(1 << 20, is_due, 0, 0);
  next_batch += pace;
}

static __always_inline void begin_batch(void) {
  if (pace)
    wait_for_batch();
  end = bpf_ktime_get_ns();
  if (!begin)
    begin = end;
}

static __always_inline void write_pattern(__u8 *frame, __u32 length) {
#pragma clang loop unroll(full)
  for (__u32 i = 0; i + 4 <= FRAME_LONGEST; i += 4)
    if (i + 4 <= length)
      *(__u32 *)(frame + i) = *(const volatile __u32 *)(pattern + i);
}

SEC("xdp")
int generate(struct xdp_md *ctx) {
  const __u32 udp = FRAME_ETHERNET + network, length = udp + FRAME_UDP + FRAME_PAYLOAD;
  __u8 *frame = (__u8 *)(long)ctx->data;
  __u64 n = next_frame++, now = 0, flow;
  __u32 host;
  __u16 source, sum;

  if (n % batch == 0)
    begin_batch();
  if (frame + length > (__u8 *)(long)ctx->data_end)
    return XDP_ABORTED;
  flow = flows ? n % flows : n;
  host = __builtin_bswap32(host_base + (__u32)(flow / PORTS_PER_HOST));
  source = __builtin_bswap16(FIRST_PORT + flow % PORTS_PER_HOST);
  if (stamped)
    now = bpf_ktime_get_ns();

  write_pattern(frame, length);
  *(__u32 *)(frame + FRAME_HOST) = host;
  *(__u16 *)(frame + udp) = source;
  *(__u32 *)(frame + udp + FRAME_UDP) = (__u32)now;
  *(__u32 *)(frame + udp + FRAME_UDP + 4) = (__u32)(now >> 32);
  sum = fold((__u64)udp_sum + halves(host) + source + halves((__u32)now) +
             halves((__u32)(now >> 32)));
  *(__u16 *)(frame + udp + 6) = sum ? sum : 0xffff; /* zero would say that there is none */
  if (network == FRAME_IPV4)
    *(__u16 *)(frame + FRAME_ETHERNET + 10) = fold((__u64)ipv4_sum + halves(host));
  return (int)bpf_redirect(port, 0);
}

char license_[] SEC("license") = "Dual MIT/GPL";
