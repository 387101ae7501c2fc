// SPDX-License-Identifier: MIT
//
// Time for sessions and timers comes from CLOCK_MONOTONIC only: a jump of the wall clock ends
// nothing.
#pragma once

#include <cstdint>

namespace viaduct {

uint64_t monotonic_ns();
uint32_t monotonic_seconds(); // whole seconds since boot, as the data path stamps them

} // namespace viaduct
