/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * parse: bytes to typed headers. One function per header; each takes its bytes from the cursor or
 * says why not. TCP, UDP and ICMP that are not whole and well-formed end here.
 *
 * Lengths must match exactly: the kernel has trimmed padding before it routed the packet to us.
 */
#ifndef VIADUCT_DATAPATH_PARSE_H
#define VIADUCT_DATAPATH_PARSE_H

#include "datapath/checksum.h"
#include "datapath/packet.h"

enum { MAX_EXTENSION_HEADERS = 8 };

/* The next `size` bytes of the head, or NULL where it has fewer. The cursor moves behind them. */
STEP const __u8 *take(const struct packet *p, __u32 *cursor, __u32 size) {
  const __u8 *bytes;

  if (*cursor + size > p->head_length)
    return NULL;
  bytes = at(p, *cursor);
  *cursor += size;
  return bytes;
}

/* --- transport -------------------------------------------------------------------------------- */

STEP enum verdict parse_tcp(struct packet *p, __u32 cursor) {
  const __u8 *tcp = take(p, &cursor, TCP_HEADER);
  __u32 header_length;

  if (!tcp)
    return drop(p, REASON_truncated);
  header_length = (tcp[12] >> 4) * 4U;
  if (header_length < TCP_HEADER || header_length > p->headers->transport_length)
    return drop(p, REASON_bad_tcp_header);
  p->headers->transport_header = (__u16)header_length;
  p->headers->tcp_flags = tcp[13];
  return VERDICT_NEXT;
}

STEP enum verdict parse_udp(struct packet *p, __u32 cursor) {
  const __u8 *udp = take(p, &cursor, UDP_HEADER);
  __u32 length;

  if (!udp)
    return drop(p, REASON_truncated);
  length = HOST16(load16(udp + 4));
  /* Shorter than the packet is right: what follows are UDP options (RFC 9868). */
  if (length < UDP_HEADER || (length > p->headers->transport_length && !p->headers->more_fragments))
    return drop(p, REASON_bad_udp_length);
  p->headers->transport_header = UDP_HEADER;
  if (load16(udp + 6) != 0 || p->partial_checksum)
    return VERDICT_NEXT;
  if (p->headers->family == FAMILY_6)
    return drop(p, REASON_udp_zero_checksum_v6);
  p->headers->zero_checksum = 1;
  return VERDICT_NEXT;
}

/* The messages that are about another packet and have a counterpart in the other family. */
STEP bool is_icmp_error(__u8 family, __u8 type) {
  if (family == FAMILY_6)
    return type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER_PROBLEM;
  return type == ICMP4_UNREACHABLE || type == ICMP4_TIME_EXCEEDED ||
         type == ICMP4_PARAMETER_PROBLEM;
}

STEP enum verdict parse_icmp(struct packet *p, __u32 cursor) {
  const __u8 *icmp = take(p, &cursor, ICMP_HEADER);
  __u8 request, reply;

  if (!icmp)
    return drop(p, REASON_truncated);
  /* An ICMP checksum is never left to hardware. */
  if (p->partial_checksum)
    return drop(p, REASON_bad_offload);
  if (is_icmp_error(p->headers->family, icmp[0])) {
    p->headers->icmp_error = 1;
    return TARGET_PUNTS ? punt(p, REASON_punt_icmp_error) : VERDICT_NEXT;
  }
  request = p->headers->family == FAMILY_6 ? ICMP6_ECHO_REQUEST : ICMP4_ECHO_REQUEST;
  reply = p->headers->family == FAMILY_6 ? ICMP6_ECHO_REPLY : ICMP4_ECHO_REPLY;
  if ((icmp[0] != request && icmp[0] != reply) || icmp[1] != 0)
    return drop(p, REASON_icmp_type);
  p->headers->icmp_reply = icmp[0] == reply;
  return VERDICT_NEXT;
}

/* From IPv4 these numbers would become extension headers that no IPv6 host has written. */
STEP bool is_extension_header(__u8 protocol) {
  return protocol == NEXT_HOP_BY_HOP || protocol == NEXT_ROUTING || protocol == NEXT_FRAGMENT ||
         protocol == NEXT_DESTINATION_OPTIONS;
}

/* Anything else: whether it may pass unseen is classify's to say (RFC 7915 4.1, 5.1). */
STEP enum verdict parse_opaque(struct packet *p) {
  if (TARGET_PUNTS)
    return punt(p, REASON_punt_protocol);
  if (is_extension_header(p->headers->protocol))
    return drop(p, REASON_unknown_protocol);
  if (p->partial_checksum)
    return drop(p, REASON_bad_offload);
  p->headers->opaque = 1;
  p->in->source_port = 0;
  p->in->destination_port = 0;
  NOTE(p, opaque, .n = {p->headers->protocol});
  return VERDICT_NEXT;
}

STEP enum verdict parse_transport(struct packet *p, __u8 protocol, __u32 offset) {
  __u8 icmp = p->headers->family == FAMILY_6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;
  __u32 cursor = offset;
  const __u8 *first;
  enum verdict v;

  p->headers->protocol = protocol == icmp ? (__u8)PROTOCOL_ICMP : protocol;
  p->headers->transport = (__u16)offset;
  p->headers->transport_length = p->length - offset;
  if (protocol == PROTOCOL_TCP)
    v = parse_tcp(p, offset);
  else if (protocol == PROTOCOL_UDP)
    v = parse_udp(p, offset);
  else if (protocol == icmp)
    v = parse_icmp(p, offset);
  else if (protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6)
    return drop(p, REASON_icmp_type); /* of the other family: silently, RFC 7915 4.1, 5.1 */
  else
    return parse_opaque(p);
  if (v != VERDICT_NEXT)
    return v;

  first = take(p, &cursor, 8);
  if (!first)
    return drop(p, REASON_truncated);
  p->transport[0] = load32(first);
  p->transport[1] = load32(first + 4);
  if (protocol == icmp) {
    p->in->source_port = load16(first + 4);
    p->in->destination_port = p->in->source_port;
  } else {
    p->in->source_port = load16(first);
    p->in->destination_port = load16(first + 2);
  }
  NOTE_ABOUT(transport, p);
  return VERDICT_NEXT;
}

/* --- fragments -------------------------------------------------------------------------------- */

STEP bool is_piece(const struct packet *p) {
  return p->headers->more_fragments || p->headers->fragment_offset;
}

/* RFC 8200 4.5, RFC 791 3.2: all but the last are whole multiples of eight bytes, and none reaches
 * beyond what a length field can say. `detail` points at the field that is wrong (IPv6). */
STEP enum verdict check_piece(struct packet *p, __u32 header_length, __u32 fragment_header) {
  __u32 length = p->headers->transport_length;

  if (length == 0 || (p->headers->more_fragments && length % 8)) {
    p->detail = 4; /* the payload length */
    return drop(p, REASON_bad_fragment);
  }
  if (p->headers->fragment_offset + length > 65535U - header_length) {
    p->detail = fragment_header + 2;
    return drop(p, REASON_bad_fragment);
  }
  return VERDICT_NEXT;
}

/* A piece of a datagram: what its transport header says about the whole cannot be checked here, and
 * all but the first have none. */
STEP enum verdict parse_piece(struct packet *p, __u8 protocol, __u32 offset) {
  __u8 icmp = p->headers->family == FAMILY_6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;

  if (p->partial_checksum || p->segment_size)
    return drop(p, REASON_bad_offload);
  if (protocol != icmp && (protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6))
    return drop(p, REASON_icmp_type);
  /* A TCP header that begins in one fragment and ends in the next is there to pass filters (RFC
   * 3128); nobody sends that. */
  if (protocol == PROTOCOL_TCP && p->headers->fragment_offset == 8) {
    p->detail = 0;
    return drop(p, REASON_bad_fragment);
  }
  p->headers->protocol = protocol == icmp ? (__u8)PROTOCOL_ICMP : protocol;
  p->headers->transport = (__u16)offset;
  p->in->source_port = 0;
  p->in->destination_port = 0;
  NOTE(p, fragment,
       .n = {p->headers->fragment_offset,
             p->headers->fragment_offset + p->headers->transport_length, p->headers->identification,
             p->headers->more_fragments});
  return VERDICT_NEXT;
}

/* --- IPv6 ------------------------------------------------------------------------------------- */

/* No extension header may follow one but ESP (RFC 7915 5.1.1). */
STEP bool may_follow_fragment(__u8 next) {
  return next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_FRAGMENT &&
         next != NEXT_AUTHENTICATION && next != NEXT_DESTINATION_OPTIONS && next != NEXT_MOBILITY;
}

STEP enum verdict parse_fragment_header(struct packet *p, __u8 *next, __u32 *cursor) {
  const __u8 *header = take(p, cursor, FRAGMENT_HEADER);
  __u16 field;

  if (!header)
    return drop(p, REASON_truncated);
  *next = header[0];
  if (!may_follow_fragment(*next))
    return drop(p, REASON_extension_headers);
  field = HOST16(load16(header + 2));
  p->headers->fragmented = 1;
  p->headers->more_fragments = field & 1;
  p->headers->fragment_offset = field & 0xfff8;
  p->headers->identification = HOST32(load32(header + 4));
  return VERDICT_NEXT;
}

/* Finds the transport header behind the extension headers we may skip (RFC 7915 5.1). */
STEP enum verdict skip_extension_headers(struct packet *p, __u8 *next, __u32 *cursor) {
  for (int i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
    const __u8 *header;
    __u32 start = *cursor;

    if (*next == NEXT_FRAGMENT)
      return TARGET_PUNTS ? punt(p, REASON_punt_fragment) : parse_fragment_header(p, next, cursor);
    if (*next != NEXT_HOP_BY_HOP && *next != NEXT_ROUTING && *next != NEXT_DESTINATION_OPTIONS)
      return VERDICT_NEXT;
    if (TARGET_PUNTS)
      return punt(p, REASON_punt_extension_headers);
    if (i == MAX_EXTENSION_HEADERS)
      break;
    header = take(p, cursor, 8);
    if (!header)
      return drop(p, p->length < *cursor + 8 ? REASON_truncated : REASON_extension_headers);
    if (*next == NEXT_ROUTING && header[3] != 0) {
      p->detail = start + 3;
      return drop(p, REASON_routing_header);
    }
    NOTE(p, extension_header, .n = {*next});
    *next = header[0];
    *cursor = start + (header[1] + 1U) * 8;
    if (*cursor > p->length)
      return drop(p, REASON_truncated);
  }
  return drop(p, REASON_extension_headers);
}

STEP enum verdict parse_ipv6(struct packet *p) {
  __u32 cursor = 0;
  const __u8 *ip = take(p, &cursor, IPV6_HEADER);
  enum verdict v;
  __u8 next;

  if (!ip)
    return drop(p, REASON_truncated);
  if (HOST16(load16(ip + 4)) + (__u32)IPV6_HEADER != p->length)
    return drop(p, REASON_bad_ipv6_length);
  p->headers->family = FAMILY_6;
  p->headers->traffic_class = (__u8)((ip[0] << 4) | (ip[1] >> 4));
  p->headers->hop_limit = ip[7];
  load_address6(&p->in->source, ip + 8);
  load_address6(&p->in->destination, ip + 24);
  NOTE(p, ipv6, .a = ADDRESS6(p->in->source), .b = ADDRESS6(p->in->destination),
       .n = {p->length, p->headers->hop_limit, p->headers->traffic_class});
  next = ip[6];
  v = skip_extension_headers(p, &next, &cursor);
  if (v != VERDICT_NEXT)
    return v;
  if (TARGET_PUNTS || !is_piece(p))
    return parse_transport(p, next, cursor);
  p->headers->transport_length = p->length - cursor;
  v = check_piece(p, FRAGMENT_HEADER, cursor - FRAGMENT_HEADER);
  return v == VERDICT_NEXT ? parse_piece(p, next, cursor) : v;
}

/* --- IPv4 ------------------------------------------------------------------------------------- */

STEP bool ipv4_checksum_right(const struct packet *p, __u32 header_length) {
  __u32 sum = 0;

  for (__u32 i = 0; i < 15 && i * 4 < header_length; i++)
    sum = sum_add(sum, load32(at(p, i * 4)));
  return sum_fold(sum) == 0xffff;
}

enum {
  OPTION_END = 0,
  OPTION_NOP = 1,
  OPTION_LOOSE_SOURCE_ROUTE = 131,
  OPTION_STRICT_SOURCE_ROUTE = 137,
};

/* RFC 7915 4.1: options are ignored, except a source route that is not used up. */
STEP enum verdict check_ipv4_options(struct packet *p, __u32 end) {
  __u32 cursor = IPV4_HEADER;

  for (int i = 0; i < 40 && cursor < end; i++) {
    const __u8 *option = at(p, cursor);
    __u8 size;

    if (option[0] == OPTION_END)
      return VERDICT_NEXT;
    if (option[0] == OPTION_NOP) {
      cursor++;
      continue;
    }
    size = cursor + 1 < end ? option[1] : 0;
    if (size < 2 || cursor + size > end)
      return drop(p, REASON_bad_ipv4_header);
    if (option[0] == OPTION_LOOSE_SOURCE_ROUTE || option[0] == OPTION_STRICT_SOURCE_ROUTE) {
      if (size < 3 || option[2] <= size)
        return drop(p, REASON_source_route);
    }
    cursor += size;
  }
  return VERDICT_NEXT;
}

STEP void read_ipv4_fragment(struct packet *p, const __u8 *ip) {
  __u16 field = HOST16(load16(ip + 6));

  p->headers->identification = HOST16(load16(ip + 4));
  p->headers->dont_fragment = (field & IPV4_DF) != 0;
  p->headers->more_fragments = (field & IPV4_MORE) != 0;
  p->headers->fragment_offset = (__u16)((field & IPV4_OFFSET) * 8);
  p->headers->fragmented = (field & (IPV4_MORE | IPV4_OFFSET)) != 0;
}

STEP enum verdict parse_ipv4(struct packet *p) {
  __u32 cursor = 0, header_length;
  const __u8 *ip = take(p, &cursor, IPV4_HEADER);
  enum verdict v;

  if (!ip)
    return drop(p, REASON_truncated);
  header_length = (ip[0] & 0x0f) * 4U;
  if (header_length < IPV4_HEADER || HOST16(load16(ip + 2)) != p->length)
    return drop(p, REASON_bad_ipv4_header);
  if (header_length > p->head_length)
    return drop(p, REASON_truncated);
  if (TARGET_PUNTS && header_length > IPV4_HEADER)
    return punt(p, REASON_punt_ipv4_options);
  if (!ipv4_checksum_right(p, header_length))
    return drop(p, REASON_bad_ipv4_checksum);
  p->headers->family = FAMILY_4;
  p->headers->traffic_class = ip[1];
  p->headers->hop_limit = ip[8];
  set_address4(&p->in->source, load32(ip + 12));
  set_address4(&p->in->destination, load32(ip + 16));
  read_ipv4_fragment(p, ip);
  NOTE(p, ipv4, .a = ADDRESS_IN(p, p->in->source), .b = ADDRESS_IN(p, p->in->destination),
       .n = {p->length, p->headers->hop_limit, p->headers->traffic_class,
             p->headers->dont_fragment});
  v = check_ipv4_options(p, header_length);
  if (v != VERDICT_NEXT)
    return v;
  if (!p->headers->fragmented)
    return parse_transport(p, ip[9], header_length);
  if (TARGET_PUNTS)
    return punt(p, REASON_punt_fragment);
  p->headers->transport_length = p->length - header_length;
  v = check_piece(p, header_length, 0);
  return v == VERDICT_NEXT ? parse_piece(p, ip[9], header_length) : v;
}

STEP enum verdict parse_packet(struct packet *p) {
  if (p->head_length == 0)
    return drop(p, REASON_truncated);
  switch (p->head[0] >> 4) {
  case 4:
    return parse_ipv4(p);
  case 6:
    return parse_ipv6(p);
  default:
    return drop(p, REASON_not_ip);
  }
}

#endif
