// SPDX-License-Identifier: MIT
//
// UOA on datagrams: what becomes of protocol 248, and whom the options name. Each case is a value: a
// packet from its IP header on, and what comes of it.
#include "base/address.h"
#include "datapath/native/uoa.h"

#include <algorithm>
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace viaduct::dp {
namespace {

using Bytes = std::vector<uint8_t>;

const Bytes UOA4 = {31, 8, 0x30, 0x39, 203, 0, 113, 9};
const Bytes UOA4_OTHER = {31, 8, 0x30, 0x39, 203, 0, 113, 10};
const Bytes UOA6 = {31, 20, 0x30, 0x39, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
const Bytes RECORD_ROUTE = {7, 7, 4, 0, 0, 0, 0, 1};
const Bytes DATAGRAM = {0x0f, 0xa0, 0, 53, 0, 10, 0xab, 0xcd, 'h', 'i'};

Bytes operator+(Bytes front, const Bytes &back) {
  front.insert(front.end(), back.begin(), back.end());
  return front;
}

uint32_t sum_of(const Bytes &bytes, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < length; i += 2)
    sum += uint32_t{bytes[i]} << 8 | bytes[i + 1];
  while (sum >> 16 != 0)
    sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

bool checksum_is_right(const Bytes &packet) {
  return sum_of(packet, (packet[0] & 15U) * 4) == 0xffff;
}

Bytes ip4(uint8_t protocol, const Bytes &options, const Bytes &payload) {
  size_t header = 20 + options.size(), total = header + payload.size();
  Bytes packet = {static_cast<uint8_t>(0x40 | header / 4),
                  0,
                  static_cast<uint8_t>(total >> 8),
                  static_cast<uint8_t>(total),
                  0,
                  7,
                  0,
                  0,
                  64,
                  protocol,
                  0,
                  0,
                  192,
                  0,
                  2,
                  10,
                  192,
                  0,
                  2,
                  80};
  packet = packet + options;
  uint32_t sum = ~sum_of(packet, header);
  packet[10] = static_cast<uint8_t>(sum >> 8);
  packet[11] = static_cast<uint8_t>(sum);
  return packet + payload;
}

Bytes ip6(uint8_t next, const Bytes &payload) {
  Bytes packet = {0x60, 0, 0, 0, 0, static_cast<uint8_t>(payload.size()), next, 64};
  for (uint8_t last : {10, 80})
    packet = packet + Bytes{0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, last};
  return packet + payload;
}

Bytes protocol_248(const Bytes &options, uint8_t version = 1, int length = -1, uint8_t next = 17) {
  size_t real = 4 + options.size();
  size_t told = length < 0 ? real : static_cast<size_t>(length);
  return Bytes{static_cast<uint8_t>(version << 4), next, static_cast<uint8_t>(told >> 8),
               static_cast<uint8_t>(told)} +
         options;
}

struct Seen {
  uoa_outcome outcome;
  Bytes packet;
};

Seen take_off(const Bytes &packet) {
  uoa_head head{};
  std::fill(std::begin(head.byte), std::end(head.byte), uint8_t{0xff}); // of another packet
  size_t known = std::min(packet.size(), size_t{UOA_LOOKED_AT});
  std::copy_n(packet.begin(), known, head.byte);
  Seen seen{native_uoa_take_off(&head, static_cast<uint32_t>(known)), packet};
  std::copy_n(head.byte, known, seen.packet.begin());
  return seen;
}

std::string client_of(const Bytes &packet) {
  uoa_head head{};
  std::copy_n(packet.begin(), std::min(packet.size(), size_t{UOA_LOOKED_AT}), head.byte);
  toa found{};
  uint32_t udp = 0;
  if (native_uoa_find(&head, &found, &udp) != TOA_FOUND)
    return "";
  EXPECT_TRUE(std::ranges::equal(DATAGRAM, Bytes(packet.begin() + long(udp), packet.end())));
  uint16_t port = ntohs(found.client_port);
  if (found.family == 6)
    return endpoint_text(Ipv6::from_bytes(found.client.byte), port);
  return endpoint_text(Ipv4::from_network_order(found.client.word[0]), port);
}

struct Good {
  const char *name;
  Bytes packet;
  const char *client;
};

TEST(Uoa, Protocol248BecomesUdpWithOptions) {
  const std::vector<Good> cases = {
      {"IPv4", ip4(248, {}, protocol_248(UOA4) + DATAGRAM), "203.0.113.9:12345"},
      {"an IPv6 client of IPv4", ip4(248, {}, protocol_248(UOA6, 2) + DATAGRAM),
       "[2001:db8::9]:12345"},
      {"IPv6", ip6(248, protocol_248(UOA6, 2) + DATAGRAM), "[2001:db8::9]:12345"},
      {"behind options", ip4(248, RECORD_ROUTE, protocol_248(UOA4) + DATAGRAM),
       "203.0.113.9:12345"},
      {"behind options and their end",
       ip4(248, Bytes(RECORD_ROUTE.begin(), RECORD_ROUTE.end() - 1) + Bytes{0},
           protocol_248(UOA4) + DATAGRAM),
       "203.0.113.9:12345"},
      {"behind nothing but ends", ip4(248, Bytes(8, 0), protocol_248(UOA4) + DATAGRAM),
       "203.0.113.9:12345"},
      {"with others in it", ip4(248, {}, protocol_248(RECORD_ROUTE + UOA4) + DATAGRAM),
       "203.0.113.9:12345"},
      {"up to the longest header", ip4(248, {}, protocol_248(Bytes(28, 1) + UOA4) + DATAGRAM),
       "203.0.113.9:12345"},
      {"two that contradict", ip4(248, {}, protocol_248(UOA4 + UOA4_OTHER) + DATAGRAM), ""},
      {"without a UOA", ip4(248, {}, protocol_248(RECORD_ROUTE) + DATAGRAM), ""},
  };
  for (const auto &value : cases) {
    SCOPED_TRACE(value.name);
    Seen seen = take_off(value.packet);
    EXPECT_EQ(seen.outcome, UOA_TAKEN_OFF);
    EXPECT_EQ(client_of(seen.packet), value.client);
    bool is_ip4 = value.packet[0] >> 4 == 4;
    EXPECT_TRUE(!is_ip4 || checksum_is_right(seen.packet));
    EXPECT_EQ(seen.packet[is_ip4 ? 9 : 6], is_ip4 ? 17 : 60);
    EXPECT_EQ(seen.packet.size(), value.packet.size());
    EXPECT_TRUE(std::equal(DATAGRAM.rbegin(), DATAGRAM.rend(), seen.packet.rbegin()));
  }
}

TEST(Uoa, ChecksumThatIsWrongStaysWrong) {
  Bytes packet = ip4(248, {}, protocol_248(UOA4) + DATAGRAM);
  packet[8] ^= 1;
  Seen seen = take_off(packet);
  EXPECT_EQ(seen.outcome, UOA_TAKEN_OFF);
  EXPECT_FALSE(checksum_is_right(seen.packet));
}

struct Left {
  const char *name;
  Bytes packet;
  uoa_outcome outcome;
};

Bytes fragment(uint8_t high, uint8_t low) {
  Bytes packet = ip4(248, {}, protocol_248(UOA4) + DATAGRAM);
  packet[6] = high;
  packet[7] = low;
  return packet;
}

Bytes cut(Bytes packet, size_t bytes) {
  packet.resize(packet.size() - bytes);
  return packet;
}

TEST(Uoa, IsLeftAsItCame) {
  const std::vector<Left> cases = {
      {"UDP", ip4(17, {}, DATAGRAM), UOA_NOT_OURS},
      {"UDP of IPv6", ip6(17, DATAGRAM), UOA_NOT_OURS},
      {"no IP", Bytes(60, 0x50), UOA_NOT_OURS},
      {"the first fragment", fragment(0x20, 0), UOA_FRAGMENT},
      {"the last fragment", fragment(0, 9), UOA_FRAGMENT},
      {"version 0", ip4(248, {}, protocol_248(UOA4, 0) + DATAGRAM), UOA_MALFORMED},
      {"version 3", ip4(248, {}, protocol_248(UOA4, 3) + DATAGRAM), UOA_MALFORMED},
      {"before TCP", ip4(248, {}, protocol_248(UOA4, 1, 12, 6) + DATAGRAM), UOA_MALFORMED},
      {"length 0", ip4(248, {}, protocol_248(UOA4, 1, 0) + DATAGRAM), UOA_MALFORMED},
      {"length 4", ip4(248, {}, protocol_248(UOA4, 1, 4) + DATAGRAM), UOA_MALFORMED},
      {"length 13", ip4(248, {}, protocol_248(UOA4, 1, 13) + DATAGRAM), UOA_MALFORMED},
      {"length 16", ip4(248, {}, protocol_248(UOA4, 1, 16) + DATAGRAM), UOA_MALFORMED},
      {"length 65535", ip4(248, {}, protocol_248(UOA4, 1, 65535) + DATAGRAM), UOA_MALFORMED},
      {"longer than a header can be", ip4(248, {}, protocol_248(Bytes(40, 1)) + DATAGRAM),
       UOA_MALFORMED},
      {"together with options", ip4(248, Bytes(32, 1), protocol_248(UOA4) + DATAGRAM),
       UOA_MALFORMED},
      {"an option of length 9",
       ip4(248, {}, protocol_248({31, 9, 1, 1, 203, 0, 113, 9, 1, 1, 1, 1}) + DATAGRAM),
       UOA_MALFORMED},
      {"an option that overruns",
       ip4(248, {}, protocol_248({31, 20, 1, 1, 203, 0, 113, 9}) + DATAGRAM), UOA_MALFORMED},
      {"cut in the options", cut(ip4(248, {}, protocol_248(UOA4)), 3), UOA_MALFORMED},
      {"cut in UDP's header", cut(ip4(248, {}, protocol_248(UOA4) + DATAGRAM), 3), UOA_MALFORMED},
      {"IPv6, an IPv4 client", ip6(248, protocol_248(UOA4) + DATAGRAM), UOA_MALFORMED},
      {"IPv6, version 1", ip6(248, protocol_248(UOA6, 1) + DATAGRAM), UOA_MALFORMED},
      {"IPv6, before TCP", ip6(248, protocol_248(UOA6, 2, 24, 6) + DATAGRAM), UOA_MALFORMED},
      {"IPv6, length 28", ip6(248, protocol_248(UOA6, 2, 28) + DATAGRAM), UOA_MALFORMED},
      {"IPv6, cut", cut(ip6(248, protocol_248(UOA6, 2) + DATAGRAM), 3), UOA_MALFORMED},
  };
  for (const auto &value : cases) {
    SCOPED_TRACE(value.name);
    Seen seen = take_off(value.packet);
    EXPECT_EQ(seen.outcome, value.outcome);
    EXPECT_EQ(seen.packet, value.packet);
  }
}

TEST(Uoa, OptionsOfADatagram) {
  EXPECT_EQ(client_of(ip4(17, UOA4, DATAGRAM)), "203.0.113.9:12345");
  EXPECT_EQ(client_of(ip4(17, UOA6, DATAGRAM)), "[2001:db8::9]:12345");
  EXPECT_EQ(client_of(ip4(17, RECORD_ROUTE + UOA4, DATAGRAM)), "203.0.113.9:12345");
  EXPECT_EQ(client_of(ip4(17, Bytes(32, 1) + UOA4, DATAGRAM)), "203.0.113.9:12345");
  EXPECT_EQ(client_of(ip4(17, {}, UOA4 + DATAGRAM)), "");
  EXPECT_EQ(client_of(ip4(17, Bytes(4, 0) + UOA4, DATAGRAM)), ""); // behind their end
  EXPECT_EQ(client_of(ip4(6, UOA4, DATAGRAM)), "");
  EXPECT_EQ(client_of(ip4(17, UOA4 + UOA4_OTHER, DATAGRAM)), "");
  EXPECT_EQ(client_of(ip4(17, Bytes(UOA6.begin(), UOA6.begin() + 16), UOA4 + DATAGRAM)), "");
  EXPECT_EQ(client_of(ip6(60, Bytes{17, 2, 0x1e, 20} + UOA6 + DATAGRAM)), "[2001:db8::9]:12345");
  EXPECT_EQ(client_of(ip6(60, Bytes{6, 2, 0x1e, 20} + UOA6 + DATAGRAM)), "");
  EXPECT_EQ(client_of(ip6(60, Bytes{17, 2, 0x1f, 20} + UOA6 + DATAGRAM)), "");
}

} // namespace
} // namespace viaduct::dp
