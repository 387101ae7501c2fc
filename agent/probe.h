// SPDX-License-Identifier: MIT
//
// What this kernel takes, found out by trying, and who else is on the hooks. Nothing is attached.
#pragma once

#include "base/result.h"

#include <string>

namespace viaduct::agent {

Result<void> probe_hooks();
Result<void> probe_getsockopt();
Result<void> probe_view();
Result<void> probe_udp();
Result<void> probe_uoa_getsockopt();

struct Others {
  std::string text;      // "sock_ops 2, getpeername4 1", ours not counted
  std::string exclusive; // hooks where no second program is let in
};
Result<Others> programs_beside_ours();

} // namespace viaduct::agent
