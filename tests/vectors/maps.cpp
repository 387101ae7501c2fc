// SPDX-License-Identifier: MIT
//
// Stateless translation with explicit address mappings (RFC 7757): which address becomes which, in
// both directions, and that nothing is remembered. No vector here makes a binding or a session
// except where it says so.
#include "vectors.h"

namespace viaduct::test {

namespace {

// A range, a longer IPv6 suffix, one host.
const std::vector<MapPair> the_maps = {{"2001:db8:a::/122", "192.0.2.0/26"},
                                       {"2001:db8:b::/64", "192.0.2.64/26"},
                                       {"2001:db8:c::1/128", "203.0.113.99/32"}};
const Given mapped{.policy = {with_maps(the_maps)}};

const Ipv6 host6 = address6("2001:db8:a::5"); // outside [nat64] allow: it does not concern maps
const Ipv4 host4 = address4("192.0.2.5");
const Ipv6 single6 = address6("2001:db8:c::1");
const Ipv4 single4 = address4("203.0.113.99");
const Ipv6 server6 = pref64(server4);

constexpr int ID = 0x1234; // what the default random number makes of an identification

constexpr Expect from4{dp::VERDICT_FORWARD, dp::REASON_translated_error_4to6};
constexpr Expect from6{dp::VERDICT_FORWARD, dp::REASON_translated_error_6to4};

Packet datagram() {
  return udp(1234, 53) / payload(8);
}

Packet answer() {
  return udp(53, 1234) / payload(21);
}

// --- protocols -----------------------------------------------------------------------------------

std::vector<Vector> protocol_vectors() {
  return {
      Vector{
          .name = "UDP from a mapped host and its answer need no session",
          .rfc = "RFC 7757 3.3",
          .given = mapped,
          .in = ip6(host6, server6).hop_limit(9).traffic_class(0x2e) / datagram(),
          .out = ip4(host4, server4).ttl(9).tos(0x2e).id(ID) / datagram(),
          .leaves = {no_binding(UDP, {host6, 1234}), no_session(UDP, {host4, 1234}, {server4, 53})},
          .then = {{.in = ip4(server4, host4).ttl(7).tos(0x11).df() / answer(),
                    .out = ip6(server6, host6).hop_limit(7).traffic_class(0x11) / answer()}},
      },
      Vector{
          .name = "TCP to a mapped host is let in, from its first packet on",
          .rfc = "RFC 7757 3.3",
          .given = mapped,
          .in = ip4(server4, single4) / tcp(4711, 443).syn().mss(1460),
          .out = ip6(server6, single6) / tcp(4711, 443).syn().mss(1460),
          .leaves = {no_session(TCP, {single4, 443}, {server4, 4711})},
          .then = {{.in = ip6(single6, server6) / tcp(443, 4711).syn().ack(1).mss(1440),
                    .out = ip4(single4, server4).id(ID) / tcp(443, 4711).syn().ack(1).mss(1440)}},
      },
      Vector{
          .name = "TCP of a mapped host passes in any state",
          .rfc = "RFC 7757 3.3",
          .given = mapped,
          .in = ip6(host6, server6) / tcp(1234, 80).ack(5).psh() / payload(100),
          .out = ip4(host4, server4).id(ID) / tcp(1234, 80).ack(5).psh() / payload(100),
          .then = {{.in = ip6(host6, server6) / tcp(1234, 80).rst(),
                    .out = ip4(host4, server4).id(ID) / tcp(1234, 80).rst()},
                   {.in = ip4(server4, host4) / tcp(80, 1234).fin().ack(6),
                    .out = ip6(server6, host6) / tcp(80, 1234).fin().ack(6)}},
      },
      Vector{
          .name = "an echo of a mapped host keeps its identifier",
          .rfc = "RFC 7915 5.2",
          .given = mapped,
          .in = ip6(host6, server6) / icmp6_echo_request(77, 3) / payload(56),
          .out = ip4(host4, server4).id(ID) / icmp4_echo_request(77, 3) / payload(56),
          .then = {{.in = ip4(server4, host4) / icmp4_echo_reply(77, 3) / payload(56),
                    .out = ip6(server6, host6) / icmp6_echo_reply(77, 3) / payload(56)}},
      },
      Vector{
          .name = "an echo to a mapped host and its reply",
          .rfc = "RFC 7915 4.2",
          .given = mapped,
          .in = ip4(server4, host4) / icmp4_echo_request(77, 3) / payload(55),
          .out = ip6(server6, host6) / icmp6_echo_request(77, 3) / payload(55),
          .then = {{.in = ip6(host6, server6) / icmp6_echo_reply(77, 3) / payload(55),
                    .out = ip4(host4, server4).id(ID) / icmp4_echo_reply(77, 3) / payload(55)}},
      },
      Vector{
          .name = "a datagram without a checksum gets one for a mapped host",
          .rfc = "RFC 7915 4.5",
          .given = mapped,
          .in = ip4(server4, host4) / udp(53, 1234).checksum(0) / payload(9),
          .out = ip6(server6, host6) / udp(53, 1234) / payload(9),
      },
      Vector{
          .name = "a datagram without a checksum is not for a mapped host where they are dropped",
          .rfc = "RFC 7915 4.5",
          .given = {.policy = {with_zero_checksum_dropped(), with_maps(the_maps)}},
          .in = ip4(server4, host4) / udp(53, 1234).checksum(0) / payload(8),
          .expect = drop(dp::REASON_udp_zero_checksum_v4),
      },
      Vector{
          .name = "a wrong checksum of a mapped host stays as wrong",
          .rfc = "RFC 7915 5.5",
          .given = mapped,
          .in = ip6(host6, server6) / udp(1234, 53).bad_checksum() / payload(8),
          .out = ip4(host4, server4).id(ID) / udp(1234, 53).bad_checksum() / payload(8),
      },
      Vector{
          .name = "a wrong checksum of TCP to a mapped host stays as wrong",
          .rfc = "RFC 7915 4.5",
          .given = mapped,
          .in = ip4(server4, host4) / tcp(80, 1234).ack(1).bad_checksum() / payload(8),
          .out = ip6(server6, host6) / tcp(80, 1234).ack(1).bad_checksum() / payload(8),
      },
      Vector{
          .name = "a protocol that nobody looks into passes a map both ways, byte for byte",
          .rfc = "RFC 7915 4.1, 5.1",
          .given = mapped,
          .in = ip6(host6, server6).next_header(50) / payload(101),
          .out = ip4(host4, server4).id(ID).protocol(50) / payload(101),
          .bpf = punt(dp::REASON_punt_protocol),
          .then = {{.in = ip4(server4, host4).protocol(132) / payload(3),
                    .out = ip6(server6, host6).next_header(132) / payload(3),
                    .bpf = punt(dp::REASON_punt_protocol)},
                   {.in = ip4(server4, host4).protocol(47),
                    .out = ip6(server6, host6).next_header(47),
                    .bpf = punt(dp::REASON_punt_protocol)}},
      },
      Vector{
          .name = "IPv4 cannot write a mapped host's extension headers",
          .rfc = "RFC 7915 4.1",
          .given = mapped,
          .in = ip4(server4, host4).protocol(44) / payload(16),
          .expect = drop(dp::REASON_unknown_protocol),
          .answer = icmp4_unreachable(2),
          .bpf = punt(dp::REASON_punt_protocol),
          .then = {{.in = ip4(server4, host4).protocol(0) / payload(16),
                    .expect = drop(dp::REASON_unknown_protocol),
                    .answer = icmp4_unreachable(2),
                    .bpf = punt(dp::REASON_punt_protocol)}},
      },
      Vector{
          .name = "as many answers a second as the key says",
          .rfc = "RFC 7915 4.4, RFC 4443 2.4 (f)",
          .given = {.policy = {with_icmp_error_rate(1), with_maps(the_maps)}},
          .in = ip4(server4, host4).protocol(44) / payload(16),
          .expect = drop(dp::REASON_unknown_protocol),
          .answer = icmp4_unreachable(2),
          .bpf = punt(dp::REASON_punt_protocol),
          .then = {{.in = ip4(server4, host4).protocol(44) / payload(16),
                    .expect = drop(dp::REASON_unknown_protocol),
                    .counts = {{dp::REASON_answer_limited, 1}},
                    .bpf = punt(dp::REASON_punt_protocol)},
                   {.after = 1,
                    .in = ip4(server4, host4).protocol(44) / payload(16),
                    .expect = drop(dp::REASON_unknown_protocol),
                    .answer = icmp4_unreachable(2),
                    .bpf = punt(dp::REASON_punt_protocol)}},
      },
      Vector{
          .name = "no answers where the key says none",
          .rfc = "RFC 7915 4.4",
          .given = {.policy = {with_icmp_error_rate(0), with_maps(the_maps)}},
          .in = ip4(server4, host4).protocol(44) / payload(16),
          .expect = drop(dp::REASON_unknown_protocol),
          .counts = {{dp::REASON_answer_limited, 1}},
          .bpf = punt(dp::REASON_punt_protocol),
      },
      Vector{
          .name = "a long packet of a mapped host has DF set",
          .rfc = "RFC 7915 5.1",
          .given = mapped,
          .in = ip6(host6, server6) / udp(1234, 53) / payload(1400),
          .out = ip4(host4, server4).df() / udp(1234, 53) / payload(1400),
      },
  };
}

// --- addresses -----------------------------------------------------------------------------------

// Both ways between two addresses.
Vector pair_vector(std::string name, const std::vector<MapPair> &maps, const char *six,
                   const char *four) {
  Ipv6 inside = address6(six);
  Ipv4 outside = address4(four);
  return {
      .name = std::move(name),
      .rfc = "RFC 7757 3.3",
      .given = {.policy = {with_maps(maps)}},
      .in = ip6(inside, server6) / datagram(),
      .out = ip4(outside, server4).id(ID) / datagram(),
      .then = {{.in = ip4(server4, outside) / answer(), .out = ip6(server6, inside) / answer()}}};
}

// The table of RFC 7757 3.2 and what its appendix B makes of it: hosts, equal and unequal suffixes. Its last row, a
// map inside the translation prefix, is nothing that a configuration may ask for.
std::vector<Vector> rfc_table() {
  const std::vector<MapPair> table = {{"2001:db8:aaaa::/128", "192.0.2.1/32"},
                                      {"2001:db8:bbbb::b/128", "192.0.2.2/32"},
                                      {"2001:db8:cccc::/124", "192.0.2.16/28"},
                                      {"2001:db8:dddd::/64", "192.0.2.128/26"},
                                      {"2001:db8:eeee:8::/62", "192.0.2.192/29"}};
  std::vector<Vector> all;
  for (auto [six, four] : std::initializer_list<std::pair<const char *, const char *>>{
           {"2001:db8:aaaa::", "192.0.2.1"},
           {"2001:db8:bbbb::b", "192.0.2.2"},
           {"2001:db8:cccc::", "192.0.2.16"},
           {"2001:db8:cccc::8", "192.0.2.24"},
           {"2001:db8:cccc::f", "192.0.2.31"},
           {"2001:db8:dddd::", "192.0.2.128"},
           {"2001:db8:dddd:0:6000::", "192.0.2.152"},
           {"2001:db8:dddd:0:dc00::", "192.0.2.183"},
           {"2001:db8:dddd:0:fc00::", "192.0.2.191"},
           {"2001:db8:eeee:9:8000::", "192.0.2.195"},
           {"2001:db8:eeee:b:8000::", "192.0.2.199"}})
    all.push_back(pair_vector(std::string(six) + " is " + four, table, six, four));
  return all;
}

// Where the suffix begins: at every kind of place in the address.
std::vector<Vector> length_vectors() {
  std::vector<Vector> all;
  for (auto [inside, outside, six, four] : std::initializer_list<std::array<const char *, 4>>{
           {"2001:db8::/32", "203.0.0.0/8", "2001:db8:71:6300::", "203.0.113.99"},
           {"2001:db8:a00::/40", "203.0.0.0/8", "2001:db8:a00:7163::", "203.0.113.99"},
           {"2001:db8:a:b000::/57", "203.0.0.0/8", "2001:db8:a:b000:38b1:8000::", "203.0.113.99"},
           {"2001:db8:a:b::/64", "203.0.113.0/24", "2001:db8:a:b:6300::", "203.0.113.99"},
           {"2001:db8:a:b:8000::/65", "203.0.113.0/24", "2001:db8:a:b:b180::", "203.0.113.99"},
           {"2001:db8:a:b:c::/96", "192.0.0.0/3", "2001:db8:a:b:c:0:5803:8b18", "203.0.113.99"},
           {"2001:db8:a:b:c::/99", "192.0.0.0/3", "2001:db8:a:b:c:0:b00:7163", "203.0.113.99"},
           {"2001:db8:a:b:c:d:e:0/127", "203.0.113.98/31", "2001:db8:a:b:c:d:e:1", "203.0.113.99"}})
    all.push_back(pair_vector(std::string("between ") + inside + " and " + outside,
                              {{inside, outside}}, six, four));
  all.push_back(Vector{
      .name = "what lies behind a short IPv4 suffix is ignored on the way out",
      .rfc = "RFC 7757 3.3",
      .given = mapped,
      .in = ip6(address6("2001:db8:b:0:7ff:ffff:ffff:ffff"), server6) / datagram(),
      .out = ip4(address4("192.0.2.65"), server4).id(ID) / datagram(),
  });
  return all;
}

std::vector<Vector> match_vectors() {
  const std::vector<MapPair> overlapping = {{"2001:db8:a::/120", "192.0.2.0/24"},
                                            {"2001:db8:a::7/128", "203.0.113.77/32"},
                                            {"2001:db8:bbbb::1/128", "192.0.2.9/32"}};
  std::vector<MapPair> many;
  static std::vector<std::string> texts; // with_maps takes them by pointer
  if (texts.empty())
    for (int i = 0; i < dp::MAX_MAPS; i++) {
      texts.push_back(fmt::format("2001:db8:a:{:x}::/64", i));
      texts.push_back(fmt::format("192.0.2.{}/32", i));
    }
  for (size_t i = 0; i < texts.size(); i += 2)
    many.push_back({texts[i].c_str(), texts[i + 1].c_str()});

  Vector longest_out{
      .name = "the longest IPv6 prefix decides on the way out",
      .rfc = "RFC 7757 3.3.2",
      .given = {.policy = {with_maps(overlapping)}},
      .in = ip6(address6("2001:db8:a::7"), server6) / datagram(),
      .out = ip4(address4("203.0.113.77"), server4).id(ID) / datagram(),
      .then = {{.in = ip6(address6("2001:db8:a::9"), server6) / datagram(),
                .out = ip4(address4("192.0.2.9"), server4).id(ID) / datagram()}},
  };
  Vector longest_in{
      .name = "the longest IPv4 prefix decides on the way in",
      .rfc = "RFC 7757 3.3.1",
      .given = {.policy = {with_maps(overlapping)}},
      .in = ip4(server4, address4("192.0.2.9")) / answer(),
      .out = ip6(server6, address6("2001:db8:bbbb::1")) / answer(),
      .then = {{.in = ip4(server4, address4("192.0.2.7")) / answer(),
                .out = ip6(server6, address6("2001:db8:a::7")) / answer()}},
  };
  return {
      longest_out,
      longest_in,
      pair_vector("the first of as many maps as there may be", many, "2001:db8:a::", "192.0.2.0"),
      pair_vector("the last of as many maps as there may be", many,
                  "2001:db8:a:3f::", "192.0.2.63"),
  };
}

// --- the remote end ------------------------------------------------------------------------------

std::vector<Vector> remote_vectors() {
  Prefix6 own = prefix6("2001:db8:122::/48");
  return {
      Vector{
          .name = "towards IPv6 the remote end is under the first prefix, towards IPv4 under any",
          .rfc = "RFC 6052 2.2",
          .given = {.policy = {with_prefixes({own, well_known_prefix}), with_maps(the_maps)}},
          .in = ip4(server4, host4) / answer(),
          .out = ip6(embed(own, server4), host6) / answer(),
          .then = {{.in = ip6(host6, embed(own, server4)) / datagram(),
                    .out = ip4(host4, server4).id(ID) / datagram()},
                   {.in = ip6(host6, server6) / datagram(),
                    .out = ip4(host4, server4).id(ID) / datagram()}},
      },
      Vector{
          .name = "a mapped host sees another one under the prefix, so that answers come back",
          .rfc = "RFC 7757 4.2.1",
          .given = mapped,
          .in = ip6(host6, pref64(single4)) / datagram(),
          .out = ip4(host4, single4).id(ID) / datagram(),
          .then = {{.in = ip4(host4, single4) / datagram(),
                    .out = ip6(pref64(host4), single6) / datagram()},
                   {.in = ip6(single6, pref64(host4)) / answer(),
                    .out = ip4(single4, host4).id(ID) / answer()},
                   {.in = ip4(single4, host4) / answer(),
                    .out = ip6(pref64(single4), host6) / answer()}},
      },
      Vector{
          .name = "from a mapped host to anything but IPv4 is not ours",
          .rfc = "RFC 7757 3.3",
          .given = mapped,
          .in = ip6(host6, elsewhere6) / datagram(),
          .expect = PASS,
      },
      Vector{
          .name = "to an IPv4 address that no map has is not ours",
          .rfc = "RFC 7757 3.3",
          .given = mapped,
          .in = ip4(server4, address4("192.0.2.128")) / datagram(),
          .expect = PASS,
      },
      Vector{
          .name = "a mapped host to an address inside the prefix that is no IPv4 host",
          .rfc = "RFC 6052 3.1",
          .given = mapped,
          .in = ip6(host6, pref64(address4("127.0.0.1"))) / datagram(),
          .expect = drop(dp::REASON_bad_destination),
      },
      Vector{
          .name = "a mapped host to a private address under the well known prefix",
          .rfc = "RFC 6052 3.1",
          .given = mapped,
          .in = ip6(host6, pref64(address4("10.1.2.3"))) / datagram(),
          .expect = drop(dp::REASON_private_destination),
          .then = {{.in = ip4(address4("10.1.2.3"), host4) / datagram(),
                    .expect = drop(dp::REASON_private_destination)}},
      },
      Vector{
          .name = "a mapped host and a private address where that is allowed",
          .rfc = "RFC 6052 3.1",
          .given = {.policy = {with_private_ipv4_allowed(), with_maps(the_maps)}},
          .in = ip6(host6, pref64(address4("10.1.2.3"))) / datagram(),
          .out = ip4(host4, address4("10.1.2.3")).id(ID) / datagram(),
          .then = {{.in = ip4(address4("10.1.2.3"), host4) / answer(),
                    .out = ip6(pref64(address4("10.1.2.3")), host6) / answer()}},
      },
      Vector{
          .name = "a source that is no host to a mapped address",
          .rfc = "RFC 7915 4",
          .given = mapped,
          .in = ip4(address4("127.0.0.1"), host4) / datagram(),
          .expect = drop(dp::REASON_bad_source),
      },
  };
}

// --- beside NAT64 --------------------------------------------------------------------------------

std::vector<Vector> beside_nat64() {
  Given both = mapped;
  both.sessions = {session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53})};
  return {
      Vector{
          .name = "a host without a map goes by NAT64 as ever",
          .rfc = "RFC 6146 3.5",
          .given = mapped,
          .in = ip6(client6, server6) / datagram(),
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53) / payload(8),
          .counts = a_new_flow,
          .then = {{.in = ip4(server4, pool4) / udp(53, port("p")),
                    .out = ip6(server6, client6) / udp(53, 1234)}},
      },
      Vector{
          .name = "a stranger without a map is still refused",
          .rfc = "",
          .given = mapped,
          .in = ip6(stranger6, server6) / datagram(),
          .expect = drop(dp::REASON_not_allowed),
      },
      Vector{
          .name = "an error about a packet of NAT64 finds its session",
          .rfc = "RFC 6146 3.5",
          .given = both,
          .in = ip6(router6, server6) / icmp6_time_exceeded() / ip6(server6, client6).hop_limit(1) /
                udp(53, 1234) / payload(8),
          .expect = from6,
          .out = ip4(pool4, server4).id(ID) / icmp4_time_exceeded() /
                 ip4(server4, pool4).ttl(1).id(ID) / udp(53, 40001) / payload(8),
          .bpf = punt(dp::REASON_punt_icmp_error),
      },
  };
}

// --- ICMP errors ---------------------------------------------------------------------------------

Vector error_vector(std::string name, std::string rfc, const Expect &expect, const Packet &in,
                    const Packet &out = {}) {
  return {.name = std::move(name),
          .rfc = std::move(rfc),
          .given = mapped,
          .in = in,
          .expect = expect,
          .out = out,
          .bpf = punt(dp::REASON_punt_icmp_error)};
}

std::vector<Vector> error_vectors() {
  Packet sent4 = ip4(host4, server4).ttl(1) / datagram();
  Packet sent6 = ip6(host6, server6).hop_limit(1) / datagram();
  Packet received6 = ip6(server6, host6).hop_limit(1) / answer();
  Packet received4 = ip4(server4, host4).ttl(1).id(ID) / answer();
  return {
      error_vector(
          "an IPv4 router's error reaches the mapped host, the packet inside as it sent it",
          "RFC 7915 4.3", from4, ip4(router4, host4) / icmp4_time_exceeded() / sent4,
          ip6(pref64(router4), host6) / icmp6_time_exceeded() / sent6),
      error_vector("a private router's error reaches the mapped host too", "RFC 7915 4.3", from4,
                   ip4(address4("10.0.0.1"), host4) / icmp4_time_exceeded() / sent4,
                   ip6(pref64(address4("10.0.0.1")), host6) / icmp6_time_exceeded() / sent6),
      error_vector("fragmentation needed is packet too big for the mapped host", "RFC 7915 4.2",
                   from4, ip4(router4, host4) / icmp4_frag_needed(1400) / sent4,
                   ip6(pref64(router4), host6) / icmp6_too_big(1420) / sent6),
      error_vector("a mapped host's error about what an IPv4 host sent", "RFC 7915 5.3", from6,
                   ip6(host6, server6) / icmp6_unreachable(4) / received6,
                   ip4(host4, server4).id(ID) / icmp4_unreachable(3) / received4),
      error_vector("an error about a mapped host's echo", "RFC 7915 4.3", from4,
                   ip4(router4, host4) / icmp4_unreachable(1) / ip4(host4, server4) /
                       icmp4_echo_request(77, 3) / payload(8),
                   ip6(pref64(router4), host6) / icmp6_unreachable(0) / ip6(host6, server6) /
                       icmp6_echo_request(77, 3) / payload(8)),
      error_vector("an error between mapped hosts names each as the other knows it",
                   "RFC 7757 4.2.1", from4,
                   ip4(host4, single4) / icmp4_unreachable(3) / ip4(single4, host4) / datagram(),
                   ip6(pref64(host4), single6) / icmp6_unreachable(4) /
                       ip6(single6, pref64(host4)) / datagram()),
      error_vector("an error about a protocol of a mapped host that nobody looks into",
                   "RFC 7915 4.3", from4,
                   ip4(router4, host4) / icmp4_frag_needed(1300) /
                       ip4(host4, server4).protocol(50) / payload(8),
                   ip6(pref64(router4), host6) / icmp6_too_big(1320) /
                       ip6(host6, server6).next_header(50) / payload(8)),
      error_vector("an error about a protocol to a mapped host that nobody looks into",
                   "RFC 7915 5.3", from6,
                   ip6(host6, server6) / icmp6_parameter_problem(1, 6) /
                       ip6(server6, host6).next_header(132) / payload(3),
                   ip4(host4, server4).id(ID) / icmp4_unreachable(2) /
                       ip4(server4, host4).id(ID).protocol(132) / payload(3)),
      error_vector("an error about extension headers that IPv4 cannot have sent", "RFC 7915 4.3",
                   drop(dp::REASON_inner_packet),
                   ip4(router4, host4) / icmp4_time_exceeded() / ip4(host4, server4).protocol(60) /
                       payload(16)),
      error_vector("an error to a mapped host about a packet of another", "RFC 7915 4.3",
                   drop(dp::REASON_error_unmapped),
                   ip4(router4, host4) / icmp4_time_exceeded() / ip4(elsewhere4, server4) /
                       datagram()),
      error_vector("an error from a mapped host about a packet to nobody we know", "RFC 7915 5.3",
                   drop(dp::REASON_error_without_session),
                   ip6(host6, server6) / icmp6_unreachable(4) / ip6(server6, elsewhere6) /
                       answer()),
      error_vector("an error from a mapped host about a packet from outside the prefix",
                   "RFC 7915 5.3", drop(dp::REASON_error_unmapped),
                   ip6(host6, server6) / icmp6_unreachable(4) / ip6(elsewhere6, host6) / answer()),
      error_vector("an error to an IPv4 host about a packet of another", "RFC 7915 5.3",
                   drop(dp::REASON_error_unmapped),
                   ip6(host6, server6) / icmp6_unreachable(4) / ip6(pref64(server4b), host6) /
                       answer()),
  };
}

// --- routers without an IPv4 address -------------------------------------------------------------

std::vector<Vector> router_vectors() {
  const Ipv4 source_a = address4("192.0.2.250"), source_b = address4("192.0.2.251");
  const Ipv6 router6b = address6("2001:db8:64::3");
  const OnBpf up = punt(dp::REASON_punt_icmp_error);
  Packet sent = ip6(server6, host6).hop_limit(1) / answer();
  Packet told = ip4(server4, host4).ttl(1).id(ID) / answer();
  Given with_sources = mapped;
  with_sources.policy.push_back(with_error_sources({source_a, source_b}));
  Given with_session = mapped;
  with_session.sessions = {session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53})};
  auto from_router = [&](const Ipv6 &router, const Ipv4 &source) {
    return Step{.in = ip6(router, server6) / icmp6_time_exceeded() / sent,
                .expect = from6,
                .out = ip4(source, server4).id(ID) / icmp4_time_exceeded() / told,
                .bpf = up};
  };
  return {
      Vector{
          .name = "an error from a router without an IPv4 address comes from the pool",
          .rfc = "RFC 6791 3.2",
          .given = mapped,
          .in = ip6(router6, server6) / icmp6_too_big(1400) / sent,
          .expect = from6,
          .out = ip4(pool4, server4).id(ID) / icmp4_frag_needed(1380) / told,
          .bpf = up,
      },
      Vector{
          .name = "each router keeps its address of those that are for errors",
          .rfc = "RFC 6791 3.1, 5",
          .given = with_sources,
          .in = ip6(router6, server6) / icmp6_time_exceeded() / sent,
          .expect = from6,
          .out = ip4(source_b, server4).id(ID) / icmp4_time_exceeded() / told,
          .bpf = up,
          .then = {from_router(router6b, source_a), from_router(router6, source_b)},
      },
      Vector{
          .name = "an error about a mapped host's packet from inside the prefix is a loop",
          .rfc = "RFC 6146 3.5",
          .given = mapped,
          .in = ip6(pref64(router4), server6) / icmp6_time_exceeded() / sent,
          .expect = drop(dp::REASON_source_in_prefix),
          .bpf = up,
      },
      Vector{
          .name = "an error about a mapped host's packet from an address that no router has",
          .rfc = "RFC 7915 5",
          .given = mapped,
          .in = ip6(address6("fe80::1"), server6) / icmp6_time_exceeded() / sent,
          .expect = drop(dp::REASON_bad_source),
          .bpf = up,
      },
      Vector{
          .name = "a mapped router's error about a packet of NAT64 finds its session",
          .rfc = "RFC 6146 3.5",
          .given = with_session,
          .in = ip6(host6, server6) / icmp6_time_exceeded() / ip6(server6, client6).hop_limit(1) /
                udp(53, 1234) / payload(8),
          .expect = from6,
          .out = ip4(pool4, server4).id(ID) / icmp4_time_exceeded() /
                 ip4(server4, pool4).ttl(1).id(ID) / udp(53, 40001) / payload(8),
          .bpf = up,
      },
      Vector{
          .name = "a mapped router's error about another mapped host comes from its own address",
          .rfc = "RFC 7915 5",
          .given = mapped,
          .in = ip6(single6, server6) / icmp6_time_exceeded() / sent,
          .expect = from6,
          .out = ip4(single4, server4).id(ID) / icmp4_time_exceeded() / told,
          .bpf = up,
      },
  };
}

} // namespace

std::vector<Vector> map_vectors() {
  std::vector<Vector> all;
  for (auto some : {protocol_vectors, rfc_table, length_vectors, match_vectors, remote_vectors,
                    beside_nat64, error_vectors, router_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
