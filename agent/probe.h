// SPDX-License-Identifier: MIT
//
// What this kernel takes, found out by trying, and who else is on the hooks. Nothing is attached.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <set>
#include <string>

namespace viaduct::agent {

Result<void> probe_hooks();
Result<void> probe_getsockopt();
Result<void> probe_udp();
Result<void> probe_uoa_getsockopt();

struct Others {
  std::string text;      // "sock_ops NAME NAME, getpeername4 NAME"
  std::string exclusive; // hooks where no second program is let in
};
// At the agent's cgroup (none: the root), above and below it. `agents_programs`: those that it says
// it has attached; we may not see where they are pinned.
Result<Others> programs_beside_ours(const std::string &agents_cgroup,
                                    const std::set<uint32_t> &agents_programs);

} // namespace viaduct::agent
