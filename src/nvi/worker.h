// SPDX-License-Identifier: MIT
//
// The tun engine: one thread per queue reads packets, takes them through the native data path and
// writes what comes out back into the same queue, in order. A flow stays in one queue (Tun::steer),
// so its packets do not overtake one another.
//
// A queue that has become empty is asked again for a short while before the thread sleeps, since
// waking up costs more than a small packet does. How long follows what the last times have shown:
// `spin` is the most.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "datapath/native/native.h"
#include "nvi/refusals.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <span>
#include <thread>
#include <vector>

namespace viaduct::nvi {

class Workers {
public:
  // What may change while they run.
  struct Settings {
    std::chrono::microseconds spin{0};
    bool gather_udp = false; // only where the interface has the offloads uso4 and uso6
  };

  // One worker for each descriptor (non-blocking, with vnet headers; they stay the caller's).
  // The engine must outlive them.
  static Result<std::unique_ptr<Workers>> start(dp::engine *engine, const std::vector<int> &queues,
                                                const Settings &settings);
  ~Workers(); // stops and joins

  Workers(const Workers &) = delete;
  Workers &operator=(const Workers &) = delete;

  size_t count() const { return threads_.size(); }
  void set(const Settings &settings) {
    spin_ = settings.spin.count() * 1000;
    gather_ = settings.gather_udp;
  }

  // The offloads whose super-packets the kernel hands out but does not take back: those are cut.
  std::vector<std::string> refused() const { return refusals_.off(); }

private:
  Workers() = default;
  void run(dp::worker *worker, int queue);
  void wait(int queue) const;

  Fd stop_; // an eventfd that becomes readable at the end
  std::atomic<bool> stopping_ = false;
  std::atomic<int64_t> spin_ = 0; // nanoseconds
  std::atomic<bool> gather_ = false;
  Refusals refusals_;
  std::vector<dp::worker *> workers_;
  std::vector<std::thread> threads_;
};

} // namespace viaduct::nvi
