// SPDX-License-Identifier: MIT
#include "base/clock.h"

#include <ctime>

namespace viaduct {

uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(now.tv_nsec);
}

uint32_t monotonic_seconds() {
  return static_cast<uint32_t>(monotonic_ns() / 1'000'000'000U);
}

} // namespace viaduct
