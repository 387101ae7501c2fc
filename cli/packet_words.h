// SPDX-License-Identifier: MIT
//
// A packet as an operator writes it:
//
//   tcp from 2001:db8:64::10 port 40000 to 64:ff9b::c633:6450 port 80 syn ttl 63
//   icmp echo from 2001:db8:64::10 to 64:ff9b::c633:6450 id 7
//   icmp too-big mtu 1400 from 2001:db8:1::1 to 64:ff9b::c633:6450 about tcp from ... to ...
//
// and as bytes: one whole IP packet with every length and checksum right, its data zeros.
// docs/man/viaduct.8 has the words.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace viaduct::cli {

Result<std::vector<uint8_t>> packet_from_words(const std::vector<std::string> &words);

} // namespace viaduct::cli
