/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * translate, for ICMP errors: types, codes, pointers and MTUs between ICMP (RFC 792, 1191) and
 * ICMPv6 (RFC 4443), after RFC 7915 4.2 and 5.2. Pure. What has no counterpart is dropped silently,
 * as the RFC says.
 */
#ifndef VIADUCT_DATAPATH_ICMP_ERROR_H
#define VIADUCT_DATAPATH_ICMP_ERROR_H

#include "datapath/packet.h"

enum {
  GROWTH = IPV6_HEADER - IPV4_HEADER,
  SMALLEST_IPV6_MTU = 1280, /* RFC 8200 5 */
  SMALLEST_IPV4_MTU = 68,   /* RFC 791 3.2 */
  NO_COUNTERPART = 255,
};

struct icmp_message {
  __u8 type; /* NO_COUNTERPART: there is none */
  __u8 code;
  __u32 rest; /* the second word of the header, host order: pointer or MTU */
};

STEP struct icmp_message icmp_none(void) {
  return (struct icmp_message){NO_COUNTERPART, 0, 0};
}

/* --- IPv4 to IPv6, RFC 7915 4.2 --------------------------------------------------------------- */

/* The greatest plateau below the length of a packet that was too big for a router which does not
 * say what would fit (RFC 1191 7). */
STEP __u32 plateau_below(__u32 length) {
  static const __u32 plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296};

  for (__u32 i = 0; i < sizeof plateaus / sizeof plateaus[0]; i++)
    if (plateaus[i] < length)
      return plateaus[i];
  return SMALLEST_IPV4_MTU;
}

/* RFC 7915 4.2 and 5.2 take the smallest of what was said and of the MTUs of both next hops. Which
 * ports those are is not known here; none carries more than the interface, whose routes for IPv4
 * have 20 less. */
STEP __u32 at_most_ours(__u32 mtu, __u32 ours) {
  return ours && mtu > ours ? ours : mtu;
}

STEP __u32 too_big_mtu6(__u32 mtu, __u32 inner_length, __u32 ours) {
  __u32 mtu6 = at_most_ours((mtu ? mtu : plateau_below(inner_length)) + GROWTH, ours);

  return mtu6 < SMALLEST_IPV6_MTU ? SMALLEST_IPV6_MTU : mtu6;
}

STEP struct icmp_message unreachable_4to6(__u8 code, __u32 rest, __u32 inner_length, __u32 ours) {
  switch (code) {
  case 2: /* protocol: the Next Header field of the packet inside */
    return (struct icmp_message){ICMP6_PARAMETER_PROBLEM, 1, 6};
  case 3: /* port */
    return (struct icmp_message){ICMP6_UNREACHABLE, 4, 0};
  case 4: /* fragmentation needed */
    return (struct icmp_message){ICMP6_TOO_BIG, 0, too_big_mtu6(rest & 0xffff, inner_length, ours)};
  case 9:
  case 10:
  case 13:
  case 15: /* prohibited, one way or the other */
    return (struct icmp_message){ICMP6_UNREACHABLE, 1, 0};
  case 0:
  case 1:
  case 5:
  case 6:
  case 7:
  case 8:
  case 11:
  case 12: /* no route, one way or the other */
    return (struct icmp_message){ICMP6_UNREACHABLE, 0, 0};
  default: /* 14, host precedence violation, and what nobody knows */
    return icmp_none();
  }
}

/* Where a field of the IPv4 header has gone (RFC 7915 figure 3). */
STEP __u32 pointer_4to6(__u32 pointer) {
  switch (pointer) {
  case 0: /* version */
  case 1: /* type of service: traffic class */
    return pointer;
  case 2:
  case 3: /* total length: payload length */
    return 4;
  case 8: /* time to live: hop limit */
    return 7;
  case 9: /* protocol: next header */
    return 6;
  case 12:
  case 13:
  case 14:
  case 15: /* source */
    return 8;
  case 16:
  case 17:
  case 18:
  case 19: /* destination */
    return 24;
  default:
    return NO_COUNTERPART;
  }
}

STEP struct icmp_message icmp_error_4to6(__u8 type, __u8 code, __u32 rest, __u32 inner_length,
                                         __u32 ours) {
  __u32 pointer;

  switch (type) {
  case ICMP4_UNREACHABLE:
    return unreachable_4to6(code, rest, inner_length, ours);
  case ICMP4_TIME_EXCEEDED:
    return (struct icmp_message){ICMP6_TIME_EXCEEDED, code, 0};
  case ICMP4_PARAMETER_PROBLEM:
    pointer = pointer_4to6(rest >> 24);
    if ((code != 0 && code != 2) || pointer == NO_COUNTERPART)
      return icmp_none();
    return (struct icmp_message){ICMP6_PARAMETER_PROBLEM, 0, pointer};
  default:
    return icmp_none();
  }
}

/* --- IPv6 to IPv4, RFC 7915 5.2 --------------------------------------------------------------- */

STEP __u32 frag_needed_mtu4(__u32 mtu, __u32 ours) {
  mtu = at_most_ours(mtu, ours);
  if (mtu > 0xffff)
    mtu = 0xffff;
  return mtu < SMALLEST_IPV4_MTU + GROWTH ? SMALLEST_IPV4_MTU : mtu - GROWTH;
}

STEP struct icmp_message unreachable_6to4(__u8 code) {
  switch (code) {
  case 0: /* no route */
  case 2: /* beyond scope of source address */
  case 3: /* address */
    return (struct icmp_message){ICMP4_UNREACHABLE, 1, 0};
  case 1: /* prohibited */
    return (struct icmp_message){ICMP4_UNREACHABLE, 10, 0};
  case 4: /* port */
    return (struct icmp_message){ICMP4_UNREACHABLE, 3, 0};
  default:
    return icmp_none();
  }
}

/* Where a field of the IPv6 header has gone (RFC 7915 figure 6). */
STEP __u32 pointer_6to4(__u32 pointer) {
  if (pointer <= 1)
    return pointer;
  if (pointer == 4 || pointer == 5)
    return 2;
  if (pointer == 6)
    return 9;
  if (pointer == 7)
    return 8;
  if (pointer >= 8 && pointer <= 23)
    return 12;
  if (pointer >= 24 && pointer <= 39)
    return 16;
  return NO_COUNTERPART; /* 2 and 3, the flow label, and what lies behind the header */
}

STEP struct icmp_message icmp_error_6to4(__u8 type, __u8 code, __u32 rest, __u32 ours) {
  __u32 pointer;

  switch (type) {
  case ICMP6_UNREACHABLE:
    return unreachable_6to4(code);
  case ICMP6_TOO_BIG:
    return (struct icmp_message){ICMP4_UNREACHABLE, 4, frag_needed_mtu4(rest, ours)};
  case ICMP6_TIME_EXCEEDED:
    return (struct icmp_message){ICMP4_TIME_EXCEEDED, code, 0};
  default:
    break;
  }
  if (code == 1) /* unrecognised next header: protocol unreachable */
    return (struct icmp_message){ICMP4_UNREACHABLE, 2, 0};
  pointer = pointer_6to4(rest);
  if (code != 0 || pointer == NO_COUNTERPART)
    return icmp_none();
  return (struct icmp_message){ICMP4_PARAMETER_PROBLEM, 0, pointer << 24};
}

/* --- both ------------------------------------------------------------------------------------- */

/* Leaves the new ICMP header in p->rewrite->transport, with a checksum of 0 that emit calculates:
 * it covers the packet inside, which changes everywhere. */
STEP enum verdict icmp_error_header(struct packet *p) {
  const struct headers *inner = &p->scratch->inside.headers;
  __u32 first = HOST32(p->transport[0]), rest = HOST32(p->transport[1]);
  __u8 type = (__u8)(first >> 24), code = (__u8)(first >> 16);
  struct icmp_message m;

  if (p->headers->family == FAMILY_6)
    m = icmp_error_6to4(type, code, rest, p->policy->mtu);
  else
    m = icmp_error_4to6(type, code, rest, IPV4_HEADER + inner->transport_length, p->policy->mtu);
  if (m.type == NO_COUNTERPART)
    return drop(p, REASON_icmp_type);
  p->rewrite->transport[0] = BE32(((__u32)m.type << 24) | ((__u32)m.code << 16));
  p->rewrite->transport[1] = BE32(m.rest);
  return VERDICT_NEXT;
}

#endif
