// SPDX-License-Identifier: MIT
//
// How many sessions there are of each protocol and state, and how many ports each pool address has
// in use. The data path does not count these: that would cost every packet. A census walks the
// tables instead, on the daemon's thread, in slices of a millisecond with longer pauses between
// them, and a scrape shows what the last whole one found. So a scrape costs the same with a million
// sessions as with none, and the packet threads never wait for either.
#pragma once

#include "base/event_loop.h"
#include "control/views.h"
#include "tables/tables.h"

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <string>

namespace viaduct::metrics {

struct Counts {
  // tcp, udp, icmp
  std::array<std::array<uint64_t, dp::STATE_COUNT>, 3> sessions{};
  std::map<uint32_t, control::PoolUse> pool; // by address, in network order
};

// One walk through both tables. Entries that come and go meanwhile may be missed.
class Walk {
public:
  explicit Walk(const tables::Tables &tables) : tables_(tables) {}
  // A bounded piece; false when all was counted.
  bool step();
  const Counts &counts() const { return counts_; }

private:
  bool step_sessions();
  bool step_bindings();

  const tables::Tables &tables_;
  Counts counts_;
  uint64_t cursor_ = 0;
  bool sessions_done_ = false;
};

struct CensusPace {
  std::chrono::milliseconds period{15'000}; // from one beginning to the next
  std::chrono::milliseconds pause{10};      // between two slices
  std::chrono::microseconds slice{1'000};
};

class Census {
public:
  // The first one begins at once. The tables must outlive the census.
  static Result<std::unique_ptr<Census>> start(EventLoop &loop, const tables::Tables &tables,
                                               const CensusPace &pace = {});
  ~Census();
  Census(const Census &) = delete;
  Census &operator=(const Census &) = delete;

  struct Report {
    Counts counts;
    uint64_t taken = 0;      // how many were finished
    double age_seconds = 0;  // since the last one was finished
    double work_seconds = 0; // of the processor, for the last one
  };
  Report report() const;

private:
  using Clock = std::chrono::steady_clock;
  Census(EventLoop &loop, const tables::Tables &tables, const CensusPace &pace)
      : loop_(loop), tables_(tables), pace_(pace) {}
  void begin();
  void slice();
  void finish();

  EventLoop &loop_;
  const tables::Tables &tables_;
  CensusPace pace_;
  std::unique_ptr<Walk> walk_; // under way
  Clock::duration work_{};
  Clock::time_point finished_{};
  Report last_;
  EventLoop::TimerId period_ = -1;
  EventLoop::TimerId pause_ = -1;
};

} // namespace viaduct::metrics
