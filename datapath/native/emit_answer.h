/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Builds the ICMP error that a dropped packet is answered with, in memory of its own: as much of
 * the packet as fits behind a new header (RFC 4443 2.4 (c), RFC 1812 4.3.2.3).
 *
 * It comes from an address that is ours and is routed to the interface already: to IPv4 from the
 * pool address that the packet was sent to, to IPv6 from the pool's first address inside the
 * prefix, which no host but the gateway can be.
 */
#ifndef VIADUCT_DATAPATH_EMIT_ANSWER_H
#define VIADUCT_DATAPATH_EMIT_ANSWER_H

#include "datapath/answer.h"
#include "datapath/native/emit_error.h"

enum {
  ANSWER_HOP_LIMIT = 64,
  ANSWER_TOS = 0xc0, /* internetwork control, RFC 1812 4.3.2.5 */
};

/* p still has the dropped packet's headers and tuple; they are turned round here. */
static void answer_headers(struct packet *p) {
  p->out->destination = p->in->source;
  if (p->headers->family == FAMILY_4)
    p->out->source = p->in->destination;
  else
    rfc6052_embed(&p->out->source, p->prefix, p->policy->pool[0].address);
  p->headers->protocol = PROTOCOL_ICMP;
  p->headers->fragmented = 0;
  p->segment_size = 0;
  p->headers->hop_limit = ANSWER_HOP_LIMIT;
  p->headers->traffic_class = p->headers->family == FAMILY_4 ? ANSWER_TOS : 0;
  if (p->headers->family == FAMILY_4)
    ipv4_header(p);
  else
    ipv6_header(p);
}

/* `answer` has room for LONGEST_ERROR6 bytes. */
static void emit_answer(struct packet *p, struct icmp_message message, const struct frame *frame,
                        struct frame *answer) {
  bool four = p->headers->family == FAMILY_4;
  __u32 room = four ? LONGEST_ERROR4 - IPV4_HEADER : LONGEST_ERROR6 - IPV6_HEADER;
  __be32 words[2] = {BE32(((__u32)message.type << 24) | ((__u32)message.code << 16)),
                     BE32(message.rest)};
  __u32 quoted = at_most(frame->length, room - ICMP_HEADER), sum;
  __u16 checksum;
  __u8 *icmp;

  p->headers->transport_length = ICMP_HEADER + quoted;
  answer_headers(p);
  icmp = answer->data + p->rewrite->network_length;
  memcpy(answer->data, p->rewrite->network, p->rewrite->network_length);
  memcpy(icmp, words, sizeof words);
  memcpy(icmp + ICMP_HEADER, frame->data, quoted);
  sum = sum_bytes(icmp, ICMP_HEADER + quoted);
  if (!four)
    sum = sum_add(sum, icmp6_pseudo(p->out, ICMP_HEADER + quoted));
  checksum = (__u16)~sum_fold(sum);
  memcpy(icmp + 2, &checksum, sizeof checksum);
  answer->length = p->rewrite->network_length + ICMP_HEADER + quoted;
  answer->transport = p->rewrite->network_length;
  answer->segments = 1;
}

#endif
