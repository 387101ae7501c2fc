/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * UOA: what TOA (datapath/toa.h) is for TCP, for UDP. A load balancer puts it on the first datagrams of a flow, in
 * one of two forms, with the same bytes inside: kind 31, length 8 or 20, port, IPv4 or IPv6 address.
 *
 *   an IPv4 option     anywhere in the header, among others. The kernel skips what it does not know: the
 *                      datagram arrives, and its socket's hook reads the option in the header.
 *
 *   protocol 248       between the IP header and UDP, because many switches drop or slow down what has options:
 *
 *                         0               1               2               3
 *                        | version, 0    | protocol (17) | length of this and the options |
 *                        | options, as IPv4 has them ...
 *
 *                      No kernel has a handler for it, so it must go where the packet comes in.
 *
 * It is not cut out but made something that the kernel skips. In IPv4 its first four bytes become NOPs, and the
 * header grows over it: an IPv4 option, the first form. In IPv6, where the one layout there is (version 2, an IPv6
 * client) has 24 bytes, these are a Destination Options header (RFC 8200 4.6) with one option of a type for
 * experiments that is to be skipped (RFC 4727 3.4). So no byte moves, no length changes, UDP's checksum stays as it is,
 * and what reads it is the same in the end, in whatever network namespace the datagram is delivered.
 *
 * The rule is TOA's: never a wrong address. What cannot be walked to its end is left as it came.
 */
#ifndef VIADUCT_DATAPATH_UOA_H
#define VIADUCT_DATAPATH_UOA_H

#include "datapath/toa.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum uoa_limits {
  UOA_KIND = 31,
  UOA_PROTOCOL = 248,
  UOA_HEAD = 256, /* more than twice what is looked at, so that masks bound every index */
  UOA_LOOKED_AT = 72,
  UOA_IP4_HEADER = 20,
  UOA_IP4_LONGEST = 60,
  UOA_IP6_HEADER = 40,
  UOA_FIXED = 4, /* of protocol 248 */
  UOA_SHORTEST = 12,
  UOA_IN_IP6 = 24,
  UOA_UDP_HEADER = 8,
};

/* A packet's first bytes, from the IP header on. */
struct uoa_head {
  __u8 byte[UOA_HEAD];
};

/* How far a walk has come, and where UOAs begin; 0: there is none. */
struct uoa_walk {
  __u32 at, to;
  __u32 first, second;
  __u32 more;      /* than two: nobody sends that, and nobody compares it */
  __u32 malformed; /* it cannot be walked to its end, or a UOA has a length that it never has */
};

enum uoa_outcome {
  UOA_NOT_OURS = 0, /* another protocol */
  UOA_TAKEN_OFF,
  UOA_MALFORMED, /* left as it came, as are: */
  UOA_FRAGMENT,  /* its other fragments would not fit any more */
};

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#else

/* RFC 791 3.1, RFC 8200 3 and 4.6, RFC 4727 3.4. */
enum uoa_ip {
  UOA_IP4_PROTOCOL = 9,
  UOA_IP4_CHECKSUM = 10,
  UOA_IP6_NEXT = 6,
  UOA_UDP = 17,
  UOA_DESTINATION_OPTIONS = 60,
  UOA_EXPERIMENT = 0x1e,
};

#ifndef UOA_STEPS
#define UOA_STEPS(head, walk)                                                                      \
  for (__u32 step = 0; step < UOA_IP4_LONGEST && uoa_step(head, walk); step++)                     \
    ;
#endif

TOA_STEP __u32 uoa_16(const struct uoa_head *head, __u32 at) {
  return (__u32)head->byte[at & (UOA_HEAD - 1)] << 8 | head->byte[(at + 1) & (UOA_HEAD - 1)];
}

/* Where the options of a datagram begin that may be a UOA, and where UDP does behind them; 0: there are none. The head
 * is one that the kernel has found good. */
TOA_STEP __u32 uoa_options(const struct uoa_head *head, __u32 *from) {
  __u32 words = head->byte[0] & 15;

  if (head->byte[0] >> 4 == 4) {
    *from = UOA_IP4_HEADER;
    return head->byte[UOA_IP4_PROTOCOL] == UOA_UDP && words > UOA_IP4_HEADER / 4 ? words * 4 : 0;
  }
  *from = UOA_IP6_HEADER + 4;
  if (head->byte[UOA_IP6_NEXT] != UOA_DESTINATION_OPTIONS || head->byte[40] != UOA_UDP ||
      head->byte[41] != UOA_IN_IP6 / 8 - 1 || head->byte[42] != UOA_EXPERIMENT ||
      head->byte[43] != TOA_LENGTH_IP6 || head->byte[44] != UOA_KIND)
    return 0;
  return UOA_IP6_HEADER + UOA_IN_IP6;
}

/* Verifiers lose what they know of a number at each way that leads to it. After this all ways are one. */
TOA_STEP __u32 uoa_bounded(__u32 at) {
  __asm__ volatile("" : "+r"(at));
  return at & (UOA_HEAD / 2 - 1);
}

TOA_STEP int uoa_differ(const __u8 *one, const __u8 *other) {
  __u32 length = one[1];
  __u8 difference = one[1] ^ other[1];
  __u32 i;

  TOA_KEEP_ROLLED
  for (i = 2; i < TOA_LONGEST; i++)
    difference |= (__u8)((one[i] ^ other[i]) & (__u8)((int)(i - length) >> 8));
  return difference != 0;
}

/* Options from option to option. One step is a function of what lies in memory, so that no verifier follows forty of
 * them one after the other: in BPF the helper bpf_loop makes the steps. */
TOA_STEP int uoa_step(const struct uoa_head *head, struct uoa_walk *walk) {
  __u32 at = uoa_bounded(walk->at);
  const __u8 *option = &head->byte[at];

  if (at >= walk->to || option[0] == TOA_OPTION_END)
    return 0;
  if (option[0] == TOA_OPTION_NOP) {
    walk->at = at + 1;
    return 1;
  }
  if (at + 1 >= walk->to || option[1] < 2 || option[1] > walk->to - at ||
      (option[0] == UOA_KIND && option[1] != TOA_LENGTH_IP4 && option[1] != TOA_LENGTH_IP6)) {
    walk->malformed = 1;
    return 0;
  }
  walk->at = at + option[1];
  if (option[0] != UOA_KIND)
    return 1;
  if (walk->first == 0)
    walk->first = at;
  else if (walk->second == 0)
    walk->second = at;
  else
    walk->more = 1;
  return 1;
}

TOA_STEP void uoa_walk(const struct uoa_head *head, __u32 from, __u32 to, struct uoa_walk *walk) {
  struct uoa_walk begin = {.at = from, .to = to};

  *walk = begin;
  UOA_STEPS(head, walk);
}

/* What the options say. *found, zeroed by the caller, holds an address to be believed only if the outcome is
 * TOA_FOUND. */
TOA_STEP enum toa_outcome uoa_find(const struct uoa_head *head, __u32 from, __u32 to,
                                   struct uoa_walk *walk, struct toa *found) {
  uoa_walk(head, from, to, walk);
  if (walk->malformed)
    return TOA_MALFORMED;
  if (walk->first == 0)
    return TOA_NONE;
  if (!toa_read(&head->byte[uoa_bounded(walk->first)], found))
    return TOA_MALFORMED;
  if (walk->more || (walk->second != 0 && uoa_differ(&head->byte[uoa_bounded(walk->first)],
                                                     &head->byte[uoa_bounded(walk->second)])))
    return TOA_CONTRADICTS;
  return toa_plausible(found) ? TOA_FOUND : TOA_IMPLAUSIBLE;
}

TOA_STEP __u32 uoa_sum(const struct uoa_head *head, __u32 from, __u32 to) {
  __u32 sum = 0, i;

  TOA_KEEP_ROLLED
  for (i = 0; i < UOA_IP4_LONGEST; i += 2) {
    if (from + i >= to)
      break;
    sum += uoa_16(head, from + i);
  }
  return sum;
}

/* An end of the options before ours would hide them: it becomes NOPs. What cannot be walked the kernel discards. */
TOA_STEP void uoa_open_end(struct uoa_head *head, __u32 at) {
  __u32 used = 0, ended = 0, i;

  TOA_KEEP_ROLLED
  for (i = UOA_IP4_HEADER; i < UOA_IP4_LONGEST; i++) {
    __u8 *option = &head->byte[i];

    if (i >= at)
      break;
    if (used > 0) {
      used--;
      continue;
    }
    ended |= option[0] == TOA_OPTION_END;
    if (ended)
      option[0] = TOA_OPTION_NOP;
    else if (option[0] != TOA_OPTION_NOP && option[1] > 1)
      used = option[1] - 1;
  }
}

/* By RFC 1624, so that a checksum that was wrong stays wrong. */
TOA_STEP void uoa_grow_header(struct uoa_head *head, __u32 at, __u32 more) {
  __u32 check = uoa_16(head, UOA_IP4_CHECKSUM);
  __u32 before = uoa_sum(head, 0, at) - check;
  __u32 i, sum;

  head->byte[0] = (__u8)(head->byte[0] + more / 4);
  head->byte[UOA_IP4_PROTOCOL] = UOA_UDP;
  TOA_KEEP_ROLLED
  for (i = 0; i < UOA_FIXED; i++)
    head->byte[(at + i) & (UOA_HEAD - 1)] = TOA_OPTION_NOP;
  uoa_open_end(head, at);
  before = (before & 0xffff) + (before >> 16);
  before = (before & 0xffff) + (before >> 16);
  sum = (~check & 0xffff) + (~before & 0xffff) + uoa_sum(head, 0, at + more) - check;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  head->byte[UOA_IP4_CHECKSUM] = (__u8)(~sum >> 8);
  head->byte[UOA_IP4_CHECKSUM + 1] = (__u8)~sum;
}

TOA_STEP enum uoa_outcome uoa_take_off4(struct uoa_head *head, __u32 length,
                                        struct uoa_walk *walk) {
  __u32 at = (head->byte[0] & 15) * 4;
  __u32 more = uoa_16(head, at + 2);
  __u32 version = head->byte[at & (UOA_HEAD - 1)] >> 4;

  if (head->byte[UOA_IP4_PROTOCOL] != UOA_PROTOCOL)
    return UOA_NOT_OURS;
  if ((head->byte[6] & 0x3f) | head->byte[7]) /* more fragments, or not the first one */
    return UOA_FRAGMENT;
  if (at < UOA_IP4_HEADER || length < at + UOA_SHORTEST || version < 1 || version > 2 ||
      head->byte[(at + 1) & (UOA_HEAD - 1)] != UOA_UDP)
    return UOA_MALFORMED;
  if (more < UOA_SHORTEST || more % 4 != 0 || at + more > UOA_IP4_LONGEST ||
      length < at + more + UOA_UDP_HEADER || uoa_16(head, 2) < at + more + UOA_UDP_HEADER)
    return UOA_MALFORMED;
  uoa_walk(head, at + UOA_FIXED, at + more, walk);
  if (walk->malformed)
    return UOA_MALFORMED;
  uoa_grow_header(head, at, more);
  return UOA_TAKEN_OFF;
}

TOA_STEP enum uoa_outcome uoa_take_off6(struct uoa_head *head, __u32 length) {
  if (head->byte[UOA_IP6_NEXT] != UOA_PROTOCOL)
    return UOA_NOT_OURS;
  if (length < UOA_IP6_HEADER + UOA_IN_IP6 + UOA_UDP_HEADER ||
      uoa_16(head, 4) < UOA_IN_IP6 + UOA_UDP_HEADER || head->byte[40] >> 4 != 2 ||
      head->byte[41] != UOA_UDP || uoa_16(head, 42) != UOA_IN_IP6 || head->byte[44] != UOA_KIND ||
      head->byte[45] != TOA_LENGTH_IP6)
    return UOA_MALFORMED;
  head->byte[UOA_IP6_NEXT] = UOA_DESTINATION_OPTIONS;
  head->byte[40] = UOA_UDP;
  head->byte[41] = UOA_IN_IP6 / 8 - 1;
  head->byte[42] = UOA_EXPERIMENT;
  head->byte[43] = TOA_LENGTH_IP6;
  return UOA_TAKEN_OFF;
}

/* Of a packet whose first `length` bytes, at most UOA_LOOKED_AT, are in the head. If it is taken off, what has
 * changed lies in the IP header and the four bytes behind it. */
TOA_STEP enum uoa_outcome uoa_take_off(struct uoa_head *head, __u32 length, struct uoa_walk *walk) {
  if (head->byte[0] >> 4 == 4)
    return uoa_take_off4(head, length, walk);
  return head->byte[0] >> 4 == 6 ? uoa_take_off6(head, length) : UOA_NOT_OURS;
}

#endif
#endif
