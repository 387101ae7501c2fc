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
  PORT_LOOKUPS = 512,  /* in the table, where hints do not help */
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

/* REQUIRES: index is below pool_count; the verifier is told. */
STEP const struct pool_address *pool_at(const struct policy *policy, __u32 index) {
  __u64 bounded = index;

  KEEP(bounded);
  bounded &= MAX_POOL - 1;
  return &policy->pool[bounded];
}

/* How many addresses new bindings may be on: those that do not drain, or all where all do. */
STEP __u32 usable_count(const struct policy *policy) {
  return policy->usable_count ? policy->usable_count : policy->pool_count;
}

/* REQUIRES: index is below usable_count. */
STEP const struct pool_address *usable_at(const struct policy *policy, __u32 index) {
  __u64 bounded = index;

  KEEP(bounded);
  bounded &= MAX_POOL - 1;
  return pool_at(policy, policy->usable_count ? policy->usable[bounded] : (__u32)bounded);
}

STEP const struct pool_address *random_pool_address(const struct packet *p, __u32 salt) {
  __u32 count = usable_count(p->policy);

  return usable_at(p->policy, spread(p->random, salt) % (count ? count : 1U));
}

STEP __u32 hints_of(const struct pool_address *pool, __u8 protocol) {
  __u32 which = protocol == PROTOCOL_TCP ? 0 : protocol == PROTOCOL_UDP ? 1 : 2;

  return pool->slot * PORT_PROTOCOLS + which;
}

STEP __u32 ports_used(struct packet *p, const struct pool_address *pool) {
  const struct port_hints *hints;

  p->scratch->port_choice.hints = hints_of(pool, p->headers->protocol);
  hints = hints_find(p, &p->scratch->port_choice.hints);
  return hints ? READ(hints->used) : 0;
}

STEP bool is_full(struct packet *p, const struct pool_address *pool) {
  return ports_used(p, pool) > (__u32)(pool->port_high - pool->port_low);
}

/* The one of two chosen at random that has less in use: so all addresses fill up evenly. */
STEP __be32 choose_pool_address(struct packet *p) {
  const struct pool_address *one = random_pool_address(p, POOL_SALT);
  const struct pool_address *other = random_pool_address(p, POOL_SALT + 1);

  return ports_used(p, other) < ports_used(p, one) ? other->address : one->address;
}

STEP struct subscriber *subscriber_get(struct packet *p, const struct subscriber_key *key) {
  struct subscriber *found = subscriber_find(p, key);

  if (found && READ(found->sessions) == BINDING_DEAD && subscriber_revive(found)) {
    WRITE(found->bindings, 0);
    WRITE(found->pool_address, choose_pool_address(p));
  }
  if (found)
    return found;
  p->scratch->subscriber.pool_address = choose_pool_address(p);
  p->scratch->subscriber.sessions = 0;
  p->scratch->subscriber.bindings = 0;
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
  const struct pool_address *own;
  __u32 before;

  if (!subscriber)
    return drop(p, REASON_table_full);
  before = ADD(subscriber->sessions, 1);
  NOTE_ABOUT(subscriber, p, key, before);
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
  own = find_pool_address(p, *pool_address);
  if (!own || own->draining) {
    *pool_address = choose_pool_address(p);
    WRITE(subscriber->pool_address, *pool_address);
  }
  return VERDICT_NEXT;
}

/* A subscriber may be short of bindings while it has sessions left. */
STEP bool subscriber_charge_binding(struct packet *p) {
  struct subscriber *subscriber = subscriber_find(p, &p->scratch->subscriber_key);
  __u32 most = p->policy->max_bindings_per_subscriber;

  if (!subscriber)
    return true; /* its last session has ended: there is nothing to count to */
  NOTE_ABOUT(bindings, p, subscriber, most);
  if (ADD(subscriber->bindings, 1) < most || !most)
    return true;
  ADD(subscriber->bindings, -1);
  return false;
}

/* To whom the binding was charged may have ended and begun anew since: never below zero. */
STEP void subscriber_release_binding(struct packet *p, const struct binding_key *key, __u8 bits) {
  struct subscriber_key *subscriber_key = &p->scratch->binding_subscriber_key;
  struct subscriber *subscriber;

  if (bits == 0)
    return;
  subscriber_key_of(subscriber_key, &key->inside, bits);
  subscriber = subscriber_find(p, subscriber_key);
  for (int i = 0; i < 4 && subscriber; i++) {
    __u32 seen = READ(subscriber->bindings);
    if (seen == 0 || SWAP_IF(subscriber->bindings, seen, seen - 1))
      break;
  }
}

/* --- ports ------------------------------------------------------------------------------------ */

/* What is asked of a port, each only as long as there is one. */
enum port_wish {
  PORT_ALIKE = 1, /* RFC 4787 REQ-3a, REQ-4: below 1024 like the host's; for UDP even or odd, too */
  PORT_RESTED = 2, /* RFC 6888 REQ-8 */
};

enum { FIRST_UNPRIVILEGED_PORT = 1024 };

STEP __u32 rest_tick(__u32 now) {
  return now / REST_TICK % REST_TICKS + 1;
}

STEP __u8 *hint_of(struct port_hints *hints, __u16 port) {
  __u64 index = port;

  KEEP(index);
  index &= 0xffff;
  return &hints->port[index];
}

/* What the hint of a port says against taking it. */
STEP bool port_is_out(const struct packet *p, struct port_hints *hints, __u16 port, __u32 wish) {
  __u32 value = READ(*hint_of(hints, port));

  if (value == HINT_NONE || value == HINT_IN_USE)
    return value == HINT_IN_USE;
  return (wish & PORT_RESTED) && p->policy->timeouts.port_rest &&
         (rest_tick(p->now) + REST_TICKS - value) % REST_TICKS * REST_TICK <=
             p->policy->timeouts.port_rest;
}

/* Which ports of the pool address to choose from. */
STEP void port_choose_from(struct packet *p, const struct pool_address *pool, __u32 wish) {
  struct port_choice *choice = &p->scratch->port_choice;
  __u16 asked = HOST16(p->scratch->binding_key.inside_port);
  __u8 protocol = p->scratch->port_key.protocol;
  __u32 low = pool->port_low, high = pool->port_high;

  choice->step = 1;
  choice->hints = hints_of(pool, protocol);
  if ((wish & PORT_ALIKE) && protocol != PROTOCOL_ICMP) {
    if (asked < FIRST_UNPRIVILEGED_PORT && low < FIRST_UNPRIVILEGED_PORT)
      high = high < FIRST_UNPRIVILEGED_PORT ? high : FIRST_UNPRIVILEGED_PORT - 1;
    else if (asked >= FIRST_UNPRIVILEGED_PORT && high >= FIRST_UNPRIVILEGED_PORT)
      low = low > FIRST_UNPRIVILEGED_PORT ? low : FIRST_UNPRIVILEGED_PORT;
    if (protocol == PROTOCOL_UDP && low < high) {
      choice->step = 2;
      low += (low ^ asked) & 1;
    }
  }
  choice->low = low;
  choice->count = (high - low) / choice->step + 1;
}

/* One search for a port: what the tries share. */
struct port_search {
  struct packet *packet;
  struct port_hints *hints;
  __u32 wish;
  __u32 start; /* the last random try; those in order go on behind it */
  __u32 lookups;
  int result; /* enum insertion */
};

/* The try with number i; 1 ends the search. */
STEP long port_try(__u32 i, void *context) {
  struct port_search *search = context;
  struct packet *p = search->packet;
  struct port_choice *choice = &p->scratch->port_choice;
  __u32 size = READ(choice->count), offset;
  __u16 port;

  if (i < RANDOM_PORT_TRIES)
    offset = search->start = spread(p->random, i) % (size ? size : 1);
  else if ((search->wish & PORT_ALIKE) || i - RANDOM_PORT_TRIES >= size ||
           search->lookups >= PORT_LOOKUPS)
    return 1;
  else
    offset = (search->start + 1 + i - RANDOM_PORT_TRIES) % (size ? size : 1);
  port = (__u16)(READ(choice->low) + offset * READ(choice->step));
  if (port_is_out(p, search->hints, port, search->wish))
    return 0;
  search->lookups++;
  p->scratch->port_key.pool_port = BE16(port);
  session_expect(p);
  search->result = port_insert(p, &p->scratch->port_key, &p->scratch->port);
  return search->result != EXISTS;
}

/* Takes a free port of one pool address for p->scratch->port: at random (RFC 6056), then in order,
 * but for a port that is alike: that is not worth a search. EXISTS: all that were tried are taken.
 * FULL: the table has no room. */
STEP enum insertion port_take(struct packet *p, const struct pool_address *pool, __u32 wish) {
  struct port_search search = {.packet = p, .wish = wish, .result = EXISTS};
  const struct port_choice *choice = &p->scratch->port_choice;

  (void)choice; /* only notes look at it */
  p->scratch->port_key.pool_address = pool->address;
  port_choose_from(p, pool, wish);
  search.hints = hints_find(p, &p->scratch->port_choice.hints);
  if (!search.hints || READ(search.hints->used) > (__u32)(pool->port_high - pool->port_low))
    return EXISTS;
  REPEAT(RANDOM_PORT_TRIES + PORT_SCAN, port_try, &search);
  if (search.result == INSERTED)
    NOTE(p, port_taken,
         .a = ENDPOINT4(p->scratch->port_key.pool_address, p->scratch->port_key.pool_port),
         .n = {choice->low, choice->low + (choice->count - 1) * choice->step, choice->step == 2});
  if (search.result == EXISTS)
    NOTE(p, port_searched, .a = ADDRESS4(pool->address),
         .n = {choice->low, choice->low + (choice->count - 1) * choice->step, wish != 0});
  return (enum insertion)search.result;
}

/* The hints of p->scratch->port_key's address; NULL if it has left the pool. */
STEP struct port_hints *hints_of_port_key(struct packet *p) {
  const struct port_key *key = &p->scratch->port_key;
  const struct pool_address *pool = find_pool_address(p, key->pool_address);

  if (!pool)
    return NULL;
  p->scratch->port_choice.hints = hints_of(pool, key->protocol);
  return hints_find(p, &p->scratch->port_choice.hints);
}

/* p->scratch->port_key has just been inserted: it is counted, and how many that makes at most. */
STEP void port_taken(struct packet *p) {
  struct port_hints *hints = hints_of_port_key(p);
  __u8 *own;
  __u32 used;

  if (!hints)
    return;
  own = hint_of(hints, HOST16(p->scratch->port_key.pool_port));
  p->scratch->port_choice.before = READ(*own);
  WRITE(*own, HINT_IN_USE);
  used = ADD(hints->used, 1) + 1;
  for (int i = 0; i < 4; i++) {
    __u32 most = READ(hints->most);
    if (most >= used || SWAP_IF(hints->most, most, used))
      break;
  }
}

/* For a port that was taken in vain: it goes on resting, if it did. */
STEP __u8 hint_before(const struct packet *p) {
  __u8 before = (__u8)p->scratch->port_choice.before;

  return before == HINT_IN_USE ? HINT_NONE : before;
}

/* Gives p->scratch->port_key back. The hint first: behind it, whoever takes the port writes his.
 * What the hint does not know as taken was not counted. */
STEP void port_give_back(struct packet *p, __u8 hint) {
  struct port_hints *hints = hints_of_port_key(p);

  if (hints) {
    __u8 *own = hint_of(hints, HOST16(p->scratch->port_key.pool_port));
    bool counted = READ(*own) == HINT_IN_USE;

    WRITE(*own, hint);
    for (int i = 0; i < 4 && counted; i++) { /* never below zero */
      __u32 seen = READ(hints->used);
      if (seen == 0 || SWAP_IF(hints->used, seen, seen - 1))
        break;
    }
  }
  port_remove(p, &p->scratch->port_key);
}

/* One search of the other addresses: what the tries share. */
struct address_search {
  struct packet *packet;
  __be32 own;
  __u32 count; /* how many there are to look at */
  __u32 start; /* the first one's index */
  __u32 searched;
  int result; /* enum insertion */
};

/* The address with number i behind the start; 1 ends the search. */
STEP long address_try(__u32 i, void *context) {
  struct address_search *search = context;
  struct packet *p = search->packet;
  const struct pool_address *other;

  if (i >= search->count || search->searched >= OTHER_ADDRESSES)
    return 1;
  other = usable_at(p->policy, (search->start + i) % (search->count ? search->count : 1));
  if (other->address == search->own || is_full(p, other))
    return 0;
  search->searched++;
  search->result = port_take(p, other, PORT_RESTED);
  return search->result != EXISTS;
}

/* Other addresses of the pool, from a random one on. All are looked at; but of those that seem to have
 * a port left not all are searched: each is a long search when ports are short, and that is when most
 * are asked for. */
STEP enum insertion port_take_elsewhere(struct packet *p, __be32 own) {
  __u32 count = usable_count(p->policy);
  struct address_search search = {.packet = p,
                                  .own = own,
                                  .count = count,
                                  .start = spread(p->random, POOL_SALT) % (count ? count : 1),
                                  .result = EXISTS};

  REPEAT(MAX_POOL, address_try, &search);
  return (enum insertion)search.result;
}

/* The subscriber's own pool address first (paired pooling), with every wish, then with fewer; then
 * others; at last a port that should still rest. */
STEP enum insertion port_take_anywhere(struct packet *p, __be32 pool_address) {
  const struct pool_address *own = find_pool_address(p, pool_address);
  enum insertion result = own ? port_take(p, own, PORT_ALIKE | PORT_RESTED) : EXISTS;

  if (TARGET_PUNTS) /* the native build looks further */
    return result;
  if (result == EXISTS && own)
    result = port_take(p, own, PORT_RESTED);
  if (result == EXISTS)
    result = port_take_elsewhere(p, pool_address);
  if (result == EXISTS && own && p->policy->timeouts.port_rest) {
    result = port_take(p, own, 0);
    if (result == INSERTED)
      count(p, REASON_port_not_rested);
  }
  return result;
}

/* --- bindings --------------------------------------------------------------------------------- */

/* Makes the binding for p->scratch->binding_key, or finds the one that another CPU made meanwhile.
 */
STEP enum verdict binding_make(struct packet *p, __be32 pool_address, struct binding **made) {
  struct scratch *s = p->scratch;

  s->port_key.protocol = s->binding_key.protocol;
  s->port_key.pad = 0;
  s->port.inside = s->binding_key.inside;
  s->port.inside_port = s->binding_key.inside_port;
  NOTE(p, pool_address, .a = ADDRESS4(pool_address));
  if (!subscriber_charge_binding(p))
    return drop(p, REASON_binding_quota);
  switch (port_take_anywhere(p, pool_address)) {
  case INSERTED:
    port_taken(p);
    break;
  case FULL:
    subscriber_release_binding(p, &s->binding_key, p->policy->subscriber_prefix);
    return drop(p, REASON_table_full);
  default:
    subscriber_release_binding(p, &s->binding_key, p->policy->subscriber_prefix);
    return TARGET_PUNTS ? punt(p, REASON_punt_port_search) : drop(p, REASON_no_port);
  }
  s->binding.pool_address = s->port_key.pool_address;
  s->binding.pool_port = s->port_key.pool_port;
  s->binding.subscriber_prefix = p->policy->subscriber_prefix;
  s->binding.is_static = 0;
  s->binding.sessions = 0;
  s->binding.generation = p->policy->generation;
  switch (binding_insert(p, &s->binding_key, &s->binding)) {
  case INSERTED:
    count(p, REASON_binding_made);
    EVENT(p, binding_made, &s->binding_key, &s->binding);
    NOTE(p, binding_new, .a = ENDPOINT6(s->binding_key.inside, s->binding_key.inside_port),
         .b = ENDPOINT4(s->binding.pool_address, s->binding.pool_port));
    break;
  case EXISTS:
    count(p, REASON_race_lost);
    port_give_back(p, hint_before(p));
    subscriber_release_binding(p, &s->binding_key, p->policy->subscriber_prefix);
    break;
  default:
    port_give_back(p, hint_before(p));
    subscriber_release_binding(p, &s->binding_key, p->policy->subscriber_prefix);
    return drop(p, REASON_table_full);
  }
  *made = binding_find(p, &s->binding_key);
  return *made ? VERDICT_NEXT : drop(p, REASON_dying);
}

/* One session less; the last one takes the binding with it. A port that was used rests; one that this
 * packet took in vain is as before. */
STEP void binding_release(struct packet *p, const struct binding_key *key, struct binding *binding,
                          bool used) {
  struct port_key *port_key = &p->scratch->port_key;

  port_key->pool_address = binding->pool_address;
  port_key->pool_port = binding->pool_port;
  port_key->protocol = key->protocol;
  port_key->pad = 0;
  if (ADD(binding->sessions, -1) != 1 || !SWAP_IF(binding->sessions, 0, BINDING_DEAD))
    return;
  subscriber_release_binding(p, key, binding->subscriber_prefix);
  binding_remove(p, key);
  port_give_back(p, used ? (__u8)rest_tick(p->now) : hint_before(p));
  count(p, REASON_binding_ended);
  EVENT(p, binding_ended, key, binding);
}

STEP bool binding_hold(struct binding *binding) {
  if (!(ADD(binding->sessions, 1) & BINDING_DEAD))
    return true;
  ADD(binding->sessions, -1);
  return false;
}

#endif
