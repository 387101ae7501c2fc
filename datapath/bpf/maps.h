/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The BPF build's tables: maps, and the table access of tables.h over them. They are the authority,
 * so none of them may evict (no LRU). What each session or binding has an entry of lies in tables of our
 * own (bucket_table.h), of a fixed size. The others mostly stay small, and are hash maps of the kernel, which
 * take memory as they fill. The sizes are set before loading, from max_sessions.
 */
#ifndef VIADUCT_DATAPATH_BPF_MAPS_H
#define VIADUCT_DATAPATH_BPF_MAPS_H

#include "datapath/event.h"
#include "datapath/keeper.h"
#include "datapath/packet.h"
#include "datapath/tables.h"

/* Test runs only: the clock and the chance are given, and nobody buries the dead. */
const volatile __u32 testing = 0;

/* struct dead_entry; room for 100,000 of them. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4 << 20);
} dead SEC(".maps");

#define READ(field) (*(const volatile __typeof__(field) *)&(field))
#define WRITE(field, value) (*(volatile __typeof__(field) *)&(field) = (value))
#define ADD(field, n) __sync_fetch_and_add(&(field), (n))
#define SWAP_IF(field, old, new) (__sync_val_compare_and_swap(&(field), (old), (new)) == (old))

/* x86 keeps stores in their order, and the compiler is to leave them in theirs. */
#define PUBLISH(field, value)                                                                      \
  do {                                                                                             \
    asm volatile("" ::: "memory");                                                                 \
    WRITE(field, value);                                                                           \
    asm volatile("" ::: "memory");                                                                 \
  } while (0)

/* Written here alone, read by the daemon. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct losses);
} losses SEC(".maps");

STEP struct losses *losses_find(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&losses, &zero);
}

/* Where there is no room it stays dead in its table, and the daemon hears that it has to look there. */
STEP void wait_for_burial(const struct dead_entry *entry) {
  struct losses *lost;

  if (bpf_ringbuf_output(&dead, (void *)entry, sizeof *entry, BPF_RB_NO_WAKEUP) == 0)
    return;
  lost = losses_find();
  if (lost)
    ADD(lost->dead, 1);
}

/* --- tables of a fixed size: bindings, ports, sessions ------------------------------------------ */

struct bucket_table {
  void *buckets; /* maps */
  void *entries;
};

STEP void *map_element(void *map, __u32 index) {
  return bpf_map_lookup_elem(map, &index);
}

#define BUCKET_AT(table, index) ((struct bucket *)map_element((table)->buckets, index))
#define ENTRY_AT(table, index) ((struct entry_head *)map_element((table)->entries, index))

#include "datapath/bucket_table.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct table_shape);
} shape SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE); /* which begin with a page */
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct table_pools);
} pools SEC(".maps");

/* How often who has lost a race looks for the winner's entry, which is about to become LIVE. */
enum { PATIENCE = 2048, NO_PATIENCE = 0 };

/* What does the work are functions with external linkage: the verifier goes through each once, and
 * not along every way that leads there. */
#define BUCKET_TABLE(name, bucket_type, patience)                                                  \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_ARRAY);                                                              \
    __uint(map_flags, BPF_F_MMAPABLE);                                                             \
    __uint(max_entries, 1);                                                                        \
    __type(key, __u32);                                                                            \
    __type(value, struct bucket_type);                                                             \
  } name##_buckets SEC(".maps");                                                                   \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_ARRAY);                                                              \
    __uint(map_flags, BPF_F_MMAPABLE);                                                             \
    __uint(max_entries, 1);                                                                        \
    __type(key, __u32);                                                                            \
    __type(value, struct name##_entry);                                                            \
  } name##s SEC(".maps");                                                                          \
                                                                                                   \
  enum { name##_words = sizeof(struct name##_key) / 4 };                                           \
                                                                                                   \
  /* Index + 1, or TABLE_MISSING. */                                                               \
  __attribute__((noinline)) __u32 name##_index(const struct name##_key *key) {                     \
    const struct bucket_table table = {&name##_buckets, &name##s};                                 \
    const struct table_shape *now = map_element(&shape, 0);                                        \
    return now && key ? bucket_table_find(&table, now, key, name##_words) : TABLE_MISSING;         \
  }                                                                                                \
  __attribute__((noinline)) int name##_claim(const struct name##_key *key) {                       \
    const struct bucket_table table = {&name##_buckets, &name##s};                                 \
    const struct table_shape *now = map_element(&shape, 0);                                        \
    struct table_pools *all = map_element(&pools, 0);                                              \
    return now && all && key ? bucket_table_claim(&table, now, &all->name##s, key, name##_words)   \
                             : TABLE_FULL;                                                         \
  }                                                                                                \
  __attribute__((noinline)) int name##_delete(const struct name##_key *key) {                      \
    const struct bucket_table table = {&name##_buckets, &name##s};                                 \
    const struct table_shape *now = map_element(&shape, 0);                                        \
    struct table_pools *all = map_element(&pools, 0);                                              \
    if (now && all && key)                                                                         \
      bucket_table_delete(&table, now, &all->name##s, key, name##_words);                          \
    return 0;                                                                                      \
  }                                                                                                \
  __attribute__((noinline)) int name##_await(const struct name##_key *key) {                       \
    for (int i = 0; i < (patience); i++)                                                           \
      if (!key || name##_index(key))                                                               \
        break;                                                                                     \
    return 0;                                                                                      \
  }                                                                                                \
                                                                                                   \
  STEP struct name *name##_find(const struct packet *p, const struct name##_key *key) {            \
    __u32 index = name##_index(key);                                                               \
    struct name##_entry *entry;                                                                    \
    (void)p;                                                                                       \
    if (!index)                                                                                    \
      return NULL;                                                                                 \
    entry = map_element(&name##s, index - 1);                                                      \
    return entry ? &entry->value : NULL;                                                           \
  }                                                                                                \
  STEP int name##_insert(const struct packet *p, const struct name##_key *key,                     \
                         const struct name *value) {                                               \
    const struct bucket_table table = {&name##_buckets, &name##s};                                 \
    int slot = name##_claim(key);                                                                  \
    struct name##_entry *entry;                                                                    \
    (void)p;                                                                                       \
    if (slot == TABLE_FULL)                                                                        \
      return FULL;                                                                                 \
    if (slot <= 0) {                                                                               \
      if (patience)                                                                                \
        name##_await(key);                                                                         \
      return EXISTS;                                                                               \
    }                                                                                              \
    entry = (struct name##_entry *)bucket_table_entry(&table, (__u32)slot - 1);                    \
    if (!entry)                                                                                    \
      return FULL;                                                                                 \
    name##_write(entry, key, value);                                                               \
    bucket_table_publish(&table, &entry->head, (__u32)slot - 1);                                   \
    return INSERTED;                                                                               \
  }

STEP void binding_write(struct binding_entry *entry, const struct binding_key *key,
                        const struct binding *value) {
  entry->key = *key;
  entry->value = *value;
}

STEP void port_write(struct port_entry *entry, const struct port_key *key,
                     const struct port *value) {
  entry->key = *key;
  entry->value = *value;
}

/* Who comes by a hint (session_hinted) sees a session that is whole, or dead. */
STEP void session_write(struct session_entry *entry, const struct session_key *key,
                        const struct session *value) {
  entry->key = *key;
  __builtin_memcpy(&entry->value, value, offsetof(struct session, expires));
  PUBLISH(entry->value.expires, value->expires);
}

BUCKET_TABLE(binding, binding_bucket, PATIENCE)
BUCKET_TABLE(port, bucket, NO_PATIENCE) /* there are others */
BUCKET_TABLE(session, bucket, PATIENCE)

/* --- the session that a binding was last asked for ----------------------------------------------- */

/* Where that of scratch->binding_key stands, if the binding is at home; or NULL. */
STEP __u32 *last_session(const struct packet *p) {
  const struct table_shape *now = map_element(&shape, 0);
  struct binding_bucket *bucket;
  struct table_place place;
  __u32 found;

  if (!now)
    return NULL;
  place = bucket_table_place(now, (const __u32 *)&p->scratch->binding_key, binding_words);
  bucket = map_element(&binding_buckets, place.home);
  found = bucket ? slots_with(&bucket->bucket, place.tag | SLOT_LIVE, ~0U) : 0;
  return found ? &bucket->last[lowest(found)] : NULL;
}

STEP struct session *session_hinted(struct packet *p) {
  const __u32 *last = last_session(p);
  __u32 index = last ? READ(*last) : 0;
  struct session_entry *entry;

  if (!index)
    return NULL;
  entry = map_element(&sessions, index - 1);
  if (!entry || !is_owned(&entry->head) || READ(entry->value.expires) == SESSION_DEAD ||
      entry->key.remote_address != p->out->destination.word[0] ||
      entry->key.protocol != p->headers->protocol ||
      (entry->key.remote_port != p->in->destination_port && entry->key.protocol != PROTOCOL_ICMP) ||
      !is_inside(&entry->value, &p->in->source, p->in->source_port))
    return NULL;
  p->scratch->session_key = entry->key;
  return &entry->value;
}

STEP void session_hint(const struct packet *p) {
  __u32 *last = last_session(p);

  if (last)
    WRITE(*last, session_index(&p->scratch->session_key));
}

/* scratch->session_key, but for the port that is about to be taken. */
STEP void session_expect(struct packet *p) {
  const struct bucket_table table = {&session_buckets, &sessions};
  const struct table_shape *now = map_element(&shape, 0);
  struct session_key *key = &p->scratch->session_key;

  key->pool_address = p->scratch->port_key.pool_address;
  key->pool_port = p->scratch->port_key.pool_port;
  key->remote_address = p->out->destination.word[0];
  key->remote_port = p->headers->protocol == PROTOCOL_ICMP ? 0 : p->in->destination_port;
  key->protocol = p->headers->protocol;
  key->pad[0] = key->pad[1] = key->pad[2] = 0;
  if (now)
    bucket_table_expect(&table, now, key, session_words);
}

/* --- tables that mostly stay small: subscribers, peers -------------------------------------------- */

enum { ERROR_EXISTS = 17 /* EEXIST */ };

#define HASH_TABLE(name)                                                                           \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_HASH);                                                               \
    __uint(map_flags, BPF_F_NO_PREALLOC);                                                          \
    __uint(max_entries, 65536);                                                                    \
    __type(key, struct name##_key);                                                                \
    __type(value, struct name);                                                                    \
  } name##s SEC(".maps");                                                                          \
                                                                                                   \
  STEP struct name *name##_find(const struct packet *p, const struct name##_key *key) {            \
    (void)p;                                                                                       \
    return bpf_map_lookup_elem(&name##s, key);                                                     \
  }                                                                                                \
  STEP int name##_insert(const struct packet *p, const struct name##_key *key,                     \
                         const struct name *value) {                                               \
    /* Before 6.4 the upper half of the result is not set (the kernel calls a function that */     \
    /* returns int): only the lower one may be looked at. */                                       \
    int result = (int)bpf_map_update_elem(&name##s, key, value, BPF_NOEXIST);                      \
    (void)p;                                                                                       \
    return result == 0 ? INSERTED : result == -ERROR_EXISTS ? EXISTS : FULL;                       \
  }                                                                                                \
  STEP int name##_delete(const struct name##_key *key) {                                           \
    return (int)bpf_map_delete_elem(&name##s, key);                                                \
  }

HASH_TABLE(subscriber)
HASH_TABLE(peer)

/* --- the dead ------------------------------------------------------------------------------------ */

/* Whom other CPUs may have found: removed by the daemon, when nobody can look at it any more. That
 * it is dead everybody sees at once. */
#define REMOVED_LATER(name, dead_as)                                                               \
  STEP void name##_remove(const struct packet *p, const struct name##_key *key) {                  \
    struct dead_entry entry = {.table = dead_as};                                                  \
    (void)p;                                                                                       \
    __builtin_memcpy(entry.key, key, sizeof *key);                                                 \
    if (testing)                                                                                   \
      name##_delete(key);                                                                          \
    else                                                                                           \
      wait_for_burial(&entry);                                                                     \
  }

REMOVED_LATER(binding, DEAD_BINDING)
REMOVED_LATER(session, DEAD_SESSION)
REMOVED_LATER(subscriber, DEAD_SUBSCRIBER)
REMOVED_LATER(peer, DEAD_PEER)

/* Its value is only read, and who reads it asks the binding whether it is true (binding_of_port). */
STEP void port_remove(const struct packet *p, const struct port_key *key) {
  (void)p;
  port_delete(key);
}

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, PORT_HINTS);
  __type(key, __u32);
  __type(value, struct port_hints);
} hints SEC(".maps");

STEP struct port_hints *hints_find(const struct packet *p, const __u32 *index) {
  (void)p;
  return bpf_map_lookup_elem(&hints, index);
}

/* A subscriber without sessions that waits for its burial may come back: who has none because no
 * port was found for the first must not wait that long. */
STEP bool subscriber_revive(struct subscriber *subscriber) {
  return SWAP_IF(subscriber->sessions, BINDING_DEAD, 0);
}

/* Two policies, so that a new one can be written whole before it is named. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct policy);
} policies SEC(".maps");

/* One, written by the daemon. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct settings);
} settings SEC(".maps");

STEP struct settings *settings_find(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&settings, &zero);
}

/* A global function: the verifier goes through its loop once. By the policy that is in force now, which may
 * have come into force since the packet's was looked up. */
__attribute__((noinline)) int find_allowed_now(const struct address *address);
#define FIND_ALLOWED(policy, address) (__u32) find_allowed_now(address)

#include "datapath/rfc6052.h"

STEP const struct policy *policy_now(void) {
  const struct settings *now = settings_find();
  __u32 slot;

  if (!now)
    return NULL;
  slot = READ(now->policy) & 1;
  return bpf_map_lookup_elem(&policies, &slot);
}

__attribute__((noinline)) int find_allowed_now(const struct address *address) {
  const struct policy *policy = policy_now();

  return policy && address ? (int)find_allowed(policy, address) : 0;
}

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, REASON_COUNT);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

enum { SUM_CHUNK = 512 }; /* what bpf_csum_diff takes at once */

/* What a packet needs and the stack has no room for. */
struct workspace {
  struct scratch scratch;
  __u8 head[2 * HEAD_BYTES];
  __u32 sum;
  __u8 chunk[SUM_CHUNK]; /* of a datagram that is summed */
  __u8 link[12];         /* both addresses of a frame that leaves by XDP */
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct workspace);
} workspaces SEC(".maps");

STEP struct workspace *workspace_find(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&workspaces, &zero);
}

/* Per CPU. Programs of packets do not interrupt one another there, but they interrupt the keeper. */
STEP void count(const struct packet *p, __u32 reason) {
  __u64 *counter = bpf_map_lookup_elem(&counters, &reason);

  (void)p;
  if (counter)
    COUNT_UP(*counter);
}

/* --- events, while somebody watches ------------------------------------------------------------- */

/* struct event. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 2 << 20);
} events SEC(".maps");

STEP struct event *event_begin(const struct packet *p, __u32 kind) {
  struct settings *now = settings_find();
  struct losses *lost;
  struct event *event;

  (void)p;
  if (!now || !READ(now->watched))
    return NULL;
  event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
  if (!event) {
    lost = losses_find();
    if (lost)
      ADD(lost->events, 1);
    return NULL;
  }
  *event = (struct event){.order = bpf_ktime_get_ns(), .kind = kind};
  return event;
}

STEP void event_end(const struct packet *p, struct event *event) {
  (void)p;
  bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* As good as one: its fields are read on their own, and who is told of them wants no more. */
STEP void copy_session(struct session *to, const struct session *from) {
  *to = *from;
}

#include "datapath/event_steps.h"

#endif
