// SPDX-License-Identifier: MIT
//
// How long an empty queue is asked again before the thread sleeps. Asking pays where the next
// packet comes within `limit`, and then the whole of it is spent; each time it has not paid halves
// what is spent the next time, down to nothing, and a sleep that was shorter than the limit says
// that it would have paid. So a queue with a packet now and then costs no more than sleeping does.
#pragma once

#include <algorithm>
#include <cstdint>

namespace viaduct::nvi {

class Spin {
public:
  // Nanoseconds.
  int64_t budget(int64_t limit) const { return std::min(budget_, limit); }

  void paid(int64_t limit) { budget_ = limit; }
  void did_not_pay() { budget_ = budget_ > SHORTEST ? budget_ / 2 : 0; }
  void slept(int64_t nanoseconds, int64_t limit) {
    if (nanoseconds < limit)
      budget_ = limit;
  }

private:
  static constexpr int64_t SHORTEST = 1000; // about as long as asking a few times takes
  int64_t budget_ = 0;
};

} // namespace viaduct::nvi
