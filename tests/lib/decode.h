// SPDX-License-Identifier: MIT
//
// Bytes to something a person can read, for failure messages, and the checks that a well-formed
// packet passes. Knows nothing of packet.h and shares no code with the data path: what the one
// writes and the other translates is read here a second time. Takes any bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace viaduct::test {

// One line: "udp", "source port", "1234". Inner packets of ICMP errors come as "inner udp".
struct Field {
  std::string layer;
  std::string name;
  std::string value;
};

std::vector<Field> fields(std::span<const uint8_t> bytes);

// All fields, one a line.
std::string decode(std::span<const uint8_t> bytes);

// Field by field, "-" what was expected, "+" what came; "" if the bytes are equal.
std::string difference(std::span<const uint8_t> expected, std::span<const uint8_t> actual);

std::string hex(std::span<const uint8_t> bytes);

enum class SumState : uint8_t {
  right,
  wrong,
  partial, // exactly the pseudo-header sum, as before checksum offload
  absent,  // UDP without one
  unknown, // no transport header we know, a fragment, or cut short
};

// Of the outermost transport header.
SumState transport_checksum(std::span<const uint8_t> bytes);

// What is wrong with the packet's outer headers: version, lengths, the IPv4 header checksum, the
// transport header's own length. One sentence, or "".
std::string malformation(std::span<const uint8_t> bytes);

} // namespace viaduct::test
