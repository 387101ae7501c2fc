// SPDX-License-Identifier: MIT
#include "engine_target.h"

#include "bpf_target.h"
#include "native_target.h"

#include <string_view>

namespace viaduct::test {

namespace {

// Later than anything that a vector has left: SYNs that are held, fragments that wait.
constexpr uint32_t LONG_AFTER = 100'000;

} // namespace

bool is_punt(dp::reason reason) {
  return std::string_view(reason_name(reason)).starts_with("punt_");
}

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

Result<Departure> EngineTarget::run(const Arrival &arrival) {
  now_ = arrival.now;
  handed_up_ = dp::REASON_none;
  if (cannot_test_run(arrival).empty()) {
    auto departure = test_run(engine_->tables->object(), arrival);
    if (!departure || departure->verdict != dp::VERDICT_PUNT)
      return departure;
    handed_up_ = departure->reason;
    if (!is_punt(handed_up_))
      return error("handed up as {}", reason_name(handed_up_));
  }
  return carry(engine_->worker, arrival);
}

std::vector<Bytes> EngineTarget::sweep(uint32_t now) {
  now_ = now;
  std::vector<Bytes> sent;
  engine_->tables->sweep(now, {}, [&](std::span<const uint8_t> packet) {
    sent.emplace_back(packet.begin(), packet.end());
    return true;
  });
  return sent;
}

Counters EngineTarget::counters() const {
  Counters counters = engine_->tables->counters();
  for (uint32_t i = 0; i < dp::REASON_COUNT; i++)
    counters[i] = is_punt(static_cast<dp::reason>(i)) ? 0 : counters[i] - engine_->before[i];
  return counters;
}

std::optional<dp::session> EngineTarget::find(const dp::session_key &key) const {
  return test::find(engine_->tables->object(), key);
}

std::optional<dp::binding> EngineTarget::find(const dp::binding_key &key) const {
  return test::find(engine_->tables->object(), key);
}

} // namespace viaduct::test
