/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * IPv4 header to IPv6 header (RFC 7915 4.1), in wire order.
 */
#ifndef VIADUCT_DATAPATH_RFC7915_4TO6_H
#define VIADUCT_DATAPATH_RFC7915_4TO6_H

#include "datapath/packet.h"

/* The identification of IPv4 has 16 bits; the upper half stays zero. */
STEP void fragment_header(struct packet *p, __u32 next) {
  __be32 *h = p->rewrite->network + IPV6_HEADER / 4;

  h[0] = BE32((next << 24) | p->headers->fragment_offset | p->headers->more_fragments);
  h[1] = BE32(p->headers->identification);
  p->rewrite->network_length = IPV6_HEADER + FRAGMENT_HEADER;
}

STEP void ipv6_header(struct packet *p) {
  __be32 *h = p->rewrite->network;
  __u32 next = p->headers->protocol == PROTOCOL_ICMP ? PROTOCOL_ICMPV6 : p->headers->protocol;
  bool fragmented = !TARGET_PUNTS && p->headers->fragmented;
  __u32 first = fragmented ? (__u32)NEXT_FRAGMENT : next;
  __u32 length = p->headers->transport_length + (fragmented ? FRAGMENT_HEADER : 0U);

  /* version, traffic class (the type of service), flow label 0 */
  h[0] = BE32(0x60000000U | ((__u32)p->headers->traffic_class << 20));
  /* payload length, next header, hop limit: routing has counted the hop */
  h[1] = BE32((length << 16) | (first << 8) | p->headers->hop_limit);
  for (int i = 0; i < 4; i++) {
    h[2 + i] = p->out->source.word[i];
    h[6 + i] = p->out->destination.word[i];
  }
  p->rewrite->network_length = IPV6_HEADER;
  if (fragmented)
    fragment_header(p, next);
}

#endif
