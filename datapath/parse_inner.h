/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * parse, second half: the packet that an ICMP error is about. It is usually cut short, has been
 * checked by nobody, and decides which session is told something: so it is read as far as its
 * addresses and ports, one level deep, and refused where it is not what we could have sent.
 */
#ifndef VIADUCT_DATAPATH_PARSE_INNER_H
#define VIADUCT_DATAPATH_PARSE_INNER_H

#include "datapath/parse.h"

/* Only maps translate these. */
STEP enum verdict parse_inner_opaque(struct packet *p) {
  if (is_extension_header(p->headers->protocol))
    return drop(p, REASON_inner_packet);
  p->headers->opaque = 1;
  p->in->source_port = 0;
  p->in->destination_port = 0;
  return VERDICT_NEXT;
}

/* The first eight bytes of its transport header, which RFC 792 promises. `declared` is the length
 * that its own headers give the transport part, of which only the beginning may be here. */
STEP enum verdict parse_inner_transport(struct packet *p, __u8 protocol, __u32 cursor,
                                        __u32 declared) {
  __u8 icmp = p->headers->family == FAMILY_6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;
  __u8 request = p->headers->family == FAMILY_6 ? ICMP6_ECHO_REQUEST : ICMP4_ECHO_REQUEST;
  __u8 reply = p->headers->family == FAMILY_6 ? ICMP6_ECHO_REPLY : ICMP4_ECHO_REPLY;
  const __u8 *first;

  p->headers->transport = (__u16)cursor;
  p->headers->transport_length = declared;
  p->headers->protocol = protocol;
  /* Longer than IPv4 can say: it was not ours, and its length would not fit the header we write. */
  if (declared > 65535U - IPV4_HEADER || cursor > p->length)
    return drop(p, REASON_inner_packet);
  if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP && protocol != PROTOCOL_ICMP &&
      protocol != PROTOCOL_ICMPV6)
    return parse_inner_opaque(p);
  first = take(p, &cursor, 8);
  if (!first || declared < 8)
    return drop(p, REASON_inner_packet);
  p->transport[0] = load32(first);
  p->transport[1] = load32(first + 4);
  p->in->source_port = load16(first);
  p->in->destination_port = load16(first + 2);
  if (protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP)
    return VERDICT_NEXT;
  if (protocol != icmp) /* that of the other family */
    return drop(p, REASON_inner_packet);
  if (is_icmp_error(p->headers->family, first[0]))
    return drop(p, REASON_inner_error);
  if (first[0] != request && first[0] != reply)
    return drop(p, REASON_inner_packet);
  p->headers->protocol = PROTOCOL_ICMP;
  p->headers->icmp_reply = first[0] == reply;
  p->in->source_port = load16(first + 4);
  p->in->destination_port = p->in->source_port;
  return VERDICT_NEXT;
}

/* A fragment without a transport header: only maps, which need no ports, know whose it is. */
STEP enum verdict parse_inner_later(struct packet *p, __u8 protocol, __u32 cursor, __u32 declared) {
  __u8 icmp = p->headers->family == FAMILY_6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;

  p->headers->protocol = protocol == icmp ? (__u8)PROTOCOL_ICMP : protocol;
  p->headers->transport = (__u16)cursor;
  p->headers->transport_length = declared;
  if (declared > 65535U - IPV4_HEADER || cursor > p->length)
    return drop(p, REASON_inner_packet);
  return parse_inner_opaque(p);
}

STEP enum verdict parse_inner_ipv6(struct packet *p, __u32 start) {
  __u32 cursor = start;
  const __u8 *ip = take(p, &cursor, IPV6_HEADER);
  __u32 end; /* as the header says it; then the length behind the headers */
  __u8 next;

  if (!ip || ip[0] >> 4 != 6)
    return drop(p, REASON_inner_packet);
  p->headers->family = FAMILY_6;
  p->headers->traffic_class = (__u8)((ip[0] << 4) | (ip[1] >> 4));
  p->headers->hop_limit = ip[7];
  load_address6(&p->in->source, ip + 8);
  load_address6(&p->in->destination, ip + 24);
  next = ip[6];
  end = cursor + HOST16(load16(ip + 4));
  if (next != PROTOCOL_TCP && next != PROTOCOL_UDP && next != PROTOCOL_ICMPV6) {
    /* We send none with extension headers, but a hop of an IPv6 path may add them. */
    enum verdict v = skip_extension_headers(p, &next, &cursor);
    if (v != VERDICT_NEXT)
      return drop(p, REASON_inner_packet);
  }
  end = end > cursor ? end - cursor : 0;
  return p->headers->fragment_offset ? parse_inner_later(p, next, cursor, end)
                                     : parse_inner_transport(p, next, cursor, end);
}

/* Its checksum is not looked at, other than RFC 5508 REQ-3a asks: routers quote the header with the time to live that
 * they have lowered and the sum from before, and their errors are needed (docs/rfc/5508.md). */
STEP enum verdict parse_inner_ipv4(struct packet *p, __u32 start) {
  __u32 cursor = start, header_length, total;
  const __u8 *ip = take(p, &cursor, IPV4_HEADER);

  if (!ip || ip[0] >> 4 != 4)
    return drop(p, REASON_inner_packet);
  header_length = (ip[0] & 0x0f) * 4U;
  total = HOST16(load16(ip + 2));
  if (header_length < IPV4_HEADER)
    return drop(p, REASON_inner_packet);
  p->headers->family = FAMILY_4;
  p->headers->traffic_class = ip[1];
  p->headers->hop_limit = ip[8];
  set_address4(&p->in->source, load32(ip + 12));
  set_address4(&p->in->destination, load32(ip + 16));
  read_ipv4_fragment(p, ip);
  cursor = start + header_length;
  total = total > header_length ? total - header_length : 0;
  return p->headers->fragment_offset ? parse_inner_later(p, ip[9], cursor, total)
                                     : parse_inner_transport(p, ip[9], cursor, total);
}

/* REQUIRES: p looks at the outer packet, an ICMP error; so it does afterwards. */
STEP enum verdict parse_inner(struct packet *p) {
  __u8 family = p->headers->family;
  __u32 start = p->headers->transport + ICMP_HEADER;
  enum verdict v;

  look_at(p, &p->scratch->inside);
  *p->headers = (struct headers){};
  v = family == FAMILY_6 ? parse_inner_ipv6(p, start) : parse_inner_ipv4(p, start);
  if (v == VERDICT_NEXT)
    NOTE(p, inside, .n = {p->headers->protocol},
         .a = ENDPOINT_IN(p, p->in->source, p->in->source_port),
         .b = ENDPOINT_IN(p, p->in->destination, p->in->destination_port));
  look_at(p, &p->scratch->packet);
  return v;
}

STEP enum verdict parse(struct packet *p) {
  enum verdict v = parse_packet(p);

  return v == VERDICT_NEXT && !TARGET_PUNTS && p->headers->icmp_error ? parse_inner(p) : v;
}

#endif
