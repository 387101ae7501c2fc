/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Bindings that the configuration makes (RFC 6146 3.1): they stay without sessions. One thread calls
 * these. `p` carries the target, the policy, scratch and now; there is no packet.
 */
#ifndef VIADUCT_DATAPATH_STATIC_BINDING_H
#define VIADUCT_DATAPATH_STATIC_BINDING_H

#include "datapath/binding.h"

/* The binding is there already, made by its host: it stays from now on. */
STEP bool bind_adopt(struct packet *p, const struct binding_key *inside,
                     const struct port_key *outside) {
  struct binding *binding = binding_find(p, inside);

  if (!binding || binding->pool_address != outside->pool_address ||
      binding->pool_port != outside->pool_port)
    return false;
  if (READ(binding->is_static) && !(READ(binding->sessions) & BINDING_DEAD))
    return true; /* the daemon's predecessor has made it */
  if (!binding_hold(binding))
    return false;
  WRITE(binding->is_static, 1);
  return true;
}

/* False where somebody has one of its ends, or a table is full. */
STEP bool bind(struct packet *p, const struct binding_key *inside, const struct port_key *outside) {
  struct scratch *s = p->scratch;
  const struct pool_address *pool = find_pool_address(p, outside->pool_address);

  s->port_key = *outside;
  s->port = (struct port){.inside = inside->inside, .inside_port = inside->inside_port};
  s->binding = (struct binding){.pool_address = outside->pool_address,
                                .pool_port = outside->pool_port,
                                .is_static = 1,
                                .sessions = 1};
  if (port_insert(p, &s->port_key, &s->port) != INSERTED)
    return bind_adopt(p, inside, outside);
  if (binding_insert(p, inside, &s->binding) != INSERTED) {
    port_remove(p, &s->port_key);
    return false;
  }
  EVENT(p, binding_made, inside, &s->binding);
  count(p, REASON_binding_made);
  /* Counted with those that are given out; it may lie outside of their range. */
  if (pool && HOST16(outside->pool_port) >= pool->port_low &&
      HOST16(outside->pool_port) <= pool->port_high)
    port_taken(p);
  return true;
}

STEP void unbind(struct packet *p, const struct binding_key *inside) {
  struct binding *binding = binding_find(p, inside);

  if (!binding || !READ(binding->is_static))
    return;
  WRITE(binding->is_static, 0);
  binding_release(p, inside, binding, true);
}

#endif
