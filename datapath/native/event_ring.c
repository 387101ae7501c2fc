/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Events taken out of the workers' rings: the sweeper's thread.
 */
#include "datapath/native/worker.h"

/* The oldest that was not taken out yet, or NULL. */
static const struct event *oldest_event(const struct worker *worker) {
  __u32 head = __atomic_load_n(&worker->event_head, __ATOMIC_ACQUIRE);

  return head == worker->event_tail ? NULL : &worker->events[worker->event_tail % EVENTS_HELD];
}

/* The worker whose oldest event is the oldest of all, or NULL. */
static struct worker *next_to_tell(struct engine *engine) {
  struct worker *found = NULL;

  for (struct worker *w = __atomic_load_n(&engine->workers, __ATOMIC_ACQUIRE); w; w = w->next) {
    const struct event *event = oldest_event(w);
    if (event && (!found || event->order < oldest_event(found)->order))
      found = w;
  }
  return found;
}

__u32 engine_events(struct engine *engine, struct event *events, __u32 limit, __u64 *lost) {
  __u32 count = 0;

  while (count < limit) {
    struct worker *worker = next_to_tell(engine);
    if (!worker)
      break;
    events[count++] = *oldest_event(worker);
    __atomic_store_n(&worker->event_tail, worker->event_tail + 1, __ATOMIC_RELEASE);
  }
  for (struct worker *w = __atomic_load_n(&engine->workers, __ATOMIC_ACQUIRE); w; w = w->next) {
    __u64 missed = READ(w->events_lost);
    *lost += missed - w->events_lost_told;
    w->events_lost_told = missed;
  }
  return count;
}

/* Whoever begins to watch hears nothing of what was before. */
void engine_watch(struct engine *engine, int watched) {
  for (struct worker *w = __atomic_load_n(&engine->workers, __ATOMIC_ACQUIRE); w && watched;
       w = w->next) {
    __atomic_store_n(&w->event_tail, __atomic_load_n(&w->event_head, __ATOMIC_ACQUIRE),
                     __ATOMIC_RELEASE);
    w->events_lost_told = READ(w->events_lost);
  }
  WRITE(engine->watched, watched != 0);
}
