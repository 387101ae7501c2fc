/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * session, for ICMP errors (RFC 6146 3.5 end, 3.6.1; RFC 5508 REQ-4 to REQ-6): the packet inside
 * names the session, seen from the other end, because it is a packet that we sent. Nothing is made,
 * refreshed or ended: an error is easy to forge.
 */
#ifndef VIADUCT_DATAPATH_SESSION_ERROR_H
#define VIADUCT_DATAPATH_SESSION_ERROR_H

#include "datapath/session.h"
#include "datapath/stateless.h"

STEP const struct session *live_session(struct packet *p) {
  const struct session *session = session_find(p, &p->scratch->session_key);

  return session && READ(session->expires) != SESSION_DEAD ? session : NULL;
}

/* From an IPv4 router or host, about a packet from (pool address, port) to a server. */
STEP enum verdict session_error_inbound(struct packet *p) {
  struct layer *inside = &p->scratch->inside;
  const struct session *session;
  struct session_key *key = &p->scratch->session_key;
  bool icmp = inside->headers.protocol == PROTOCOL_ICMP;

  if (inside->in.source.word[0] != p->in->destination.word[0])
    return drop(p, REASON_error_without_session);
  *key = (struct session_key){};
  key->pool_address = inside->in.source.word[0];
  key->pool_port = inside->in.source_port;
  key->remote_address = inside->in.destination.word[0];
  key->remote_port = icmp ? 0 : inside->in.destination_port;
  key->protocol = inside->headers.protocol;
  session = live_session(p);
  if (!session)
    return drop(p, REASON_error_without_session);
  NOTE_ABOUT(session, p, session);
  if (!error_is_genuine(p, session, FAMILY_6))
    return drop(p, REASON_error_out_of_window);

  p->prefix->address = session->prefix;
  p->prefix->length = session->prefix_length;
  rfc6052_embed(&p->out->source, p->prefix, p->in->source.word[0]);
  p->out->destination = session->inside;
  inside->out.source = session->inside;
  inside->out.source_port = session->inside_port;
  rfc6052_embed(&inside->out.destination, p->prefix, key->remote_address);
  inside->out.destination_port = icmp ? session->inside_port : inside->in.destination_port;
  return VERDICT_NEXT;
}

/* From an IPv6 router or host, about a packet from a server (inside the prefix) to one of our
 * hosts. The router's own address has no counterpart in IPv4: the error comes from the pool
 * address, as everything else of that host does. */
STEP enum verdict session_error_outbound(struct packet *p) {
  struct layer *inside = &p->scratch->inside;
  struct binding_key *binding_key = &p->scratch->binding_key;
  struct session_key *key = &p->scratch->session_key;
  bool icmp = inside->headers.protocol == PROTOCOL_ICMP;
  const struct binding *binding;
  const struct session *session;
  __be32 remote;

  /* classify has put the server that is to be told into out; the packet inside must be its. */
  if (!in_prefix(&inside->in.source, p->prefix))
    return drop(p, REASON_error_without_session);
  remote = rfc6052_extract(&inside->in.source, p->prefix->length);
  if (remote != p->out->destination.word[0])
    return drop(p, REASON_error_without_session);
  *binding_key = (struct binding_key){};
  binding_key->inside = inside->in.destination;
  binding_key->inside_port = inside->in.destination_port;
  binding_key->protocol = inside->headers.protocol;
  binding = binding_find(p, binding_key);
  if (!binding)
    return drop(p, REASON_error_without_session);
  *key = (struct session_key){};
  key->pool_address = binding->pool_address;
  key->pool_port = binding->pool_port;
  key->remote_address = remote;
  key->remote_port = icmp ? 0 : inside->in.source_port;
  key->protocol = inside->headers.protocol;
  session = live_session(p);
  if (!session)
    return drop(p, REASON_error_without_session);
  NOTE_ABOUT(session, p, session);
  if (!error_is_genuine(p, session, FAMILY_4))
    return drop(p, REASON_error_out_of_window);

  set_address4(&p->out->source, key->pool_address);
  set_address4(&inside->out.source, remote);
  inside->out.source_port = icmp ? key->pool_port : inside->in.source_port;
  set_address4(&inside->out.destination, key->pool_address);
  inside->out.destination_port = key->pool_port;
  return VERDICT_NEXT;
}

STEP enum verdict session_error(struct packet *p) {
  if (p->scratch->inside.headers.opaque) /* a later fragment, or a protocol without ports */
    return drop(p, REASON_inner_packet);
  return p->headers->family == FAMILY_6 ? session_error_outbound(p) : session_error_inbound(p);
}

STEP enum verdict session(struct packet *p) {
  if (p->headers->stateless)
    return !TARGET_PUNTS && p->headers->icmp_error ? stateless_error(p) : VERDICT_NEXT;
  return !TARGET_PUNTS && p->headers->icmp_error ? session_error(p) : session_of_flow(p);
}

#endif
