/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The end of a session: the only place that takes one out. The sweep walks the table in pieces and
 * calls session_expire for each entry; a packet that refreshes the same session at the same moment
 * wins or loses the compare-and-swap, and so is either kept or makes a new one.
 *
 * `p` carries the target, the policy, scratch and now; there is no packet.
 */
#ifndef VIADUCT_DATAPATH_AGEING_H
#define VIADUCT_DATAPATH_AGEING_H

#include "datapath/session.h"

STEP bool session_expire(struct packet *p, const struct session_key *key, struct session *session,
                         bool even_if_fresh) {
  struct scratch *s = p->scratch;
  __u32 seen = READ(session->expires);
  struct binding *binding;

  if (seen == SESSION_DEAD || (!even_if_fresh && p->now <= seen))
    return false;
  if (!SWAP_IF(session->expires, seen, SESSION_DEAD))
    return false; /* refreshed meanwhile */

  s->binding_key.inside = session->inside;
  s->binding_key.inside_port = session->inside_port;
  s->binding_key.protocol = key->protocol;
  s->binding_key.pad = 0;
  subscriber_key_of(&s->subscriber_key, &session->inside, session->subscriber_prefix);
  session_remove(p, key);
  count(p, REASON_session_ended);

  binding = binding_find(p, &s->binding_key);
  if (binding)
    binding_release(p, &s->binding_key, binding);
  subscriber_release(p, &s->subscriber_key);
  return true;
}

#endif
