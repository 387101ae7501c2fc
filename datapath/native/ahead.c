/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What is about to be looked up is fetched, for several packets at once. Of plain TCP and UDP, and
 * with a prefix of 96 bits; of everything else what was not fetched is waited for, as ever.
 */
#include "datapath/native/worker.h"

enum { IN_CACHES = 4096 /* sessions: smaller tables lie there anyhow */ };
enum { PORTS_AT_6 = IPV6_HEADER, PORTS_AT_4 = IPV4_HEADER, PORTS = 4 };

struct expected {
  const __u8 *ip;
  struct binding_key binding_key;
  struct session_key session_key;
  __u32 binding, session; /* buckets + 1, 0: none */
};

static bool has_ports(__u8 protocol) {
  return protocol == PROTOCOL_UDP || protocol == PROTOCOL_TCP;
}

static void expect_first(struct engine *engine, struct expected *e, __u32 length) {
  const __u8 *ip = e->ip;

  if (length >= PORTS_AT_6 + PORTS && ip[0] >> 4 == 6 && has_ports(ip[6])) {
    e->binding_key.protocol = ip[6];
    memcpy(&e->binding_key.inside, ip + 8, sizeof e->binding_key.inside);
    memcpy(&e->binding_key.inside_port, ip + PORTS_AT_6, 2);
    e->binding = table_expect(&engine->bindings, &e->binding_key) + 1;
  } else if (length >= PORTS_AT_4 + PORTS && ip[0] == 0x45 && has_ports(ip[9])) {
    e->session_key.protocol = ip[9];
    memcpy(&e->session_key.remote_address, ip + 12, 4);
    memcpy(&e->session_key.pool_address, ip + 16, 4);
    memcpy(&e->session_key.remote_port, ip + PORTS_AT_4, 2);
    memcpy(&e->session_key.pool_port, ip + PORTS_AT_4 + 2, 2);
    e->session = table_expect(&engine->sessions, &e->session_key) + 1;
  }
}

static void expect_session(struct engine *engine, struct expected *e) {
  const struct binding *binding = table_find_in(&engine->bindings, e->binding - 1, &e->binding_key);

  if (!binding)
    return;
  e->session_key.protocol = e->binding_key.protocol;
  e->session_key.pool_address = READ(binding->pool_address);
  e->session_key.pool_port = READ(binding->pool_port);
  memcpy(&e->session_key.remote_address, e->ip + 36, 4); /* the end of the destination */
  memcpy(&e->session_key.remote_port, e->ip + PORTS_AT_6 + 2, 2);
  e->session = table_expect(&engine->sessions, &e->session_key) + 1;
}

void worker_expect(struct worker *worker, const struct packet_ahead *packets, __u32 count) {
  struct engine *engine = worker->engine;
  struct expected expected[EXPECTED_AT_MOST];

  if (count > EXPECTED_AT_MOST ||
      __atomic_load_n(&engine->sessions.in_use, __ATOMIC_RELAXED) < IN_CACHES)
    return;
  memset(expected, 0, count * sizeof expected[0]);
  for (__u32 i = 0; i < count; i++) {
    expected[i].ip = packets[i].data;
    expect_first(engine, &expected[i], packets[i].length);
  }
  for (__u32 i = 0; i < count; i++)
    if (expected[i].binding)
      table_expect_entry(&engine->bindings, expected[i].binding - 1);
  for (__u32 i = 0; i < count; i++)
    if (expected[i].binding)
      expect_session(engine, &expected[i]);
  for (__u32 i = 0; i < count; i++)
    if (expected[i].session)
      table_expect_entry(&engine->sessions, expected[i].session - 1);
}
