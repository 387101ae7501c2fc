/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The BPF build of the five steps, for tc on nvi0's egress: a packet that the kernel routes into
 * nvi0 is translated and redirected to nvi0's own ingress, from where it is routed again. What this
 * build leaves (PASS, PUNT) goes on into the tun, where the native build takes it.
 */
#include "datapath/bpf/target.h"

/* Set before loading. */
const volatile __u32 layer2 = 0; /* bytes before the IP header: 0 on a tun, 14 in test runs */

#include "datapath/bpf/emit_tc.h"

STEP enum verdict emit(struct packet *p) {
  return emit_tc(p);
}

#include "datapath/path.h"

STEP enum verdict settle(struct packet *p) {
  return session(p);
}

SEC("tc")
int nvi(struct __sk_buff *skb) {
  struct packet p = {};
  enum verdict v;

  if (!packet_init(&p, skb) || !load_skb(&p, skb))
    return TC_ACT_OK; /* cannot happen; the native build sees the packet */
  v = path(&p);
  tell_test(&p, v);
  switch (v) {
  case VERDICT_FORWARD:
    return (int)bpf_redirect(skb->ifindex, BPF_F_INGRESS);
  case VERDICT_DROP:
    return TC_ACT_SHOT;
  default:
    return TC_ACT_OK;
  }
}

char license_[] SEC("license") = "Dual MIT/GPL";
