/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Stateless translation with explicit address mappings (RFC 7757): maps give one packet's addresses
 * without a look at any other. classify finds that a packet is of this kind, session leaves it
 * alone.
 *
 *   bits    0        inside_length     + 32 - outside_length           127
 *   IPv6    inside   | suffix          | zeros (written), ignored (read)
 *   IPv4    outside  | suffix
 *           0        outside_length    31
 *
 * Every packet has a host's end, which a map gives, and a server's end, which an RFC 6052 prefix
 * gives: the first one towards IPv6, any of them towards IPv4. The server's end is the prefix's also
 * where another mapped host is that server: under its own address it would answer past the
 * translator, from an address that its peer has not written to (RFC 7757 4.2.1, simple hairpinning; a
 * hairpin is two passes through nvi0, and this one rule serves both). Maps lie outside the prefixes.
 */
#ifndef VIADUCT_DATAPATH_STATELESS_H
#define VIADUCT_DATAPATH_STATELESS_H

#include "datapath/packet.h"
#include "datapath/rfc6052.h"

/* --- one address ---------------------------------------------------------------------------------
 */

/* 32 bits of an address, from bit `offset` (0 to 128) on; zeros from behind its end. */
STEP __u32 bits_at(const struct address *a, __u32 offset) {
  __u64 first = offset < 64 ? high_half(a) : low_half(a);
  __u64 second = offset < 64 ? low_half(a) : 0;
  __u32 shift = offset & 63;

  if (offset > 127)
    return 0;
  return (__u32)((shift ? first << shift | second >> (64 - shift) : first) >> 32);
}

STEP __be32 map_to4(const struct mapping *map, const struct address *address) {
  __u64 suffix = bits_at(address, map->inside_length);

  return map->outside | BE32((__u32)(suffix >> (map->outside_length & 63)));
}

STEP void map_to6(struct address *result, const struct mapping *map, __be32 address) {
  __u64 suffix = (__u64)HOST32(address & ~map->outside_mask) << (map->outside_length & 63);
  __u32 length = map->inside_length, shift = length & 63;
  __u64 high = 0, low = 0;

  suffix <<= 32; /* the suffix stands at the top now */
  if (length < 64) {
    high = suffix >> shift;
    low = shift ? suffix << (64 - shift) : 0;
  } else if (length < 128) {
    low = suffix >> shift;
  }
  result->word[0] = map->inside.word[0] | BE32((__u32)(high >> 32));
  result->word[1] = map->inside.word[1] | BE32((__u32)high);
  result->word[2] = map->inside.word[2] | BE32((__u32)(low >> 32));
  result->word[3] = map->inside.word[3] | BE32((__u32)low);
}

/* The longest match goes to scratch->mapping; false if there is none. */
STEP bool find_map6(struct packet *p, const struct address *address) {
  for (int i = 0; i < MAX_MAPS; i++) {
    const struct mapping *map = &p->policy->map_by_inside[i];

    if (i >= p->policy->map_count)
      break;
    if (((address->word[0] ^ map->inside.word[0]) & map->inside_mask.word[0]) |
        ((address->word[1] ^ map->inside.word[1]) & map->inside_mask.word[1]) |
        ((address->word[2] ^ map->inside.word[2]) & map->inside_mask.word[2]) |
        ((address->word[3] ^ map->inside.word[3]) & map->inside_mask.word[3]))
      continue;
    p->scratch->mapping = *map;
    return true;
  }
  return false;
}

STEP bool find_map4(struct packet *p, __be32 address) {
  for (int i = 0; i < MAX_MAPS; i++) {
    const struct mapping *map = &p->policy->map_by_outside[i];

    if (i >= p->policy->map_count)
      break;
    if ((address ^ map->outside) & map->outside_mask)
      continue;
    p->scratch->mapping = *map;
    return true;
  }
  return false;
}

/* --- classify ------------------------------------------------------------------------------------
 */

/* REQUIRES: the source in p->out is settled. */
STEP enum verdict stateless_to_server(struct packet *p) {
  __be32 destination;

  p->headers->stateless = 1;
  if (!find_prefix(p, &p->in->destination))
    return pass(p, REASON_not_ours);
  destination = rfc6052_extract(&p->in->destination, p->prefix->length);
  if (is_no_host4(destination))
    return drop(p, REASON_bad_destination);
  if (is_refused_private(p, destination))
    return drop(p, REASON_private_destination);
  set_address4(&p->out->destination, destination);
  NOTE(p, to_prefix, .a = ADDRESS6(p->in->destination), .b = ADDRESS4(destination),
       .c = PREFIX6(p->prefix->address, p->prefix->length));
  p->out->source_port = p->in->source_port;
  p->out->destination_port = p->in->destination_port;
  return VERDICT_NEXT;
}

/* REQUIRES: scratch->mapping is that of the source. */
STEP enum verdict stateless_outbound(struct packet *p) {
  set_address4(&p->out->source, map_to4(&p->scratch->mapping, &p->in->source));
  NOTE(p, mapped, .a = ADDRESS6(p->in->source), .b = ADDRESS4(p->out->source.word[0]));
  return stateless_to_server(p);
}

/* An address of IPv4 for a router that has none: the same one each time, so that traceroute shows
 * a path, and another one for most other routers (RFC 6791 3.1). */
STEP __be32 router4(const struct packet *p, const struct address *router) {
  __u32 count = p->policy->error_source_count;
  __u32 hash = router->word[0];

  for (int i = 1; i < 4; i++)
    hash = (hash ^ (hash >> 15)) * 0x2c1b3c6dU + HOST32(router->word[i]);
  hash = (hash ^ (hash >> 16)) * 0x297a2d39U;
  hash ^= hash >> 15;
  if (count == 0) /* none are configured: those of NAT64 */
    return p->policy->pool_count ? p->policy->pool[hash % p->policy->pool_count].address : 0;
  return p->policy->error_source[hash % count];
}

/* An ICMPv6 error about a packet to a mapped host: from that host, another one or a router. */
STEP enum verdict stateless_error_outbound(struct packet *p) {
  if (find_map6(p, &p->in->source))
    return stateless_outbound(p);
  if (find_prefix(p, &p->in->source))
    return drop(p, REASON_source_in_prefix);
  if (is_no_host6(&p->in->source))
    return drop(p, REASON_bad_source);
  set_address4(&p->out->source, router4(p, &p->in->source));
  NOTE(p, router, .a = ADDRESS6(p->in->source), .b = ADDRESS4(p->out->source.word[0]));
  return stateless_to_server(p);
}

/* REQUIRES: scratch->mapping is that of the destination. */
STEP enum verdict stateless_inbound(struct packet *p) {
  __be32 source = p->in->source.word[0];

  p->headers->stateless = 1;
  if (is_no_host4(source))
    return drop(p, REASON_bad_source);
  if (p->headers->zero_checksum && p->policy->drop_zero_checksum) /* RFC 7915 4.5 */
    return drop(p, REASON_udp_zero_checksum_v4);
  *p->prefix = p->policy->prefix[0];
  if (is_refused_private(p, source) && !p->headers->icmp_error)
    return drop(p, REASON_private_destination);
  map_to6(&p->out->destination, &p->scratch->mapping, p->in->destination.word[0]);
  rfc6052_embed(&p->out->source, p->prefix, source);
  NOTE(p, mapped, .a = ADDRESS4(p->in->destination.word[0]), .b = ADDRESS6(p->out->destination));
  p->out->source_port = p->in->source_port;
  p->out->destination_port = p->in->destination_port;
  return VERDICT_NEXT;
}

/* --- session, for ICMP errors --------------------------------------------------------------------
 * The packet inside went the other way: it is one that we sent. It must be of him who is told. */

STEP enum verdict stateless_error6(struct packet *p, struct layer *inside) {
  const struct address *remote = &inside->in.source, *host = &inside->in.destination;

  if (!in_prefix(remote, p->prefix) ||
      rfc6052_extract(remote, p->prefix->length) != p->out->destination.word[0])
    return drop(p, REASON_error_unmapped);
  if (!find_map6(p, host))
    return drop(p, REASON_error_unmapped);
  NOTE(p, error_of_map, .a = ADDRESS4(p->out->destination.word[0]));
  inside->out.source = p->out->destination;
  set_address4(&inside->out.destination, map_to4(&p->scratch->mapping, host));
  return VERDICT_NEXT;
}

STEP enum verdict stateless_error4(struct packet *p, struct layer *inside) {
  if (inside->in.source.word[0] != p->in->destination.word[0])
    return drop(p, REASON_error_unmapped);
  NOTE(p, error_of_map, .a = ADDRESS6(p->out->destination));
  inside->out.source = p->out->destination;
  rfc6052_embed(&inside->out.destination, p->prefix, inside->in.destination.word[0]);
  return VERDICT_NEXT;
}

STEP enum verdict stateless_error(struct packet *p) {
  struct layer *inside = &p->scratch->inside;

  inside->out.source_port = inside->in.source_port;
  inside->out.destination_port = inside->in.destination_port;
  return p->headers->family == FAMILY_6 ? stateless_error6(p, inside) : stateless_error4(p, inside);
}

#endif
