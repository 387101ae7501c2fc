/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * translate: pure. Old headers and the new tuple in; new headers and the change of the checksum
 * out. No packet memory, no tables, no clock.
 */
#ifndef VIADUCT_DATAPATH_TRANSLATE_H
#define VIADUCT_DATAPATH_TRANSLATE_H

#include "datapath/checksum.h"
#include "datapath/icmp.h"
#include "datapath/icmp_error.h"
#include "datapath/mss.h"
#include "datapath/packet.h"
#include "datapath/rfc7915_4to6.h"
#include "datapath/rfc7915_6to4.h"

/* The addresses' part of the pseudo-header; its length and protocol fields do not change. */
STEP __u32 address_delta(const struct packet *p) {
  __u32 out = sum_add(sum_address(&p->out->source), sum_address(&p->out->destination));
  __u32 in = sum_add(sum_address(&p->in->source), sum_address(&p->in->destination));

  return sum_subtract(out, in);
}

STEP void translate_ports(struct packet *p) {
  struct rewrite *r = p->rewrite;

  r->transport[0] =
      BE32(((__u32)HOST16(p->out->source_port) << 16) | HOST16(p->out->destination_port));
  r->transport[1] = p->transport[1];
  r->pseudo_delta = address_delta(p);
  r->data_delta = sum_subtract(r->transport[0], p->transport[0]);
  r->checksum_at = p->headers->protocol == PROTOCOL_TCP ? 16 : 6;
  r->never_zero = p->headers->protocol == PROTOCOL_UDP;
  r->compute = p->headers->zero_checksum;
  r->mss_at = 0;
}

STEP void translate_icmp(struct packet *p) {
  struct rewrite *r = p->rewrite;
  __u32 rest = icmp6_pseudo_rest(p->headers->transport_length);
  const struct tuple *six = p->headers->family == FAMILY_6 ? p->in : p->out;
  __u32 pseudo = sum_add(rest, sum_add(sum_address(&six->source), sum_address(&six->destination)));

  icmp_echo(p);
  r->pseudo_delta = p->headers->family == FAMILY_6 ? ~pseudo : pseudo;
  r->data_delta = sum_add(sum_subtract(r->transport[0], p->transport[0]),
                          sum_subtract(r->transport[1], p->transport[1]));
  r->checksum_at = 2;
  r->never_zero = 0;
  r->compute = 0;
  r->mss_at = 0;
}

/* The network header and the first eight bytes of what is behind it, of a packet that is no error.
 */
STEP void translate_layer(struct packet *p) {
  if (p->headers->family == FAMILY_6)
    ipv4_header(p);
  else
    ipv6_header(p);
  if (p->headers->opaque)
    return; /* what is behind the network header stays as it is, RFC 7915 4.1, 5.1 */
  if (p->headers->protocol == PROTOCOL_ICMP)
    translate_icmp(p);
  else
    translate_ports(p);
}

/* Both layers of an ICMP error. The outer network header's length field is emit's to set: how much
 * of the packet inside fits is known only there. */
STEP enum verdict translate_error(struct packet *p) {
  enum verdict v = icmp_error_header(p);

  if (v != VERDICT_NEXT)
    return v;
  NOTE(p, error_becomes,
       .n = {HOST32(p->rewrite->transport[0]) >> 24, HOST32(p->rewrite->transport[0]) >> 16 & 0xff,
             HOST32(p->rewrite->transport[1])});
  look_at(p, &p->scratch->inside);
  translate_layer(p);
  look_at(p, &p->scratch->packet);
  return VERDICT_NEXT;
}

STEP enum verdict translate(struct packet *p) {
  if (p->policy->zero_traffic_class) { /* RFC 7915 4.1, 5.1; the packet inside an error keeps its */
    NOTE(p, class_zeroed, .n = {p->headers->traffic_class});
    p->headers->traffic_class = 0;
  }
  if (!TARGET_PUNTS && p->headers->icmp_error)
    return translate_error(p);
  if (p->headers->family == FAMILY_6 && p->headers->transport_length > 65535U - IPV4_HEADER)
    return drop(p, REASON_too_long);
  translate_layer(p);
  NOTE_ABOUT(translated, p);
  if (p->headers->tcp_flags & TCP_SYN)
    clamp_mss(p);
  return VERDICT_NEXT;
}

#endif
