/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The binding information base and who may have how much of it: subscribers and their quotas, ports
 * of the pool, bindings (RFC 6146 3.5.1, RFC 6056, RFC 6888). session.h says when one is made.
 *
 * A binding ties (IPv6 address, port) to (pool address, port), whatever the destination:
 * endpoint-independent mapping. It has an entry from each side: `bindings` under the IPv6 end,
 * `ports` under the IPv4 end.
 *
 * Many CPUs do this at once, without locks:
 *  - a port is taken by inserting its key where there is none; the loser tries another;
 *  - who loses the race for a binding puts back what he took and uses the winner's;
 *  - a binding (and a subscriber) counts its sessions, and dies by compare-and-swap from 0 to
 *    BINDING_DEAD: whoever adds to a dead count knows that he came too late.
 */
#ifndef VIADUCT_DATAPATH_BINDING_H
#define VIADUCT_DATAPATH_BINDING_H

#include "datapath/classify.h"
#include "datapath/packet.h"
#include "datapath/rfc6052.h"
#include "datapath/tables.h"

enum {
  RANDOM_PORT_TRIES = 16,
  OTHER_ADDRESSES = 4, /* that are searched where the subscriber's own has no port left */
  POOL_SALT = 0x706f6f6c,
};

/* --- subscribers: who has how many sessions --------------------------------------------------- */

STEP void subscriber_key_of(struct subscriber_key *key, const struct address *inside, __u8 bits) {
  mask_address(&key->prefix, inside, bits);
}

/* Spreads one random number into many (the finaliser of MurmurHash3: every bit depends on every
 * bit). */
STEP __u32 spread(__u32 random, __u32 salt) {
  __u32 x = random + salt * 0x9e3779b9U;
  x ^= x >> 16;
  x *= 0x85ebca6bU;
  x ^= x >> 13;
  x *= 0xc2b2ae35U;
  return x ^ (x >> 16);
}

STEP __be32 random_pool_address(const struct packet *p) {
  __u64 index = spread(p->random, POOL_SALT) % (p->policy->pool_count ? p->policy->pool_count : 1U);

  KEEP(index);
  index &= MAX_POOL - 1;
  return p->policy->pool[index].address;
}

STEP struct subscriber *subscriber_get(struct packet *p, const struct subscriber_key *key) {
  struct subscriber *found = subscriber_find(p, key);

  if (found)
    return found;
  p->scratch->subscriber.pool_address = random_pool_address(p);
  p->scratch->subscriber.sessions = 0;
  if (subscriber_insert(p, key, &p->scratch->subscriber) == FULL)
    return NULL;
  return subscriber_find(p, key);
}

/* One session less; a subscriber without any is forgotten. */
STEP void subscriber_release(struct packet *p, const struct subscriber_key *key) {
  struct subscriber *subscriber = subscriber_find(p, key);

  if (subscriber && ADD(subscriber->sessions, -1) == 1 &&
      SWAP_IF(subscriber->sessions, 0, BINDING_DEAD))
    subscriber_remove(p, key);
}

/* Charges one session to the subscriber, or says why not. */
STEP enum verdict subscriber_charge(struct packet *p, const struct subscriber_key *key,
                                    __be32 *pool_address) {
  struct subscriber *subscriber = subscriber_get(p, key);
  __u32 before;

  if (!subscriber)
    return drop(p, REASON_table_full);
  before = ADD(subscriber->sessions, 1);
  if (before & BINDING_DEAD) {
    ADD(subscriber->sessions, -1);
    return drop(p, REASON_dying);
  }
  if (before >= p->policy->max_sessions_per_subscriber) {
    subscriber_release(p, key);
    return drop(p, REASON_subscriber_quota);
  }
  *pool_address = READ(subscriber->pool_address);
  /* The address may have left the pool since: the next bindings come from one that is in it. */
  if (!find_pool_address(p, *pool_address)) {
    *pool_address = random_pool_address(p);
    WRITE(subscriber->pool_address, *pool_address);
  }
  return VERDICT_NEXT;
}

/* --- bindings --------------------------------------------------------------------------------- */

/* Takes a free port of one pool address for p->scratch->port: at random (RFC 6056), then in order.
 * EXISTS: all that were tried are taken. FULL: the table has no room. */
STEP enum insertion port_take(struct packet *p, const struct pool_address *pool) {
  struct port_key *key = &p->scratch->port_key;
  __u32 size = pool->port_high - pool->port_low + 1U, start = 0;

  key->pool_address = pool->address;
  UNROLLED
  for (__u32 i = 0; i < RANDOM_PORT_TRIES + PORT_SCAN; i++) {
    __u32 offset;
    int result;

    if (i < RANDOM_PORT_TRIES)
      start = spread(p->random, i) % size;
    else if (i - RANDOM_PORT_TRIES >= size)
      break;
    offset = i < RANDOM_PORT_TRIES ? start : (start + 1 + i - RANDOM_PORT_TRIES) % size;
    key->pool_port = BE16(pool->port_low + offset);
    result = port_insert(p, key, &p->scratch->port);
    if (result != EXISTS)
      return result;
  }
  return EXISTS;
}

/* The subscriber's own pool address first; where that is full, a few others. Not all: every address
 * is a long search when ports are short, and that is when most are asked for. */
STEP enum insertion port_take_anywhere(struct packet *p, __be32 pool_address) {
  const struct policy *policy = p->policy;
  const struct pool_address *own = find_pool_address(p, pool_address);
  enum insertion result = own ? port_take(p, own) : EXISTS;
  __u32 start = spread(p->random, POOL_SALT);

  if (TARGET_PUNTS) /* the native build looks further */
    return result;
  for (__u32 i = 0; i < OTHER_ADDRESSES && result == EXISTS && i < policy->pool_count; i++) {
    const struct pool_address *other = &policy->pool[(start + i) % policy->pool_count];
    if (other != own)
      result = port_take(p, other);
  }
  return result;
}

/* Makes the binding for p->scratch->binding_key, or finds the one that another CPU made meanwhile.
 */
STEP enum verdict binding_make(struct packet *p, __be32 pool_address, struct binding **made) {
  struct scratch *s = p->scratch;

  s->port_key.protocol = s->binding_key.protocol;
  s->port_key.pad = 0;
  s->port.inside = s->binding_key.inside;
  s->port.inside_port = s->binding_key.inside_port;
  switch (port_take_anywhere(p, pool_address)) {
  case INSERTED:
    break;
  case FULL:
    return drop(p, REASON_table_full);
  default:
    return TARGET_PUNTS ? punt(p, REASON_punt_port_search) : drop(p, REASON_no_port);
  }
  s->binding.pool_address = s->port_key.pool_address;
  s->binding.pool_port = s->port_key.pool_port;
  s->binding.pad = 0;
  s->binding.sessions = 0;
  s->binding.generation = p->policy->generation;
  switch (binding_insert(p, &s->binding_key, &s->binding)) {
  case INSERTED:
    count(p, REASON_binding_made);
    break;
  case EXISTS:
    count(p, REASON_race_lost);
    port_remove(p, &s->port_key);
    break;
  default:
    port_remove(p, &s->port_key);
    return drop(p, REASON_table_full);
  }
  *made = binding_find(p, &s->binding_key);
  return *made ? VERDICT_NEXT : drop(p, REASON_dying);
}

/* One session less; the last one takes the binding with it. */
STEP void binding_release(struct packet *p, const struct binding_key *key,
                          struct binding *binding) {
  struct port_key *port_key = &p->scratch->port_key;

  port_key->pool_address = binding->pool_address;
  port_key->pool_port = binding->pool_port;
  port_key->protocol = key->protocol;
  port_key->pad = 0;
  if (ADD(binding->sessions, -1) != 1 || !SWAP_IF(binding->sessions, 0, BINDING_DEAD))
    return;
  binding_remove(p, key);
  port_remove(p, port_key);
  count(p, REASON_binding_ended);
}

STEP bool binding_hold(struct binding *binding) {
  if (!(ADD(binding->sessions, 1) & BINDING_DEAD))
    return true;
  ADD(binding->sessions, -1);
  return false;
}

#endif
