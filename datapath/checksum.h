/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The Internet checksum as sums of 32-bit words in ones' complement (RFC 1071), and its incremental
 * update (RFC 1624 equation 3). Byte order does not matter as long as everything is in one order:
 * here always that of the wire.
 *
 * fold() and update() give the very bytes the kernel's helpers give, also where a sum has two
 * representations of zero: the native and the BPF build are compared byte for byte.
 */
#ifndef VIADUCT_DATAPATH_CHECKSUM_H
#define VIADUCT_DATAPATH_CHECKSUM_H

#include "datapath/packet.h"

STEP __u32 sum_add(__u32 a, __u32 b) {
  __u64 sum = (__u64)a + b;
  return (__u32)(sum & 0xffffffff) + (__u32)(sum >> 32);
}

STEP __u32 sum_subtract(__u32 a, __u32 b) {
  return sum_add(a, ~b);
}

STEP __u32 sum_address(const struct address *address) {
  __u64 sum = (__u64)address->word[0] + address->word[1] + address->word[2] + address->word[3];
  sum = (sum & 0xffffffff) + (sum >> 32);
  return (__u32)(sum & 0xffffffff) + (__u32)(sum >> 32);
}

/* 32 bits to 16, not complemented. */
STEP __u16 sum_fold(__u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)sum;
}

/* A whole checksum field after `delta` was added to what it covers. */
STEP __u16 checksum_update(__u16 field, __u32 delta) {
  return (__u16)~sum_fold(sum_add(delta, ~(__u32)field));
}

/* A partial one (pseudo-header sum, not complemented) after `delta` was added to the pseudo-header.
 */
STEP __u16 checksum_update_partial(__u16 field, __u32 delta) {
  return sum_fold(sum_add(delta, field));
}

/* The pseudo-header of a datagram of `length` bytes that leaves as IPv6 (RFC 8200 8.1). */
STEP __u32 udp6_pseudo(const struct packet *p, __u32 length) {
  __u32 addresses = sum_add(sum_address(&p->out->source), sum_address(&p->out->destination));

  return sum_add(addresses, sum_add(BE32(length), BE32(PROTOCOL_UDP)));
}

#endif
