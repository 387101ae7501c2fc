/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * IPv4 addresses inside IPv6 prefixes (RFC 6052 2.2):
 *
 *   length  0           32     40     48     56     64     72     80     88     96    104 .. 127
 *   32      prefix      v4 (32 bits)               | u    | suffix
 *   40      prefix             v4 (24)             | u    | 8    | suffix
 *   48      prefix                    v4 (16)      | u    | 16          | suffix
 *   56      prefix                           v4(8) | u    | 24                 | suffix
 *   64      prefix                                 | u    | v4 (32)                   | suffix
 *   96      prefix                                                             | v4 (32)
 *
 * Bits 64..71 (u) and the suffix are zero when we write them and ignored when we read them (2.3).
 */
#ifndef VIADUCT_DATAPATH_RFC6052_H
#define VIADUCT_DATAPATH_RFC6052_H

#include "datapath/packet.h"

STEP __u64 high_half(const struct address *a) {
  return ((__u64)HOST32(a->word[0]) << 32) | HOST32(a->word[1]);
}

STEP __u64 low_half(const struct address *a) {
  return ((__u64)HOST32(a->word[2]) << 32) | HOST32(a->word[3]);
}

/* How many bits of the IPv4 address lie before the u octet. */
STEP __u32 bits_before_u(__u8 length) {
  return (64U - length) & 63;
}

STEP __be32 rfc6052_extract(const struct address *address, __u8 length) {
  __u32 before, after;
  __u64 value;

  if (length == 96)
    return address->word[3];
  before = bits_before_u(length);
  after = 32 - before;
  value = (high_half(address) & ((1ULL << before) - 1)) << (after & 63);
  value |= (low_half(address) >> ((24 + before) & 63)) & ((1ULL << (after & 63)) - 1);
  return BE32((__u32)value);
}

STEP void rfc6052_embed(struct address *result, const struct prefix6 *prefix, __be32 address) {
  __u32 before, after;
  __u64 value = HOST32(address), low;

  *result = prefix->address;
  if (prefix->length == 96) {
    result->word[3] = address;
    return;
  }
  before = bits_before_u(prefix->length);
  after = 32 - before;
  low = (value & ((1ULL << (after & 63)) - 1)) << ((24 + before) & 63);
  result->word[1] |= BE32((__u32)(value >> (after & 63)));
  result->word[2] = BE32((__u32)(low >> 32));
  result->word[3] = BE32((__u32)low);
}

STEP __be32 mask32(int bits) {
  if (bits <= 0)
    return 0;
  if (bits >= 32)
    return 0xffffffff;
  return BE32(0xffffffffU << ((32 - bits) & 31));
}

STEP bool in_prefix(const struct address *address, const struct prefix6 *prefix) {
  int bits = prefix->length;

  return !(((address->word[0] ^ prefix->address.word[0]) & mask32(bits)) |
           ((address->word[1] ^ prefix->address.word[1]) & mask32(bits - 32)) |
           ((address->word[2] ^ prefix->address.word[2]) & mask32(bits - 64)) |
           ((address->word[3] ^ prefix->address.word[3]) & mask32(bits - 96)));
}

/* Index + 1 of the first of policy.allow that has the address in it, or 0. */
STEP __u32 find_allowed(const struct policy *policy, const struct address *address) {
  for (__u32 i = 0; i < MAX_ALLOW; i++) {
    if (i >= policy->allow_count)
      break;
    if (in_prefix(address, &policy->allow[i]))
      return i + 1;
  }
  return 0;
}

/* A target may have a way of its own to call it. */
#ifndef FIND_ALLOWED
#define FIND_ALLOWED(policy, address) find_allowed(policy, address)
#endif

STEP void mask_address(struct address *result, const struct address *address, int bits) {
  result->word[0] = address->word[0] & mask32(bits);
  result->word[1] = address->word[1] & mask32(bits - 32);
  result->word[2] = address->word[2] & mask32(bits - 64);
  result->word[3] = address->word[3] & mask32(bits - 96);
}

/* 64:ff9b::/96, RFC 6052 2.1. */
STEP bool is_well_known(const struct prefix6 *prefix) {
  return prefix->length == 96 && prefix->address.word[0] == BE32(0x0064ff9b) &&
         !(prefix->address.word[1] | prefix->address.word[2]);
}

STEP bool in_net4(__be32 address, __u32 net, int bits) {
  return ((HOST32(address) ^ net) & ~(0xffffffffU >> bits)) == 0;
}

/* No host has such an address: "this network", loopback, multicast, reserved, broadcast (RFC 6890).
 */
STEP bool is_no_host4(__be32 address) {
  return in_net4(address, 0x00000000, 8) || in_net4(address, 0x7f000000, 8) ||
         in_net4(address, 0xe0000000, 3); /* 224/4 and 240/4 */
}

/* Not global: private, shared, link-local, IETF protocols, benchmarks (RFC 6890). The well-known
 * prefix must not carry them (RFC 6052 3.1). Let through: documentation ranges, which labs use, and
 * 192.88.99.0/24, which is a unicast range again (RFC 7526). Loopback is no host at all. */
STEP bool is_private4(__be32 address) {
  return in_net4(address, 0x0a000000, 8) || in_net4(address, 0xac100000, 12) ||
         in_net4(address, 0xc0a80000, 16) || in_net4(address, 0x64400000, 10) ||
         in_net4(address, 0xa9fe0000, 16) || in_net4(address, 0xc0000000, 24) ||
         in_net4(address, 0xc6120000, 15);
}

/* Unspecified, loopback, IPv4-mapped and -compatible (all in ::/32 here), link-local, multicast. */
STEP bool is_no_host6(const struct address *a) {
  if (a->word[0] == 0)
    return true;
  return (a->word[0] & BE32(0xffc00000)) == BE32(0xfe800000) || a->byte[0] == 0xff;
}

/* Copies the prefix that `address` lies in to p->prefix. */
STEP bool find_prefix(struct packet *p, const struct address *address) {
  for (int i = 0; i < MAX_PREFIXES; i++) {
    if (i >= p->policy->prefix_count)
      break;
    if (in_prefix(address, &p->policy->prefix[i])) {
      *p->prefix = p->policy->prefix[i];
      return true;
    }
  }
  return false;
}

STEP bool is_private_under(const struct prefix6 *prefix, __be32 address) {
  return is_well_known(prefix) && is_private4(address);
}

STEP bool is_refused_private(const struct packet *p, __be32 address) {
  return !p->policy->allow_private_ipv4 && is_private_under(p->prefix, address);
}

#endif
