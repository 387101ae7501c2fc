// SPDX-License-Identifier: MIT
//
// The header before each packet on the tun: what the kernel says about checksum and segments, what
// we say back, and what is refused.
#include "nvi/vnet.h"

#include "lib/addresses.h"
#include "lib/packet.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace viaduct::nvi {
namespace {

using test::Bytes;
using test::client6;
using test::payload;
using test::pool4;
using test::server4;

constexpr uint16_t TCP_CSUM = 16;
constexpr uint16_t UDP_CSUM = 6;

Bytes tcp6(size_t size) {
  return (test::ip6(client6, test::pref64(server4)) / test::tcp(1000, 80) / payload(size)).bytes();
}
Bytes tcp4(size_t size) {
  return (test::ip4(server4, pool4) / test::tcp(80, 1000) / payload(size)).bytes();
}
Bytes udp6(size_t size) {
  return (test::ip6(client6, test::pref64(server4)) / test::udp(1000, 53) / payload(size)).bytes();
}

dp::frame frame_of(Bytes &bytes, uint32_t transport = 0) {
  dp::frame frame{};
  frame.data = bytes.data();
  frame.length = static_cast<uint32_t>(bytes.size());
  frame.transport = transport;
  return frame;
}

// --- what comes in -------------------------------------------------------------------------------

struct Incoming {
  std::string name;
  Bytes packet;
  VnetHeader header; // flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
  bool good = true;
  bool partial = false;
  uint32_t segments = 1;
};

void PrintTo(const Incoming &one, std::ostream *out) {
  *out << one.name;
}

class TakeOffloads : public testing::TestWithParam<Incoming> {};

TEST_P(TakeOffloads, SaysWhatThereIs) {
  const Incoming &one = GetParam();
  Bytes packet = one.packet;
  dp::frame frame = frame_of(packet);
  ASSERT_EQ(take_offloads(one.header, frame), one.good);
  if (!one.good)
    return;
  EXPECT_EQ(frame.partial_checksum != 0, one.partial);
  EXPECT_EQ(frame.segments, one.segments);
  EXPECT_EQ(frame.segment_size, one.header.gso_type == VNET_GSO_NONE ? 0 : one.header.gso_size);
  EXPECT_EQ(frame.data, packet.data());
  EXPECT_EQ(packet, one.packet);
}

constexpr uint8_t CSUM = VNET_NEEDS_CSUM;
constexpr uint8_t DATA_VALID = 2;
constexpr uint8_t T4 = VNET_GSO_TCPV4;
constexpr uint8_t T6 = VNET_GSO_TCPV6;
constexpr uint8_t ECN = VNET_GSO_ECN;
constexpr uint8_t GSO_UDP = 3;    // the old fragmentation offload
constexpr uint8_t GSO_UDP_L4 = 5; // USO

Bytes tcp_with_header(uint8_t words) {
  return (test::ip6(client6, test::pref64(server4)) / test::tcp(1000, 80).header_words(words) /
          payload(100))
      .bytes();
}
Bytes cut(Bytes packet, size_t size) {
  packet.resize(size);
  return packet;
}

INSTANTIATE_TEST_SUITE_P(
    Header, TakeOffloads,
    testing::Values(
        Incoming{"nothing", tcp6(100), {0, 0, 0, 0, 0, 0}},
        Incoming{"verified", tcp6(100), {DATA_VALID, 0, 0, 0, 0, 0}},
        Incoming{"empty", {}, {0, 0, 0, 0, 0, 0}},
        // Without the flag the fields mean nothing.
        Incoming{"fields_without_flag", tcp6(100), {0, 0, 0, 0, 60000, 60000}},
        Incoming{"partial_tcp", tcp6(100), {CSUM, 0, 0, 0, 40, TCP_CSUM}, true, true},
        Incoming{"partial_udp", udp6(100), {CSUM, 0, 0, 0, 40, UDP_CSUM}, true, true},
        Incoming{"partial_at_the_end", udp6(0), {CSUM, 0, 0, 0, 40, UDP_CSUM}, true, true},
        Incoming{"partial_one_beyond", udp6(0), {CSUM, 0, 0, 0, 41, UDP_CSUM}, false},
        Incoming{"partial_far_beyond", udp6(0), {CSUM, 0, 0, 0, 65535, 65535}, false},
        Incoming{"partial_of_nothing", {}, {CSUM, 0, 0, 0, 0, 0}, false},
        Incoming{"tso6", tcp6(3000), {CSUM, T6, 60, 1000, 40, TCP_CSUM}, true, true, 3},
        Incoming{"tso6_one_more", tcp6(3001), {CSUM, T6, 60, 1000, 40, TCP_CSUM}, true, true, 4},
        Incoming{"tso6_less_than_one", tcp6(10), {CSUM, T6, 60, 1000, 40, TCP_CSUM}, true, true},
        Incoming{"tso6_no_payload", tcp6(0), {CSUM, T6, 60, 1000, 40, TCP_CSUM}, true, true},
        Incoming{"tso6_ecn", tcp6(3000), {CSUM, T6 | ECN, 60, 1000, 40, TCP_CSUM}, true, true, 3},
        Incoming{"tso4", tcp4(2000), {CSUM, T4, 40, 1000, 20, TCP_CSUM}, true, true, 2},
        Incoming{"tso4_ecn", tcp4(2000), {CSUM, T4 | ECN, 40, 1000, 20, TCP_CSUM}, true, true, 2},
        Incoming{"tso_smallest", tcp6(500), {CSUM, T6, 60, 1, 40, TCP_CSUM}, true, true, 500},
        // hdr_len is a hint (virtio 1.2, 5.1.6.2); the packet says it better.
        Incoming{"tso_wrong_hint", tcp6(3000), {CSUM, T6, 9999, 1000, 40, TCP_CSUM}, true, true, 3},
        Incoming{"tso_without_checksum", tcp6(3000), {0, T6, 60, 1000, 40, TCP_CSUM}, false},
        Incoming{"tso_of_size_0", tcp6(3000), {CSUM, T6, 60, 0, 40, TCP_CSUM}, false},
        Incoming{"tso4_on_ipv6", tcp6(3000), {CSUM, T4, 60, 1000, 40, TCP_CSUM}, false},
        Incoming{"tso6_on_ipv4", tcp4(3000), {CSUM, T6, 40, 1000, 20, TCP_CSUM}, false},
        Incoming{"ufo", udp6(3000), {CSUM, GSO_UDP, 48, 1000, 40, UDP_CSUM}, false},
        Incoming{"uso", udp6(3000), {CSUM, GSO_UDP_L4, 48, 1000, 40, UDP_CSUM}, false},
        Incoming{"unknown_type", tcp6(3000), {CSUM, 2, 60, 1000, 40, TCP_CSUM}, false},
        Incoming{"every_bit", tcp6(3000), {CSUM, 0xff, 60, 1000, 40, TCP_CSUM}, false},
        Incoming{"tcp_header_cut", cut(tcp6(0), 59), {CSUM, T6, 60, 1000, 40, TCP_CSUM}, false},
        Incoming{"tcp_header_missing", cut(tcp6(0), 40), {CSUM, T6, 60, 9, 20, TCP_CSUM}, false},
        Incoming{"tcp_options_missing",
                 cut(tcp_with_header(15), 80),
                 {CSUM, T6, 60, 1000, 40, TCP_CSUM},
                 false},
        Incoming{
            "tcp_header_too_small", tcp_with_header(4), {CSUM, T6, 60, 9, 40, TCP_CSUM}, false},
        Incoming{"tcp_header_at_the_end", tcp6(100), {CSUM, T6, 60, 9, 142, TCP_CSUM}, false}),
    [](const auto &of) { return of.param.name; });

// --- what goes out -------------------------------------------------------------------------------

struct Outgoing {
  std::string name;
  Bytes packet; // as translated
  uint32_t transport;
  uint32_t old_length;
  bool partial;
  VnetHeader header;
  bool good = true;
  VnetHeader expected{};
};

void PrintTo(const Outgoing &one, std::ostream *out) {
  *out << one.name;
}

class GiveOffloads : public testing::TestWithParam<Outgoing> {};

TEST_P(GiveOffloads, FitsTheTranslatedPacket) {
  const Outgoing &one = GetParam();
  Bytes packet = one.packet;
  dp::frame frame = frame_of(packet, one.transport);
  frame.partial_checksum = one.partial;
  frame.segment_size = one.header.gso_size;
  VnetHeader header = one.header;
  ASSERT_EQ(give_offloads(header, frame, one.old_length), one.good);
  if (!one.good)
    return;
  EXPECT_EQ(header.flags, one.expected.flags);
  EXPECT_EQ(header.gso_type, one.expected.gso_type);
  EXPECT_EQ(header.hdr_len, one.expected.hdr_len);
  EXPECT_EQ(header.gso_size, one.expected.gso_size);
  if (one.expected.flags & CSUM) {
    EXPECT_EQ(header.csum_start, one.expected.csum_start);
    EXPECT_EQ(header.csum_offset, one.expected.csum_offset);
  }
}

// An IPv4 packet that came as IPv6 was 20 bytes longer, and the other way about.
uint32_t as6(const Bytes &packet4) {
  return static_cast<uint32_t>(packet4.size()) + 20;
}
uint32_t as4(const Bytes &packet6) {
  return static_cast<uint32_t>(packet6.size()) - 20;
}
Bytes tcp6_with_options() {
  return (test::ip6(client6, test::pref64(server4)) / test::tcp(1000, 80).mss(1460) / payload(2000))
      .bytes();
}

INSTANTIATE_TEST_SUITE_P(
    Header, GiveOffloads,
    testing::Values(
        Outgoing{"nothing", tcp4(9), 20, as6(tcp4(9)), false, {0, 0, 0, 0, 0, 0}},
        // The kernel's word about the old packet is not its word about the new one.
        Outgoing{"verified", tcp4(9), 20, as6(tcp4(9)), false, {DATA_VALID, 0, 7, 0, 0, 0}},
        Outgoing{"partial_6to4",
                 tcp4(9),
                 20,
                 as6(tcp4(9)),
                 true,
                 {CSUM, 0, 60, 0, 40, TCP_CSUM},
                 true,
                 {CSUM, 0, 0, 0, 20, TCP_CSUM}},
        Outgoing{"partial_4to6",
                 tcp6(9),
                 40,
                 as4(tcp6(9)),
                 true,
                 {CSUM, 0, 40, 0, 20, TCP_CSUM},
                 true,
                 {CSUM, 0, 0, 0, 40, TCP_CSUM}},
        Outgoing{"partial_udp",
                 udp6(9),
                 40,
                 as4(udp6(9)),
                 true,
                 {CSUM, 0, 0, 0, 20, UDP_CSUM},
                 true,
                 {CSUM, 0, 0, 0, 40, UDP_CSUM}},
        // IPv4 options are not translated, so the transport header moves by less.
        Outgoing{"partial_from_options",
                 tcp6(9),
                 40,
                 as4(tcp6(9)) + 8,
                 true,
                 {CSUM, 0, 0, 0, 28, TCP_CSUM},
                 true,
                 {CSUM, 0, 0, 0, 40, TCP_CSUM}},
        Outgoing{"partial_elsewhere",
                 tcp4(9),
                 20,
                 as6(tcp4(9)),
                 true,
                 {CSUM, 0, 0, 0, 41, TCP_CSUM},
                 false},
        Outgoing{"partial_at_another_field",
                 tcp4(9),
                 20,
                 as6(tcp4(9)),
                 true,
                 {CSUM, 0, 0, 0, 40, UDP_CSUM},
                 false},
        Outgoing{"partial_udp_at_another_field",
                 udp6(9),
                 40,
                 as4(udp6(9)),
                 true,
                 {CSUM, 0, 0, 0, 20, TCP_CSUM},
                 false},
        Outgoing{"tso_6to4",
                 tcp4(2000),
                 20,
                 as6(tcp4(2000)),
                 true,
                 {CSUM, T6, 60, 1000, 40, TCP_CSUM},
                 true,
                 {CSUM, T4, 40, 1000, 20, TCP_CSUM}},
        Outgoing{"tso_4to6",
                 tcp6(2000),
                 40,
                 as4(tcp6(2000)),
                 true,
                 {CSUM, T4, 40, 1000, 20, TCP_CSUM},
                 true,
                 {CSUM, T6, 60, 1000, 40, TCP_CSUM}},
        Outgoing{"tso_4to6_ecn",
                 tcp6(2000),
                 40,
                 as4(tcp6(2000)),
                 true,
                 {CSUM, T4 | ECN, 40, 1000, 20, TCP_CSUM},
                 true,
                 {CSUM, T6 | ECN, 60, 1000, 40, TCP_CSUM}},
        Outgoing{"tso_6to4_ecn",
                 tcp4(2000),
                 20,
                 as6(tcp4(2000)),
                 true,
                 {CSUM, T6 | ECN, 60, 1000, 40, TCP_CSUM},
                 true,
                 {CSUM, T4 | ECN, 40, 1000, 20, TCP_CSUM}},
        Outgoing{"tso_with_options",
                 tcp6_with_options(),
                 40,
                 as4(tcp6_with_options()),
                 true,
                 {CSUM, T4, 0, 1000, 20, TCP_CSUM},
                 true,
                 {CSUM, T6, 64, 1000, 40, TCP_CSUM}},
        Outgoing{"tso_of_udp",
                 udp6(2000),
                 40,
                 as4(udp6(2000)),
                 true,
                 {CSUM, T4, 40, 1000, 20, UDP_CSUM},
                 false},
        // One packet has no segments, and nothing about them is left in what is said of it.
        Outgoing{
            "ecn_without_segments", tcp4(9), 20, as6(tcp4(9)), false, {0, ECN, 60, 1000, 0, 0}}),
    [](const auto &of) { return of.param.name; });

} // namespace
} // namespace viaduct::nvi
