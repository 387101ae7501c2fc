/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * session: finds or makes the binding (binding.h) and the session of a packet, moves the session's
 * state, and says which tuple the packet leaves with (RFC 6146 3.5, 3.6). A session stands under
 * its IPv4 5-tuple.
 *
 * Many CPUs do this at once, without locks:
 *  - who loses the race for a session puts back what he took and uses the winner's;
 *  - a session dies by compare-and-swap of `expires` to SESSION_DEAD; a refresh is a
 *    compare-and-swap too, so a session is either refreshed or ended, never both. The sweep
 *    (ageing.h) is the only one that ends sessions.
 */
#ifndef VIADUCT_DATAPATH_SESSION_H
#define VIADUCT_DATAPATH_SESSION_H

#include "datapath/binding.h"
#include "datapath/classify.h"
#include "datapath/packet.h"
#include "datapath/peer.h"
#include "datapath/rfc6052.h"
#include "datapath/sequence.h"
#include "datapath/tables.h"
#include "datapath/tcp_state.h"

/* --- sessions --------------------------------------------------------------------------------- */

STEP __u32 first_timeout(const struct packet *p) {
  const struct timeouts *t = &p->policy->timeouts;

  if (p->headers->protocol == PROTOCOL_UDP)
    return t->udp;
  if (p->headers->protocol == PROTOCOL_ICMP)
    return t->icmp;
  return t->tcp_transitory; /* from either side: endpoint-independent filtering lets SYNs in */
}

STEP __u32 first_state(const struct packet *p) {
  if (p->headers->protocol != PROTOCOL_TCP)
    return STATE_OPEN;
  return p->headers->family == FAMILY_6 ? STATE_V6_INIT : STATE_V4_INIT;
}

/* Sets the timer; false if the session has ended. */
STEP bool session_refresh(struct session *session, __u32 now, __u32 timeout) {
  __u32 wanted = now + timeout;

  for (int i = 0; i < 4; i++) {
    __u32 seen = READ(session->expires);

    if (seen == SESSION_DEAD)
      return false;
    if (seen == wanted || SWAP_IF(session->expires, seen, wanted))
      return true;
  }
  return true; /* somebody else refreshed it at the same moment, more than once */
}

STEP __u64 accounted_bytes(const struct packet *p) {
  return p->headers->family == FAMILY_4 ? p->headers->transport_length + IPV6_HEADER : p->length;
}

STEP void session_account(struct packet *p, struct session *session) {
  if (!p->policy->accounting)
    return;
  ADD(session->packets, p->segments);
  ADD(session->bytes, accounted_bytes(p));
}

/* The packet comes again by another way, and is counted there. */
STEP void session_take_back(struct packet *p) {
  struct session *session;

  if (!p->policy->accounting || p->headers->stateless)
    return;
  session = session_find(p, &p->scratch->session_key);
  if (!session)
    return;
  ADD(session->packets, -(__u64)p->segments);
  ADD(session->bytes, -accounted_bytes(p));
}

/* Only the IPv6 side keeps a session alive, where the policy says so (RFC 4787 REQ-6). */
STEP bool may_refresh(const struct packet *p) {
  return p->headers->family == FAMILY_6 || !p->policy->outbound_refresh_only;
}

/* Moves a TCP session's state; returns what its timer becomes, 0: nothing new. Two packets at once,
 * such as a FIN from each side, are taken one after the other. */
STEP __u32 tcp_advance(struct packet *p, struct session *session) {
  struct tcp_step step = {0, 0};
  bool rst = p->headers->tcp_flags & TCP_RST;
  __u32 seen = READ(session->state);

  if (rst && p->policy->rst_window && !reset_is_genuine(p, session)) {
    count(p, REASON_reset_ignored);
    NOTE(p, reset_far);
    return 0;
  }
  if (!rst)
    sequence_follow(p, session, seen);
  for (int i = 0; i < 4; i++) {
    step = tcp_next(seen, p->headers->family, p->headers->tcp_flags, &p->policy->timeouts);
    if (step.state == seen || SWAP_IF(session->state, seen, step.state))
      break;
    seen = READ(session->state);
  }
  if (step.state != seen) {
    NOTE(p, state_moves, .n = {seen, step.state});
    EVENT(p, session_moved, &p->scratch->session_key, session, seen);
  }
  if (step.state == seen && !rst && !may_refresh(p))
    return 0;
  return step.timeout;
}

/* A packet of a session that exists: state, timer, counts. */
STEP enum verdict session_advance(struct packet *p, struct session *session) {
  __u32 timeout = 0;

  if (p->headers->protocol == PROTOCOL_TCP)
    timeout = tcp_advance(p, session);
  else if (may_refresh(p))
    timeout = first_timeout(p);
  if (timeout ? !session_refresh(session, p->now, timeout) : READ(session->expires) == SESSION_DEAD)
    return drop(p, REASON_dying);
  if (timeout)
    NOTE(p, timer_set, .n = {timeout});
  if (!timeout)
    NOTE(p, timer_stays);
  session_account(p, session);
  return VERDICT_NEXT;
}

/* Only a SYN opens a TCP session, a reset or a stray segment does not (RFC 6146 3.5.2.2, CLOSED).
 */
STEP bool opens_session(const struct packet *p) {
  return p->headers->protocol != PROTOCOL_TCP ||
         (p->headers->tcp_flags & (TCP_SYN | TCP_RST)) == TCP_SYN;
}

/* Makes the session p->scratch->session_key for a binding that is held. On failure the caller
 * releases what it holds. *lost: another CPU was first, its session is the one. */
STEP enum verdict session_insert_new(struct packet *p, const struct address *inside,
                                     __be16 inside_port, bool *lost) {
  struct session *value = &p->scratch->session;
  struct session *winner;

  value->inside = *inside;
  value->prefix = p->prefix->address;
  value->packets = 0;
  value->bytes = 0;
  value->inside_port = inside_port;
  value->prefix_length = p->prefix->length & 0x7f;
  value->has_peer = holds_peer(p);
  value->state = first_state(p);
  value->expires = p->now + first_timeout(p);
  value->made = p->now;
  value->subscriber_prefix = p->policy->subscriber_prefix;
  value->sequence6 = 0;
  value->sequence4 = 0;
  if (p->headers->protocol == PROTOCOL_TCP)
    sequence_follow(p, value, value->state);
  session_account(p, value);
  switch (session_insert(p, &p->scratch->session_key, value)) {
  case INSERTED:
    count(p, REASON_session_made);
    EVENT(p, session_made, &p->scratch->session_key, value);
    NOTE(p, session_new, .n = {value->state, first_timeout(p)});
    return VERDICT_NEXT;
  case FULL:
    return drop(p, REASON_table_full);
  default:
    break;
  }
  count(p, REASON_race_lost);
  *lost = true;
  winner = session_find(p, &p->scratch->session_key);
  if (!winner || !is_inside(winner, inside, inside_port))
    return drop(p, REASON_dying);
  return session_advance(p, winner);
}

/* session_insert_new, and what the session holds besides its binding and its subscriber. */
STEP enum verdict session_make(struct packet *p, const struct address *inside, __be16 inside_port,
                               bool *lost) {
  enum verdict v;

  if (holds_peer(p)) {
    v = peer_hold(p);
    if (v != VERDICT_NEXT)
      return v;
  }
  v = session_insert_new(p, inside, inside_port, lost);
  if (holds_peer(p) && (v != VERDICT_NEXT || *lost))
    peer_release(p, &p->scratch->session_key);
  return v;
}

STEP void session_key_of(struct packet *p, __be32 pool_address, __be16 pool_port,
                         __be32 remote_address, __be16 remote_port) {
  struct session_key *key = &p->scratch->session_key;

  key->pool_address = pool_address;
  key->pool_port = pool_port;
  key->remote_address = remote_address;
  key->remote_port = p->headers->protocol == PROTOCOL_ICMP ? 0 : remote_port;
  key->protocol = p->headers->protocol;
  key->pad[0] = key->pad[1] = key->pad[2] = 0;
}

/* --- IPv6 to IPv4 ----------------------------------------------------------------------------- */

STEP bool is_allowed(const struct packet *p) {
  __u32 found = FIND_ALLOWED(p->policy, &p->in->source);

  if (found)
    NOTE(p, allowed, .a = ADDRESS6(p->in->source),
         .b = PREFIX6(p->policy->allow[found - 1].address, p->policy->allow[found - 1].length));
  return found != 0;
}

/* The tuple a packet to IPv4 leaves with; the destination was set by classify. */
STEP void leave_by(struct packet *p, __be32 pool_address, __be16 pool_port) {
  set_address4(&p->out->source, pool_address);
  p->out->source_port = pool_port;
  p->out->destination_port =
      p->headers->protocol == PROTOCOL_ICMP ? pool_port : p->in->destination_port;
}

/* First packet of a session: admission, binding, session; all or nothing. */
STEP enum verdict session_open_outbound(struct packet *p, struct binding *binding) {
  struct scratch *s = p->scratch;
  __be32 pool_address = 0;
  bool lost = false;
  enum verdict v;

  if (!is_allowed(p))
    return drop(p, REASON_not_allowed);
  subscriber_key_of(&s->subscriber_key, &p->in->source, p->policy->subscriber_prefix);
  v = subscriber_charge(p, &s->subscriber_key, &pool_address);
  if (v != VERDICT_NEXT)
    return v;
  if (!binding)
    v = binding_make(p, pool_address, &binding);
  if (v != VERDICT_NEXT) {
    subscriber_release(p, &s->subscriber_key);
    return v;
  }
  if (!binding_hold(binding)) {
    subscriber_release(p, &s->subscriber_key);
    return drop(p, REASON_dying);
  }
  leave_by(p, binding->pool_address, binding->pool_port);
  session_key_of(p, p->out->source.word[0], p->out->source_port, p->out->destination.word[0],
                 p->out->destination_port);
  v = session_make(p, &p->in->source, p->in->source_port, &lost);
  if (v != VERDICT_NEXT || lost) {
    binding_release(p, &s->binding_key, binding, false);
    subscriber_release(p, &s->subscriber_key);
  }
  return v;
}

/* The session of a binding and this packet's destination, under scratch->session_key, or NULL. */
STEP struct session *session_of_binding(struct packet *p, const struct binding *binding) {
  struct scratch *s = p->scratch;

  NOTE(p, binding_found, .a = ENDPOINT6(p->in->source, p->in->source_port),
       .b = ENDPOINT4(binding->pool_address, binding->pool_port),
       .n = {(binding->sessions & ~BINDING_DEAD) - binding->is_static});
  leave_by(p, binding->pool_address, binding->pool_port);
  session_key_of(p, p->out->source.word[0], p->out->source_port, p->out->destination.word[0],
                 p->out->destination_port);
  return session_find(p, &s->session_key);
}

/* By the binding, as RFC 6146 has it: who has one uses it for all destinations. *found stays NULL where the
 * verdict is the step's; else it is the packet's session, under scratch->session_key. */
STEP enum verdict session_outbound_find(struct packet *p, struct session **found) {
  struct scratch *s = p->scratch;
  struct session *session = NULL;
  struct binding *binding;

  binding = binding_find(p, &s->binding_key);
  if (binding)
    session = session_of_binding(p, binding);
  /* The binding may have ended since we found it, and its port be somebody else's now. */
  if (session && !is_inside(session, &p->in->source, p->in->source_port))
    return drop(p, REASON_dying);
  if (session) {
    session_hint(p);
    *found = session;
    return VERDICT_NEXT;
  }
  if (binding)
    NOTE(p, session_none, .a = ENDPOINT4(s->session_key.pool_address, s->session_key.pool_port),
         .b = ADDRESS4(s->session_key.remote_address));
  if (!binding)
    NOTE(p, binding_none, .a = ENDPOINT6(p->in->source, p->in->source_port),
         .n = {p->headers->protocol});
  if (opens_session(p))
    return session_open_outbound(p, binding);
  if (!binding)
    return drop(p, REASON_tcp_not_syn);
  /* RFC 6146 3.5.2.2, CLOSED: with a binding the segment goes on, and changes nothing. */
  NOTE(p, no_session_needed);
  return is_allowed(p) ? VERDICT_NEXT : drop(p, REASON_not_allowed);
}

/* A session that lives has a binding that lives, which says the same as its key: where the target knows
 * the session at once, nobody need ask the binding. */
STEP enum verdict session_outbound(struct packet *p) {
  const struct session_key *key = &p->scratch->session_key;
  struct binding_key *binding_key = &p->scratch->binding_key;
  struct session *session;
  enum verdict v;

  binding_key->inside = p->in->source;
  binding_key->inside_port = p->in->source_port;
  binding_key->protocol = p->headers->protocol;
  binding_key->pad = 0;
  session = session_hinted(p);
  if (!session) {
    v = session_outbound_find(p, &session);
    if (!session)
      return v;
  }
  NOTE_ABOUT(session, p, session);
  leave_by(p, key->pool_address, key->pool_port);
  return session_advance(p, session);
}

/* --- IPv4 to IPv6 ----------------------------------------------------------------------------- */

/* The tuple a packet to IPv6 leaves with. */
STEP void arrive_at(struct packet *p, const struct address *inside, __be16 inside_port) {
  rfc6052_embed(&p->out->source, p->prefix, p->in->source.word[0]);
  p->out->destination = *inside;
  p->out->destination_port = inside_port;
  p->out->source_port = p->headers->protocol == PROTOCOL_ICMP ? inside_port : p->in->source_port;
}

/* Whom the port at hand belongs to, in the scratch's binding key; NULL: nobody. A port may be given away while it
 * is read, and its host may have another binding by now: it is the binding that says whose port this is. */
STEP struct binding *binding_of_port(struct packet *p, const struct port *port) {
  struct binding_key *key = &p->scratch->binding_key;
  struct binding *binding;

  key->inside = port->inside;
  key->inside_port = port->inside_port;
  key->protocol = p->headers->protocol;
  key->pad = 0;
  binding = binding_find(p, key);
  if (!binding || binding->pool_address != p->in->destination.word[0] ||
      binding->pool_port != p->in->destination_port || (READ(binding->sessions) & BINDING_DEAD))
    return NULL;
  return binding;
}

/* Somebody new speaks to a port that is bound, and may. */
STEP enum verdict session_open_inbound(struct packet *p, struct binding *binding) {
  struct scratch *s = p->scratch;
  const struct binding_key *inside = &s->binding_key;
  __be32 pool_address = 0;
  bool lost = false;
  enum verdict v;

  if (!binding_hold(binding))
    return drop(p, REASON_no_binding);
  subscriber_key_of(&s->subscriber_key, &inside->inside, p->policy->subscriber_prefix);
  v = subscriber_charge(p, &s->subscriber_key, &pool_address);
  if (v != VERDICT_NEXT) {
    binding_release(p, &s->binding_key, binding, false);
    return v;
  }
  v = session_make(p, &inside->inside, inside->inside_port, &lost);
  if (v != VERDICT_NEXT || lost) {
    binding_release(p, &s->binding_key, binding, false);
    subscriber_release(p, &s->subscriber_key);
  }
  return v;
}

/* From IPv4, and nobody has asked for it. The IPv6 host may be about to open the same connection
 * from its side (simultaneous open), so a SYN is held for a while (RFC 6146 3.5.2.2, RFC 5382
 * REQ-4); it makes no session, and so a second one finds nothing that would let it in. */
STEP enum verdict unsolicited(struct packet *p, enum reason reason) {
  if (p->headers->protocol == PROTOCOL_TCP && opens_session(p))
    return hold_syn(p);
  return drop(p, reason);
}

STEP enum verdict session_inbound_unknown(struct packet *p) {
  struct port_key *key = &p->scratch->port_key;
  const struct binding_key *inside = &p->scratch->binding_key;
  struct binding *binding = NULL;
  struct port *port;

  key->pool_address = p->in->destination.word[0];
  key->pool_port = p->in->destination_port;
  key->protocol = p->headers->protocol;
  key->pad = 0;
  port = port_find(p, key);
  if (port)
    binding = binding_of_port(p, port);
  if (!binding) {
    NOTE(p, port_none, .a = ENDPOINT4(key->pool_address, key->pool_port), .n = {key->protocol});
    return unsolicited(p, REASON_no_binding);
  }
  NOTE(p, port_found, .a = ENDPOINT4(key->pool_address, key->pool_port),
       .b = ENDPOINT6(inside->inside, inside->inside_port));
  if (p->policy->filtering == FILTER_ADDRESS && !peer_is_known(p)) {
    NOTE(p, filter_unknown, .a = ADDRESS4(p->in->source.word[0]));
    return unsolicited(p, REASON_filtered);
  }
  if (p->policy->filtering == FILTER_ADDRESS)
    NOTE(p, filter_known, .a = ADDRESS4(p->in->source.word[0]));
  if (p->policy->filtering != FILTER_ADDRESS)
    NOTE(p, filter_endpoint);
  *p->prefix = p->policy->prefix[0];
  if (is_refused_private(p, p->in->source.word[0]))
    return drop(p, REASON_private_destination);
  arrive_at(p, &inside->inside, inside->inside_port);
  if (opens_session(p))
    return session_open_inbound(p, binding);
  NOTE(p, no_session_needed);
  return VERDICT_NEXT;
}

STEP enum verdict session_inbound(struct packet *p) {
  struct session *session;

  session_key_of(p, p->in->destination.word[0], p->in->destination_port, p->in->source.word[0],
                 p->in->source_port);
  session = session_find(p, &p->scratch->session_key);
  if (!session) {
    NOTE(p, session_none, .a = ENDPOINT4(p->in->destination.word[0], p->in->destination_port),
         .b = ADDRESS4(p->in->source.word[0]));
    return session_inbound_unknown(p);
  }
  NOTE_ABOUT(session, p, session);
  p->prefix->address = session->prefix;
  p->prefix->length = session->prefix_length;
  arrive_at(p, &session->inside, session->inside_port);
  return session_advance(p, session);
}

STEP enum verdict session_of_flow(struct packet *p) {
  return p->headers->family == FAMILY_6 ? session_outbound(p) : session_inbound(p);
}

#endif
