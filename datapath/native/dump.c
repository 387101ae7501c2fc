/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The tables read out, and filled by packet tests: the sweeper's thread.
 */
#include "datapath/native/worker.h"

struct dump {
  __u8 *keys, *values;
  __u32 key_size, value_size, count, limit;
  void (*copy)(void *to, const void *from);
};

static void dump_visit(void *context, const void *key, void *value) {
  struct dump *dump = context;

  if (dump->count == dump->limit)
    return;
  memcpy(dump->keys + (size_t)dump->count * dump->key_size, key, dump->key_size);
  dump->copy(dump->values + (size_t)dump->count * dump->value_size, value);
  dump->count++;
}

/* One bucket after the other, and none that might not fit: chains are far shorter than this. */
enum { LONGEST_CHAIN = 32 };

static __u64 dump_table(struct engine *engine, struct table *table, __u64 cursor,
                        struct dump *dump) {
  dump->key_size = table->key_size;
  dump->value_size = table->value_size;
  worker_enter(engine->sweeper);
  do
    cursor = table_walk(table, cursor, 1, dump_visit, dump);
  while (cursor && dump->count + LONGEST_CHAIN <= dump->limit);
  worker_leave(engine->sweeper);
  return cursor;
}

#define DUMP(thing, things)                                                                        \
  __u64 engine_dump_##things(struct engine *engine, __u64 cursor, struct thing##_key *keys,        \
                             struct thing *values, __u32 limit, __u32 *count) {                    \
    struct dump dump = {                                                                           \
        .keys = (__u8 *)keys, .values = (__u8 *)values, .limit = limit, .copy = copy_##thing};     \
                                                                                                   \
    cursor = dump_table(engine, &engine->things, cursor, &dump);                                   \
    *count = dump.count;                                                                           \
    return cursor;                                                                                 \
  }

DUMP(session, sessions)
DUMP(binding, bindings)
DUMP(port, ports)
DUMP(subscriber, subscribers)
DUMP(peer, peers)

/* --- the given of a packet test --------------------------------------------------------------- */

static int put(struct table *table, const void *key, const void *value) {
  return table_insert(table, key, value) == INSERTED ? 0 : -1;
}

int engine_put_session(struct engine *engine, const struct session_key *key,
                       const struct session *value) {
  return put(&engine->sessions, key, value);
}

int engine_put_binding(struct engine *engine, const struct binding_key *key,
                       const struct binding *value) {
  return put(&engine->bindings, key, value);
}

int engine_put_port(struct engine *engine, const struct port_key *key, const struct port *value) {
  return put(&engine->ports, key, value);
}

int engine_put_subscriber(struct engine *engine, const struct subscriber_key *key,
                          const struct subscriber *value) {
  return put(&engine->subscribers, key, value);
}

int engine_put_peer(struct engine *engine, const struct peer_key *key, const struct peer *value) {
  return put(&engine->peers, key, value);
}
