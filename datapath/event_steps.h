/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What EVENT(p, KIND, ...) of a target that tells of events becomes (event.h). The target supplies
 *
 *   struct event *event_begin(p, kind)   a place with order and kind filled in, the rest zeros, or
 *                                        NULL: nobody watches, or there is no room
 *   void event_end(p, event)             it is written
 *   copy_session(to, from)               of one that another CPU may be changing
 */
#ifndef VIADUCT_DATAPATH_EVENT_STEPS_H
#define VIADUCT_DATAPATH_EVENT_STEPS_H

#include "datapath/event.h"
#include "datapath/packet.h"

STEP void event_of_session(const struct packet *p, __u32 kind, const struct session_key *key,
                           const struct session *session, __u8 why, __u32 old_state) {
  struct event *event = event_begin(p, kind);

  if (!event)
    return;
  event->why = why;
  event->old_state = (__u8)old_state;
  event->key = *key;
  copy_session(&event->session, session);
  event_end(p, event);
}

STEP void event_of_binding(const struct packet *p, __u32 kind, const struct binding_key *key,
                           const struct binding *binding) {
  struct event *event = event_begin(p, kind);

  if (!event)
    return;
  event->key.pool_address = binding->pool_address;
  event->key.pool_port = binding->pool_port;
  event->key.protocol = key->protocol;
  event->session.inside = key->inside;
  event->session.inside_port = key->inside_port;
  event_end(p, event);
}

#define event_session_made(p, key, session)                                                        \
  event_of_session(p, EVENT_SESSION_MADE, key, session, WHY_NONE, 0)
#define event_session_moved(p, key, session, from)                                                 \
  event_of_session(p, EVENT_SESSION_MOVED, key, session, WHY_NONE, from)
#define event_session_ended(p, key, session, why)                                                  \
  event_of_session(p, EVENT_SESSION_ENDED, key, session, (__u8)(why), 0)
#define event_binding_made(p, key, binding) event_of_binding(p, EVENT_BINDING_MADE, key, binding)
#define event_binding_ended(p, key, binding) event_of_binding(p, EVENT_BINDING_ENDED, key, binding)

#endif
