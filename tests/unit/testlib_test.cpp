// SPDX-License-Identifier: MIT
//
// The tests' own language is checked against bytes that scapy wrote: a builder that is wrong in
// the same way as the translator would prove nothing.
#include "lib/addresses.h"
#include "lib/decode.h"
#include "lib/packet.h"
#include "lib/runner.h"

#include <functional>
#include <gtest/gtest.h>
#include <random>

namespace viaduct::test {
namespace {

TEST(Packet, UdpOverIpv4IsTheseBytes) {
  Bytes expected{0x45, 0x12, 0x00, 0x1e, 0x00, 0x07, 0x40, 0x00, 0x09, 0x11, // IPv4 up to protocol
                 0x0b, 0x28,                                                 // header checksum
                 198,  51,   100,  80,   203,  0,    113,  10,               // addresses
                 0x00, 0x35, 0x04, 0xd2, 0x00, 0x0a, 0x94, 0x43,             // UDP
                 0x00, 0x01};
  Packet packet = ip4(server4, pool4).tos(0x12).id(7).df().ttl(9) / udp(53, 1234) / payload(2);
  EXPECT_EQ(difference(expected, packet.bytes()), "");
}

TEST(Packet, TcpOverIpv6IsTheseBytes) {
  Bytes expected{0x61, 0x20, 0x00, 0x00, 0x00, 0x18, 0x06, 0x40, // IPv6
                 0x20, 0x01, 0x0d, 0xb8, 0, 0x64, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                 0x10, // client6
                 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 198, 51, 100, 80, 0x04, 0xd2, 0x00,
                 0x50, 0, 0, 0, 1, 0, 0, 0, 2, // ports, seq,
                                               // ack
                 0x60, 0x12, 0xff, 0xff, 0x3a, 0x41, 0, 0, 2, 4, 0x05, 0xb4};
  Packet packet = ip6(client6, pref64(server4)).traffic_class(0x12) /
                  tcp(1234, 80).seq(1).ack(2).syn().mss(1460);
  EXPECT_EQ(difference(expected, packet.bytes()), "");
}

TEST(Packet, ComputedUdpChecksumIsNeverZero) {
  // The payload makes the sum 0xffff, whose complement is zero.
  Bytes plain = (ip4(server4, pool4) / udp(1, 2) / raw({0, 0})).bytes();
  uint8_t high = plain[26], low = plain[27];
  Bytes bytes = (ip4(server4, pool4) / udp(1, 2) / raw({high, low})).bytes();
  EXPECT_EQ(bytes[26], 0xff);
  EXPECT_EQ(bytes[27], 0xff);
  EXPECT_EQ(transport_checksum(bytes), SumState::right);
}

TEST(Packet, ChecksumsOnRequest) {
  auto state = [](const Packet &packet) { return transport_checksum(packet.bytes()); };
  auto around = ip6(client6, pref64(server4));
  EXPECT_EQ(state(around / udp(1, 2) / payload(7)), SumState::right);
  EXPECT_EQ(state(around / udp(1, 2).bad_checksum() / payload(7)), SumState::wrong);
  EXPECT_EQ(state(around / udp(1, 2).checksum(0) / payload(7)), SumState::absent);
  EXPECT_EQ(state(around / tcp(1, 2).partial_checksum() / payload(7)), SumState::partial);
  EXPECT_EQ(state(around / hop_by_hop() / icmp6_echo_request(1, 2)), SumState::right);
  EXPECT_EQ(state(around / fragment6(0, true, 9) / udp(1, 2)), SumState::unknown);
  EXPECT_EQ(malformation((ip4(server4, pool4).bad_checksum() / udp(1, 2)).bytes()),
            "IPv4 header checksum wrong");
}

TEST(Packet, PartialChecksumOnlyWhereTheKernelHasOne) {
  auto around = ip4(server4, pool4);
  EXPECT_TRUE(Packet(around / udp(1, 2)).with_partial_checksum());
  EXPECT_TRUE(Packet(around / tcp(1, 2)).with_partial_checksum());
  EXPECT_FALSE(Packet(around / icmp4_echo_request(1, 2)).with_partial_checksum());
  EXPECT_FALSE(Packet(around / udp(1, 2).checksum(0)).with_partial_checksum());
  EXPECT_FALSE(Packet(around / udp(1, 2).bad_checksum()).with_partial_checksum());
}

TEST(Packet, OpenPortsAreListedAndThenFilledIn) {
  Packet packet = ip4(pool4, server4) / udp(port("p"), 53) / payload(1);
  Image open = packet.image();
  ASSERT_EQ(open.slots.size(), 1U);
  EXPECT_EQ(open.slots[0].at, 20U);
  EXPECT_EQ(open.slots[0].number.name, "p");
  Image filled = packet.image({{"p", 0x1234}});
  EXPECT_TRUE(filled.slots.empty());
  EXPECT_EQ(filled.bytes, (ip4(pool4, server4) / udp(0x1234, 53) / payload(1)).bytes());
}

TEST(Packet, AnErrorCarriesThePacketItIsAbout) {
  Packet inner = ip6(client6, pref64(server4)) / udp(1234, 53) / payload(100);
  Packet error = ip6(router6, client6) / icmp6_too_big(1400) / inner.cut_to(60);
  EXPECT_EQ(error.bytes().size(), 40U + 8 + 60);
  EXPECT_EQ(malformation(error.bytes()), "");
  EXPECT_EQ(transport_checksum(error.bytes()), SumState::right);
  std::string text = decode(error.bytes());
  EXPECT_NE(text.find("inner udp"), std::string::npos) << text;
  EXPECT_NE(text.find("cannot be checked"), std::string::npos) << text;
}

TEST(Packet, TransportOffsetSkipsOptionsAndExtensionHeaders) {
  EXPECT_EQ((ip4(server4, pool4).record_route(1) / udp(1, 2)).transport_offset(), 28U);
  EXPECT_EQ((ip6(client6, client6b) / hop_by_hop() / routing(0, 0) / tcp(1, 2)).transport_offset(),
            56U);
  EXPECT_FALSE((ip6(client6, client6b) / payload(3)).transport_offset());
}

TEST(Decode, DifferenceNamesTheFieldsThatDiffer) {
  Bytes expected = (ip4(server4, pool4).ttl(9) / udp(1, 2)).bytes();
  Bytes actual = (ip4(server4, pool4).ttl(8) / udp(1, 2)).bytes();
  std::string text = difference(expected, actual);
  EXPECT_NE(text.find("- ipv4                 ttl                9"), std::string::npos) << text;
  EXPECT_NE(text.find("+ ipv4                 ttl                8"), std::string::npos) << text;
  EXPECT_EQ(text.find("- udp"), std::string::npos) << text;
  EXPECT_EQ(difference(actual, actual), "");
}

TEST(Decode, TakesAnyBytes) {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; round++) {
    Packet seed = round % 2 == 0
                      ? Packet(ip6(client6, pref64(server4)) / hop_by_hop() / icmp6_too_big(1400) /
                               ip6(client6, pref64(server4)) / tcp(1, 2).mss(9))
                      : Packet(ip4(server4, pool4).record_route(2) / icmp4_frag_needed(1400) /
                               ip4(pool4, server4) / udp(1, 2) / payload(9));
    Bytes bytes = seed.bytes();
    for (int i = 0; i < 6; i++)
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    bytes.resize(random() % (bytes.size() + 1));
    EXPECT_FALSE(decode(bytes).empty());
    malformation(bytes);
  }
}

// A data path that does what a test tells it to: the runner must see whatever is wrong.
class Puppet : public Target {
public:
  std::function<void(const Arrival &, Departure &, Counters &)> act;
  bool bpf = false;

  std::string name() const override { return "puppet"; }
  bool is_bpf() const override { return bpf; }
  bool takes_partial_checksums() const override { return true; }
  Result<void> reset(const Tables &) override { return {}; }
  Result<Departure> run(const Arrival &arrival) override {
    runs++;
    Departure departure;
    departure.packet = arrival.packet;
    departure.partial_checksum = arrival.partial_checksum;
    act(arrival, departure, counters_);
    return departure;
  }
  std::vector<Bytes> sweep(uint32_t, dp::event_why) override { return {}; }
  Counters counters() const override { return counters_; }
  std::optional<dp::session> find(const dp::session_key &) const override { return {}; }
  std::optional<dp::binding> find(const dp::binding_key &) const override { return {}; }

  int runs = 0;

private:
  Counters counters_{};
};

Vector first_datagram() {
  return {.name = "a first datagram",
          .in = ip6(client6, pref64(server4)) / udp(1234, 53) / payload(3),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53) / payload(3),
          .counts = a_new_flow};
}

// What a right data path does with it; it chooses port and identification.
void translate_right(const Arrival &arrival, Departure &departure, Counters &counters) {
  Packet out = ip4(pool4, server4).id(0x4711) / udp(40000, 53) / payload(3);
  departure.verdict = dp::VERDICT_FORWARD;
  departure.reason = dp::REASON_translated_6to4;
  departure.packet = arrival.partial_checksum ? out.with_partial_checksum()->bytes() : out.bytes();
  departure.transport = 20;
  for (auto reason : {dp::REASON_translated_6to4, dp::REASON_binding_made, dp::REASON_session_made})
    counters[reason]++;
}

std::string failure(Puppet &puppet, const Vector &vector, Checksums checksums = Checksums::full) {
  std::string text;
  for (const std::string &one : run(vector, puppet, checksums))
    text += one;
  return text;
}

TEST(Runner, ContentWithWhatIsRight) {
  Puppet puppet;
  puppet.act = translate_right;
  EXPECT_EQ(failure(puppet, first_datagram()), "");
  EXPECT_EQ(failure(puppet, first_datagram(), Checksums::partial), "");
}

TEST(Runner, SeesEveryThingThatIsWrong) {
  using Change = std::function<void(Departure &, Counters &)>;
  const std::pair<const char *, Change> wrongs[] = {
      {"expected FORWARD translated_6to4, got DROP no_port",
       [](Departure &d, Counters &) {
         d.verdict = dp::VERDICT_DROP;
         d.reason = dp::REASON_no_port;
       }},
      {"got FORWARD translated_4to6",
       [](Departure &d, Counters &) { d.reason = dp::REASON_translated_4to6; }},
      {"ttl", [](Departure &d, Counters &) { d.packet[8]--; }},
      {"first difference at byte 30", [](Departure &d, Counters &) { d.packet.pop_back(); }},
      {"outside the range", [](Departure &d, Counters &) { d.packet[20] = 0; }},
      {"checksum", [](Departure &d, Counters &) { d.packet[27] ^= 1; }},
      {"partial checksum: expected", [](Departure &d, Counters &) { d.partial_checksum ^= true; }},
      {"transport header", [](Departure &d, Counters &) { d.transport = 24; }},
      {"headroom", [](Departure &d, Counters &) { d.trespass = "headroom"; }},
      {"counter race_lost: expected +0, got +1",
       [](Departure &, Counters &c) { c[dp::REASON_race_lost]++; }},
      {"counter session_made: expected +1, got +0",
       [](Departure &, Counters &c) { c[dp::REASON_session_made]--; }},
      {"counter translated_6to4: expected +1, got +2",
       [](Departure &, Counters &c) { c[dp::REASON_translated_6to4]++; }},
  };
  for (const auto &[expected, change] : wrongs) {
    Puppet puppet;
    puppet.act = [&change = change](const Arrival &a, Departure &d, Counters &c) {
      translate_right(a, d, c);
      change(d, c);
    };
    std::string text = failure(puppet, first_datagram());
    EXPECT_NE(text.find(expected), std::string::npos) << expected << " is not in: " << text;
  }
}

TEST(Runner, MissesStateThatIsNotThere) {
  Puppet puppet;
  puppet.act = translate_right;
  Vector vector = first_datagram();
  vector.leaves = {binding(UDP, {client6, 1234}, {pool4, port("p")})};
  EXPECT_NE(failure(puppet, vector).find("expected to exist"), std::string::npos);
  vector.leaves = {session(UDP, {client6, 1234}, {pool4, port("p")}, {server4, 53})};
  EXPECT_NE(failure(puppet, vector).find("expected to exist"), std::string::npos);
}

TEST(Runner, ARefusedPacketMustNotChange) {
  Puppet puppet;
  puppet.act = [](const Arrival &, Departure &departure, Counters &counters) {
    departure.verdict = dp::VERDICT_DROP;
    departure.reason = dp::REASON_no_port;
    departure.packet[7]--;
    counters[dp::REASON_no_port]++;
  };
  Vector vector = first_datagram();
  vector.expect = drop(dp::REASON_no_port);
  vector.counts = {};
  EXPECT_NE(failure(puppet, vector).find("not forwarded, and yet changed"), std::string::npos);
}

TEST(Runner, AfterAPuntTheRestIsLeftOut) {
  Puppet puppet;
  puppet.bpf = true;
  puppet.act = [](const Arrival &, Departure &departure, Counters &counters) {
    departure.verdict = dp::VERDICT_PUNT;
    departure.reason = dp::REASON_punt_fragment;
    counters[dp::REASON_punt_fragment]++;
  };
  Vector vector = first_datagram();
  vector.bpf = punt(dp::REASON_punt_fragment);
  vector.then = {{.in = vector.in, .expect = PASS}};
  EXPECT_EQ(failure(puppet, vector), "");
  EXPECT_EQ(puppet.runs, 1);
  vector.bpf = punt(dp::REASON_punt_emit);
  EXPECT_NE(failure(puppet, vector).find("expected PUNT punt_emit, got PUNT punt_fragment"),
            std::string::npos);
}

TEST(Runner, APortKeepsItsValue) {
  Puppet puppet;
  puppet.act = translate_right;
  Vector vector = first_datagram();
  vector.then = {{.in = vector.in, .out = vector.out, .counts = vector.counts}};
  EXPECT_EQ(failure(puppet, vector), "");
  puppet.act = [&](const Arrival &arrival, Departure &departure, Counters &counters) {
    translate_right(arrival, departure, counters);
    if (puppet.runs == 4)
      departure.packet = (ip4(pool4, server4) / udp(40001, 53) / payload(3)).bytes();
  };
  EXPECT_NE(failure(puppet, vector).find("- udp                  source port        40000"),
            std::string::npos);
}

} // namespace
} // namespace viaduct::test
