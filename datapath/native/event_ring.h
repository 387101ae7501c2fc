/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A worker's events: a ring with one writer, the worker, and one reader, the sweeper's thread
 * (event_ring.c). For event_steps.h.
 */
#ifndef VIADUCT_DATAPATH_EVENT_RING_H
#define VIADUCT_DATAPATH_EVENT_RING_H

#include "datapath/native/worker.h"

STEP struct event *event_begin(const struct packet *p, __u32 kind) {
  struct worker *worker = p->target;
  __u32 head = worker->event_head;
  struct event *event = &worker->events[head % EVENTS_HELD];

  if (!READ(worker->engine->watched))
    return NULL;
  if (head - __atomic_load_n(&worker->event_tail, __ATOMIC_ACQUIRE) == EVENTS_HELD) {
    WRITE(worker->events_lost, worker->events_lost + 1);
    return NULL;
  }
  /* The order is written by all workers, but only while somebody watches. */
  *event = (struct event){.order = ADD(worker->engine->event_order, 1), .kind = kind};
  return event;
}

STEP void event_end(const struct packet *p, const struct event *event) {
  struct worker *worker = p->target;

  (void)event;
  __atomic_store_n(&worker->event_head, worker->event_head + 1, __ATOMIC_RELEASE);
}

#endif
