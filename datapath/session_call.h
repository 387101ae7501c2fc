/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * keeper.h's call for the session step: the native build fills it in, the keeper runs it.
 */
#ifndef VIADUCT_DATAPATH_SESSION_CALL_H
#define VIADUCT_DATAPATH_SESSION_CALL_H

#include "datapath/packet.h"

/* The session step for one packet that was handed up. */
struct session_call {
  __u32 now;
  __u32 random;
  __u32 length;
  __u32 segments;
  __u32 segment_size;
  __u32 verdict; /* out; VERDICT_PUNT with REASON_punt_syn: the SYN is to be held */
  __u32 reason;
  __u32 detail;
  __u32 head_length;
  __u32 pad;
  __u8 head[512];         /* of which the first head_length bytes count, 256 at most */
  struct scratch scratch; /* in and out */
};

#endif
