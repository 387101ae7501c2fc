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

#include "datapath/event.h"
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

/* Why a session ends whose timer has run out. A timer is all that TRANS is left: whether by a reset,
 * or because nobody answered the probe, cannot be told any more. */
STEP enum event_why why_over(const struct session_key *key, const struct session *session) {
  if (key->protocol != PROTOCOL_TCP)
    return WHY_EXPIRED;
  switch (READ(session->state)) {
  case STATE_V4_INIT:
  case STATE_V6_INIT:
    return WHY_UNANSWERED;
  case STATE_V4_FIN_V6_FIN_RCV:
    return WHY_CLOSED;
  default:
    return WHY_EXPIRED;
  }
}

STEP void count_ended(struct packet *p, enum event_why why) {
  count(p, REASON_session_ended);
  count(p, why == WHY_CLOSED       ? REASON_session_closed
           : why == WHY_UNANSWERED ? REASON_session_unanswered
           : why == WHY_CLEARED    ? REASON_session_cleared
           : why == WHY_DISALLOWED ? REASON_session_disallowed
                                   : REASON_session_expired);
}

/* `cause`: why the caller has it end at once; WHY_NONE: only if its timer has run out. may_probe: how
 * the caller says that it cannot send any more now. */
STEP enum expiry session_expire(struct packet *p, const struct session_key *key,
                                struct session *session, enum event_why cause, bool may_probe) {
  struct scratch *s = p->scratch;
  __u32 seen = READ(session->expires);
  struct binding *binding;
  enum event_why why;

  if (seen == SESSION_DEAD || (!cause && p->now <= seen))
    return SESSION_STAYS;
  if (!cause && key->protocol == PROTOCOL_TCP && READ(session->state) == STATE_ESTABLISHED)
    return may_probe ? session_probe(p, key, session, seen) : SESSION_STAYS;
  if (!SWAP_IF(session->expires, seen, SESSION_DEAD))
    return SESSION_STAYS; /* refreshed meanwhile */

  why = cause ? cause : why_over(key, session);
  s->binding_key.inside = session->inside;
  s->binding_key.inside_port = session->inside_port;
  s->binding_key.protocol = key->protocol;
  s->binding_key.pad = 0;
  subscriber_key_of(&s->subscriber_key, &session->inside, session->subscriber_prefix);
  if (session->has_peer)
    peer_release(p, key);
  EVENT(p, session_ended, key, session, why);
  session_remove(p, key);
  count_ended(p, why);

  binding = binding_find(p, &s->binding_key);
  if (binding)
    binding_release(p, &s->binding_key, binding, true);
  subscriber_release(p, &s->subscriber_key);
  return SESSION_ENDED;
}

#endif
