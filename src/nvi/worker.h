// SPDX-License-Identifier: MIT
//
// The tun engine: one thread per queue reads packets, takes them through the native data path and
// writes what comes out back into the same queue, in order. The kernel keeps a flow on the queue it
// was last written to, so packets of one flow do not overtake one another.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "datapath/native/native.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace viaduct::nvi {

class Workers {
public:
  // One worker for each descriptor (non-blocking, with vnet headers; they stay the caller's).
  // The engine must outlive them.
  static Result<std::unique_ptr<Workers>> start(dp::engine *engine, const std::vector<int> &queues);
  ~Workers(); // stops and joins

  Workers(const Workers &) = delete;
  Workers &operator=(const Workers &) = delete;

  size_t count() const { return threads_.size(); }

private:
  Workers() = default;
  void run(dp::worker *worker, int queue) const;
  void wait(int queue) const;

  Fd stop_; // an eventfd that becomes readable at the end
  std::atomic<bool> stopping_ = false;
  std::vector<dp::worker *> workers_;
  std::vector<std::thread> threads_;
};

} // namespace viaduct::nvi
