// SPDX-License-Identifier: MIT
//
// Packets in words: the bytes are those that the packet language of the tests writes, and what is
// wrong is said in a sentence.
#include "cli/packet_words.h"
#include "tests/lib/addresses.h"
#include "tests/lib/decode.h"
#include "tests/lib/packet.h"

#include <gtest/gtest.h>
#include <sstream>

namespace viaduct::cli {
namespace {

using namespace viaduct::test;

std::vector<std::string> split(const std::string &text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;)
    words.push_back(word);
  return words;
}

void expect_packet(const std::string &text, const Packet &expected) {
  SCOPED_TRACE(text);
  auto packet = packet_from_words(split(text));
  ASSERT_TRUE(packet) << packet.failure().message;
  EXPECT_EQ(difference(expected.bytes(), *packet), "");
  EXPECT_EQ(malformation(*packet), "");
}

const std::string v6 = "from 2001:db8:64::10 to 64:ff9b::c633:6450";
const std::string v6_ports = "from 2001:db8:64::10 port 40000 to 64:ff9b::c633:6450 port 80";
const std::string v4 = "from 198.51.100.80 to 203.0.113.10";
const std::string v4_ports = "from 198.51.100.80 port 80 to 203.0.113.10 port 40000";

Ip6 six() {
  return ip6(client6, pref64(server4));
}
Ip4 four() {
  return ip4(server4, pool4);
}

TEST(PacketWords, tcp) {
  expect_packet("tcp " + v6_ports, six() / tcp(40000, 80).syn());
  expect_packet("tcp " + v6_ports + " syn ack", six() / tcp(40000, 80).syn().ack(0));
  expect_packet("tcp " + v6_ports + " rst sequence 4000000000",
                six() / tcp(40000, 80).rst().seq(4000000000U));
  expect_packet("tcp fin psh urg " + v4_ports, four() / tcp(80, 40000).fin().psh().urgent(0));
}

TEST(PacketWords, udp_with_data_of_zeros) {
  expect_packet("udp " + v6_ports, six() / udp(40000, 80));
  expect_packet("udp " + v4_ports + " length 128 ttl 3 tos 184 df",
                four().ttl(3).tos(184).df() / udp(80, 40000) / raw(Bytes(100)));
  expect_packet("udp length 49 ttl 0 tos 1 " + v6_ports,
                six().hop_limit(0).traffic_class(1) / udp(40000, 80) / raw(Bytes(1)));
  auto longest = packet_from_words(split("udp length 65575 " + v6_ports));
  ASSERT_TRUE(longest);
  EXPECT_EQ(longest->size(), 65575U);
  EXPECT_EQ(malformation(*longest), "");
  EXPECT_EQ(transport_checksum(*longest), SumState::right);
}

TEST(PacketWords, icmp_echo) {
  expect_packet("icmp " + v6, six() / icmp6_echo_request(1, 1));
  expect_packet("icmp echo id 7 " + v6, six() / icmp6_echo_request(7, 1));
  expect_packet("icmp reply id 65535 " + v4, four() / icmp4_echo_reply(65535, 1));
}

TEST(PacketWords, other_protocols) {
  expect_packet("protocol 132 length 60 " + v6, six().next_header(132) / raw(Bytes(20)));
  expect_packet("protocol 47 " + v4, Packet(four().protocol(47)));
}

TEST(PacketWords, icmp_errors) {
  const std::string back6 = " about udp from 64:ff9b::c633:6450 port 53 to 2001:db8:64::10 port 9";
  Packet inside6 = ip6(pref64(server4), client6) / udp(53, 9);
  expect_packet("icmp too-big mtu 1400 " + v6 + back6, six() / icmp6_too_big(1400) / inside6);
  expect_packet("icmp port-unreachable " + v6 + back6, six() / icmp6_unreachable(4) / inside6);
  expect_packet("icmp ttl-exceeded " + v6 + back6, six() / icmp6_time_exceeded() / inside6);
  const std::string back4 = " about udp from 203.0.113.10 port 9 to 198.51.100.80 port 53 length ";
  Packet inside4 = ip4(pool4, server4) / udp(9, 53);
  expect_packet("icmp too-big mtu 1400 " + v4 + back4 + "28",
                four() / icmp4_frag_needed(1400) / inside4);
  expect_packet("icmp prohibited " + v4 + back4 + "28", four() / icmp4_unreachable(13) / inside4);
  expect_packet("icmp type 11 code 0 " + v4 + back4 + "28",
                four() / icmp4_time_exceeded() / inside4);
  // No more is quoted than an error may.
  auto quoting = packet_from_words(split("icmp ttl-exceeded " + v4 + back4 + "1500"));
  ASSERT_TRUE(quoting);
  EXPECT_EQ(quoting->size(), 576U);
}

TEST(PacketWords, what_is_wrong_is_said) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "no packet: expected tcp, udp, icmp or protocol NUMBER"},
      {"sctp", "found \"sctp\", expected tcp, udp, icmp or protocol NUMBER"},
      {"protocol 256 " + v6, "found \"256\" behind \"protocol\", expected a number from 0 to 255"},
      {"tcp", "the packet has no \"from ADDRESS\""},
      {"tcp from", "no address behind \"from\""},
      {"tcp from 2001:db8::1 port 1", "the packet has no \"to ADDRESS\""},
      {"tcp from example.net",
       "found \"example.net\" behind \"from\", expected an IPv6 or IPv4 address"},
      {"tcp " + v6, "no \"port NUMBER\" behind the address \"from\""},
      {"tcp from 2001:db8::1 port 1 to 2001:db8::2",
       "no \"port NUMBER\" behind the address \"to\""},
      {"tcp from 2001:db8::1 port",
       "found \"\" behind \"port\", expected a number from 0 to 65535"},
      {"tcp from 2001:db8::1 port 65536",
       "found \"65536\" behind \"port\", expected a number from 0 to 65535"},
      {"tcp from 2001:db8::1 port -1",
       "found \"-1\" behind \"port\", expected a number from 0 to 65535"},
      {"tcp from 2001:db8::1 port 1x",
       "found \"1x\" behind \"port\", expected a number from 0 to 65535"},
      {"tcp " + v6_ports + " from ::1", "\"from\" stands twice"},
      {"tcp " + v6_ports + " please", "found \"please\", expected from, to, ttl, tos, length, df, "
                                      "sequence, syn, ack, fin, rst, psh or urg"},
      {"udp " + v6_ports + " syn", "found \"syn\", expected from, to, ttl, tos, length, df"},
      {"udp " + v6_ports + " df", "IPv6 has no DF: nothing but its sender may fragment it"},
      {"udp from 2001:db8::1 port 1 to 192.0.2.1 port 2",
       "\"from\" and \"to\" are of different families: a packet has addresses of one"},
      {"udp " + v6_ports + " length 47",
       "\"length 47\" does not fit: this packet has 48 to 65575 bytes"},
      {"udp " + v4_ports + " length 65536",
       "\"length 65536\" does not fit: this packet has 28 to 65535 bytes"},
      {"udp " + v6_ports + " length 65576",
       "found \"65576\" behind \"length\", expected a number from 0 to 65575"},
      {"icmp from 2001:db8::1 port 7 to 2001:db8::2", "only tcp and udp have a \"port\""},
      {"icmp mtu 5 " + v6, "\"code\", \"mtu\" and \"about\" are for ICMP errors"},
      {"icmp no-route " + v6,
       "an ICMP error is about a packet: expected \"about\" and that packet at the end"},
      {"icmp too-big " + v6 + " about tcp " + v6_ports,
       "too big for what? Expected \"mtu NUMBER\""},
      {"icmp no-route mtu 5 " + v6 + " about tcp " + v6_ports,
       "only the error too-big has an \"mtu\""},
      {"icmp no-route " + v6 + " about tcp " + v4_ports,
       "the packet that the error is about is of the other family"},
      {"icmp no-route " + v6 + " about icmp no-route " + v6,
       "about: no error is about an ICMP error"},
      {"icmp no-route " + v6 + " about tcp", "about: the packet has no \"from ADDRESS\""},
  };
  for (const auto &[text, expected] : cases) {
    auto packet = packet_from_words(split(text));
    ASSERT_FALSE(packet) << text;
    EXPECT_EQ(packet.failure().message, expected) << text;
  }
}

TEST(PacketWords, a_long_word_is_not_repeated_in_full) {
  auto packet = packet_from_words({std::string(100000, 'x')});
  ASSERT_FALSE(packet);
  EXPECT_LT(packet.failure().message.size(), 200U);
}

} // namespace
} // namespace viaduct::cli
