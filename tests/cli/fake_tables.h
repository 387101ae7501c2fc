// SPDX-License-Identifier: MIT
//
// Tables without an engine: rows are made up from their number, so that a large table needs no
// memory and a test knows every field.
#pragma once

#include "base/address.h"
#include "tables/tables.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>

namespace viaduct::test {

constexpr uint32_t fake_now = 1000; // seconds of CLOCK_MONOTONIC

inline dp::address dp_address(const char *text) {
  dp::address address{};
  inet_pton(AF_INET6, text, address.byte);
  return address;
}

inline uint32_t ipv4(const char *text) {
  return inet_addr(text);
}

inline std::vector<dp::pool_address> fake_pool() {
  return {{ipv4("203.0.113.10"), 1024, 65535, 0, 0, 0},
          {ipv4("203.0.113.11"), 2000, 2999, 0, 1, 0}};
}

inline dp::mapping fake_map(const char *inside, uint8_t inside_length, const char *outside,
                            uint8_t outside_length) {
  dp::mapping map{};
  Ipv6 address = *Ipv6::parse(inside);
  std::copy(address.bytes.begin(), address.bytes.end(), map.inside.byte);
  map.inside_length = inside_length;
  map.outside = ipv4(outside);
  map.outside_length = outside_length;
  return map;
}

inline std::vector<dp::mapping> fake_maps() {
  return {fake_map("2001:db8:a::7", 128, "192.0.2.7", 32),
          fake_map("2001:db8:a::", 64, "198.51.100.0", 24)};
}

class FakeTables : public tables::Tables {
public:
  explicit FakeTables(uint64_t count) : count_(count) {}

  // Row i: 0 TCP established, 1 UDP, 2 ICMP, and so on round; at 2001:db8:1::64 with port 1024 + i.
  static tables::SessionRow session_row(uint64_t i) {
    constexpr uint8_t protocols[] = {dp::PROTOCOL_TCP, dp::PROTOCOL_UDP, dp::PROTOCOL_ICMP};
    tables::SessionRow row{};
    uint16_t port = htons(static_cast<uint16_t>(1024 + i % 60000));
    row.key.protocol = protocols[i % 3];
    row.key.pool_address = ipv4("203.0.113.10");
    row.key.pool_port = port;
    row.key.remote_address = ipv4("192.0.2.80");
    row.key.remote_port = row.key.protocol == dp::PROTOCOL_ICMP ? 0 : htons(443);
    row.value.inside = dp_address("2001:db8:1::64");
    row.value.inside_port = port;
    row.value.prefix = dp_address("64:ff9b::");
    row.value.prefix_length = 96;
    row.value.state = row.key.protocol == dp::PROTOCOL_TCP ? dp::STATE_ESTABLISHED : dp::STATE_OPEN;
    row.value.expires = fake_now + 252;
    row.value.packets = 7;
    row.value.bytes = 1536;
    return row;
  }

  static tables::BindingRow binding_row(uint64_t i) {
    auto session = session_row(i);
    tables::BindingRow row{};
    row.key.inside = session.value.inside;
    row.key.inside_port = session.value.inside_port;
    row.key.protocol = session.key.protocol;
    row.value.pool_address = session.key.pool_address;
    row.value.pool_port = session.key.pool_port;
    row.value.sessions = 2;
    return row;
  }

  uint64_t sessions(uint64_t cursor, size_t limit,
                    std::vector<tables::SessionRow> &rows) const override {
    largest_limit = std::max(largest_limit, limit);
    return dump(cursor, limit, [&](uint64_t i) { rows.push_back(session_row(i)); });
  }
  uint64_t bindings(uint64_t cursor, size_t limit,
                    std::vector<tables::BindingRow> &rows) const override {
    return dump(cursor, limit, [&](uint64_t i) {
      rows.push_back(binding_row(i));
      if (i == 1 && second_is_dead)
        rows.back().value.sessions = BINDING_DEAD;
    });
  }
  uint64_t ports(uint64_t, size_t, std::vector<tables::PortRow> &) const override { return 0; }
  tables::Counters counters() const override {
    tables::Counters values{};
    values[dp::REASON_translated_6to4] = 123456;
    values[dp::REASON_no_port] = 3;
    return values;
  }
  tables::Usage usage() const override { return {count_, 1000000, count_, 2}; }
  dp::pool_use pool_use(const dp::pool_address &pool) const override {
    return pool.address == ipv4("203.0.113.10") ? dp::pool_use{{1, 1, 1}, {11, 12, 13}}
                                                : dp::pool_use{};
  }
  // Made up from the packet's first byte: IPv6 goes on, in two fragments; IPv4 is dropped, and
  // answered; what is neither is a bug of the data path.
  Result<tables::Trace> trace(std::span<const uint8_t> packet, uint32_t now) const override {
    traced.assign(packet.begin(), packet.end());
    tables::Trace trace;
    dp::note note{};
    note.kind = dp::NOTE_session_new;
    note.n[0] = dp::STATE_V6_INIT;
    note.n[1] = now - fake_now + 240;
    trace.notes.push_back(note);
    if (packet[0] >> 4 != 6 && packet[0] >> 4 != 4)
      return Error{"not enough memory to trace a packet"};
    bool six = packet[0] >> 4 == 6;
    trace.verdict = six ? dp::VERDICT_FORWARD : dp::VERDICT_DROP;
    trace.reason = six ? dp::REASON_translated_6to4 : dp::REASON_no_binding;
    trace.counted[trace.reason] = 1;
    trace.counted[dp::REASON_session_made] = 2;
    if (six)
      trace.leaves = {fake_leaving(true), fake_leaving(false)};
    else
      trace.answer = fake_leaving(false);
    return trace;
  }
  // IPv4, UDP, from 203.0.113.10 port 1024 to 192.0.2.80 port 443: the first fragment of two, or all.
  static std::vector<uint8_t> fake_leaving(bool more) {
    return {0x45, 0,  0,   28, 0, 7,   static_cast<uint8_t>(more ? 0x20 : 0),
            0,    63, 17,  0,  0, 203, 0,
            113,  10, 192, 0,  2, 80,  4,
            0,    1,  187, 0,  8, 0,   0};
  }
  void watch(bool watched) override { is_watched = watched; }
  uint64_t events(size_t limit, std::vector<dp::event> &events) override {
    size_t count = std::min(limit, happened.size());
    events.insert(events.end(), happened.begin(), happened.begin() + static_cast<long>(count));
    happened.erase(happened.begin(), happened.begin() + static_cast<long>(count));
    return std::exchange(lost_events, 0);
  }
  dp::engine *engine() const override { return nullptr; }
  Result<void> set_policy(const dp::policy &) override { return {}; }
  bool bind(const tables::BindingEnds &) override { return true; }
  void unbind(const tables::BindingEnds &) override {}
  uint64_t sweep(uint32_t, const tables::Cause &, const tables::Send &) override { return 0; }

  mutable size_t largest_limit = 0; // that a dump asked for
  mutable std::vector<uint8_t> traced;
  bool is_watched = false;
  std::vector<dp::event> happened;
  uint64_t lost_events = 0;
  bool second_is_dead = false;

private:
  // Every other piece is empty, as in a real table with gaps.
  template <typename Append>
  uint64_t dump(uint64_t cursor, size_t limit, const Append &append) const {
    if (cursor % 2 == 0 && count_ > 0)
      return cursor + 1;
    uint64_t first = cursor / 2;
    uint64_t end = std::min(count_, first + limit);
    for (uint64_t i = first; i < end; i++)
      append(i);
    return end >= count_ ? 0 : end * 2;
  }

  uint64_t count_;
};

} // namespace viaduct::test
