// SPDX-License-Identifier: MIT
//
// ICMP errors: the packet inside names the session and is translated too, types, codes, pointers
// and MTUs follow RFC 7915 4.2 and 5.2, and nothing about a session changes.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);

constexpr Expect from4{dp::VERDICT_FORWARD, dp::REASON_translated_error_4to6};
constexpr Expect from6{dp::VERDICT_FORWARD, dp::REASON_translated_error_6to4};

// What the default random number makes of an identification.
constexpr int ID = 0x1234;

SessionState datagrams() {
  return session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53}).expires_in(50);
}

SessionState connection() {
  return session(TCP, {client6, 1234}, {pool4, 40002}, {server4, 80})
      .state(dp::STATE_ESTABLISHED)
      .expires_in(50);
}

SessionState ping() {
  return session(ICMP, {client6, 77}, {pool4, 40007}, {server4, 0}).expires_in(50);
}

// The datagram that went out, and as its sender knows it.
Packet sent4() {
  return ip4(pool4, server4).ttl(1) / udp(40001, 53) / payload(20);
}

Packet sent6() {
  return ip6(client6, server6).hop_limit(1) / udp(1234, 53) / payload(20);
}

// The datagram that came back, and as its sender knows it.
Packet received6() {
  return ip6(server6, client6).hop_limit(1) / udp(53, 1234) / payload(20);
}

Packet received4() {
  return ip4(server4, pool4).ttl(1).id(ID) / udp(53, 40001) / payload(20);
}

Vector error4(std::string name, std::string rfc, const Packet &in, const Packet &out) {
  return Vector{
      .name = std::move(name),
      .rfc = std::move(rfc),
      .given = {.sessions = {datagrams(), connection(), ping()}},
      .in = in,
      .expect = from4,
      .out = out,
      .bpf = punt(dp::REASON_punt_icmp_error),
      .leaves = {datagrams(), connection().state(dp::STATE_ESTABLISHED), ping()},
  };
}

Vector error6(std::string name, std::string rfc, const Packet &in, const Packet &out) {
  Vector vector = error4(std::move(name), std::move(rfc), in, out);
  vector.expect = from6;
  return vector;
}

Vector refused(std::string name, std::string rfc, const Packet &in, dp::reason reason) {
  Vector vector = error4(std::move(name), std::move(rfc), in, {});
  vector.expect = drop(reason);
  return vector;
}

// Type and code alone: each row of the RFC's lists.
std::vector<Vector> codes_4to6() {
  struct Row {
    uint8_t type, code;
    Icmp expected;
  };
  std::vector<Vector> vectors;
  auto add = [&](uint8_t type, uint8_t code, const Icmp &expected) {
    vectors.push_back(
        error4(fmt::format("ICMP type {} code {} has its ICMPv6 counterpart", type, code),
               "RFC 7915 4.2", ip4(router4, pool4) / icmp4(type, code) / sent4(),
               ip6(pref64(router4), client6) / expected / sent6()));
  };
  for (uint8_t code : {0, 1, 5, 6, 7, 8, 11, 12})
    add(3, code, icmp6_unreachable(0));
  for (uint8_t code : {9, 10, 13, 15})
    add(3, code, icmp6_unreachable(1));
  add(3, 2, icmp6_parameter_problem(1, 6));
  add(3, 3, icmp6_unreachable(4));
  add(11, 0, icmp6(3, 0));
  add(11, 1, icmp6(3, 1));
  auto refuse = [&](uint8_t type, uint8_t code) {
    vectors.push_back(refused(fmt::format("ICMP type {} code {} has no counterpart", type, code),
                              "RFC 7915 4.2", ip4(router4, pool4) / icmp4(type, code) / sent4(),
                              dp::REASON_icmp_type));
  };
  for (uint8_t code : {14, 16, 255})
    refuse(3, code);
  for (uint8_t code : {1, 3})
    refuse(12, code);
  return vectors;
}

std::vector<Vector> codes_6to4() {
  std::vector<Vector> vectors;
  auto add = [&](uint8_t type, uint8_t code, const Icmp &expected) {
    vectors.push_back(
        error6(fmt::format("ICMPv6 type {} code {} has its ICMP counterpart", type, code),
               "RFC 7915 5.2", ip6(client6, server6) / icmp6(type, code) / received6(),
               ip4(pool4, server4).id(ID) / expected / received4()));
  };
  for (uint8_t code : {0, 2, 3})
    add(1, code, icmp4_unreachable(1));
  add(1, 1, icmp4_unreachable(10));
  add(1, 4, icmp4_unreachable(3));
  add(3, 0, icmp4(11, 0));
  add(3, 1, icmp4(11, 1));
  add(4, 1, icmp4_unreachable(2));
  auto refuse = [&](uint8_t type, uint8_t code) {
    vectors.push_back(refused(
        fmt::format("ICMPv6 type {} code {} has no counterpart", type, code), "RFC 7915 5.2",
        ip6(client6, server6) / icmp6(type, code) / received6(), dp::REASON_icmp_type));
  };
  for (uint8_t code : {5, 6, 255})
    refuse(1, code);
  refuse(4, 2);
  return vectors;
}

// RFC 7915 figures 3 and 6: where the field that was wrong has gone.
std::vector<Vector> pointers() {
  struct Row {
    uint8_t pointer;
    int expected; // -1: nowhere
  };
  constexpr Row to6[] = {{0, 0},  {1, 1},  {2, 4},   {3, 4},   {4, -1},  {5, -1},
                         {6, -1}, {7, -1}, {8, 7},   {9, 6},   {10, -1}, {11, -1},
                         {12, 8}, {15, 8}, {16, 24}, {19, 24}, {20, -1}, {255, -1}};
  constexpr Row to4[] = {{0, 0}, {1, 1},  {2, -1},  {3, -1},  {4, 2},   {5, 2},  {6, 9},
                         {7, 8}, {8, 12}, {23, 12}, {24, 16}, {39, 16}, {40, -1}};
  std::vector<Vector> vectors;
  for (const Row &row : to6) {
    Packet in = ip4(router4, pool4) / icmp4_parameter_problem(row.pointer) / sent4();
    std::string name =
        fmt::format("a parameter problem at byte {} of the IPv4 header", row.pointer);
    if (row.expected < 0)
      vectors.push_back(refused(name, "RFC 7915 4.2", in, dp::REASON_icmp_type));
    else
      vectors.push_back(error4(name, "RFC 7915 4.2", in,
                               ip6(pref64(router4), client6) /
                                   icmp6_parameter_problem(0, static_cast<uint32_t>(row.expected)) /
                                   sent6()));
  }
  for (const Row &row : to4) {
    Packet in = ip6(client6, server6) / icmp6_parameter_problem(0, row.pointer) / received6();
    std::string name =
        fmt::format("a parameter problem at byte {} of the IPv6 header", row.pointer);
    if (row.expected < 0)
      vectors.push_back(refused(name, "RFC 7915 5.2", in, dp::REASON_icmp_type));
    else
      vectors.push_back(error6(name, "RFC 7915 5.2", in,
                               ip4(pool4, server4).id(ID) /
                                   icmp4_parameter_problem(static_cast<uint8_t>(row.expected)) /
                                   received4()));
  }
  vectors.push_back(
      error4("a parameter problem with a bad length keeps its pointer", "RFC 7915 4.2",
             ip4(router4, pool4) / icmp4_parameter_problem(8).code(2) / sent4(),
             ip6(pref64(router4), client6) / icmp6_parameter_problem(0, 7) / sent6()));
  vectors.push_back(
      refused("a pointer far outside the IPv6 header", "RFC 7915 5.2",
              ip6(client6, server6) / icmp6_parameter_problem(0, 0xffffffff) / received6(),
              dp::REASON_icmp_type));
  return vectors;
}

std::vector<Vector> mtus() {
  // A packet of `size` bytes of which a router sends back the first 28.
  auto large4 = [](uint16_t size) {
    Packet packet = ip4(pool4, server4).df() / udp(40001, 53) / payload(size - 28U);
    return raw(packet.cut_to(28).bytes());
  };
  auto large6 = [](uint16_t size) {
    Packet packet = ip6(client6, server6) / udp(1234, 53) / payload(size - 28U);
    return raw(packet.cut_to(48).bytes());
  };
  auto needed = [&](std::string name, uint16_t mtu, uint16_t size, uint32_t expected) {
    return error4(std::move(name), "RFC 7915 4.2",
                  ip4(router4, pool4) / icmp4_frag_needed(mtu) / large4(size),
                  ip6(pref64(router4), client6) / icmp6_too_big(expected) / large6(size));
  };
  auto too_big = [&](std::string name, uint32_t mtu, uint16_t expected) {
    return error6(std::move(name), "RFC 7915 5.2",
                  ip6(router6, server6) / icmp6_too_big(mtu) / received6(),
                  ip4(pool4, server4).id(ID) / icmp4_frag_needed(expected) / received4());
  };
  auto within = [](Vector vector, uint32_t ours) {
    vector.given.policy.push_back(with_mtu(ours));
    return vector;
  };
  return {
      within(needed("no MTU beyond our own comes out of fragmentation needed", 1490, 1500, 1500),
             1500),
      within(needed("an MTU that leaves room for 20 more", 1479, 1500, 1499), 1500),
      within(needed("a plateau beyond our own MTU", 0, 1500, 1500), 1500),
      within(too_big("no MTU beyond our own, less 20, comes out of too big", 9000, 1480), 1500),
      within(too_big("our own MTU, less 20", 1500, 1480), 1500),
      needed("fragmentation needed comes out as too big, 20 more", 1400, 1500, 1420),
      needed("an MTU that IPv6 does not know becomes 1280", 576, 1500, 1280),
      needed("an MTU of 1260 is the last that becomes 1280", 1260, 1500, 1280),
      needed("an MTU of 1261 becomes 1281", 1261, 1500, 1281),
      needed("an MTU of 68, the floor of IPv4, becomes 1280", 68, 1500, 1280),
      needed("a router that names no MTU: the next plateau", 0, 1500, 1512),
      needed("a router that names no MTU, a large packet", 0, 9000, 8186),
      needed("a router that names no MTU, a packet of a plateau's own length", 0, 1492, 1280),
      needed("a router that names no MTU, a packet below every plateau", 0, 200, 1280),
      too_big("too big on the IPv6 side comes out as fragmentation needed, 20 less", 1400, 1380),
      too_big("too big with the smallest MTU of IPv6", 1280, 1260),
      too_big("too big with an MTU below the smallest", 60, 68),
      too_big("too big with an MTU that IPv4 cannot say", 0x10000, 65515),
  };
}

// The packet inside, in all its forms.
std::vector<Vector> inside() {
  Packet segment4 = ip4(pool4, server4).ttl(1).df().id(9).tos(0x2e) /
                    tcp(40002, 80).seq(1000).ack(7) / payload(400);
  Packet segment6 = ip6(client6, server6).hop_limit(1).traffic_class(0x2e) /
                    tcp(1234, 80).seq(1000).ack(7) / payload(400);
  return {
      error4("an error about a segment", "RFC 7915 4.3",
             ip4(router4, pool4).tos(0xc0) / icmp4_time_exceeded() / segment4,
             ip6(pref64(router4), client6).traffic_class(0xc0) / icmp6_time_exceeded() / segment6),
      error4("an error about a segment of which only eight bytes came back", "RFC 7915 4.3",
             ip4(router4, pool4) / icmp4_time_exceeded() / raw(segment4.cut_to(28).bytes()),
             ip6(pref64(router4), client6) / icmp6_time_exceeded() /
                 raw(segment6.cut_to(48).bytes())),
      error4("an error about an echo request", "RFC 7915 4.3",
             ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4).ttl(1) /
                 icmp4_echo_request(40007, 3) / payload(40),
             ip6(pref64(router4), client6) / icmp6_time_exceeded() /
                 ip6(client6, server6).hop_limit(1) / icmp6_echo_request(77, 3) / payload(40)),
      error4("a wrong checksum inside stays wrong", "RFC 7915 4.3",
             ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4) /
                 udp(40001, 53).bad_checksum() / payload(20),
             ip6(pref64(router4), client6) / icmp6_time_exceeded() / ip6(client6, server6) /
                 udp(1234, 53).bad_checksum() / payload(20)),
      // As of a router that has lowered the time to live and left the sum.
      error4("an error about an IPv4 header with a wrong checksum", "RFC 5508 REQ-3a",
             ip4(router4, pool4) / icmp4_frag_needed(1400) /
                 ip4(pool4, server4).df().bad_checksum() / udp(40001, 53) / payload(20),
             ip6(pref64(router4), client6) / icmp6_too_big(1420) / ip6(client6, server6) /
                 udp(1234, 53) / payload(20)),
      error4("a datagram inside that has no checksum keeps none", "RFC 7915 4.3",
             ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4) /
                 udp(40001, 53).checksum(0) / payload(20),
             ip6(pref64(router4), client6) / icmp6_time_exceeded() / ip6(client6, server6) /
                 udp(1234, 53).checksum(0) / payload(20)),
      error4("options of the header inside are left out", "RFC 7915 4.3",
             ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4).record_route(3) /
                 udp(40001, 53) / payload(20),
             ip6(pref64(router4), client6) / icmp6_time_exceeded() / ip6(client6, server6) /
                 udp(1234, 53) / payload(20)),
      error4("an error from a router with a private address", "RFC 7915 4.1",
             ip4(address4("10.0.0.1"), pool4) / icmp4_time_exceeded() / sent4(),
             ip6(pref64(address4("10.0.0.1")), client6) / icmp6_time_exceeded() / sent6()),
      error4("an error from the server itself", "RFC 7915 4.2",
             ip4(server4, pool4) / icmp4_unreachable(3) / sent4(),
             ip6(server6, client6) / icmp6_unreachable(4) / sent6()),
      error6("an error about a segment to the IPv6 host", "RFC 7915 5.3",
             ip6(router6, server6).traffic_class(0xc0) / icmp6_time_exceeded() /
                 ip6(server6, client6).hop_limit(1) / tcp(80, 1234).seq(5).ack(6) / payload(100),
             ip4(pool4, server4).tos(0xc0).id(ID) / icmp4_time_exceeded() /
                 ip4(server4, pool4).ttl(1).id(ID) / tcp(80, 40002).seq(5).ack(6) / payload(100)),
      error6("an error about an echo reply", "RFC 7915 5.3",
             ip6(router6, server6) / icmp6_time_exceeded() / ip6(server6, client6).hop_limit(1) /
                 icmp6_echo_reply(77, 3) / payload(40),
             ip4(pool4, server4).id(ID) / icmp4_time_exceeded() /
                 ip4(server4, pool4).ttl(1).id(ID) / icmp4_echo_reply(40007, 3) / payload(40)),
      error6("extension headers of the packet inside are left out", "RFC 7915 5.3",
             ip6(router6, server6) / icmp6_time_exceeded() / ip6(server6, client6) /
                 destination_options() / udp(53, 1234) / payload(20),
             ip4(pool4, server4).id(ID) / icmp4_time_exceeded() / ip4(server4, pool4).id(ID) /
                 udp(53, 40001) / payload(20)),
      error6("a long error is cut to what IPv4 routers send", "RFC 7915 5.2, RFC 1812 4.3.2.3",
             ip6(router6, server6) / icmp6_time_exceeded() / ip6(server6, client6) / udp(53, 1234) /
                 payload(1000),
             ip4(pool4, server4).id(ID) / icmp4_time_exceeded() /
                 raw((ip4(server4, pool4).id(ID) / udp(53, 40001) / payload(1000))
                         .cut_to(548)
                         .bytes())),
      error4("a long error is cut to the smallest MTU of IPv6", "RFC 7915 4.2, RFC 4443 2.4 (c)",
             ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4) / udp(40001, 53) /
                 payload(1400),
             ip6(pref64(router4), client6) / icmp6_time_exceeded() /
                 raw((ip6(client6, server6) / udp(1234, 53) / payload(1400)).cut_to(1232).bytes())),
  };
}

// RFC 4884: an extension behind the packet inside, whose length is then said in the header.
std::vector<Vector> extensions() {
  const Bytes mpls{0x20, 0x00, 0xff, 0xff, 0x00, 0x08, 0x01, 0x01, 0x00, 0x01, 0x01, 0x01};
  Packet long4 = ip4(pool4, server4).ttl(1) / udp(40001, 53) / payload(172); // 200 bytes
  Packet long6 = ip6(client6, server6).hop_limit(1) / udp(1234, 53) / payload(172);
  Packet back6 = ip6(server6, client6).hop_limit(1) / udp(53, 1234) / payload(152); // 200 bytes
  Packet back4 = ip4(server4, pool4).ttl(1).id(ID) / udp(53, 40001) / payload(152);
  Packet huge6 = ip6(server6, client6).hop_limit(1) / udp(53, 1234) / payload(552); // 600 bytes
  Packet huge4 = ip4(server4, pool4).ttl(1).id(ID) / udp(53, 40001) / payload(552);
  auto padded = [](const Packet &packet, size_t size, const Bytes &extension) {
    Bytes bytes = packet.bytes();
    bytes.resize(size);
    bytes.insert(bytes.end(), extension.begin(), extension.end());
    return raw(bytes);
  };
  return {
      error4("an extension stays behind the packet inside", "RFC 7915 4.2, RFC 4884 4",
             ip4(router4, pool4) / icmp4(11, 0, 200 / 4) / padded(long4, 200, mpls),
             ip6(pref64(router4), client6) / icmp6(3, 0, 224 / 8 << 8) / padded(long6, 224, mpls)),
      error4("the packet inside is padded where an extension follows", "RFC 4884 3",
             ip4(router4, pool4) / icmp4(11, 0, 128 / 4) / padded(sent4(), 128, mpls),
             ip6(pref64(router4), client6) / icmp6(3, 0, 152 / 8 << 8) /
                 padded(sent6(), 152, mpls)),
      error6("an extension stays behind the packet inside, to IPv4", "RFC 7915 5.2, RFC 4884 4",
             ip6(router6, server6) / icmp6(3, 0, 200 / 8 << 8) / padded(back6, 200, mpls),
             ip4(pool4, server4).id(ID) / icmp4(11, 0, 180 / 4) / padded(back4, 180, mpls)),
      error6("what remains of the packet inside is padded to 128 bytes", "RFC 4884 3",
             ip6(router6, server6) / icmp6(3, 0, 128 / 8 << 8) / padded(received6(), 128, mpls),
             ip4(pool4, server4).id(ID) / icmp4(11, 0, 128 / 4) / padded(received4(), 128, mpls)),
      error6("the packet inside is cut to leave room for its extension", "RFC 7915 5.2, RFC 4884 3",
             ip6(router6, server6) / icmp6(3, 0, 600 / 8 << 8) / padded(huge6, 600, mpls),
             ip4(pool4, server4).id(ID) / icmp4(11, 0, 536 / 4) / padded(huge4, 536, mpls)),
      error4("an extension has no place in a parameter problem of ICMPv6", "RFC 4884 4",
             ip4(router4, pool4) / icmp4(12, 0, 0x0800 | 200 / 4) / padded(long4, 200, mpls),
             ip6(pref64(router4), client6) / icmp6_parameter_problem(0, 7) / long6),
      error4("a length that reaches beyond the message is none", "RFC 4884 5",
             ip4(router4, pool4) / icmp4(11, 0, 255) / long4,
             ip6(pref64(router4), client6) / icmp6_time_exceeded() / long6),
      error4("a length below 128 is none", "RFC 4884 5",
             ip4(router4, pool4) / icmp4(11, 0, 100 / 4) / long4,
             ip6(pref64(router4), client6) / icmp6_time_exceeded() / long6),
  };
}

std::vector<Vector> refusals() {
  Packet unknown4 = ip4(pool4, server4) / udp(40999, 53) / payload(20);
  return {
      refused("an error about a packet of no session", "RFC 5508 REQ-4",
              ip4(router4, pool4) / icmp4_time_exceeded() / unknown4,
              dp::REASON_error_without_session),
      refused("an error about a packet to another server of the same binding", "RFC 5508 REQ-4",
              ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4b) / udp(40001, 53),
              dp::REASON_error_without_session),
      refused("an error about a packet that did not come from where the error goes",
              "RFC 5508 REQ-4",
              ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4b, server4) / udp(40001, 53),
              dp::REASON_error_without_session),
      refused("an error from IPv6 about a packet of no session", "RFC 5508 REQ-5",
              ip6(client6, server6) / icmp6_unreachable(4) / ip6(server6, client6) / udp(53, 1299),
              dp::REASON_error_without_session),
      refused("an error from IPv6 to another server than the packet inside came from",
              "RFC 5508 REQ-5", ip6(client6, pref64(server4b)) / icmp6_unreachable(4) / received6(),
              dp::REASON_error_without_session),
      refused("an error from IPv6 about a packet from outside the prefix", "RFC 5508 REQ-5",
              ip6(client6, server6) / icmp6_unreachable(4) / ip6(elsewhere6, client6) /
                  udp(53, 1234),
              dp::REASON_error_without_session),
      refused("an error from IPv6 about a packet from another server of the same binding",
              "RFC 5508 REQ-5",
              ip6(client6, pref64(server4b)) / icmp6_unreachable(4) /
                  ip6(pref64(server4b), client6) / udp(53, 1234),
              dp::REASON_error_without_session),
      refused("an error about an error", "RFC 7915 4.3",
              ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4) /
                  icmp4_unreachable(3) / received4(),
              dp::REASON_inner_error),
      refused("an ICMPv6 error about an ICMPv6 error", "RFC 7915 5.3",
              ip6(router6, server6) / icmp6_time_exceeded() / ip6(server6, client6) /
                  icmp6_unreachable(4) / sent6(),
              dp::REASON_inner_error),
      refused("an error about a later fragment", "RFC 7915 4.3",
              ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4).offset(1480) /
                  udp(40001, 53),
              dp::REASON_inner_packet),
      refused("an error about a packet of which seven bytes came back", "RFC 792",
              ip4(router4, pool4) / icmp4_time_exceeded() / raw(sent4().cut_to(27).bytes()),
              dp::REASON_inner_packet),
      refused("an error from an address that no host has", "RFC 7915 4.1",
              ip4(address4("127.0.0.1"), pool4) / icmp4_time_exceeded() / sent4(),
              dp::REASON_bad_source),
      refused("an error about nothing", "RFC 792", ip4(router4, pool4) / icmp4_time_exceeded(),
              dp::REASON_inner_packet),
      refused("an ICMP error about an IPv6 packet", "RFC 7915 4.3",
              ip4(router4, pool4) / icmp4_time_exceeded() / sent6(), dp::REASON_inner_packet),
      refused("an ICMPv6 error about an IPv4 packet", "RFC 7915 5.3",
              ip6(router6, server6) / icmp6_time_exceeded() / received4() / payload(20),
              dp::REASON_inner_packet),
      refused("an error about a timestamp request", "RFC 7915 4.3",
              ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4) / icmp4(13) /
                  payload(12),
              dp::REASON_inner_packet),
      refused("an error about another protocol", "RFC 6146 3.4",
              ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4).protocol(47) /
                  payload(20),
              dp::REASON_inner_packet),
      refused("an error about a packet longer than any that IPv4 can carry", "RFC 791 3.1",
              ip6(router6, server6) / icmp6_time_exceeded() / ip6(server6, client6).length(65520) /
                  udp(53, 1234) / payload(20),
              dp::REASON_inner_packet),
      refused("an error with a wrong checksum", "RFC 5508 REQ-3",
              ip4(router4, pool4) / icmp4_time_exceeded().bad_checksum() / sent4(),
              dp::REASON_icmp_checksum),
      refused("an ICMPv6 error with a wrong checksum", "RFC 5508 REQ-3",
              ip6(router6, server6) / icmp6_time_exceeded().bad_checksum() / received6(),
              dp::REASON_icmp_checksum),
  };
}

} // namespace

std::vector<Vector> icmp_error_vectors() {
  std::vector<Vector> all;
  for (auto some : {codes_4to6, codes_6to4, pointers, mtus, inside, extensions, refusals}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
