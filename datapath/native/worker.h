/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A worker of the native build: what one thread that carries packets has for itself.
 */
#ifndef VIADUCT_DATAPATH_WORKER_H
#define VIADUCT_DATAPATH_WORKER_H

#include "datapath/native/engine.h"
#include "datapath/native/target.h"
#include "datapath/packet.h"

struct worker {
  struct engine *engine;
  struct worker *next;
  __u32 taken; /* by a thread; else it waits for the next one */
  int reader;
  __u32 slot; /* of remote_tables.calls */
  bool inside;
  __u32 now;
  struct frame *frame; /* the packet under way, for emit */
  __u32 whole_length;  /* of the datagram that the last fragment has made whole; 0: none */
  int random_is_fixed;
  __u32 fixed_random;
  int random_is_seeded;
  __u64 random_state;
  __u32 random_left;
  __u32 random_pool[256];
  struct scratch scratch;
  struct frame answer; /* to the last packet; no length: there is none */
  __u32 answers_second;
  __u32 answers_left;
  __u8 answer_bytes[1280];
  __u8 head[2 * HEAD_BYTES];
  __u64 counters[REASON_COUNT];
  __u32 event_head, event_tail; /* how many were put in, by the worker, and taken out */
  __u64 events_lost, events_lost_told;
  struct event *events; /* EVENTS_HELD of them, memory that is used only when somebody watches */
  __u8 whole[FRAME_HEADROOM + LONGEST_WHOLE];
};

STEP void add_counter(struct worker *worker, __u32 reason, __u64 times) {
  __u64 *counter = &worker->counters[reason];

  /* One writer, many readers. */
  __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + times, __ATOMIC_RELAXED);
}

#endif
