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
Bytes udp4(size_t size) {
  return (test::ip4(server4, pool4) / test::udp(53, 1000) / payload(size)).bytes();
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
constexpr uint8_t GSO_UDP = 3; // the old fragmentation offload
constexpr uint8_t USO = VNET_GSO_UDP_L4;

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
        Incoming{"uso6", udp6(3000), {CSUM, USO, 48, 1000, 40, UDP_CSUM}, true, true, 3},
        Incoming{"uso6_one_more", udp6(3001), {CSUM, USO, 48, 1000, 40, UDP_CSUM}, true, true, 4},
        Incoming{"uso4", udp4(2000), {CSUM, USO, 28, 1000, 20, UDP_CSUM}, true, true, 2},
        Incoming{"uso_no_payload", udp6(0), {CSUM, USO, 48, 1000, 40, UDP_CSUM}, true, true},
        Incoming{"uso_without_checksum", udp6(3000), {0, USO, 48, 1000, 40, UDP_CSUM}, false},
        Incoming{"uso_of_size_0", udp6(3000), {CSUM, USO, 48, 0, 40, UDP_CSUM}, false},
        Incoming{"uso_with_ecn", udp6(3000), {CSUM, USO | ECN, 48, 9, 40, UDP_CSUM}, false},
        Incoming{"uso_header_cut", cut(udp6(0), 47), {CSUM, USO, 48, 9, 38, UDP_CSUM}, false},
        Incoming{"uso_of_another_length",
                 cut(udp6(3000), 3000),
                 {CSUM, USO, 48, 1000, 40, UDP_CSUM},
                 false},
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
        Outgoing{"uso_6to4",
                 udp4(2000),
                 20,
                 as6(udp4(2000)),
                 true,
                 {CSUM, USO, 48, 1000, 40, UDP_CSUM},
                 true,
                 {CSUM, USO, 28, 1000, 20, UDP_CSUM}},
        Outgoing{"uso_4to6",
                 udp6(2000),
                 40,
                 as4(udp6(2000)),
                 true,
                 {CSUM, USO, 28, 1000, 20, UDP_CSUM},
                 true,
                 {CSUM, USO, 48, 1000, 40, UDP_CSUM}},
        Outgoing{"uso_of_tcp",
                 tcp4(2000),
                 20,
                 as6(tcp4(2000)),
                 true,
                 {CSUM, USO, 48, 1000, 40, TCP_CSUM},
                 false},
        // One packet has no segments, and nothing about them is left in what is said of it.
        Outgoing{
            "ecn_without_segments", tcp4(9), 20, as6(tcp4(9)), false, {0, ECN, 60, 1000, 0, 0}}),
    [](const auto &of) { return of.param.name; });

// --- what is taken apart first -------------------------------------------------------------------

TEST(MustBeTakenApart, DatagramsFromIpv4ThatMayHaveToBeFragmented) {
  auto must = [](Bytes packet, VnetHeader header) {
    dp::frame frame = frame_of(packet);
    EXPECT_TRUE(take_offloads(header, frame));
    return must_be_taken_apart(header, frame);
  };
  const auto four = [](uint16_t size) { return VnetHeader{CSUM, USO, 28, size, 20, UDP_CSUM}; };
  EXPECT_FALSE(must(udp4(5000), four(1232))); // 1280 bytes of IPv6
  EXPECT_TRUE(must(udp4(5000), four(1233)));
  Bytes df = (test::ip4(server4, pool4).df() / test::udp(53, 1000) / payload(5000)).bytes();
  EXPECT_FALSE(must(df, four(1400)));
  EXPECT_FALSE(must(udp6(5000), {CSUM, USO, 48, 1400, 40, UDP_CSUM}));
  EXPECT_FALSE(must(tcp4(5000), {CSUM, T4, 40, 1400, 20, TCP_CSUM})); // its segments just shrink
  EXPECT_FALSE(must(udp4(1400), {CSUM, 0, 0, 0, 20, UDP_CSUM}));
}

// --- segments, in software -----------------------------------------------------------------------

std::vector<Bytes> segments_of(Bytes packet, uint32_t transport, uint32_t size) {
  dp::frame frame = frame_of(packet, transport);
  frame.segment_size = size;
  std::vector<Bytes> all;
  dp::segment segment{};
  while (dp::frame_segment(&frame, &segment)) {
    EXPECT_EQ(segment.number, all.size());
    Bytes one(segment.header, segment.header + segment.header_length);
    one.insert(one.end(), segment.data, segment.data + segment.length);
    all.push_back(one);
  }
  return all;
}

// payload() counts, so what is behind the first segment is made by cutting.
test::Raw part(size_t from, size_t size) {
  Bytes whole = Bytes((test::ip6(client6, client6) / payload(from + size)).bytes());
  return test::raw(Bytes(whole.begin() + 40 + static_cast<std::ptrdiff_t>(from), whole.end()));
}

TEST(Segments, OfTcpCountSequenceNumbersAndIdentifications) {
  const test::Tcp tcp = test::tcp(80, 1000).ack(5).mss(1440);
  auto flagged = [&](uint32_t sequence) { return test::Tcp(tcp).seq(sequence); };
  auto cwr = [](test::Tcp header) {
    header.flags_ |= 0x80;
    return header;
  };
  const test::Ip4 ip = test::ip4(server4, pool4).df().tos(1);
  auto got = segments_of(
      (test::Ip4(ip).id(0xffff) / cwr(flagged(0xfffffff0).fin().psh()) / payload(25)).bytes(), 20,
      10);
  ASSERT_EQ(got.size(), 3U);
  EXPECT_EQ(got[0], (test::Ip4(ip).id(0xffff) / cwr(flagged(0xfffffff0)) / part(0, 10)).bytes());
  EXPECT_EQ(got[1], (test::Ip4(ip).id(0) / flagged(0xfffffffa) / part(10, 10)).bytes());
  EXPECT_EQ(got[2], (test::Ip4(ip).id(1) / flagged(4).fin().psh() / part(20, 5)).bytes());

  const test::Ip6 ip6 = test::ip6(test::pref64(server4), client6).traffic_class(2);
  got = segments_of((ip6 / flagged(7).psh() / payload(21)).bytes(), 40, 20);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0], (ip6 / flagged(7) / part(0, 20)).bytes());
  EXPECT_EQ(got[1], (ip6 / flagged(27).psh() / part(20, 1)).bytes());
}

TEST(Segments, OfUdpAreDatagrams) {
  const test::Udp udp = test::udp(53, 1000);
  const test::Ip4 ip = test::ip4(server4, pool4);
  auto got = segments_of((test::Ip4(ip).id(9) / udp / payload(29)).bytes(), 20, 10);
  ASSERT_EQ(got.size(), 3U);
  for (int i = 0; i < 3; i++) {
    const size_t at = static_cast<size_t>(i) * 10;
    EXPECT_EQ(got[static_cast<size_t>(i)],
              (test::Ip4(ip).id(9 + i) / udp / part(at, i == 2 ? 9 : 10)).bytes());
  }
  const test::Ip6 ip6 = test::ip6(test::pref64(server4), client6);
  got = segments_of((ip6 / udp / payload(2000)).bytes(), 40, 1000);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[1], (ip6 / udp / part(1000, 1000)).bytes());
}

// The checksum that comes out as zero is written as all ones.
TEST(Segments, OfUdpNeverHaveNoChecksum) {
  const test::Ip6 ip6 = test::ip6(test::pref64(server4), client6);
  Bytes odd = (ip6 / test::udp(53, 1000) / test::raw(Bytes(4))).bytes();
  const Bytes sum{odd[46], odd[47], 0, 0}; // with it the sum becomes zero
  auto got = segments_of((ip6 / test::udp(53, 1000) / test::raw(sum) / payload(4)).bytes(), 40, 4);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0][46], 0xff);
  EXPECT_EQ(got[0][47], 0xff);
}

TEST(Segments, OfWhatIsNoSuperPacketAreNone) {
  EXPECT_TRUE(segments_of(tcp4(100), 20, 0).empty());
  EXPECT_TRUE(segments_of(tcp4(100), 0, 10).empty());
  EXPECT_TRUE(segments_of(tcp4(100), 140, 10).empty());
  EXPECT_TRUE(segments_of(cut(tcp4(0), 30), 20, 10).empty());
  EXPECT_TRUE(segments_of(tcp_with_header(4), 40, 10).empty());
  EXPECT_TRUE(segments_of(cut(tcp_with_header(15), 90), 40, 10).empty());
  EXPECT_TRUE(
      segments_of((test::ip4(server4, pool4).protocol(47) / payload(90)).bytes(), 20, 10).empty());
  EXPECT_EQ(segments_of(tcp4(0), 20, 10), std::vector<Bytes>{tcp4(0)});
  EXPECT_EQ(segments_of(udp6(9), 40, 10), std::vector<Bytes>{udp6(9)});
}

} // namespace
} // namespace viaduct::nvi
