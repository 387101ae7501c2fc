/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * classify: which policy a packet belongs to. What comes from a mapped IPv6 address or goes to a
 * mapped IPv4 address is translated without state; an ICMPv6 error belongs where the packet inside
 * does, whoever sends it. Of the rest, IPv6 to one of the prefixes goes
 * out, IPv4 to one of the pool's addresses comes back, and what remains is not ours. No table is
 * asked here.
 */
#ifndef VIADUCT_DATAPATH_CLASSIFY_H
#define VIADUCT_DATAPATH_CLASSIFY_H

#include "datapath/packet.h"
#include "datapath/rfc6052.h"
#include "datapath/stateless.h"

/* The pool's entry for an address, by halving: it is sorted. NULL if there is none. The bounds lie
 * in scratch so that the verifier does not follow each of the 2^7 ways through the loop. */
STEP const struct pool_address *find_pool_address(const struct packet *p, __be32 address) {
  struct search *search = &p->scratch->search;
  __u32 wanted = HOST32(address);

  search->low = 0;
  search->high = p->policy->pool_count;
  for (int i = 0; i < 7; i++) { /* 2^7 > MAX_POOL */
    __u64 middle = (READ(search->low) + READ(search->high)) / 2;
    __u32 here;

    if (READ(search->low) >= READ(search->high))
      break;
    KEEP(middle);
    middle &= MAX_POOL - 1;
    here = HOST32(p->policy->pool[middle].address);
    if (here == wanted)
      return &p->policy->pool[middle];
    if (here < wanted)
      WRITE(search->low, (__u32)middle + 1);
    else
      WRITE(search->high, (__u32)middle);
  }
  return NULL;
}

STEP enum verdict classify_outbound(struct packet *p) {
  __be32 destination;

  if (!find_prefix(p, &p->in->destination))
    return pass(p, REASON_not_ours);
  /* A source inside a prefix is one of our own translations coming round again. */
  for (int i = 0; i < MAX_PREFIXES; i++) {
    if (i >= p->policy->prefix_count)
      break;
    if (in_prefix(&p->in->source, &p->policy->prefix[i]))
      return drop(p, REASON_source_in_prefix);
  }
  if (is_no_host6(&p->in->source))
    return drop(p, REASON_bad_source);
  destination = rfc6052_extract(&p->in->destination, p->prefix->length);
  if (is_no_host4(destination))
    return drop(p, REASON_bad_destination);
  if (is_refused_private(p, destination))
    return drop(p, REASON_private_destination);
  if (p->headers->opaque)
    return drop(p, REASON_unknown_protocol);
  set_address4(&p->out->destination, destination);
  NOTE(p, to_prefix, .a = ADDRESS6(p->in->destination), .b = ADDRESS4(destination),
       .c = PREFIX6(p->prefix->address, p->prefix->length));
  return VERDICT_NEXT;
}

STEP enum verdict classify_inbound(struct packet *p) {
  if (!find_pool_address(p, p->in->destination.word[0]))
    return pass(p, REASON_not_ours);
  if (is_no_host4(p->in->source.word[0]))
    return drop(p, REASON_bad_source);
  NOTE(p, to_pool, .a = ADDRESS4(p->in->destination.word[0]));
  return p->headers->opaque ? drop(p, REASON_unknown_protocol) : VERDICT_NEXT;
}

STEP enum verdict classify6(struct packet *p) {
  if (!TARGET_PUNTS && p->headers->icmp_error && p->policy->map_count)
    return find_map6(p, &p->scratch->inside.in.destination) ? stateless_error_outbound(p)
                                                            : classify_outbound(p);
  return find_map6(p, &p->in->source) ? stateless_outbound(p) : classify_outbound(p);
}

STEP enum verdict classify4(struct packet *p) {
  return find_map4(p, p->in->destination.word[0]) ? stateless_inbound(p) : classify_inbound(p);
}

STEP enum verdict classify(struct packet *p) {
  return p->headers->family == FAMILY_6 ? classify6(p) : classify4(p);
}

#endif
