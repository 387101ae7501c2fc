/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The end of a session: the only place that takes one out. The sweep walks the table in pieces and
 * calls session_expire for each entry; a packet that refreshes the same session at the same moment
 * wins or loses the compare-and-swap, and so is either kept or makes a new one.
 *
 * An established TCP session does not end unasked: it moves to TRANS, and its IPv6 host is sent a
 * probe (RFC 6146 3.5.2.2), whose answer brings it back.
 *
 * `p` carries the target, the policy, scratch and now; there is no packet.
 */
#ifndef VIADUCT_DATAPATH_AGEING_H
#define VIADUCT_DATAPATH_AGEING_H

#include "datapath/keeper.h"
#include "datapath/session.h"

/* A packet that comes in between has the last word: it either wins the timer, or finds TRANS and
 * leaves it again. */
STEP enum expiry session_probe(struct packet *p, const struct session_key *key,
                               struct session *session, __u32 seen) {
  (void)key; /* for events only */
  if (!SWAP_IF(session->expires, seen, p->now + p->policy->timeouts.tcp_transitory))
    return SESSION_STAYS;
  if (!SWAP_IF(session->state, STATE_ESTABLISHED, STATE_TRANS))
    return SESSION_STAYS;
  EVENT(p, session_moved, key, session, STATE_ESTABLISHED);
  return SESSION_PROBE;
}

/* may_probe: how the caller says that it cannot send any more now. */
STEP enum expiry session_expire(struct packet *p, const struct session_key *key,
                                struct session *session, bool even_if_fresh, bool may_probe) {
  struct scratch *s = p->scratch;
  __u32 seen = READ(session->expires);
  struct binding *binding;

  if (seen == SESSION_DEAD || (!even_if_fresh && p->now <= seen))
    return SESSION_STAYS;
  if (!even_if_fresh && key->protocol == PROTOCOL_TCP && READ(session->state) == STATE_ESTABLISHED)
    return may_probe ? session_probe(p, key, session, seen) : SESSION_STAYS;
  if (!SWAP_IF(session->expires, seen, SESSION_DEAD))
    return SESSION_STAYS; /* refreshed meanwhile */

  s->binding_key.inside = session->inside;
  s->binding_key.inside_port = session->inside_port;
  s->binding_key.protocol = key->protocol;
  s->binding_key.pad = 0;
  subscriber_key_of(&s->subscriber_key, &session->inside, session->subscriber_prefix);
  if (session->has_peer)
    peer_release(p, key);
  EVENT(p, session_ended, key, session, even_if_fresh);
  session_remove(p, key);
  count(p, REASON_session_ended);

  binding = binding_find(p, &s->binding_key);
  if (binding)
    binding_release(p, &s->binding_key, binding, true);
  subscriber_release(p, &s->subscriber_key);
  return SESSION_ENDED;
}

#endif
