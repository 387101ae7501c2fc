/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A packet in an skb: its first bytes for the steps, and emit. The kernel changes the packet's
 * family (which keeps super-packets whole), then the new headers are stored and the checksum is
 * updated through the helper that knows whether the field holds a whole checksum or a partial one.
 */
#ifndef VIADUCT_DATAPATH_EMIT_TC_H
#define VIADUCT_DATAPATH_EMIT_TC_H

#include "datapath/checksum.h"
#include "datapath/packet.h"

#define CONTEXT struct __sk_buff
#define LOAD(context, at, to, n) bpf_skb_load_bytes(context, at, to, n)
#include "datapath/bpf/load.h"

enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_IPV6 = 0x86dd };

STEP bool load_skb(struct packet *p, struct __sk_buff *skb) {
  p->segments = skb->gso_segs ? skb->gso_segs : 1;
  p->segment_size = skb->gso_size;
  return load_head(p, skb, layer2, skb->len);
}

STEP long store_headers(struct __sk_buff *skb, const struct packet *p) {
  const struct rewrite *r = p->rewrite;
  __u32 transport = layer2 + r->network_length;
  long failed;

  if (r->network_length == IPV4_HEADER)
    failed = bpf_skb_store_bytes(skb, layer2, r->network, IPV4_HEADER, 0);
  else
    failed = bpf_skb_store_bytes(skb, layer2, r->network, IPV6_HEADER, 0);
  if (!failed)
    failed = bpf_skb_store_bytes(skb, transport, r->transport, sizeof r->transport, 0);
  if (!failed && r->mss_at)
    failed = bpf_skb_store_bytes(skb, transport + r->mss_at, &r->mss, sizeof r->mss, 0);
  return failed;
}

STEP long update_checksum(struct __sk_buff *skb, const struct packet *p) {
  const struct rewrite *r = p->rewrite;
  __u32 field = layer2 + r->network_length + r->checksum_at;
  __u64 flags = r->never_zero ? BPF_F_MARK_MANGLED_0 | BPF_F_MARK_ENFORCE : 0;
  long failed;

  failed = bpf_l4_csum_replace(skb, field, 0, r->pseudo_delta, flags | BPF_F_PSEUDO_HDR);
  return failed ? failed : bpf_l4_csum_replace(skb, field, 0, r->data_delta, flags);
}

/* RFC 7915 4.5. */
STEP long compute_checksum(struct __sk_buff *skb, const struct packet *p) {
  const struct rewrite *r = p->rewrite;
  __u32 at = layer2 + r->network_length;
  __u16 checksum;

  if (!sum_udp6(skb, p, at, &checksum))
    return -1;
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

STEP enum verdict emit_tc(struct packet *p) {
  int reason = emit_workspace(p->target);

  if (reason == REASON_none)
    return VERDICT_FORWARD;
  return reason == REASON_punt_emit ? punt(p, REASON_punt_emit) : drop(p, REASON_emit_failed);
}

#endif
