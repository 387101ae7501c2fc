/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The TCP session's states (RFC 6146 3.5.2.2), as one pure function: a state and a packet in, a
 * state and a timer out. CLOSED has no entry in the table and so no row here: session.h makes
 * entries.
 *
 *   V4_INIT      --V6 SYN--> ESTABLISHED             V6_INIT      --V4 SYN--> ESTABLISHED
 *   ESTABLISHED  --V4 FIN--> V4_FIN_RCV              V4_FIN_RCV   --V6 FIN--> V4_FIN_V6_FIN_RCV
 *   ESTABLISHED  --V6 FIN--> V6_FIN_RCV              V6_FIN_RCV   --V4 FIN--> V4_FIN_V6_FIN_RCV
 *   ESTABLISHED  --RST-----> TRANS                   TRANS        --no RST--> ESTABLISHED
 *
 * A SYN is any segment with that flag, so a SYN-ACK is one too. A reset never ends a session, it
 * only shortens its timer. Two things are not in that section:
 *  - After one FIN a reset leaves the short timer too (RFC 7857 2.2), not TCP_EST.
 *  - A SYN after both FINs is a new connection with the ports of the old one. It begins in an INIT
 *    state, where the RFC's session would run out under it.
 */
#ifndef VIADUCT_DATAPATH_TCP_STATE_H
#define VIADUCT_DATAPATH_TCP_STATE_H

#include "datapath/packet.h"

struct tcp_step {
  __u32 state;
  __u32 timeout; /* seconds; 0 leaves the timer as it is */
};

STEP struct tcp_step tcp_next(__u32 state, __u8 family, __u8 flags,
                              const struct timeouts *timeouts) {
  bool from6 = family == FAMILY_6;
  bool syn = flags & TCP_SYN, fin = flags & TCP_FIN, rst = flags & TCP_RST;
  struct tcp_step stay = {state, 0};
  struct tcp_step alive = {state, timeouts->tcp_established};
  struct tcp_step established = {STATE_ESTABLISHED, timeouts->tcp_established};
  struct tcp_step ending = {state, timeouts->tcp_transitory};
  struct tcp_step again = {from6 ? STATE_V6_INIT : STATE_V4_INIT, timeouts->tcp_transitory};
  struct tcp_step closing = {STATE_V4_FIN_V6_FIN_RCV, timeouts->tcp_transitory};

  switch (state) {
  case STATE_V4_INIT:
    return from6 && syn ? established : stay;
  case STATE_V6_INIT:
    if (syn && !from6)
      return established;
    if (syn) /* the host tries again */
      stay.timeout = timeouts->tcp_transitory;
    return stay;
  case STATE_ESTABLISHED:
    if (rst)
      return (struct tcp_step){STATE_TRANS, timeouts->tcp_transitory};
    if (fin)
      return (struct tcp_step){from6 ? STATE_V6_FIN_RCV : STATE_V4_FIN_RCV, 0};
    return alive;
  case STATE_V4_FIN_RCV:
    if (fin && from6)
      return closing;
    return rst ? ending : alive;
  case STATE_V6_FIN_RCV:
    if (fin && !from6)
      return closing;
    return rst ? ending : alive;
  case STATE_TRANS:
    return rst ? stay : established;
  default: /* V4_FIN_V6_FIN_RCV: runs out */
    return syn && !rst ? again : stay;
  }
}

#endif
