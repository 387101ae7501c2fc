// SPDX-License-Identifier: MIT
//
// A TCP segment as it is on the wire, and back: Ethernet, IPv4 or IPv6, TCP.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace viaduct::toalab {

enum TcpFlag : uint8_t { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

// An IPv4 address in the first four bytes.
struct Host {
  bool six = false;
  std::array<uint8_t, 16> bytes{};

  bool operator==(const Host &) const = default;
};

struct Segment {
  Host source, target;
  uint16_t source_port = 0, target_port = 0; // host order
  uint32_t sequence = 0, acknowledged = 0;
  uint8_t flags = 0;
  std::span<const uint8_t> options; // a multiple of four bytes
  std::span<const uint8_t> data;
};

using Mac = std::array<uint8_t, 6>;
constexpr size_t longest_frame = 14 + 40 + 60 + 64;
using Frame = std::array<uint8_t, longest_frame>;

// The frame's length.
size_t write(const Segment &segment, const Mac &source, const Mac &target, Frame &frame);

// Of what the server's kernel sends; nothing where it is not TCP.
std::optional<Segment> read(std::span<const uint8_t> frame);

} // namespace viaduct::toalab
