// SPDX-License-Identifier: MIT
//
// Counts what this program asks of malloc, from whatever library: new, calloc, realloc and the aligned ones too (which
// the thread sanitizer does not tell of).
#pragma once

#include <cstdint>

namespace viaduct::test {

// While one lives. Of all threads.
class Allocations {
public:
  Allocations();
  ~Allocations();
  Allocations(const Allocations &) = delete;
  Allocations &operator=(const Allocations &) = delete;

  // Since it was made.
  uint64_t count() const;

private:
  uint64_t before_;
};

} // namespace viaduct::test
