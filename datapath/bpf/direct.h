/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What a direct port does besides the five steps. Its program sees packets before the kernel's
 * routing and firewall do. What is for a prefix, the pool or a mapped host it translates, asks the
 * kernel's routing table where the translation goes, and sends it there: one routing pass instead
 * of two. Whatever else happens, the packet stays as it came and goes its usual way through nvi0,
 * where drops are counted and answered and what BPF cannot do is handed up.
 *
 * The look-up is that of a packet which comes out of nvi0, so that it finds the same way (ip rules
 * with iif nvi0 included).
 */
#ifndef VIADUCT_DATAPATH_BPF_DIRECT_H
#define VIADUCT_DATAPATH_BPF_DIRECT_H

#include "datapath/packet.h"

STEP enum verdict emit(struct packet *p);

#include "datapath/path.h"

/* Set before loading. */
const volatile __u32 nvi_index = 0;
const volatile __u32 hops = 1; /* that this counts; 0 in test runs, like the other targets */

enum { IP4 = 2 /* AF_INET */, IP6 = 10 /* AF_INET6 */ };

/* A direct port counts as one router, not as two routing passes. */
STEP enum verdict settle(struct packet *p) {
  if (hops && p->headers->hop_limit <= hops)
    return pass(p, REASON_direct_left_hop_limit);
  p->headers->hop_limit -= hops;
  return session(p);
}

/* What is behind the packet in its frame is padding. */
STEP void ignore_padding(struct packet *p) {
  __u32 length = p->length;

  if (p->head_length < IPV6_HEADER)
    return; /* of IPv4 so short there is nothing to translate */
  if (p->head[0] >> 4 == 4)
    length = HOST16(load16(p->head + 2));
  if (p->head[0] >> 4 == 6)
    length = HOST16(load16(p->head + 4)) + (__u32)IPV6_HEADER;
  if (length >= p->length)
    return;
  p->length = length;
  if (p->head_length > length)
    p->head_length = length;
}

STEP void way_begin(const struct packet *p, struct bpf_fib_lookup *way) {
  const struct tuple *out = p->out;

  way->l4_protocol = p->headers->protocol;
  way->sport = out->source_port;
  way->dport = out->destination_port;
  way->tot_len = (__u16)(p->rewrite->network_length + longest_on_the_wire(p));
  way->ifindex = nvi_index;
  if (p->headers->family == FAMILY_6) {
    way->family = IP4;
    way->tos = p->headers->traffic_class;
    way->ipv4_src = out->source.word[0];
    way->ipv4_dst = out->destination.word[0];
    return;
  }
  way->family = IP6;
  if (way->l4_protocol == PROTOCOL_ICMP)
    way->l4_protocol = PROTOCOL_ICMPV6;
  way->flowinfo = BE32((__u32)p->headers->traffic_class << 20);
  for (int i = 0; i < 4; i++) {
    way->ipv6_src[i] = out->source.word[i];
    way->ipv6_dst[i] = out->destination.word[i];
  }
}

/* REQUIRES: translate. Where what comes out of it goes: the port's index, the next hop's address
 * and the two link-layer addresses. */
STEP enum verdict find_way(struct packet *p, struct bpf_fib_lookup *way) {
  way_begin(p, way);
  switch (bpf_fib_lookup(p->target, way, sizeof *way, 0)) {
  case BPF_FIB_LKUP_RET_SUCCESS:
    break;
  case BPF_FIB_LKUP_RET_NO_NEIGH:
    return pass(p, REASON_direct_left_neighbour);
  case BPF_FIB_LKUP_RET_FRAG_NEEDED:
    return pass(p, REASON_direct_left_too_big);
  default:
    return pass(p, REASON_direct_left_route);
  }
  if (way->ifindex == nvi_index)
    return pass(p, REASON_direct_left_route);
  if (!(way->dmac[0] | way->dmac[1] | way->dmac[2] | way->dmac[3] | way->dmac[4] | way->dmac[5]))
    return pass(p, REASON_direct_left_neighbour); /* 6.1 tells of neighbours it still looks for */
  return VERDICT_NEXT;
}

/* Each program's own: writes the packet anew and sends it that way. */
STEP enum verdict send(struct packet *p, struct bpf_fib_lookup *way);

/* What does not leave here comes again by nvi0, and is accounted there. */
STEP enum verdict emit(struct packet *p) {
  struct bpf_fib_lookup way = {};
  enum verdict v;

  if (testing)
    return write_here(p);
  v = find_way(p, &way);
  if (v == VERDICT_NEXT)
    v = send(p, &way);
  if (v == VERDICT_PASS || v == VERDICT_PUNT)
    session_take_back(p);
  return v;
}

/* How a packet's way ends here. What is left was counted as nothing but that, and comes to nvi0. */
STEP enum verdict direct_end(struct packet *p, enum verdict v) {
  if (testing || p->reason == REASON_emit_failed)
    return path_end(p, v);
  if (v == VERDICT_FORWARD) {
    count(p, REASON_direct_taken);
    return path_end(p, v);
  }
  if (v == VERDICT_PASS && p->reason != REASON_not_ours)
    count(p, p->reason);
  return VERDICT_PASS;
}

#endif
