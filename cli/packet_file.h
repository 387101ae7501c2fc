// SPDX-License-Identifier: MIT
//
// One packet out of a capture (pcap or pcapng, read by libpcap): whatever the link, the IP packet
// inside, without what padding a short frame has.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace viaduct::cli {

struct FilePacket {
  std::vector<uint8_t> bytes;
  size_t missing = 0; // bytes at the end that were not captured; zeros stand for them
};

// `number`: the first packet is 1.
Result<FilePacket> packet_from_file(const std::string &path, uint64_t number);

// A frame of libpcap's link type; `length` is what it had on the wire, at least frame.size().
Result<FilePacket> packet_from_frame(int link, std::span<const uint8_t> frame, size_t length);

} // namespace viaduct::cli
