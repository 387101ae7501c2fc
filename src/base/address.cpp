// SPDX-License-Identifier: MIT
#include "base/address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cstring>

namespace viaduct {

namespace {

// inet_pton wants a C string; no address text is longer than this.
template <size_t Size>
bool from_text(int family, std::string_view text, std::array<uint8_t, Size> &bytes) {
  char buffer[INET6_ADDRSTRLEN]{};
  if (text.size() >= sizeof buffer || text.find('\0') != std::string_view::npos)
    return false;
  std::memcpy(buffer, text.data(), text.size());
  return inet_pton(family, buffer, bytes.data()) == 1;
}

struct Split {
  std::string_view address;
  unsigned length;
};

Result<Split> split_prefix(std::string_view text, unsigned longest) {
  auto slash = text.rfind('/');
  if (slash == std::string_view::npos)
    return error("\"{}\" has no prefix length (such as /{})", text, longest);
  unsigned length = 0;
  auto digits = text.substr(slash + 1);
  auto [end, code] = std::from_chars(digits.begin(), digits.end(), length);
  if (code != std::errc() || end != digits.end() || digits.empty() || length > longest)
    return error("\"{}\" has a prefix length that is not 0 to {}", text, longest);
  return Split{text.substr(0, slash), length};
}

template <size_t Size>
bool same_bits(const std::array<uint8_t, Size> &a, const std::array<uint8_t, Size> &b,
               unsigned bits) {
  for (unsigned i = 0; i < bits; i++) {
    uint8_t mask = 0x80U >> (i % 8);
    if ((a[i / 8] & mask) != (b[i / 8] & mask))
      return false;
  }
  return true;
}

template <size_t Size> bool zero_behind(const std::array<uint8_t, Size> &bytes, unsigned bits) {
  for (unsigned i = bits; i < Size * 8; i++)
    if (bytes[i / 8] & (0x80U >> (i % 8)))
      return false;
  return true;
}

} // namespace

uint32_t Ipv4::host_order() const {
  return ntohl(network_order());
}

Ipv4 Ipv4::from_host_order(uint32_t value) {
  return from_network_order(htonl(value));
}

uint32_t Ipv4::network_order() const {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Ipv4 Ipv4::from_network_order(uint32_t value) {
  Ipv4 address;
  std::memcpy(address.bytes.data(), &value, sizeof value);
  return address;
}

Result<Ipv4> Ipv4::parse(std::string_view text) {
  Ipv4 address;
  if (!from_text(AF_INET, text, address.bytes))
    return error("\"{}\" is not an IPv4 address", text);
  return address;
}

std::string Ipv4::text() const {
  return fmt::format("{}.{}.{}.{}", bytes[0], bytes[1], bytes[2], bytes[3]);
}

Result<Ipv6> Ipv6::parse(std::string_view text) {
  Ipv6 address;
  if (!from_text(AF_INET6, text, address.bytes))
    return error("\"{}\" is not an IPv6 address", text);
  return address;
}

Ipv6 Ipv6::from_bytes(std::span<const uint8_t, 16> bytes) {
  Ipv6 address;
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return address;
}

std::string Ipv6::text() const {
  char buffer[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
  return buffer;
}

Result<Prefix6> Prefix6::parse(std::string_view text) {
  auto split = split_prefix(text, 128);
  if (!split)
    return split.failure();
  auto address = Ipv6::parse(split->address);
  if (!address)
    return address.failure();
  if (!zero_behind(address->bytes, split->length))
    return error("\"{}\" has bits set behind its prefix length", text);
  return Prefix6{*address, static_cast<uint8_t>(split->length)};
}

bool Prefix6::contains(const Ipv6 &other) const {
  return same_bits(address.bytes, other.bytes, length);
}

bool Prefix6::overlaps(const Prefix6 &other) const {
  return same_bits(address.bytes, other.address.bytes, std::min(length, other.length));
}

std::string Prefix6::text() const {
  return fmt::format("{}/{}", address.text(), length);
}

bool Prefix4::overlaps(const Prefix4 &other) const {
  return same_bits(address.bytes, other.address.bytes, std::min(length, other.length));
}

Result<Prefix4> Prefix4::parse(std::string_view text) {
  auto split = split_prefix(text, 32);
  if (!split)
    return split.failure();
  auto address = Ipv4::parse(split->address);
  if (!address)
    return address.failure();
  if (!zero_behind(address->bytes, split->length))
    return error("\"{}\" has bits set behind its prefix length", text);
  return Prefix4{*address, static_cast<uint8_t>(split->length)};
}

bool Prefix4::contains(const Ipv4 &other) const {
  return same_bits(address.bytes, other.bytes, length);
}

std::string Prefix4::text() const {
  return fmt::format("{}/{}", address.text(), length);
}

Ipv6 embed(const Prefix6 &prefix, const Ipv4 &address) {
  Ipv6 result = prefix.address;
  size_t at = prefix.length / 8U;
  for (uint8_t byte : address.bytes) {
    if (at == 8) // the u octet, RFC 6052 2.2
      at++;
    result.bytes[at++] = byte;
  }
  return result;
}

std::string endpoint_text(const Ipv4 &address, uint16_t port) {
  return fmt::format("{}:{}", address.text(), port);
}

std::string endpoint_text(const Ipv6 &address, uint16_t port) {
  return fmt::format("[{}]:{}", address.text(), port);
}

} // namespace viaduct
