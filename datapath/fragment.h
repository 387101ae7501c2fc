/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * gather: what comes in pieces, and what must leave in pieces.
 *
 * A session needs ports, and only the first fragment of a datagram has them; an ICMP checksum
 * changes with the length of the whole; a missing UDP checksum is calculated over the whole. So
 * fragments of these are kept until their datagram is whole, which then goes its way like any other
 * packet (RFC 6146 3.4), marked with its identification. What maps translate without state needs
 * none of that, and each fragment goes on by itself (RFC 7915 4.1, 5.1.1).
 *
 * The kernel cuts IPv4 for the next link, but never IPv6: what has DF clear, and comes out longer
 * than every IPv6 link is sure to take, is cut here (RFC 7915 4.1).
 */
#ifndef VIADUCT_DATAPATH_FRAGMENT_H
#define VIADUCT_DATAPATH_FRAGMENT_H

#include "datapath/packet.h"
#include "datapath/parse.h"
#include "datapath/session.h"

/* The first of them is read like a whole packet, as far as it goes; the others are opaque. */
STEP enum verdict stateless_piece(struct packet *p) {
  enum verdict v;

  if (p->headers->fragment_offset) {
    p->headers->opaque = 1;
    return VERDICT_NEXT;
  }
  v = parse_transport(p, p->headers->protocol, p->headers->transport);
  if (v != VERDICT_NEXT)
    return v;
  if (p->headers->zero_checksum) /* RFC 7915 4.5: it covers what is not here */
    return drop(p, REASON_udp_zero_checksum_v4);
  p->out->source_port = p->in->source_port;
  p->out->destination_port = p->in->destination_port;
  return VERDICT_NEXT;
}

STEP enum verdict gather_piece(struct packet *p) {
  if (p->headers->stateless && p->headers->protocol != PROTOCOL_ICMP) {
    NOTE(p, fragment_alone);
    return stateless_piece(p);
  }
  /* Whom we do not translate for gets no memory either. */
  if (!p->headers->stateless && p->headers->family == FAMILY_6 && !is_allowed(p))
    return drop(p, REASON_not_allowed);
  return reassemble(p);
}

STEP bool must_be_cut(const struct packet *p) {
  __u32 headers = IPV6_HEADER + (p->headers->fragmented ? FRAGMENT_HEADER : 0U);

  return p->headers->family == FAMILY_4 && !p->headers->dont_fragment && !p->headers->icmp_error &&
         headers + longest_on_the_wire(p) > p->policy->lowest_ipv6_mtu;
}

/* Of a super-packet the segments are made smaller: TCP takes any, and no fragments are needed. */
STEP void cut(struct packet *p) {
  if (p->segment_size) {
    p->segment_size = p->policy->lowest_ipv6_mtu - IPV6_HEADER - p->headers->transport_header;
    return;
  }
  p->headers->cut = 1;
  p->headers->fragmented = 1;
}

STEP enum verdict gather(struct packet *p) {
  enum verdict v = VERDICT_NEXT;

  if (!TARGET_PUNTS && is_piece(p))
    v = gather_piece(p);
  if (v != VERDICT_NEXT || !must_be_cut(p))
    return v;
  if (TARGET_PUNTS)
    return punt(p, REASON_punt_too_big);
  NOTE(p, cut, .n = {IPV6_HEADER + p->headers->transport_length, p->policy->lowest_ipv6_mtu});
  cut(p);
  return VERDICT_NEXT;
}

#endif
