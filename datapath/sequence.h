/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Where a TCP connection's sequence numbers are, as far as is needed to tell a genuine reset or
 * ICMP error from one that somebody off the path has guessed (rst_check = "window"; RFC 5961 3,
 * RFC 5927 4.1). A session remembers what follows the highest number that each side has sent.
 *
 *  - A segment counts only where it begins near that number, so that a forged one cannot carry it
 *    away. Segments lost before they reached us leave a gap; the other side's acknowledgements,
 *    taken from segments that count, close it.
 *  - A SYN begins anew where a connection may begin: in the INIT states, in TRANS and at the end.
 *  - A reset is genuine near its sender's number. An error is, where the segment inside begins at
 *    most ERROR_WINDOW behind it: that much may be under way.
 *
 * Two CPUs with segments of one side at once may lose one of the two numbers: the next segment
 * makes up for it.
 */
#ifndef VIADUCT_DATAPATH_SEQUENCE_H
#define VIADUCT_DATAPATH_SEQUENCE_H

#include "datapath/packet.h"

#define SEQUENCE_WINDOW 65535U /* each side; a window without scaling, or a super-packet */
#define ERROR_WINDOW (8U << 20)

enum { TCP_SEQUENCE = 4, TCP_ACKNOWLEDGED = 8, TCP_DATA_OFFSET = 12 };

STEP bool is_near(__u32 known, __u32 sequence) {
  return sequence - known + SEQUENCE_WINDOW <= 2 * SEQUENCE_WINDOW;
}

STEP bool is_ahead(__u32 known, __u32 sequence) {
  return sequence - known - 1 < 0x7fffffffU;
}

/* 0 says that nothing is known; the number next to it is as good. */
STEP void set_sequence(__u32 *known, __u32 sequence) {
  WRITE(*known, sequence ? sequence : 1);
}

STEP __u32 *sequence_of(struct session *session, __u8 family) {
  return family == FAMILY_6 ? &session->sequence6 : &session->sequence4;
}

/* What follows the segment. */
STEP __u32 sequence_end(const struct packet *p) {
  const struct headers *h = p->headers;
  __u32 header = (at(p, h->transport + TCP_DATA_OFFSET)[0] >> 4) * 4U;

  return HOST32(p->transport[1]) + (h->transport_length - header) + !!(h->tcp_flags & TCP_SYN) +
         !!(h->tcp_flags & TCP_FIN);
}

STEP bool may_begin_anew(__u32 state) {
  return state == STATE_V4_INIT || state == STATE_V6_INIT || state == STATE_TRANS ||
         state == STATE_V4_FIN_V6_FIN_RCV;
}

/* Follows a segment that is no reset. `state` is the session's before it. */
STEP void sequence_follow(struct packet *p, struct session *session, __u32 state) {
  __u8 other_family = p->headers->family == FAMILY_6 ? FAMILY_4 : FAMILY_6;
  __u32 *own = sequence_of(session, p->headers->family);
  __u32 *other = sequence_of(session, other_family);
  __u32 known = READ(*own), end = sequence_end(p), acknowledged;
  bool syn = p->headers->tcp_flags & TCP_SYN;

  if (syn && state == STATE_V4_FIN_V6_FIN_RCV)
    WRITE(*other, 0);
  if (!known || (syn && may_begin_anew(state))) {
    set_sequence(own, end);
    return;
  }
  if (!is_near(known, HOST32(p->transport[1])))
    return;
  if (is_ahead(known, end))
    set_sequence(own, end);
  if (!(p->headers->tcp_flags & TCP_ACK))
    return;
  acknowledged = HOST32(load32(at(p, p->headers->transport + TCP_ACKNOWLEDGED)));
  if (READ(*other) && is_ahead(READ(*other), acknowledged))
    set_sequence(other, acknowledged);
}

STEP bool reset_is_genuine(const struct packet *p, struct session *session) {
  __u32 known = READ(*sequence_of(session, p->headers->family));

  return !known || is_near(known, HOST32(p->transport[1]));
}

/* For the segment inside an ICMP error, which `family`'s side has sent. */
STEP bool error_is_genuine(const struct packet *p, const struct session *session, __u8 family) {
  __u32 known = family == FAMILY_6 ? READ(session->sequence6) : READ(session->sequence4);
  __u32 sequence = HOST32(p->scratch->inside.transport[1]);

  return !p->policy->rst_window || p->scratch->inside.headers.protocol != PROTOCOL_TCP || !known ||
         known - sequence <= ERROR_WINDOW;
}

#endif
