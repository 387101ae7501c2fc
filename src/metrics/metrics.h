// SPDX-License-Identifier: MIT
//
// What Prometheus gets to read: every metric of viaductd, in one place. docs/metrics.md lists them.
#pragma once

#include "control/views.h"
#include "metrics/census.h"

#include <string>
#include <vector>

namespace viaduct::metrics {

struct Facts {
  control::Status status;
  tables::Counters counters{};
  std::vector<dp::pool_address> pool;
  std::vector<control::PoolUse> pool_most; // beside pool
  Census::Report census;
};

std::string exposition(const Facts &facts);

} // namespace viaduct::metrics
