/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Address-dependent filtering (RFC 6146 3.5.1, RFC 4787 REQ-8): only who has been spoken to from a
 * pool address and port may send there, from whatever port of his. `peers` counts the sessions that
 * (pool address, port) has with an IPv4 address; an entry lives as long as one of them.
 *
 * Sessions hold an entry only where they were made under this filtering (has_peer), so a reload
 * may switch it on and off. An ICMP query's session has no remote port: the session itself is the
 * permission.
 */
#ifndef VIADUCT_DATAPATH_PEER_H
#define VIADUCT_DATAPATH_PEER_H

#include "datapath/packet.h"
#include "datapath/tables.h"

STEP void peer_key_of(struct packet *p, const struct session_key *session) {
  struct peer_key *key = &p->scratch->peer_key;

  key->pool_address = session->pool_address;
  key->remote_address = session->remote_address;
  key->pool_port = session->pool_port;
  key->protocol = session->protocol;
  key->pad = 0;
}

/* Whether a new session of this protocol holds its peer. */
STEP bool holds_peer(const struct packet *p) {
  return p->policy->filtering == FILTER_ADDRESS && p->headers->protocol != PROTOCOL_ICMP;
}

/* Whether whoever sent p may speak to the port that it is for: p->scratch->session_key. */
STEP bool peer_is_known(struct packet *p) {
  const struct peer *peer;

  peer_key_of(p, &p->scratch->session_key);
  peer = peer_find(p, &p->scratch->peer_key);
  return peer && !(READ(peer->sessions) & BINDING_DEAD);
}

/* For the session that is about to be made. */
STEP enum verdict peer_hold(struct packet *p) {
  struct scratch *s = p->scratch;
  struct peer *peer;

  peer_key_of(p, &s->session_key);
  peer = peer_find(p, &s->peer_key);
  if (!peer) {
    s->peer.sessions = 0;
    if (peer_insert(p, &s->peer_key, &s->peer) == FULL)
      return drop(p, REASON_table_full);
    peer = peer_find(p, &s->peer_key);
  }
  if (!peer)
    return drop(p, REASON_dying);
  if (!(ADD(peer->sessions, 1) & BINDING_DEAD))
    return VERDICT_NEXT;
  ADD(peer->sessions, -1);
  return drop(p, REASON_dying);
}

STEP void peer_release(struct packet *p, const struct session_key *session) {
  struct peer *peer;

  peer_key_of(p, session);
  peer = peer_find(p, &p->scratch->peer_key);
  if (peer && ADD(peer->sessions, -1) == 1 && SWAP_IF(peer->sessions, 0, BINDING_DEAD))
    peer_remove(p, &p->scratch->peer_key);
}

#endif
