// SPDX-License-Identifier: MIT
//
// From the checked configuration to what is to be routed into the interface. Pure.
#pragma once

#include "config/config.h"
#include "nvi/network.h"

namespace viaduct::nvi {

Plan plan_of(const config::Config &config);

} // namespace viaduct::nvi
