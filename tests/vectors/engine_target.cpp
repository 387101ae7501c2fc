// SPDX-License-Identifier: MIT
#include "engine_target.h"

#include "native_target.h"

#include <string_view>

namespace viaduct::test {

namespace {

// Later than anything that a vector has left: SYNs that are held, fragments that wait.
constexpr uint32_t LONG_AFTER = 100'000;

// The packet that nvi0 sees as it comes to a port: routing takes a hop, and changes the checksum
// accordingly (RFC 1624). Nothing: no packet becomes this one.
std::optional<Arrival> one_hop_before(const Arrival &arrival) {
  Arrival before = arrival;
  const int version = before.packet[0] >> 4;
  uint8_t &hops = before.packet[version == 6 ? 7 : 8];
  if ((version != 4 && version != 6) || hops == 0xff)
    return std::nullopt;
  hops++;
  if (version == 4) {
    const auto had = static_cast<uint32_t>(before.packet[10] << 8 | before.packet[11]);
    uint32_t sum = (~had & 0xffffU) + 0x0100; // the hop limit is a word's upper half
    sum = (sum & 0xffffU) + (sum >> 16);
    before.packet[10] = static_cast<uint8_t>(~sum >> 8);
    before.packet[11] = static_cast<uint8_t>(~sum);
  }
  return before;
}

bool is_left_to_nvi(const Departure &departure) {
  return departure.verdict == dp::VERDICT_PASS && departure.reason != dp::REASON_not_ours;
}

} // namespace

bool is_punt(dp::reason reason) {
  return std::string_view(reason_name(reason)).starts_with("punt_");
}

namespace {

// Which program has taken a packet is none of its history.
bool is_of_the_way(dp::reason reason) {
  return is_punt(reason) || std::string_view(reason_name(reason)).starts_with("direct_");
}

} // namespace

std::map<uint32_t, EngineTarget::Loaded> &EngineTarget::loaded() {
  static std::map<uint32_t, Loaded> engines;
  return engines;
}

Result<void> EngineTarget::reset(const Tables &given) {
  Loaded &engine = loaded()[given.max_sessions];
  if (!engine.tables) {
    auto made = tables::BpfTables::make({.max_sessions = given.max_sessions, .testing = true});
    if (!made)
      return made.failure();
    engine.tables = std::move(*made);
  }
  if (hook_ != Hook::nvi && !engine.direct) {
    auto made =
        tables::DirectObject::load(engine.tables->object(), {.testing = true, .counts_hop = true});
    if (!made)
      return made.failure();
    engine.direct = std::move(*made);
  }
  engine_ = &engine;
  dp::worker_free(engine.worker);
  engine.worker = dp::worker_new(engine.tables->engine());
  if (engine.worker == nullptr)
    return error("no memory for a worker");
  engine.tables->sweep(now_ + LONG_AFTER);
  if (auto done = engine.tables->set_policy(given.policy); !done)
    return done;
  if (auto done = fill(engine.tables->object(), given); !done)
    return done;
  engine.before = engine.tables->counters();
  return {};
}

Result<Departure> EngineTarget::hand_up(const Arrival &arrival, dp::reason reason) {
  handed_up_ = reason;
  if (!is_punt(handed_up_))
    return error("handed up as {}", reason_name(handed_up_));
  return carry(engine_->worker, arrival);
}

Result<Departure> EngineTarget::run_nvi(const Arrival &arrival) {
  if (!cannot_test_run(arrival).empty())
    return carry(engine_->worker, arrival);
  auto departure = test_run(engine_->tables->object(), arrival);
  if (!departure || departure->verdict != dp::VERDICT_PUNT)
    return departure;
  return hand_up(arrival, departure->reason);
}

Result<Departure> EngineTarget::run(const Arrival &arrival) {
  now_ = arrival.now;
  handed_up_ = dp::REASON_none;
  by_port_ = false;
  if (hook_ == Hook::nvi || !cannot_test_run(arrival, hook_).empty())
    return run_nvi(arrival);
  const auto before = one_hop_before(arrival);
  if (!before)
    return run_nvi(arrival);
  auto departure = test_run(*engine_->direct, hook_, *before);
  if (!departure)
    return departure;
  if (departure->verdict == dp::VERDICT_PUNT) // as nvi0's program would
    return hand_up(arrival, departure->reason);
  if (is_left_to_nvi(*departure))
    return run_nvi(arrival);
  by_port_ = true;
  return departure;
}

std::vector<Bytes> EngineTarget::sweep(uint32_t now, dp::event_why cause) {
  now_ = now;
  std::vector<Bytes> sent;
  tables::Cause always;
  if (cause != dp::WHY_NONE)
    always = [cause](const dp::session_key &, const dp::session &) { return cause; };
  engine_->tables->sweep(now, always, [&](std::span<const uint8_t> packet) {
    sent.emplace_back(packet.begin(), packet.end());
    return true;
  });
  return sent;
}

Counters EngineTarget::counters() const {
  Counters counters = engine_->tables->counters();
  for (uint32_t i = 0; i < dp::REASON_COUNT; i++)
    counters[i] = is_of_the_way(static_cast<dp::reason>(i)) ? 0 : counters[i] - engine_->before[i];
  return counters;
}

std::optional<dp::session> EngineTarget::find(const dp::session_key &key) const {
  return test::find(engine_->tables->object(), key);
}

std::optional<dp::binding> EngineTarget::find(const dp::binding_key &key) const {
  return test::find(engine_->tables->object(), key);
}

} // namespace viaduct::test
