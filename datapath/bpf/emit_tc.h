/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * emit for tc: the kernel changes the packet's family (which keeps super-packets whole), then the
 * new headers are stored and the checksum is updated through the helper that knows whether the
 * field holds a whole checksum or a partial one.
 */
#ifndef VIADUCT_DATAPATH_EMIT_TC_H
#define VIADUCT_DATAPATH_EMIT_TC_H

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

STEP enum verdict emit(struct packet *p) {
  struct __sk_buff *skb = p->target;
  __u16 ethertype = p->headers->family == FAMILY_6 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;

  if (bpf_skb_change_proto(skb, BE16(ethertype), 0))
    return punt(p, REASON_punt_emit);
  if (testing) /* what store_headers leaves out shows */
    bpf_skb_store_bytes(skb, layer2, poison, p->rewrite->network_length == IPV4_HEADER ? 20 : 40,
                        0);
  if (store_headers(skb, p) || update_checksum(skb, p))
    return drop(p, REASON_emit_failed);
  return VERDICT_FORWARD;
}

#endif
