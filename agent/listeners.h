// SPDX-License-Identifier: MIT
//
// Sockets that listen, of this network namespace, for kernels that cannot walk them (agent/syns.h).
// Those that are older than the hooks keep no SYNs: a TOA that only the SYN carries is missed there,
// until their program listens anew.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace viaduct::agent {

using Listeners = std::map<uint64_t, std::string>; // "0.0.0.0:80" by the socket's number

// The text of /proc/net/tcp or tcp6.
void listeners_in(std::string_view text, Listeners &listeners);
Listeners listeners_now();

// Those of `before` that still listen, at one of the ports (none: at any).
std::vector<std::string> still_there(const Listeners &before, const Listeners &now,
                                     const std::vector<uint16_t> &ports);

} // namespace viaduct::agent
