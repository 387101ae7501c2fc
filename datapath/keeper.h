/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Where the tables are BPF maps: what passes between the daemon and the keeper (bpf/keeper.bpf.c).
 * Only BPF changes sessions, because an update from user space would overwrite what a packet has
 * changed meanwhile. So the daemon and the native build fill in one of these calls, which lie in
 * memory that both see, and run a program of the keeper over it.
 */
#ifndef VIADUCT_DATAPATH_KEEPER_H
#define VIADUCT_DATAPATH_KEEPER_H

#include "datapath/event.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum {
  /* Of the maps that a successor of the daemon takes over: to be raised whenever the meaning or the
   * place of anything in them changes. */
  MAP_LAYOUT = 3,
  SESSION_CALLS = 32, /* one for each worker, and the sweeper's */
  KEEPER_ROWS = 256,  /* what one run takes */
};

enum expiry {
  SESSION_STAYS = 0,
  SESSION_ENDED,
  SESSION_PROBE, /* stays for now; the probe is the caller's to send */
};

/* What becomes of sessions that look as if they had expired. */
struct expiries {
  __u32 now;
  __u32 count;     /* of rows */
  __u32 may_probe; /* how many probes there may be; counted down */
  __u32 pad;
  struct expiry_row {
    struct session_key key;
    __u32 cause;            /* enum event_why, or WHY_NONE: its timer */
    __u32 result;           /* out: enum expiry */
    struct session session; /* out: as it was before */
  } row[KEEPER_ROWS];
};

/* A static binding, made or ended. */
struct bind_call {
  __u32 now;
  __u32 unbind;
  __u32 done; /* out */
  struct binding_key inside;
  struct port_key outside;
};

/* What the daemon may change while programs run. */
struct settings {
  __u32 policy;  /* which of the two is in force */
  __u32 watched; /* somebody wants to know of events */
};

/* What programs could not tell for want of room, counted. */
struct losses {
  __u64 events;
  __u64 dead; /* they are in their tables */
};

/* Dead entries. A program that runs on another CPU may have found one before it died, and an
 * element of a map is used again as soon as it is deleted: so it is deleted only after everything
 * that ran when it died has ended, by the daemon. The dying wait in a ring buffer, or in their
 * tables alone where that is full. */
enum dead_table { DEAD_SESSION = 0, DEAD_BINDING, DEAD_SUBSCRIBER, DEAD_PEER };

struct dead_entry {
  __u32 table;  /* enum dead_table */
  __u8 key[20]; /* its key, then zeros */
};

enum burial {
  BURIAL_DONE = 0,
  BURIAL_REVIVED, /* it is in use again */
  BURIAL_LATER,   /* it was about to be when it was marked */
};

/* First `commit` 0: from then on the entry cannot come back; then, a grace time later, 1. */
struct burials {
  __u32 commit;
  __u32 count;
  struct burial_row {
    struct dead_entry entry;
    __u32 result; /* out: enum burial */
  } row[KEEPER_ROWS];
};

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
