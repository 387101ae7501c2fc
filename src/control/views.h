// SPDX-License-Identifier: MIT
//
// What the control socket shows: tables and counters as JSON items, with the fields that
// docs/control-protocol.md promises. Long ones are answers that walk the tables piece by piece.
#pragma once

#include "base/clock.h"
#include "control/answer.h"
#include "control/filter.h"
#include "tables/tables.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace viaduct::control {

struct Dns64Status {
  std::string state = "off"; // off, starting, healthy, failing
  uint64_t restarts = 0;
  std::string detail; // one sentence, for a person
};

struct DirectPort {
  std::string port;
  std::string mode;   // empty: it is not direct
  std::string detail; // and why not
};

struct Status {
  std::string engine;
  std::string interface;
  int64_t pid = 0;
  uint64_t uptime_seconds = 0;
  std::string configuration; // path
  unsigned workers = 0;
  std::vector<std::string> offloads;         // in use
  std::vector<std::string> offloads_refused; // given, and refused when used
  std::vector<std::string> offloads_missing; // not given
  std::vector<std::string> prefixes;
  tables::Usage usage;
  double handed_up = 0; // share of packets, 0 to 1, that BPF has handed up to this daemon's workers
  std::string why_not_bpf; // what the kernel said, where "auto" had to take the other engine
  std::string why_mortal;  // why sessions end with the daemon; empty: a successor takes them over
  std::vector<DirectPort> direct; // those that [nvi] direct names
  Dns64Status dns64;
};

// What was handed up, of all packets whose way has ended since the counters were `before`: those of the
// kernel outlive the daemon, and those of its workers do not.
double handed_up_share(const tables::Counters &counters, const tables::Counters &before);

// How many ports or identifiers of a pool address are taken.
struct PoolUse {
  uint64_t tcp = 0;
  uint64_t udp = 0;
  uint64_t icmp = 0;
};

std::string protocol_name(uint8_t protocol);
std::string state_name(uint8_t state); // of enum session_state
std::string why_name(uint8_t why);     // of enum event_why; empty for WHY_NONE

nlohmann::json version_item();
nlohmann::json status_item(const Status &status);
nlohmann::json session_item(const tables::SessionRow &row, uint32_t now);
nlohmann::json binding_item(const tables::BindingRow &row);
nlohmann::json pool_item(const dp::pool_address &pool, const PoolUse &use, const PoolUse &most);
PoolUse most_used(const tables::Tables &tables, const dp::pool_address &pool);
nlohmann::json map_item(const dp::mapping &map);
nlohmann::json counter_item(dp::reason reason, uint64_t value); // not for REASON_none

using Now = std::function<uint32_t()>; // seconds of CLOCK_MONOTONIC

// The tables must outlive the answer. A filter says which rows are wanted.
std::unique_ptr<Answer> sessions_answer(const tables::Tables &tables, Now now = monotonic_seconds,
                                        std::optional<Filter> filter = {});
std::unique_ptr<Answer> bindings_answer(const tables::Tables &tables,
                                        std::optional<Filter> filter = {});
// Counts what is in use by a walk through all bindings.
std::unique_ptr<Answer> pools_answer(const tables::Tables &tables,
                                     std::vector<dp::pool_address> pool);
std::unique_ptr<Answer> maps_answer(std::vector<dp::mapping> maps);
std::unique_ptr<Answer> counters_answer(const tables::Counters &counters);

} // namespace viaduct::control
