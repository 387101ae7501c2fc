/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the two native targets share: native.c carries packets, trace.c says what would become of
 * one. The engine's memory.
 */
#ifndef VIADUCT_DATAPATH_ENGINE_H
#define VIADUCT_DATAPATH_ENGINE_H

#include "datapath/native/atomic.h"
#include "datapath/native/hash_table.h"
#include "datapath/native/native.h"
#include "datapath/native/reassembly.h"

#include <string.h>

struct engine {
  struct epochs epochs;
  const struct remote_tables *remote; /* NULL: the tables are these */
  struct table bindings, ports, sessions, subscribers, peers;
  struct table held;        /* SYNs, syn_hold.h */
  struct port_hints *hints; /* PORT_HINTS of them */
  struct policy *policy; /* replaced as a whole; the old one is freed when all readers have left */
  struct reassembly *reassembly;
  __u64 event_order;
  __u32 watched;          /* somebody wants to know of events */
  __u32 slots;            /* that have been given to workers */
  struct worker *workers; /* all that ever were: their counters stay in the sum */
  struct worker
      *sweeper; /* for the thread that sweeps, dumps and sets the policy; one of workers */
};

/* --- copies of entries that a worker may be changing ------------------------------------------- */

#define COPY static inline __attribute__((unused))

COPY void copy_session(void *to, const void *from) {
  const struct session *s = from;
  struct session *copy = to;

  *copy = (struct session){
      .inside = s->inside,
      .prefix = s->prefix,
      .packets = READ(s->packets),
      .bytes = READ(s->bytes),
      .inside_port = s->inside_port,
      .prefix_length = s->prefix_length,
      .state = READ(s->state),
      .expires = READ(s->expires),
      .made = s->made,
      .subscriber_prefix = s->subscriber_prefix,
      .has_peer = s->has_peer,
      .sequence6 = READ(s->sequence6),
      .sequence4 = READ(s->sequence4),
  };
}

COPY void copy_binding(void *to, const void *from) {
  const struct binding *b = from;
  struct binding *copy = to;

  *copy = (struct binding){.pool_address = b->pool_address,
                           .pool_port = b->pool_port,
                           .subscriber_prefix = b->subscriber_prefix,
                           .is_static = READ(b->is_static),
                           .sessions = READ(b->sessions),
                           .generation = b->generation};
}

COPY void copy_port(void *to, const void *from) {
  memcpy(to, from, sizeof(struct port));
}

COPY void copy_subscriber(void *to, const void *from) {
  const struct subscriber *s = from;
  struct subscriber *copy = to;

  *copy = (struct subscriber){.pool_address = READ(s->pool_address),
                              .sessions = READ(s->sessions),
                              .bindings = READ(s->bindings)};
}

COPY void copy_peer(void *to, const void *from) {
  const struct peer *peer = from;
  struct peer *copy = to;

  copy->sessions = READ(peer->sessions);
}

#endif
