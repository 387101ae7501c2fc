/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A direct port's program for tc on its ingress (direct.h). The kernel fills in the link-layer
 * header as it sends, and keeps its neighbours fresh by that.
 */
#include "datapath/bpf/target.h"

enum { layer2 = 14 /* ETH_HLEN */ };

#include "datapath/bpf/emit_tc.h"

STEP enum verdict write_here(struct packet *p) {
  return emit_tc(p);
}

#include "datapath/bpf/direct.h"

enum { FOR_US = 0 /* PACKET_HOST */ };

/* A hardware's checksum over the whole frame (CHECKSUM_COMPLETE) must follow the change of the
 * network header; the transport header's and its checksum's changes cancel out. The helper refuses
 * where there is none. The sum of a good IPv4 header is nothing. */
STEP void follow_hardware_checksum(struct __sk_buff *skb, const struct packet *p) {
  bool six = p->headers->family == FAMILY_6;
  __u32 sum = 0;

  if (bpf_csum_update(skb, 0) < 0)
    return;
  for (int i = 0; i < IPV6_HEADER / 4; i++)
    sum = sum_add(sum, six ? load32(p->head + i * 4) : p->rewrite->network[i]);
  bpf_csum_update(skb, six ? ~sum : sum);
}

STEP long redirect(const struct bpf_fib_lookup *way) {
  struct bpf_redir_neigh next = {.nh_family = way->family};

  if (way->family == IP4)
    next.ipv4_nh = way->ipv4_dst;
  else
    __builtin_memcpy(next.ipv6_nh, way->ipv6_dst, sizeof next.ipv6_nh);
  return bpf_redirect_neigh(way->ifindex, &next, sizeof next, 0);
}

STEP enum verdict send(struct packet *p, struct bpf_fib_lookup *way) {
  struct __sk_buff *skb = p->target;
  __u32 frame = layer2 + p->length;
  enum verdict v;

  if (skb->len > frame && bpf_skb_change_tail(skb, frame, 0))
    return punt(p, REASON_punt_emit);
  v = emit_tc(p);
  if (v != VERDICT_FORWARD)
    return v;
  follow_hardware_checksum(skb, p);
  redirect(way);
  return v;
}

/* Frames to somebody else (a promiscuous port) and those of a VLAN are not this port's. */
STEP bool is_for_this_port(const struct __sk_buff *skb) {
  if (testing)
    return true;
  return skb->pkt_type == FOR_US && !skb->vlan_present &&
         (skb->protocol == BE16(ETHERTYPE_IPV4) || skb->protocol == BE16(ETHERTYPE_IPV6));
}

SEC("tc")
int direct_tc(struct __sk_buff *skb) {
  struct packet p = {};
  enum verdict v;

  if (!is_for_this_port(skb) || !packet_init(&p, skb) || !load_skb(&p, skb))
    return TC_ACT_UNSPEC; /* whoever sits behind us, then the stack */
  if (!testing)
    ignore_padding(&p);
  v = direct_end(&p, walk(&p));
  tell_test(&p, v);
  switch (v) {
  case VERDICT_FORWARD:
    return TC_ACT_REDIRECT;
  case VERDICT_DROP:
    return TC_ACT_SHOT;
  default:
    return TC_ACT_UNSPEC;
  }
}

char license_[] SEC("license") = "Dual MIT/GPL";
