/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What is read of a packet's own memory: its first bytes, for the steps; and a UDP checksum over a
 * whole datagram, for those that come without one (RFC 7915 4.5). A program defines before including
 * this:
 *   CONTEXT                    what its hook is given: struct __sk_buff, struct xdp_md
 *   LOAD(context, at, to, n)   copies n bytes of the packet, 0 where it could
 */
#ifndef VIADUCT_DATAPATH_BPF_LOAD_H
#define VIADUCT_DATAPATH_BPF_LOAD_H

#include "datapath/checksum.h"
#include "datapath/packet.h"

/* Copies the first bytes of the packet, which begins at `start` of a frame of `frame` bytes, to where
 * the steps look at them. A packet without any is left to parse, which has a word for it. */
STEP bool load_head(struct packet *p, CONTEXT *context, __u32 start, __u32 frame) {
  __u64 last = frame - start - 1; /* as a bound the verifier of 6.1 can follow */

  if (frame <= start)
    return true;
  p->length = (__u32)last + 1;
  if (last >= HEAD_BYTES)
    last = HEAD_BYTES - 1;
  KEEP(last);
  last &= HEAD_BYTES - 1;
  p->head_length = (__u32)last + 1;
  return LOAD(context, start, (__u8 *)p->head, (__u32)last + 1) == 0;
}

/* Adds the first SUM_CHUNK of `left` bytes (at least one) to workspace.sum; 0: they cannot be read.
 * A global function: the verifier goes through it once, and not in each round of the loop. */
__attribute__((noinline)) int sum_piece(CONTEXT *context, __u32 at, __u32 left) {
  struct workspace *workspace = workspace_find();
  __u64 last = left - 1, word; /* as a bound the verifier of 6.1 can follow */

  if (!workspace)
    return 0;
  if (last >= SUM_CHUNK)
    last = SUM_CHUNK - 1;
  KEEP(last);
  last &= SUM_CHUNK - 1;
  word = last & (SUM_CHUNK - 4);
  *(__u32 *)(workspace->chunk + word) = 0; /* what is behind an odd end counts as zero */
  if (LOAD(context, at, workspace->chunk, (__u32)last + 1))
    return 0;
  workspace->sum =
      (__u32)bpf_csum_diff(NULL, 0, (__be32 *)workspace->chunk, (__u32)word + 4, workspace->sum);
  return 1;
}

/* A datagram that is summed. */
struct summing {
  CONTEXT *context;
  __u32 at;
  __u32 length;
  __u32 failed;
};

static long sum_next(__u32 i, void *of) {
  struct summing *summing = of;
  __u32 done = i * SUM_CHUNK;

  if (done >= summing->length)
    return 1;
  summing->failed = !sum_piece(summing->context, summing->at + done, summing->length - done);
  return summing->failed;
}

/* Adds a datagram of any length to workspace.sum; false: it cannot be read. */
STEP bool sum_datagram(CONTEXT *context, __u32 at, __u32 length) {
  struct summing summing = {.context = context, .at = at, .length = length};

  bpf_loop(65536 / SUM_CHUNK, sum_next, &summing, 0);
  return !summing.failed;
}

/* Of the datagram at `at`; false: it cannot be read. */
STEP bool sum_udp6(CONTEXT *context, const struct packet *p, __u32 at, __u16 *checksum) {
  __u32 length = HOST32(p->rewrite->transport[1]) >> 16;
  struct workspace *workspace = workspace_find();

  if (!workspace)
    return false;
  workspace->sum = udp6_pseudo(p, length);
  if (!sum_datagram(context, at, length))
    return false;
  *checksum = (__u16)~sum_fold(workspace->sum);
  if (*checksum == 0)
    *checksum = 0xffff;
  return true;
}

#endif
