/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What is told of a session or a binding to whoever watches (`viaduct monitor`). No code. The native
 * build keeps them in a ring for each worker; the BPF build's come through a ring buffer.
 */
#ifndef VIADUCT_DATAPATH_EVENT_H
#define VIADUCT_DATAPATH_EVENT_H

#include "datapath/types.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum event_kind {
  EVENT_BINDING_MADE = 0,
  EVENT_BINDING_ENDED,
  EVENT_SESSION_MADE,
  EVENT_SESSION_MOVED, /* to another state */
  EVENT_SESSION_ENDED,
  EVENT_KINDS
};

enum event_why {
  WHY_NONE = 0,
  WHY_EXPIRED,    /* nothing kept it alive */
  WHY_CLOSED,     /* TCP: both ends had said that they send no more */
  WHY_UNANSWERED, /* TCP: nobody answered its SYN with another */
  WHY_CLEARED,    /* by an operator */
  WHY_DISALLOWED, /* by a new configuration */
  WHYS
};

struct event {
  __u64 order;    /* counts the events of all CPUs */
  __u32 kind;     /* enum event_kind */
  __u8 why;       /* enum event_why, of what has ended */
  __u8 old_state; /* of what has moved */
  __u8 pad[2];
  struct session_key key; /* of a binding no more than the pool's end and the protocol */
  struct session session; /* of a binding no more than the host's end */
};
DP_STATIC_ASSERT(sizeof(struct event) == 104);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
