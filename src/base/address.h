// SPDX-License-Identifier: MIT
//
// IPv4 and IPv6 addresses, prefixes and endpoints as values; text in, text out.
// Bytes are in network order throughout; no integer form of an address leaves this file except by
// the functions whose name says which order it has.
#pragma once

#include "base/result.h"

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace viaduct {

struct Ipv4 {
  std::array<uint8_t, 4> bytes{};

  uint32_t host_order() const;                 // 192.0.2.1 -> 0xc0000201
  static Ipv4 from_host_order(uint32_t value); // 0xc0000201 -> 192.0.2.1
  uint32_t network_order() const;              // as it lies in a header (a __be32)
  static Ipv4 from_network_order(uint32_t value);
  static Result<Ipv4> parse(std::string_view text);
  std::string text() const;
  auto operator<=>(const Ipv4 &) const = default;
};

struct Ipv6 {
  std::array<uint8_t, 16> bytes{};

  static Result<Ipv6> parse(std::string_view text);
  static Ipv6 from_bytes(std::span<const uint8_t, 16> bytes);
  std::string text() const; // RFC 5952
  auto operator<=>(const Ipv6 &) const = default;
};

// length: 0..128; bits behind length are zero (parse refuses them set).
struct Prefix6 {
  Ipv6 address;
  uint8_t length = 0;

  static Result<Prefix6> parse(std::string_view text);
  bool contains(const Ipv6 &other) const;
  bool overlaps(const Prefix6 &other) const;
  std::string text() const;
  auto operator<=>(const Prefix6 &) const = default;
};

// length: 0..32; bits behind length are zero (parse refuses them set).
struct Prefix4 {
  Ipv4 address;
  uint8_t length = 0;

  static Result<Prefix4> parse(std::string_view text);
  bool contains(const Ipv4 &other) const;
  bool overlaps(const Prefix4 &other) const;
  std::string text() const;
  auto operator<=>(const Prefix4 &) const = default;
};

// Puts an IPv4 address into an RFC 6052 prefix (length 32, 40, 48, 56, 64 or 96; section 2.2).
Ipv6 embed(const Prefix6 &prefix, const Ipv4 &address);

// "192.0.2.1:80" and "[2001:db8::1]:80"; port in host order.
std::string endpoint_text(const Ipv4 &address, uint16_t port);
std::string endpoint_text(const Ipv6 &address, uint16_t port);

} // namespace viaduct
