// SPDX-License-Identifier: MIT
//
// A BPF program on an interface's egress (tc, clsact). It stays when the daemon dies and goes with
// the interface; a successor puts his own in its place.
#pragma once

#include "base/result.h"

namespace viaduct::nvi {

// Puts it there, in place of one that a predecessor left. The descriptor stays the caller's.
Result<void> attach_egress(int ifindex, int program);

// Puts it there again where somebody has taken it away or put another in its place; true: so it was.
Result<bool> keep_egress(int ifindex, int program);

// Takes away whatever attach_egress put there, by whomever.
Result<void> detach_egress(int ifindex);

} // namespace viaduct::nvi
