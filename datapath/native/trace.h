/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A dry walk: what would become of one packet, and why. The same steps, compiled a third time
 * (trace.c), over the engine's live tables and policy; but an entry is copied when it is looked at
 * and what the walk writes goes to the copy, so nothing is sent and nothing of the engine changes:
 * no entry, no timer, no counter, no token of a rate limit.
 *
 * Chance is the walk's own: the port that a new binding would get is one that it could get.
 */
#ifndef VIADUCT_DATAPATH_TRACE_H
#define VIADUCT_DATAPATH_TRACE_H

#include "datapath/native/native.h"
#include "datapath/note.h"
#include "datapath/types.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum {
  MAX_NOTES = 64,                  /* a walk makes less than half as many */
  LONGEST_TRACED = FRAME_MAX + 40, /* an IPv6 header and the longest payload */
  TRACE_ROOM = FRAME_HEADROOM + FRAME_MAX + 40,
};

struct trace {
  __u32 verdict; /* enum verdict */
  __u32 reason;  /* enum reason */
  __u32 note_count;
  __u32 lost; /* not 0: notes or copies had no room, and the walk says nothing */
  struct note note[MAX_NOTES];
  __u32 counted[REASON_COUNT]; /* what the counters would be raised by */
  struct frame frame;          /* what would leave, if the verdict is FORWARD; in memory below */
  struct frame answer;         /* its length is 0 where there would be none */
  __u8 answer_bytes[1280];
  __u8 packet[TRACE_ROOM];
  __u8 whole[TRACE_ROOM];
};

/* Of the sweeper's thread. `in` has at most LONGEST_TRACED bytes and is left alone; `random` NULL:
 * chance. 0, or -1: no memory. */
int engine_trace(struct engine *engine, const struct frame *in, __u32 now, const __u32 *random,
                 struct trace *trace);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
