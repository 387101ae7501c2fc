// SPDX-License-Identifier: MIT
#include "nvi/plan.h"

#include <algorithm>

namespace viaduct::nvi {

Plan plan_of(const config::Config &config) {
  Plan plan;
  plan.interface = config.nvi.name;
  plan.prefixes = config.nat64.prefixes;
  for (const auto &pool : config.nat64.pool4)
    plan.pool.push_back(pool.address);
  for (const Ipv4 &router : config.nat64.router_pool4)
    if (std::ranges::find(plan.pool, router) == plan.pool.end())
      plan.pool.push_back(router);
  for (const auto &map : config.maps)
    plan.mapped.push_back(map.outside);
  return plan;
}

} // namespace viaduct::nvi
