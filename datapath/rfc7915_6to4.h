/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * IPv6 header to IPv4 header (RFC 7915 5.1), in wire order.
 */
#ifndef VIADUCT_DATAPATH_RFC7915_6TO4_H
#define VIADUCT_DATAPATH_RFC7915_6TO4_H

#include "datapath/checksum.h"
#include "datapath/packet.h"

enum {
  /* Up to this length the packet may meet a link that cannot take more in one piece although its
   * IPv6 sender had no reason to expect that: DF is clear and the identification means something.
   */
  LONGEST_WITHOUT_DF = 1260,
};

/* What came with a Fragment header keeps what it says (5.1.1); DF is clear, also for a whole packet
 * that has one: its sender counts on it (RFC 6946). */
STEP __be32 identification_and_flags(const struct packet *p) {
  if (!TARGET_PUNTS && p->headers->fragmented)
    return BE32(((p->headers->identification & 0xffff) << 16) |
                (p->headers->more_fragments ? (__u32)IPV4_MORE : 0U) |
                p->headers->fragment_offset / 8U);
  if (IPV4_HEADER + longest_on_the_wire(p) <= LONGEST_WITHOUT_DF)
    return BE32((p->random & 0xffff) << 16);
  return BE32(IPV4_DF);
}

STEP void ipv4_header(struct packet *p) {
  __be32 *h = p->rewrite->network;
  __u32 length = IPV4_HEADER + p->headers->transport_length;
  __u32 sum = 0;

  /* version, header length, type of service (the traffic class), total length */
  h[0] = BE32(0x45000000U | ((__u32)p->headers->traffic_class << 16) | length);
  /* identification, flags, fragment offset */
  h[1] = identification_and_flags(p);
  /* time to live: routing has counted the hop; protocol; checksum, below */
  h[2] = BE32(((__u32)p->headers->hop_limit << 24) | ((__u32)p->headers->protocol << 16));
  h[3] = p->out->source.word[0];
  h[4] = p->out->destination.word[0];

  for (int i = 0; i < 5; i++)
    sum = sum_add(sum, h[i]);
  h[2] |= BE32((__u32)HOST16((__u16)~sum_fold(sum)));
  p->rewrite->network_length = IPV4_HEADER;
}

#endif
