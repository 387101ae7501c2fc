// SPDX-License-Identifier: MIT
//
// As much of the DNS wire format (RFC 1035 section 4) as a health check needs: one question out,
// the IPv6 addresses of its answer in. What comes in is hostile: every length is checked, a name
// follows a bounded number of pointers, and pointers only lead backwards.
#pragma once

#include "base/address.h"
#include "base/result.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace viaduct::dns64 {

constexpr size_t MAX_DNS_MESSAGE = 4096; // we advertise no EDNS, so 512 would do (RFC 1035 2.3.4)
constexpr unsigned MAX_DNS_RECORDS = 64; // in the answer section; more is refused
constexpr uint8_t RCODE_NO_ERROR = 0;
constexpr uint8_t RCODE_REFUSED = 5;

struct Answer {
  uint8_t rcode = 0;
  bool truncated = false;
  std::vector<Ipv6> addresses; // of the AAAA records whose owner is the name that was asked
};

// A query with recursion desired. REQUIRES: `name` is lower case with labels of 1 to 63 bytes.
std::vector<uint8_t> aaaa_query(uint16_t id, std::string_view name);

// The first two bytes; what does not carry the id of the question is not its answer.
bool has_id(std::span<const uint8_t> message, uint16_t id);

// Reads the answer to aaaa_query(id, name); the question must be repeated in it
// (only an error may leave it out).
Result<Answer> parse_answer(std::span<const uint8_t> message, uint16_t id, std::string_view name);

} // namespace viaduct::dns64
