/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The keeper: what the daemon wants done to the tables, done in the kernel. Whatever changes the
 * state of sessions runs in BPF, because an update from user space would overwrite what a packet
 * has changed meanwhile. The daemon fills in a call (keeper.h) and runs a program over it.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define EVENT(p, kind, ...) event_##kind(p, __VA_ARGS__)
#define COUNT_UP(counter) __sync_fetch_and_add(&(counter), 1)
#define REPEAT(times, call, context) bpf_loop(times, call, context, 0)

#include "datapath/native/target.h"

#include "datapath/packet.h"

#include "datapath/bpf/maps.h"

STEP enum verdict hold_syn(struct packet *p) {
  return punt(p, REASON_punt_syn); /* the native build keeps those */
}

#include "datapath/ageing.h"
#include "datapath/session_call.h"
#include "datapath/session_error.h"
#include "datapath/static_binding.h"

enum { COUNT_BURIED = 0xc0000000 };

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, SESSION_CALLS);
  __type(key, __u32);
  __type(value, struct session_call);
} session_calls SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct expiries);
} expiries SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct bind_call);
} bind_calls SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct burials);
} burials SEC(".maps");

/* Of the sweeper's calls; there is one sweeper. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct scratch);
} sweeper_scratch SEC(".maps");

/* False where there is no policy, which cannot be. */
STEP bool start(struct packet *p, struct scratch *scratch, __u32 now) {
  if (!scratch)
    return false;
  p->policy = policy_now();
  p->now = now;
  p->scratch = scratch;
  p->prefix = &scratch->prefix;
  look_at(p, &scratch->packet);
  return p->policy != NULL;
}

SEC("syscall")
int keep_session(__u32 *slot) {
  __u32 index = *slot;
  struct session_call *call = bpf_map_lookup_elem(&session_calls, &index);
  struct packet p = {};

  if (!call || !start(&p, &call->scratch, call->now))
    return -1;
  p.random = call->random;
  p.length = call->length;
  p.segments = call->segments;
  p.segment_size = call->segment_size;
  p.head = call->head;
  p.head_length = call->head_length;
  call->verdict = session(&p);
  call->reason = p.reason;
  call->detail = p.detail;
  return 0;
}

struct expiring {
  struct expiries *all;
  struct packet *packet;
};

static long expire_row(__u32 i, void *context) {
  struct expiring *expiring = context;
  struct expiries *all = expiring->all;
  struct packet *p = expiring->packet;
  struct expiry_row *row;
  struct session *session;

  if (i >= all->count || i >= KEEPER_ROWS)
    return 1;
  row = &all->row[i];
  row->result = SESSION_STAYS;
  session = session_find(p, &row->key);
  if (!session)
    return 0;
  row->session = *session;
  row->result = session_expire(p, &row->key, session, row->cause, all->may_probe > 0);
  if (row->result == SESSION_PROBE)
    all->may_probe--;
  return 0;
}

SEC("syscall")
int keep_expiries(void *ctx __attribute__((unused))) {
  __u32 zero = 0;
  struct expiries *all = bpf_map_lookup_elem(&expiries, &zero);
  struct expiring expiring = {.all = all};
  struct packet p = {};

  if (!all || !start(&p, bpf_map_lookup_elem(&sweeper_scratch, &zero), all->now))
    return -1;
  expiring.packet = &p;
  bpf_loop(KEEPER_ROWS, expire_row, &expiring, 0);
  return 0;
}

SEC("syscall")
int keep_binding(void *ctx __attribute__((unused))) {
  __u32 zero = 0;
  struct bind_call *call = bpf_map_lookup_elem(&bind_calls, &zero);
  struct packet p = {};

  if (!call || !start(&p, bpf_map_lookup_elem(&sweeper_scratch, &zero), call->now))
    return -1;
  if (call->unbind)
    unbind(&p, &call->inside);
  else
    call->done = bind(&p, &call->inside, &call->outside);
  return 0;
}

/* Of what may come back: at first it is marked, then it cannot. */
STEP enum burial bury_counted(__u32 *count, bool commit) {
  __u32 seen = READ(*count);

  if (!(seen & BINDING_DEAD))
    return BURIAL_REVIVED;
  if (!commit)
    SWAP_IF(*count, BINDING_DEAD, COUNT_BURIED); /* or somebody is on his way in: later */
  else if ((seen & COUNT_BURIED) != COUNT_BURIED)
    return BURIAL_LATER;
  return BURIAL_DONE;
}

#define BURY(name)                                                                                 \
  STEP void bury_##name(struct burial_row *row, bool commit) {                                     \
    struct name##_key key = {};                                                                    \
    struct name *entry;                                                                            \
    __builtin_memcpy(&key, row->entry.key, sizeof key);                                            \
    entry = name##_find(NULL, &key);                                                               \
    row->result = entry ? may_bury_##name(entry, commit) : BURIAL_DONE;                            \
    if (entry && commit && row->result == BURIAL_DONE)                                             \
      name##_delete(&key);                                                                         \
  }

STEP enum burial may_bury_session(const struct session *session, bool commit) {
  (void)commit; /* a session never comes back */
  return READ(session->expires) == SESSION_DEAD ? BURIAL_DONE : BURIAL_REVIVED;
}

STEP enum burial may_bury_binding(const struct binding *binding, bool commit) {
  (void)commit; /* nor does a binding */
  return READ(binding->sessions) & BINDING_DEAD ? BURIAL_DONE : BURIAL_REVIVED;
}

STEP enum burial may_bury_subscriber(struct subscriber *subscriber, bool commit) {
  return bury_counted(&subscriber->sessions, commit);
}

STEP enum burial may_bury_peer(const struct peer *peer, bool commit) {
  (void)commit; /* nor does a peer */
  return READ(peer->sessions) & BINDING_DEAD ? BURIAL_DONE : BURIAL_REVIVED;
}

BURY(session)
BURY(binding)
BURY(subscriber)
BURY(peer)

static long bury_row(__u32 i, void *context) {
  struct burials *all = *(struct burials **)context;
  struct burial_row *row;

  if (i >= all->count || i >= KEEPER_ROWS)
    return 1;
  row = &all->row[i];
  switch (row->entry.table) {
  case DEAD_SESSION:
    bury_session(row, all->commit);
    break;
  case DEAD_BINDING:
    bury_binding(row, all->commit);
    break;
  case DEAD_SUBSCRIBER:
    bury_subscriber(row, all->commit);
    break;
  default:
    bury_peer(row, all->commit);
    break;
  }
  return 0;
}

SEC("syscall")
int keep_burials(void *ctx __attribute__((unused))) {
  __u32 zero = 0;
  struct burials *all = bpf_map_lookup_elem(&burials, &zero);

  if (!all)
    return -1;
  bpf_loop(KEEPER_ROWS, bury_row, &all, 0);
  return 0;
}

char license_[] SEC("license") = "Dual MIT/GPL";
