// SPDX-License-Identifier: MIT
//
// Packets that are not what they say. All are dropped under a named counter, and nothing is made or
// changed: the session that they would belong to keeps its timer.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);

SessionState udp_flow() {
  return session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53});
}
SessionState tcp_flow() {
  return session(TCP, {client6, 1234}, {pool4, 40001}, {server4, 80});
}

Vector refused(std::string name, std::string rfc, const Packet &in, dp::reason reason,
               OnBpf bpf = handled, std::optional<Icmp> answer = {}) {
  return {.name = std::move(name),
          .rfc = std::move(rfc),
          .given = {.sessions = {udp_flow().expires_in(50), tcp_flow().expires_in(50)}},
          .in = in,
          .expect = drop(reason),
          .answer = std::move(answer),
          .bpf = bpf,
          .leaves = {udp_flow().expires_in(50).packets(0), tcp_flow().expires_in(50).packets(0)}};
}

Ip6 in6() {
  return ip6(client6, server6);
}
Ip4 in4() {
  return ip4(server4, pool4);
}
Packet datagram6() {
  return udp(1234, 53) / payload(20);
}
Packet datagram4() {
  return udp(53, 40001) / payload(20);
}

std::vector<Vector> ip_vectors() {
  return {
      refused("version 5", "", in4().version(5) / datagram4(), dp::REASON_not_ip),
      refused("version 0", "", in6().version(0) / datagram6(), dp::REASON_not_ip),
      refused("one byte of IPv6", "RFC 8200 3", raw({0x60}), dp::REASON_truncated),
      refused("39 bytes of IPv6", "RFC 8200 3", (in6() / datagram6()).cut_to(39),
              dp::REASON_truncated),
      refused("an IPv6 header and nothing else", "RFC 8200 3", in6().next_header(17),
              dp::REASON_truncated),
      refused("an IPv6 payload length that is too long", "RFC 8200 3",
              in6().length(29) / datagram6(), dp::REASON_bad_ipv6_length),
      refused("an IPv6 payload length that is too short", "RFC 8200 3",
              in6().length(27) / datagram6(), dp::REASON_bad_ipv6_length),
      refused("bytes behind an IPv6 packet", "RFC 8200 3",
              (in6() / datagram6()).followed_by({0, 0}), dp::REASON_bad_ipv6_length),
      refused("an IPv6 jumbogram's length of zero", "RFC 2675", in6().length(0) / datagram6(),
              dp::REASON_bad_ipv6_length),
      refused("no next header", "RFC 8200 4.7", in6().next_header(59) / payload(8),
              dp::REASON_unknown_protocol, punt(dp::REASON_punt_protocol), icmp6_unreachable(4)),
      refused("one byte of IPv4", "RFC 791 3.1", raw({0x45}), dp::REASON_truncated),
      refused("19 bytes of IPv4", "RFC 791 3.1", (in4() / datagram4()).cut_to(19),
              dp::REASON_truncated),
      refused("an IPv4 header length of 16", "RFC 791 3.1", in4().header_words(4) / datagram4(),
              dp::REASON_bad_ipv4_header),
      refused("an IPv4 total length that is too long", "RFC 791 3.1",
              in4().length(49) / datagram4(), dp::REASON_bad_ipv4_header),
      refused("an IPv4 total length that is too short", "RFC 791 3.1",
              in4().length(47) / datagram4(), dp::REASON_bad_ipv4_header),
      refused("an IPv4 total length shorter than its header", "RFC 791 3.1",
              in4().length(19) / datagram4(), dp::REASON_bad_ipv4_header),
      refused("an IPv4 header longer than the packet", "RFC 791 3.1",
              in4().header_words(15) / udp(53, 40001), dp::REASON_truncated),
      refused("bytes behind an IPv4 packet", "RFC 791 3.1",
              (in4() / datagram4()).followed_by({0, 0}), dp::REASON_bad_ipv4_header),
      refused("a wrong IPv4 header checksum", "RFC 1122 3.2.1.2",
              in4().bad_checksum() / datagram4(), dp::REASON_bad_ipv4_checksum),
      refused("an IPv4 header checksum of zero", "RFC 1122 3.2.1.2",
              in4().checksum(0) / datagram4(), dp::REASON_bad_ipv4_checksum),
      refused("a wrong IPv4 header checksum with options", "RFC 1122 3.2.1.2",
              in4().record_route(2).bad_checksum() / datagram4(), dp::REASON_bad_ipv4_checksum,
              punt(dp::REASON_punt_ipv4_options)),
  };
}

std::vector<Vector> transport_vectors() {
  return {
      refused("seven bytes of UDP", "RFC 768", in6().next_header(17) / payload(7),
              dp::REASON_truncated),
      refused("seven bytes of UDP over IPv4", "RFC 768", in4().protocol(17) / payload(7),
              dp::REASON_truncated),
      refused("a UDP length of seven", "RFC 768", in6() / udp(1234, 53).length(7) / payload(20),
              dp::REASON_bad_udp_length),
      refused("a UDP length of zero", "RFC 768", in4() / udp(53, 40001).length(0) / payload(20),
              dp::REASON_bad_udp_length),
      refused("a UDP length beyond the packet", "RFC 768",
              in6() / udp(1234, 53).length(29) / payload(20), dp::REASON_bad_udp_length),
      refused("a UDP length beyond the packet without a checksum", "RFC 768",
              in4() / udp(53, 40001).length(29).checksum(0) / payload(20),
              dp::REASON_bad_udp_length),
      refused("19 bytes of TCP", "RFC 9293 3.1", in6().next_header(6) / payload(19),
              dp::REASON_truncated),
      refused("19 bytes of TCP over IPv4", "RFC 9293 3.1", in4().protocol(6) / payload(19),
              dp::REASON_truncated),
      refused("a TCP data offset of four", "RFC 9293 3.1",
              in6() / tcp(1234, 80).ack(1).header_words(4), dp::REASON_bad_tcp_header),
      refused("a TCP data offset of zero", "RFC 9293 3.1",
              in4() / tcp(80, 40001).ack(1).header_words(0) / payload(20),
              dp::REASON_bad_tcp_header),
      refused("a TCP data offset beyond the packet", "RFC 9293 3.1",
              in6() / tcp(1234, 80).ack(1).header_words(6), dp::REASON_bad_tcp_header),
      refused("seven bytes of ICMPv6", "RFC 4443 2.1", in6().next_header(58) / raw(Bytes(7, 128)),
              dp::REASON_truncated),
      refused("seven bytes of ICMP", "RFC 792", in4().protocol(1) / raw(Bytes(7, 8)),
              dp::REASON_truncated),
      refused("SCTP over IPv6", "RFC 6146 3.4", in6().next_header(132) / payload(32),
              dp::REASON_unknown_protocol, punt(dp::REASON_punt_protocol), icmp6_unreachable(4)),
      refused("ESP over IPv4", "RFC 6146 3.4", in4().protocol(50) / payload(32),
              dp::REASON_unknown_protocol, punt(dp::REASON_punt_protocol), icmp4_unreachable(2)),
      refused("IPv4 in IPv6", "RFC 6146 3.4", in6() / (in4() / datagram4()),
              dp::REASON_unknown_protocol, punt(dp::REASON_punt_protocol), icmp6_unreachable(4)),
  };
}

} // namespace

std::vector<Vector> malformed_vectors() {
  std::vector<Vector> all;
  for (auto some : {ip_vectors, transport_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  // A packet cut anywhere is refused, wherever that is.
  Packet whole = ip6(client6, server6) / tcp(1234, 80).ack(1).mss(1440) / payload(4);
  for (size_t size : {40, 41, 47, 59})
    all.push_back(refused("TCP over IPv6 cut to " + std::to_string(size) + " bytes", "RFC 8200 3",
                          whole.cut_to(size), dp::REASON_bad_ipv6_length));
  return all;
}

} // namespace viaduct::test
