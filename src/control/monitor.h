// SPDX-License-Identifier: MIT
//
// {"command":"monitor"}: events of sessions and bindings as they happen, until the client leaves.
// Nobody waits for a client: each has a queue of fixed length, and what does not fit is counted.
// docs/control-protocol.md has the fields.
#pragma once

#include "control/answer.h"
#include "control/filter.h"
#include "tables/tables.h"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace viaduct::control {

// Belongs to the loop's thread. Answers may outlive it.
class Monitors {
public:
  static constexpr size_t most = 8;
  static constexpr size_t queue_limit = 4096;     // events of one monitor
  static constexpr size_t events_per_turn = 4096; // taken from the tables
  static constexpr auto period = std::chrono::milliseconds(100);

  explicit Monitors(tables::Tables &tables) : tables_(tables), all_(std::make_shared<All>()) {}

  // An optional "filter" in the language of sessions.
  Result<std::unique_ptr<Answer>> request(const nlohmann::json &request);

  // Takes what has happened and hands it out; every `period` while count() is not 0.
  void turn();
  size_t count() const { return all_->size(); }

private:
  using Time = std::chrono::system_clock::time_point;
  struct Entry {
    Time when;
    dp::event event;
    uint64_t lost = 0; // not 0: no event, but how many are missing here
  };
  struct Monitor {
    std::optional<Filter> filter;
    std::deque<Entry> queue;
    uint64_t lost = 0; // since the last entry of the queue

    void add(Time when, const dp::event &event);
    void settle(Time when); // says what was lost, where there is room again
  };
  using All = std::vector<std::shared_ptr<Monitor>>;
  class Events;

  static nlohmann::json item_of(const Entry &entry);

  tables::Tables &tables_;
  std::shared_ptr<All> all_;
  bool watching_ = false;
};

} // namespace viaduct::control
