/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * emit for ICMP errors in a linear buffer. The message is
 *
 *   outer header | ICMP header | network header | transport header ... | extension (RFC 4884)
 *                                \________ the packet it is about ____/
 *
 * All three headers are written anew, before the rest of the packet inside, which stays where it is
 * unless padding must come between it and an extension. The ICMP checksum covers all of it and is
 * calculated anew, so the old one is verified first: a wrong one must not become right.
 */
#ifndef VIADUCT_DATAPATH_EMIT_ERROR_H
#define VIADUCT_DATAPATH_EMIT_ERROR_H

#include "datapath/icmp_error.h"
#include "datapath/native/emit_linear.h"

enum {
  LONGEST_ERROR6 = SMALLEST_IPV6_MTU, /* RFC 4443 2.4 (c) */
  LONGEST_ERROR4 = 576,               /* RFC 1812 4.3.2.3 */
  SHORTEST_WITH_EXTENSION = 128,      /* RFC 4884 3: of the packet inside, padding included */
};

/* The parts of a message, in bytes. */
struct error_shape {
  __u32 quoted;  /* of the packet inside, its network header included */
  __u32 padding; /* zeros behind it, when there is an extension */
  __u32 extension;
};

STEP __u32 at_most(__u32 value, __u32 limit) {
  return value < limit ? value : limit;
}

/* Where RFC 4884 puts the length of the packet inside, and in which unit; 0: this type has none. */
static __u32 length_unit(__u8 family, __u8 type) {
  if (family == FAMILY_6)
    return type == ICMP6_UNREACHABLE || type == ICMP6_TIME_EXCEEDED ? 8 : 0;
  return type == ICMP4_UNREACHABLE || type == ICMP4_TIME_EXCEEDED || type == ICMP4_PARAMETER_PROBLEM
             ? 4
             : 0;
}

static __u32 length_shift(__u8 family) {
  return family == FAMILY_6 ? 24 : 16; /* the first byte of the second word, or the second */
}

/* How the message that came in is made up. */
static struct error_shape shape_of(const struct packet *p) {
  __u8 type = (__u8)(HOST32(p->transport[0]) >> 24), family = p->headers->family;
  __u32 quoted = p->headers->transport_length - ICMP_HEADER;
  __u32 length =
      (HOST32(p->transport[1]) >> length_shift(family) & 0xff) * length_unit(family, type);
  __u32 needed = p->scratch->inside.headers.transport + 8U - p->headers->transport - ICMP_HEADER;

  if (length < SHORTEST_WITH_EXTENSION || length < needed || length >= quoted)
    return (struct error_shape){quoted, 0, 0};
  return (struct error_shape){length, 0, quoted - length};
}

/* And the one that goes out: the network header inside has another length, the whole has a limit.
 */
static struct error_shape new_shape(const struct packet *p, struct error_shape old) {
  __u8 to = p->headers->family == FAMILY_6 ? FAMILY_4 : FAMILY_6;
  __u32 unit = length_unit(to, (__u8)(HOST32(p->rewrite->transport[0]) >> 24));
  __u32 room =
      (to == FAMILY_6 ? LONGEST_ERROR6 - IPV6_HEADER : LONGEST_ERROR4 - IPV4_HEADER) - ICMP_HEADER;
  const struct layer *inside = &p->scratch->inside;
  __u32 old_header = inside->headers.transport - p->headers->transport - ICMP_HEADER;
  __u32 quoted = old.quoted - old_header + inside->rewrite.network_length;
  __u32 whole;

  if (!old.extension || !unit || old.extension + SHORTEST_WITH_EXTENSION > room)
    return (struct error_shape){at_most(quoted, room), 0, 0};
  whole = quoted < SHORTEST_WITH_EXTENSION ? SHORTEST_WITH_EXTENSION : quoted;
  whole = (whole + unit - 1) / unit * unit;
  if (whole + old.extension > room)
    whole = (room - old.extension) / unit * unit;
  quoted = at_most(quoted, whole);
  return (struct error_shape){quoted, whole - quoted, old.extension};
}

static __u32 icmp6_pseudo(const struct tuple *tuple, __u32 length) {
  return sum_add(icmp6_pseudo_rest(length),
                 sum_add(sum_address(&tuple->source), sum_address(&tuple->destination)));
}

static bool icmp_checksum_right(const struct packet *p, const __u8 *icmp) {
  __u32 length = p->headers->transport_length, sum = sum_bytes(icmp, length);

  if (p->headers->family == FAMILY_6)
    sum = sum_add(sum, icmp6_pseudo(p->in, length));
  return sum_fold(sum) == 0xffff;
}

/* The packet inside keeps a checksum as right or wrong as it was, where it has one. */
static void rewrite_inner_transport(const struct layer *inside, __u8 *transport, __u32 available) {
  const struct rewrite *r = &inside->rewrite;
  __u16 field;

  if (inside->headers.opaque)
    return;
  memcpy(transport, r->transport, sizeof r->transport);
  if (r->checksum_at + sizeof field > available)
    return;
  memcpy(&field, transport + r->checksum_at, sizeof field);
  if (r->never_zero && field == 0)
    return;
  field = checksum_update(field, sum_add(r->pseudo_delta, r->data_delta));
  if (r->never_zero && field == 0)
    field = 0xffff;
  memcpy(transport + r->checksum_at, &field, sizeof field);
}

/* Brings the packet inside and the extension to their distance; returns where the transport header
 * inside is then. */
static __u8 *place(__u8 *transport, __u8 *extension, const struct error_shape *shape,
                   __u32 transport_bytes) {
  __u8 *end = transport + transport_bytes + shape->padding;

  if (!shape->extension)
    return transport;
  if (end <= extension) { /* something was cut off: the extension moves up */
    memmove(end, extension, shape->extension);
    memset(end - shape->padding, 0, shape->padding);
    return transport;
  }
  memmove(transport - (end - extension), transport, transport_bytes);
  memset(extension - shape->padding, 0, shape->padding);
  return transport - (end - extension);
}

static void write_icmp_header(struct packet *p, __u8 *icmp, const struct error_shape *shape) {
  __u8 to = p->headers->family == FAMILY_6 ? FAMILY_4 : FAMILY_6;
  __u8 type = (__u8)(HOST32(p->rewrite->transport[0]) >> 24);
  __u32 length = ICMP_HEADER + shape->quoted + shape->padding + shape->extension, sum;
  __u16 checksum;

  if (shape->extension)
    p->rewrite->transport[1] |=
        BE32((shape->quoted + shape->padding) / length_unit(to, type) << length_shift(to));
  memcpy(icmp, p->rewrite->transport, sizeof p->rewrite->transport);
  sum = sum_bytes(icmp, length);
  if (to == FAMILY_6)
    sum = sum_add(sum, icmp6_pseudo(p->out, length));
  checksum = (__u16)~sum_fold(sum);
  memcpy(icmp + 2, &checksum, sizeof checksum);
}

STEP enum verdict emit_error(struct packet *p, struct frame *frame) {
  const struct layer *inside = &p->scratch->inside;
  __u8 *icmp = frame->data + p->headers->transport;
  struct error_shape old = shape_of(p), shape = new_shape(p, old);
  __u32 transport_bytes = shape.quoted - inside->rewrite.network_length;
  __u8 *transport;

  if (!icmp_checksum_right(p, icmp))
    return drop(p, REASON_icmp_checksum);

  transport = place(frame->data + inside->headers.transport, icmp + ICMP_HEADER + old.quoted,
                    &shape, transport_bytes);
  rewrite_inner_transport(inside, transport, transport_bytes);
  memcpy(transport - inside->rewrite.network_length, inside->rewrite.network,
         inside->rewrite.network_length);
  icmp = transport - inside->rewrite.network_length - ICMP_HEADER;
  write_icmp_header(p, icmp, &shape);

  p->headers->transport_length = ICMP_HEADER + shape.quoted + shape.padding + shape.extension;
  if (p->headers->family == FAMILY_6)
    ipv4_header(p);
  else
    ipv6_header(p);
  frame->data = icmp - p->rewrite->network_length;
  memcpy(frame->data, p->rewrite->network, p->rewrite->network_length);
  frame->length = p->rewrite->network_length + p->headers->transport_length;
  frame->transport = p->rewrite->network_length;
  return VERDICT_FORWARD;
}

#endif
