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
  DF = 0x4000,
};

/* Of the packets on the wire: a super-packet is judged by its segments, it never meets a link. */
STEP __u32 longest_on_the_wire(const struct packet *p) {
  __u32 transport = p->headers->transport_length;

  if (p->segment_size && p->headers->transport_header + p->segment_size < transport)
    transport = p->headers->transport_header + p->segment_size;
  return transport;
}

STEP void ipv4_header(struct packet *p) {
  __be32 *h = p->rewrite->network;
  __u32 length = IPV4_HEADER + p->headers->transport_length;
  bool may_fragment = IPV4_HEADER + longest_on_the_wire(p) <= LONGEST_WITHOUT_DF;
  __u32 sum = 0;

  /* version, header length, type of service (the traffic class), total length */
  h[0] = BE32(0x45000000U | ((__u32)p->headers->traffic_class << 16) | length);
  /* identification, flags, fragment offset */
  h[1] = may_fragment ? BE32((p->random & 0xffff) << 16) : BE32(DF);
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
