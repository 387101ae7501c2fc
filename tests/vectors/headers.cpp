// SPDX-License-Identifier: MIT
//
// IP headers, field by field: RFC 7915 4.1 (IPv4 to IPv6) and 5.1 (IPv6 to IPv4); IPv4 options and
// IPv6 extension headers that are skipped. Payload is UDP of one session.
//
// Time to live and hop limit are copied: routing before and behind the gateway counts the hops.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);

Given one_session() {
  return {.sessions = {session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53})}};
}

Vector to_ipv4(std::string name, std::string rfc, const Packet &header, const Packet &expected,
               size_t size = 20, OnBpf bpf = handled) {
  return {.name = std::move(name),
          .rfc = std::move(rfc),
          .given = one_session(),
          .in = header / (udp(1234, 53) / payload(size)),
          .expect = FORWARD,
          .out = expected / (udp(40001, 53) / payload(size)),
          .bpf = bpf};
}

Vector to_ipv6(std::string name, std::string rfc, const Packet &header, const Packet &expected,
               size_t size = 20, OnBpf bpf = handled) {
  return {.name = std::move(name),
          .rfc = std::move(rfc),
          .given = one_session(),
          .in = header / (udp(53, 40001) / payload(size)),
          .expect = FORWARD,
          .out = expected / (udp(53, 1234) / payload(size)),
          .bpf = bpf};
}

Ip6 in6() {
  return ip6(client6, server6);
}
Ip4 in4() {
  return ip4(server4, pool4);
}
Ip4 out4() {
  return ip4(pool4, server4).any_id();
}
Ip6 out6() {
  return ip6(server6, client6);
}

std::vector<Vector> field_vectors() {
  return {
      to_ipv4("traffic class becomes type of service", "RFC 7915 5.1", in6().traffic_class(0xb9),
              out4().tos(0xb9)),
      to_ipv4("a traffic class of all ones", "RFC 7915 5.1", in6().traffic_class(0xff),
              out4().tos(0xff)),
      to_ipv6("type of service becomes traffic class", "RFC 7915 4.1", in4().tos(0xb9),
              out6().traffic_class(0xb9)),
      to_ipv6("a type of service of all ones", "RFC 7915 4.1", in4().tos(0xff),
              out6().traffic_class(0xff)),
      Vector{
          .name = "the traffic class goes nowhere when it is not to be copied",
          .rfc = "RFC 7915 4.1, 5.1",
          .given = {.policy = {with_zero_traffic_class()},
                    .sessions = {session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53})}},
          .in = in6().traffic_class(0xff) / udp(1234, 53),
          .out = out4().tos(0) / udp(40001, 53),
          .then = {{.in = in4().tos(0xff) / udp(53, 40001),
                    .out = out6().traffic_class(0) / udp(53, 1234)},
                   {.in = ip4(router4, pool4).tos(0xc0) / icmp4_time_exceeded() /
                          ip4(pool4, server4).tos(0xb8) / udp(40001, 53),
                    .expect = {dp::VERDICT_FORWARD, dp::REASON_translated_error_4to6},
                    .out = ip6(pref64(router4), client6).traffic_class(0) / icmp6_time_exceeded() /
                           ip6(client6, server6).traffic_class(0xb8) / udp(1234, 53),
                    .bpf = punt(dp::REASON_punt_icmp_error)}},
      },
      to_ipv4("the flow label is lost", "RFC 7915 5.1", in6().flow_label(0xfffff), out4()),
      to_ipv6("the flow label is zero", "RFC 7915 4.1", in4().id(0xffff), out6().flow_label(0)),
      to_ipv4("hop limit becomes time to live", "design: two routing passes", in6().hop_limit(7),
              out4().ttl(7)),
      to_ipv4("a hop limit of 255", "design: two routing passes", in6().hop_limit(255),
              out4().ttl(255)),
      to_ipv4("a hop limit of 1 is translated so that the kernel answers",
              "design: two routing passes", in6().hop_limit(1), out4().ttl(1)),
      to_ipv6("time to live becomes hop limit", "design: two routing passes", in4().ttl(7),
              out6().hop_limit(7)),
      to_ipv6("a time to live of 1 is translated so that the kernel answers",
              "design: two routing passes", in4().ttl(1), out6().hop_limit(1)),
      to_ipv6("DF set leaves no trace in a whole packet", "RFC 7915 4.1", in4().df().id(9), out6()),
      // 1260 bytes of IPv4 are 20 + 8 + 1232.
      to_ipv4("1260 bytes of IPv4 go with DF clear", "RFC 7915 5.1", in6(), out4(), 1232),
      to_ipv4("1261 bytes of IPv4 go with DF set", "RFC 7915 5.1", in6(),
              ip4(pool4, server4).df().id(0), 1233),
      to_ipv4("1500 bytes of IPv6", "RFC 7915 5.1", in6(), ip4(pool4, server4).df().id(0), 1452),
      to_ipv6("1480 bytes of IPv4", "RFC 7915 4.1", in4().df(), out6(), 1452),
      to_ipv6("the longest IPv4 packet fits IPv6", "RFC 7915 4.1", in4().df(), out6(), 65507),
      to_ipv4("the longest IPv4 packet comes from IPv6", "RFC 7915 5.1", in6(),
              ip4(pool4, server4).df().id(0), 65507),
      Vector{
          .name = "an IPv6 packet too long for IPv4",
          .rfc = "RFC 791 3.1",
          .given = one_session(),
          .in = in6() / udp(1234, 53) / payload(65508),
          .expect = drop(dp::REASON_too_long),
      },
  };
}

std::vector<Vector> option_vectors() {
  const OnBpf up = punt(dp::REASON_punt_ipv4_options);
  auto refused = [&](std::string name, std::string rfc, const Packet &header, dp::reason reason,
                     std::optional<Icmp> answer = {}) {
    return Vector{.name = std::move(name),
                  .rfc = std::move(rfc),
                  .given = one_session(),
                  .in = header / (udp(53, 40001) / payload(20)),
                  .expect = drop(reason),
                  .answer = std::move(answer),
                  .bpf = up};
  };
  return {
      to_ipv6("a record route option is ignored", "RFC 7915 4.1", in4().record_route(3), out6(), 20,
              up),
      to_ipv6("NOPs and an end of options are ignored", "RFC 7915 4.1", in4().option({1, 1, 1, 0}),
              out6(), 20, up),
      to_ipv6("forty bytes of options are ignored", "RFC 7915 4.1", in4().option(Bytes(40, 1)),
              out6(), 20, up),
      to_ipv6("what follows the end of options is not looked at", "RFC 791 3.1",
              in4().option({0, 131, 7, 4, 9, 9, 9, 9}), out6(), 20, up),
      to_ipv6("a loose source route that is used up is ignored", "RFC 7915 4.1",
              in4().lsrr({router4}, 8), out6(), 20, up),
      to_ipv6("a strict source route that is used up is ignored", "RFC 7915 4.1",
              in4().ssrr({router4, server4b}, 12), out6(), 20, up),
      refused("a loose source route that is not used up", "RFC 7915 4.1", in4().lsrr({router4}, 4),
              dp::REASON_source_route, icmp4_unreachable(5)),
      refused("a strict source route that is not used up", "RFC 7915 4.1",
              in4().ssrr({router4, server4b}, 8), dp::REASON_source_route, icmp4_unreachable(5)),
      refused("a source route behind other options", "RFC 7915 4.1",
              in4().option({1}).record_route(1).lsrr({router4}, 4), dp::REASON_source_route,
              icmp4_unreachable(5)),
      refused("an option of length zero", "RFC 791 3.1", in4().option({7, 0, 0, 0}),
              dp::REASON_bad_ipv4_header),
      refused("an option longer than the header", "RFC 791 3.1", in4().option({7, 5, 4, 0}),
              dp::REASON_bad_ipv4_header),
      refused("an option without its length", "RFC 791 3.1", in4().option({1, 1, 1, 7}),
              dp::REASON_bad_ipv4_header),
  };
}

Packet chain(size_t count) {
  Packet packet = in6();
  for (size_t i = 0; i < count; i++)
    packet = packet / destination_options();
  return packet;
}

std::vector<Vector> extension_vectors() {
  const OnBpf up = punt(dp::REASON_punt_extension_headers);
  auto refused = [&](std::string name, std::string rfc, const Packet &header, dp::reason reason,
                     OnBpf bpf, std::optional<Icmp> answer = {}) {
    return Vector{.name = std::move(name),
                  .rfc = std::move(rfc),
                  .given = one_session(),
                  .in = header / (udp(1234, 53) / payload(20)),
                  .expect = drop(reason),
                  .answer = std::move(answer),
                  .bpf = bpf};
  };
  return {
      to_ipv4("hop by hop options are skipped", "RFC 7915 5.1", in6() / hop_by_hop(), out4(), 20,
              up),
      to_ipv4("destination options are skipped", "RFC 7915 5.1", in6() / destination_options(),
              out4(), 20, up),
      to_ipv4("a routing header that is used up is skipped", "RFC 7915 5.1", in6() / routing(2, 0),
              out4(), 20, up),
      to_ipv4("all of them in their order are skipped", "RFC 7915 5.1",
              in6() / hop_by_hop() / destination_options() / routing(0, 0) / destination_options(),
              out4(), 20, up),
      to_ipv4("a long options header is skipped", "RFC 8200 4.6",
              in6() / extension(60, Bytes(86, 0)), out4(), 20, up),
      to_ipv4("eight extension headers are skipped", "", chain(8), out4(), 20, up),
      refused("nine extension headers are too many", "", chain(9), dp::REASON_extension_headers,
              up),
      refused("a routing header with segments left", "RFC 7915 5.1", in6() / routing(0, 1),
              dp::REASON_routing_header, up, icmp6_parameter_problem(0, 43)),
      refused("a routing header with segments left behind others", "RFC 7915 5.1",
              in6() / hop_by_hop() / routing(4, 3), dp::REASON_routing_header, up,
              icmp6_parameter_problem(0, 51)),
      refused("an extension header longer than the packet", "RFC 8200 4",
              in6() / destination_options().length(200), dp::REASON_truncated, up),
      Vector{
          .name = "an extension header that is cut off",
          .rfc = "RFC 8200 4",
          .in = ip6(client6, server6).next_header(60) / raw({17, 0, 1, 0}),
          .expect = drop(dp::REASON_truncated),
          .bpf = up,
      },
      refused("extension headers longer than what is looked at", "RFC 7915 5.1",
              in6() / extension(60, Bytes(222, 0)) / destination_options(),
              dp::REASON_extension_headers, up),
      refused("an authentication header", "RFC 7915 5.1", in6() / extension(51, Bytes(10, 0)),
              dp::REASON_unknown_protocol, punt(dp::REASON_punt_protocol), icmp6_unreachable(4)),
      refused("a mobility header", "RFC 7915 5.1", in6() / extension(135, Bytes(6, 0)),
              dp::REASON_unknown_protocol, punt(dp::REASON_punt_protocol), icmp6_unreachable(4)),
  };
}

} // namespace

std::vector<Vector> header_vectors() {
  std::vector<Vector> all;
  for (auto some : {field_vectors, option_vectors, extension_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
