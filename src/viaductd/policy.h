// SPDX-License-Identifier: MIT
//
// From the checked configuration to what the data path reads. Pure.
#pragma once

#include "base/address.h"
#include "config/config.h"
#include "datapath/types.h"

#include <vector>

namespace viaduct {

// `connected` stands in where the configuration names no `allow`: at most MAX_ALLOW are taken.
dp::policy make_policy(const config::Nat64 &nat64, const std::vector<Prefix6> &connected,
                       uint32_t generation);

// The same with the static maps: everything that the data path is to know.
dp::policy make_policy(const config::Config &config, const std::vector<Prefix6> &connected,
                       uint32_t generation);

// Whether a session that was made under another policy may go on under this one: its prefix, its
// pool address with its port, and its host are still there, its host is not mapped now, and its
// remote address is not refused.
bool still_allowed(const dp::policy &policy, const dp::session_key &key, const dp::session &value);

} // namespace viaduct
