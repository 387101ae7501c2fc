/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * emit for tc: the kernel changes the packet's family (which keeps super-packets whole), then the
 * new headers are stored and the checksum is updated through the helper that knows whether the
 * field holds a whole checksum or a partial one.
 */
#ifndef VIADUCT_DATAPATH_EMIT_TC_H
#define VIADUCT_DATAPATH_EMIT_TC_H

#include "datapath/checksum.h"
#include "datapath/packet.h"

enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_IPV6 = 0x86dd };

STEP long store_headers(struct __sk_buff *skb, const struct packet *p) {
  const struct rewrite *r = p->rewrite;
  __u32 transport = layer2 + r->network_length;
  long failed;

  if (r->network_length == IPV4_HEADER)
    failed = bpf_skb_store_bytes(skb, layer2, r->network, IPV4_HEADER, 0);
  else
    failed = bpf_skb_store_bytes(skb, layer2, r->network, IPV6_HEADER, 0);
  return failed ? failed
                : bpf_skb_store_bytes(skb, transport, r->transport, sizeof r->transport, 0);
}

STEP long update_checksum(struct __sk_buff *skb, const struct packet *p) {
  const struct rewrite *r = p->rewrite;
  __u32 field = layer2 + r->network_length + r->checksum_at;
  __u64 flags = r->never_zero ? BPF_F_MARK_MANGLED_0 | BPF_F_MARK_ENFORCE : 0;
  long failed;

  failed = bpf_l4_csum_replace(skb, field, 0, r->pseudo_delta, flags | BPF_F_PSEUDO_HDR);
  return failed ? failed : bpf_l4_csum_replace(skb, field, 0, r->data_delta, flags);
}

/* Adds the first SUM_CHUNK of `left` bytes (at least one) to workspace.sum; 0: they cannot be read.
 * A global function: the verifier goes through it once, and not in each round of the loop. */
__attribute__((noinline)) int sum_piece(struct __sk_buff *skb, __u32 at, __u32 left) {
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
  if (bpf_skb_load_bytes(skb, at, workspace->chunk, (__u32)last + 1))
    return 0;
  workspace->sum =
      (__u32)bpf_csum_diff(NULL, 0, (__be32 *)workspace->chunk, (__u32)word + 4, workspace->sum);
  return 1;
}

/* A datagram that is summed. */
struct summing {
  struct __sk_buff *skb;
  __u32 at;
  __u32 length;
  __u32 failed;
};

static long sum_next(__u32 i, void *context) {
  struct summing *summing = context;
  __u32 done = i * SUM_CHUNK;

  if (done >= summing->length)
    return 1;
  summing->failed = !sum_piece(summing->skb, summing->at + done, summing->length - done);
  return summing->failed;
}

/* Adds a datagram of any length to workspace.sum; false: it cannot be read. */
STEP bool sum_datagram(struct __sk_buff *skb, __u32 at, __u32 length) {
  struct summing summing = {.skb = skb, .at = at, .length = length};

  bpf_loop(65536 / SUM_CHUNK, sum_next, &summing, 0);
  return !summing.failed;
}

/* RFC 7915 4.5: a datagram without a checksum gets one, which IPv6 demands. */
STEP long compute_checksum(struct __sk_buff *skb, const struct packet *p) {
  const struct rewrite *r = p->rewrite;
  __u32 at = layer2 + r->network_length, length = HOST32(r->transport[1]) >> 16;
  struct workspace *workspace = workspace_find();
  __u16 checksum;

  if (!workspace)
    return -1;
  workspace->sum = udp6_pseudo(p, length);
  if (!sum_datagram(skb, at, length))
    return -1;
  checksum = (__u16)~sum_fold(workspace->sum);
  if (checksum == 0)
    checksum = 0xffff;
  return bpf_skb_store_bytes(skb, at + r->checksum_at, &checksum, sizeof checksum,
                             BPF_F_RECOMPUTE_CSUM);
}

STEP enum reason write_packet(struct __sk_buff *skb, const struct packet *p) {
  __u16 ethertype = p->headers->family == FAMILY_6 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;

  if (bpf_skb_change_proto(skb, BE16(ethertype), 0))
    return REASON_punt_emit;
  if (testing) /* what store_headers leaves out shows */
    bpf_skb_store_bytes(skb, layer2, poison, p->rewrite->network_length == IPV4_HEADER ? 20 : 40,
                        0);
  if (store_headers(skb, p) ||
      (p->rewrite->compute ? compute_checksum(skb, p) : update_checksum(skb, p)))
    return REASON_emit_failed;
  return REASON_none;
}

/* Writes what the steps have left in the workspace; an enum reason. A global function: the verifier
 * goes through it once, and not on each of the ways that lead to emit. */
__attribute__((noinline)) int emit_workspace(struct __sk_buff *skb) {
  struct workspace *workspace = workspace_find();
  struct packet p = {};

  if (!workspace)
    return REASON_emit_failed;
  look_at(&p, &workspace->scratch.packet);
  return write_packet(skb, &p);
}

STEP enum verdict emit(struct packet *p) {
  int reason = emit_workspace(p->target);

  if (reason == REASON_none)
    return VERDICT_FORWARD;
  return reason == REASON_punt_emit ? punt(p, REASON_punt_emit) : drop(p, REASON_emit_failed);
}

#endif
