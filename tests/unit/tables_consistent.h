// SPDX-License-Identifier: MIT
//
// Whether an engine's tables tell one story: each port one host's, each binding its port, each session
// its binding, and all of them counted. For when nobody is at work.
#pragma once

#include "base/address.h"
#include "datapath/native/native.h"
#include "tables/tables.h"
#ifndef VIADUCT_NATIVE_ONLY
#include "lib/buckets_consistent.h"
#include "tables/bpf_tables.h"
#endif

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

namespace viaduct::dp {

using tables::Tables;

struct Contents {
  std::vector<tables::SessionRow> sessions;
  std::vector<tables::BindingRow> bindings;
  std::vector<tables::PortRow> ports;
};

template <typename Row>
inline std::vector<Row> dump(const Tables &tables,
                             uint64_t (Tables::*take)(uint64_t, size_t, std::vector<Row> &) const) {
  std::vector<Row> rows;
  uint64_t cursor = 0;
  do
    cursor = (tables.*take)(cursor, 64, rows);
  while (cursor != 0);
  return rows;
}

inline Contents read_tables(const Tables &tables) {
  return {dump(tables, &Tables::sessions), dump(tables, &Tables::bindings),
          dump(tables, &Tables::ports)};
}

using Inside = std::tuple<uint8_t, std::string, uint16_t>; // protocol, address, port
using Outside = std::tuple<uint8_t, uint32_t, uint16_t>;   // protocol, pool address, port

inline Inside inside(uint8_t protocol, const address &address, uint16_t port) {
  return {protocol, std::string(reinterpret_cast<const char *>(address.byte), 16), port};
}

// Never more ports counted than are held, by address and protocol; fewer, where the address was out
// of the pool meanwhile.
inline void expect_counted(const Tables &tables, const std::vector<tables::PortRow> &ports,
                           std::span<const Ipv4> pool, uint32_t most) {
  for (size_t slot = 0; slot < pool.size(); slot++) {
    pool_address address{};
    address.slot = static_cast<uint8_t>(slot);
    pool_use use = tables.pool_use(address);
    constexpr std::array<uint8_t, PORT_PROTOCOLS> order{PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP};
    for (size_t i = 0; i < order.size(); i++) {
      const auto held = std::ranges::count_if(ports, [&](const auto &row) {
        return row.key.pool_address == pool[slot].network_order() && row.key.protocol == order[i];
      });
      EXPECT_LE(use.used[i], held);
      EXPECT_LE(use.used[i], use.most[i]);
      EXPECT_LE(use.most[i], most);
    }
  }
}

// The BPF engine's tables by themselves, whatever lies in them (the dead, too).
inline void expect_whole(const Tables &tables) {
#ifndef VIADUCT_NATIVE_ONLY
  if (const auto *bpf = dynamic_cast<const tables::BpfTables *>(&tables)) {
    EXPECT_EQ(test::what_is_wrong(bpf->object()), "");
  }
#else
  (void)tables;
#endif
}

// Nobody is at work: three tables that tell one story.
// `pool`: the address of each slot; `most`: the ports that each of them has.
inline void expect_consistent(const Tables &tables, std::span<const Ipv4> pool, uint32_t most) {
  expect_whole(tables);
  Contents all = read_tables(tables);
  tables::Usage usage = tables.usage();
  EXPECT_EQ(all.sessions.size(), usage.sessions);
  EXPECT_EQ(all.bindings.size(), usage.bindings);
  EXPECT_EQ(all.ports.size(), all.bindings.size());

  std::map<Outside, Inside> owner;
  for (const auto &[key, value] : all.ports)
    EXPECT_TRUE(owner
                    .insert({Outside(key.protocol, key.pool_address, key.pool_port),
                             inside(key.protocol, value.inside, value.inside_port)})
                    .second);
  expect_counted(tables, all.ports, pool, most);
  std::map<Outside, uint32_t> sessions_of;
  for (const auto &[key, value] : all.sessions) {
    Outside outside(key.protocol, key.pool_address, key.pool_port);
    sessions_of[outside]++;
    EXPECT_NE(value.expires, SESSION_DEAD);
    EXPECT_TRUE(owner.count(outside)) << "a session on a port that nobody holds";
    EXPECT_EQ(owner[outside], inside(key.protocol, value.inside, value.inside_port))
        << "a session on somebody else's port";
  }
  std::map<Inside, Outside> mapping;
  for (const auto &[key, value] : all.bindings) {
    Outside outside(key.protocol, value.pool_address, value.pool_port);
    Inside host = inside(key.protocol, key.inside, key.inside_port);
    EXPECT_TRUE(mapping.insert({host, outside}).second) << "two bindings for one endpoint";
    EXPECT_EQ(owner[outside], host) << "a binding without its port";
    EXPECT_EQ(value.sessions, sessions_of[outside]);
  }
}

} // namespace viaduct::dp
