// SPDX-License-Identifier: MIT
//
// TOA in TCP options: what is believed, and that nothing else ever is. Each case is a value: the
// options as they lie in the header, and what comes of them.
#include "base/address.h"
#include "datapath/native/toa.h"

#include <algorithm>
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace viaduct::dp {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint8_t SYN = 0x02;
constexpr uint8_t ACK = 0x10;

const Bytes TOA4 = {254, 8, 0x30, 0x39, 203, 0, 113, 9};
const Bytes TOA4_OTHER = {254, 8, 0x30, 0x39, 203, 0, 113, 10};
const Bytes TOA4_OTHER_PORT = {254, 8, 0x30, 0x3a, 203, 0, 113, 9};
const Bytes TOA6 = {254, 20, 0x30, 0x39, 0x20, 0x01, 0x0d, 0xb8, 0, 0,
                    0,   0,  0,    0,    0,    0,    0,    0,    0, 9};
const Bytes TOA4_VIRTUAL = {254, 16, 0x30, 0x39, 203, 0, 113, 9, 0, 0, 0, 80, 192, 0, 2, 80};
const Bytes CDN4 = {28, 7, 1, 203, 0, 113, 9};
const Bytes CDN6 = {28, 19, 1, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
const Bytes TIMESTAMPS = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
const Bytes FAST_OPEN_PORT = {254, 8, 0xf9, 0x89, 203, 0, 113, 9};
const Bytes MPTCP = {30, 4, 0, 0};

Bytes operator+(Bytes front, const Bytes &back) {
  front.insert(front.end(), back.begin(), back.end());
  return front;
}

// ::ffff:a.b.c.d
Bytes mapped(const Bytes &address) {
  return Bytes{254, 20, 0x30, 0x39} + Bytes(10, 0) + Bytes{0xff, 0xff} + address;
}

toa_kinds every_kind() {
  toa_kinds kinds{};
  kinds.lengths[254] = 1U << 8 | 1U << 16 | 1U << 20;
  kinds.lengths[253] = 1U << 20;
  kinds.lengths[200] = 1U << 8;
  kinds.lengths[28] = 1U << 7 | 1U << 19;
  return kinds;
}

struct Seen {
  toa_outcome outcome;
  toa found;
};

// Padded with zeros (the end of the options) to whole words.
Seen look(const Bytes &options, uint8_t flags = ACK, const toa_kinds &kinds = every_kind()) {
  toa_header header{};
  size_t words = (options.size() + 3) / 4;
  header.byte[12] = static_cast<uint8_t>((5 + words) << 4);
  header.byte[13] = flags;
  std::ranges::copy(options, &header.byte[TOA_FIRST_OPTION]);
  Seen seen{};
  seen.outcome = native_toa_find(&header, &kinds, &seen.found);
  return seen;
}

std::string text(const toa &found) {
  uint16_t port = ntohs(found.client_port);
  if (found.family == 6)
    return endpoint_text(Ipv6::from_bytes(found.client.byte), port);
  return endpoint_text(Ipv4::from_network_order(found.client.word[0]), port);
}

struct Believed {
  const char *name;
  Bytes options;
  const char *client;
  uint8_t flags = ACK;
};

TEST(Toa, IsFound) {
  const std::vector<Believed> cases = {
      {"alone", TOA4, "203.0.113.9:12345"},
      {"IPv6", TOA6, "[2001:db8::9]:12345"},
      {"in a SYN", TOA4, "203.0.113.9:12345", SYN},
      {"before others", TOA4 + TIMESTAMPS, "203.0.113.9:12345"},
      {"behind others", TIMESTAMPS + TOA4, "203.0.113.9:12345"},
      {"at an odd place", Bytes{1} + TOA4, "203.0.113.9:12345"},
      {"up to the last byte", TIMESTAMPS + TIMESTAMPS + TOA4 + TOA4, "203.0.113.9:12345"},
      {"IPv6 up to the last byte", TIMESTAMPS + Bytes(8, 1) + TOA6, "[2001:db8::9]:12345"},
      {"twice the same", TOA6 + TOA6, "[2001:db8::9]:12345"},
      {"twice the same, of two kinds", TOA4 + Bytes{200, 8, 0x30, 0x39, 203, 0, 113, 9},
       "203.0.113.9:12345"},
      {"kind 200", Bytes{200, 8, 0x30, 0x39, 203, 0, 113, 9}, "203.0.113.9:12345"},
      {"without a port", CDN4, "203.0.113.9:0"},
      {"IPv6 without a port", CDN6, "[2001:db8::9]:0"},
      {"with the virtual address", TOA4_VIRTUAL, "203.0.113.9:12345"},
      {"port 63881, not in a SYN", FAST_OPEN_PORT, "203.0.113.9:63881"},
      {"port 63881 of a kind that is no experiment's", Bytes{200, 8, 0xf9, 0x89, 203, 0, 113, 9},
       "203.0.113.9:63881", SYN},
      {"beside loopback", {254, 8, 0x30, 0x39, 128, 0, 0, 1}, "128.0.0.1:12345"},
      {"below loopback", {254, 8, 0x30, 0x39, 126, 255, 255, 255}, "126.255.255.255:12345"},
      {"beside IPv6's loopback", Bytes{254, 20, 0x30, 0x39} + Bytes(15, 0) + Bytes{2},
       "[::2]:12345"},
      {"IPv4 in IPv6", mapped({203, 0, 113, 9}), "[::ffff:203.0.113.9]:12345"},
      {"what is behind the end does not count", TOA4 + Bytes{0, 254, 99, 1}, "203.0.113.9:12345"},
  };
  for (const auto &value : cases) {
    SCOPED_TRACE(value.name);
    Seen seen = look(value.options, value.flags);
    EXPECT_EQ(seen.outcome, TOA_FOUND);
    EXPECT_EQ(text(seen.found), value.client);
  }
}

TEST(Toa, VirtualAddressIsTold) {
  toa found = look(TOA4_VIRTUAL).found;
  EXPECT_EQ(
      endpoint_text(Ipv4::from_network_order(found.virtual_.word[0]), ntohs(found.virtual_port)),
      "192.0.2.80:80");
  EXPECT_EQ(look(TOA4).found.virtual_.word[0], 0U);
}

TEST(Toa, MultipathIsTold) {
  EXPECT_EQ(look(MPTCP + TOA4).found.multipath, 1);
  EXPECT_EQ(look(TOA4 + MPTCP).found.multipath, 1);
  EXPECT_EQ(look(TOA4).found.multipath, 0);
  EXPECT_EQ(look(MPTCP).outcome, TOA_NONE);
}

struct Refused {
  const char *name;
  Bytes options;
  toa_outcome outcome;
  uint8_t flags = ACK;
};

TEST(Toa, IsNotBelieved) {
  const std::vector<Refused> cases = {
      {"no options", {}, TOA_NONE},
      {"only others", TIMESTAMPS, TOA_NONE},
      {"a kind that is not in the table", {252, 8, 0x30, 0x39, 203, 0, 113, 9}, TOA_NONE},
      {"behind the end of the options", Bytes{0, 0, 0, 0} + TOA4, TOA_NONE},
      {"inside of another option", Bytes{99, 12, 0, 0} + TOA4, TOA_NONE},
      {"another's length of zero", Bytes{99, 0, 1, 1} + TOA4, TOA_MALFORMED},
      {"another's length of one", Bytes{99, 1, 1, 1} + TOA4, TOA_MALFORMED},
      {"another overruns", TOA4 + Bytes{99, 5, 0, 0}, TOA_MALFORMED},
      {"a kind without a length at the end", TOA4 + Bytes{1, 1, 1, 99}, TOA_MALFORMED},
      {"contradicting addresses", TOA4 + TOA4_OTHER, TOA_CONTRADICTS},
      {"contradicting ports", TOA4 + TOA4_OTHER_PORT, TOA_CONTRADICTS},
      {"contradicting families", TOA4 + TOA6, TOA_CONTRADICTS},
      {"the same in two layouts", TOA4_VIRTUAL + TOA4, TOA_CONTRADICTS},
      {"one with a port, one without", TOA4 + CDN4, TOA_CONTRADICTS},
      {"good, then malformed", TOA4 + Bytes{254, 4, 0, 0}, TOA_MALFORMED},
      {"port zero", {254, 8, 0, 0, 203, 0, 113, 9}, TOA_IMPLAUSIBLE},
      {"this network", {254, 8, 1, 1, 0, 0, 0, 1}, TOA_IMPLAUSIBLE},
      {"multicast", {254, 8, 1, 1, 224, 0, 0, 1}, TOA_IMPLAUSIBLE},
      {"broadcast", {254, 8, 1, 1, 255, 255, 255, 255}, TOA_IMPLAUSIBLE},
      {"IPv6 unspecified", Bytes{254, 20, 1, 1} + Bytes(16, 0), TOA_IMPLAUSIBLE},
      {"IPv6 multicast", Bytes{254, 20, 1, 1, 0xff, 2} + Bytes(14, 1), TOA_IMPLAUSIBLE},
      {"loopback", {254, 8, 1, 1, 127, 0, 0, 1}, TOA_IMPLAUSIBLE},
      {"loopback's last", {254, 8, 1, 1, 127, 255, 255, 255}, TOA_IMPLAUSIBLE},
      {"loopback, without a port", {28, 7, 1, 127, 0, 0, 1}, TOA_IMPLAUSIBLE},
      {"IPv6 loopback", Bytes{254, 20, 1, 1} + Bytes(15, 0) + Bytes{1}, TOA_IMPLAUSIBLE},
      {"this network in IPv6", mapped({0, 0, 0, 1}), TOA_IMPLAUSIBLE},
      {"loopback in IPv6", mapped({127, 0, 0, 1}), TOA_IMPLAUSIBLE},
      {"multicast in IPv6", mapped({224, 0, 0, 1}), TOA_IMPLAUSIBLE},
      {"broadcast in IPv6", mapped({255, 255, 255, 255}), TOA_IMPLAUSIBLE},
      {"a SYN with the number of Fast Open for a port", FAST_OPEN_PORT, TOA_AMBIGUOUS, SYN},
      {"the same, of two kinds", Bytes{200, 8, 0xf9, 0x89, 203, 0, 113, 9} + FAST_OPEN_PORT,
       TOA_AMBIGUOUS, SYN},
      {"40 full bytes of contradictions", TOA4 + TOA4 + TOA4 + TOA4 + TOA4_OTHER, TOA_CONTRADICTS},
  };
  for (const auto &value : cases) {
    SCOPED_TRACE(value.name);
    EXPECT_EQ(look(value.options, value.flags).outcome, value.outcome);
  }
}

// Each length that kind 254 may claim, with as many bytes as there can be behind it.
TEST(Toa, EveryWrongLengthIsMalformed) {
  for (unsigned length = 0; length < 256; length++) {
    SCOPED_TRACE(length);
    Bytes options(40, 1);
    options[0] = 254;
    options[1] = static_cast<uint8_t>(length);
    bool right = length == 8 || length == 16 || length == 20;
    EXPECT_EQ(look(options).outcome, right ? TOA_FOUND : TOA_MALFORMED);
  }
}

// The same option cut short by the end of the header.
TEST(Toa, OverrunningTheHeaderIsMalformed) {
  for (size_t kept = 1; kept < 20; kept++) {
    SCOPED_TRACE(kept);
    size_t padding = (4 - kept % 4) % 4;
    Bytes options = Bytes(padding, 1) + Bytes(TOA6.begin(), TOA6.begin() + long(kept));
    EXPECT_EQ(look(options).outcome, TOA_MALFORMED);
  }
}

TEST(Toa, HeaderWithAnImpossibleLengthIsMalformed) {
  toa_kinds kinds = every_kind();
  for (unsigned words = 0; words < 5; words++) {
    toa_header header{};
    header.byte[12] = static_cast<uint8_t>(words << 4);
    toa found{};
    EXPECT_EQ(native_toa_find(&header, &kinds, &found), TOA_MALFORMED) << words;
  }
}

TEST(Toa, OnlyLengthsOfTheTableCount) {
  toa_kinds kinds{};
  kinds.lengths[254] = 1U << 8;
  EXPECT_EQ(look(TOA4, ACK, kinds).outcome, TOA_FOUND);
  EXPECT_EQ(look(TOA6, ACK, kinds).outcome, TOA_MALFORMED);
  EXPECT_EQ(look(TOA4, ACK, toa_kinds{}).outcome, TOA_NONE);
}

// A table can only name lengths that have a meaning (the configuration sees to it); if it does not,
// nothing is read out of what has none.
TEST(Toa, LengthWithoutAMeaningIsMalformed) {
  toa_kinds kinds{};
  kinds.lengths[254] = 1U << 12;
  EXPECT_EQ(look(Bytes{254, 12} + Bytes(10, 9), ACK, kinds).outcome, TOA_MALFORMED);
}

} // namespace
} // namespace viaduct::dp
