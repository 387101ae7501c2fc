/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * SYNs from IPv4 that nobody has asked for, and what the sweep makes of them (RFC 6146 3.5.2.2,
 * RFC 5382 REQ-4): if the IPv6 host opens the same connection within tcp_incoming_syn, its peer's
 * SYN was one half of a simultaneous open, and is dropped silently: the peer sends it again into
 * the session that is there now. Otherwise the peer is told that nobody listens.
 *
 * Beside the tables of sessions, so that a held SYN has no session by which a second one could be
 * let in; in a table of its own, with HELD_SYNS entries: a flood of SYNs fills it and nothing else.
 */
#ifndef VIADUCT_DATAPATH_SYN_HOLD_H
#define VIADUCT_DATAPATH_SYN_HOLD_H

#include "datapath/native/emit_answer.h"
#include "datapath/native/hash_table.h"

enum {
  HELD_SYNS = 1024,
  HELD_BYTES = LONGEST_ERROR4 - IPV4_HEADER - ICMP_HEADER, /* what an answer quotes */
};

struct held_syn {
  __u32 until;  /* second of CLOCK_MONOTONIC */
  __u32 length; /* of the packet, of which `bytes` has the beginning */
  __u8 bytes[HELD_BYTES];
};

/* REQUIRES: p->scratch->session_key names the SYN's session-to-be. */
STEP enum verdict syn_hold(struct packet *p, struct table *held, const struct frame *frame) {
  struct held_syn syn;

  syn.until = p->now + p->policy->timeouts.tcp_incoming_syn;
  syn.length = frame->length;
  memset(syn.bytes, 0, sizeof syn.bytes);
  memcpy(syn.bytes, frame->data, at_most(frame->length, HELD_BYTES));
  return drop(p, table_insert(held, &p->scratch->session_key, &syn) == FULL ? REASON_syn_hold_full
                                                                            : REASON_syn_held);
}

#endif
