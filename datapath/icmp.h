/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * ICMP echo between the families (RFC 7915 4.2, 5.2): the type changes, and the checksum gains or
 * loses the pseudo-header that only ICMPv6 has (RFC 8200 8.1).
 */
#ifndef VIADUCT_DATAPATH_ICMP_H
#define VIADUCT_DATAPATH_ICMP_H

#include "datapath/checksum.h"
#include "datapath/packet.h"

STEP __u8 icmp_echo_type(__u8 family, bool reply) {
  if (family == FAMILY_6)
    return reply ? ICMP6_ECHO_REPLY : ICMP6_ECHO_REQUEST;
  return reply ? ICMP4_ECHO_REPLY : ICMP4_ECHO_REQUEST;
}

/* The ICMPv6 pseudo-header's sum without its addresses. */
STEP __u32 icmp6_pseudo_rest(__u32 length) {
  return sum_add(BE32(length), BE32(PROTOCOL_ICMPV6));
}

STEP void icmp_echo(struct packet *p) {
  struct rewrite *r = p->rewrite;
  __u8 to = p->headers->family == FAMILY_6 ? FAMILY_4 : FAMILY_6;
  __u32 type = icmp_echo_type(to, p->headers->icmp_reply);
  __be16 identifier = to == FAMILY_4 ? p->out->source_port : p->out->destination_port;

  /* type, code 0, checksum as it was */
  r->transport[0] = (p->transport[0] & BE32(0x0000ffff)) | BE32(type << 24);
  /* identifier, sequence */
  r->transport[1] = (p->transport[1] & BE32(0x0000ffff)) | BE32((__u32)HOST16(identifier) << 16);
}

#endif
