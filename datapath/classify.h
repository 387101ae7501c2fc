/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * classify: which policy a packet belongs to. IPv6 to one of the prefixes goes out, IPv4 to one of
 * the pool's addresses comes back; the rest is not ours. No table is asked here.
 */
#ifndef VIADUCT_DATAPATH_CLASSIFY_H
#define VIADUCT_DATAPATH_CLASSIFY_H

#include "datapath/packet.h"
#include "datapath/rfc6052.h"

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

STEP bool is_refused_private(const struct packet *p, __be32 address) {
  return !p->policy->allow_private_ipv4 && is_well_known(p->prefix) && is_private4(address);
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
  set_address4(&p->out->destination, destination);
  return VERDICT_NEXT;
}

STEP enum verdict classify_inbound(struct packet *p) {
  if (!find_pool_address(p, p->in->destination.word[0]))
    return pass(p, REASON_not_ours);
  if (is_no_host4(p->in->source.word[0]))
    return drop(p, REASON_bad_source);
  return VERDICT_NEXT;
}

STEP enum verdict classify(struct packet *p) {
  return p->headers->family == FAMILY_6 ? classify_outbound(p) : classify_inbound(p);
}

#endif
