// SPDX-License-Identifier: MIT
//
// UDP in both directions: ports, payload, and everything about its checksum.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);

// client6:1234 speaks with server4:53 through pool4:40001.
SessionState flow() {
  return session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53});
}

// Payload bytes that make the checksum of the datagram, which has 0 in their place, come out as 0.
Bytes zero_sum(const Packet &datagram) {
  Bytes bytes = datagram.bytes();
  size_t at = *datagram.transport_offset() + 6;
  return {bytes[at], bytes[at + 1]};
}

} // namespace

std::vector<Vector> udp_vectors() {
  Packet reply = ip4(server4, pool4) / udp(53, 40001).checksum(0) / payload(21);
  Bytes zero_in_6 = zero_sum(ip6(server6, client6) / udp(53, 1234) / raw({0, 0}));
  Bytes zero_in_4 = zero_sum(ip4(pool4, server4) / udp(40001, 53) / raw({0, 0}));
  return {
      Vector{
          .name = "a first datagram makes a binding and a session",
          .rfc = "RFC 6146 3.5.1",
          .in = ip6(client6, server6) / udp(1234, 53) / payload(20),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53) / payload(20),
          .counts = a_new_flow,
          .leaves = {binding(UDP, {client6, 1234}, {pool4, port("p")}).sessions(1),
                     session(UDP, {client6, 1234}, {pool4, port("p")}, {server4, 53})
                         .state(dp::STATE_OPEN)
                         .expires_in(300)
                         .packets(1)
                         .bytes(68)},
          .then = {{.after = 2,
                    .in = ip4(server4, pool4) / udp(53, port("p")) / payload(30),
                    .expect = FORWARD,
                    .out = ip6(server6, client6) / udp(53, 1234) / payload(30),
                    .leaves = {session(UDP, {client6, 1234}, {pool4, port("p")}, {server4, 53})
                                   .expires_in(300)
                                   .packets(2)
                                   .bytes(68 + 78)}}},
      },
      Vector{
          .name = "a datagram of a session goes out through its binding",
          .rfc = "RFC 6146 3.6",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / udp(1234, 53) / payload(20),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(40001, 53) / payload(20),
          .leaves = {flow().expires_in(300)},
      },
      Vector{
          .name = "a reply to a binding comes back to the host behind it",
          .rfc = "RFC 6146 3.5.1",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001) / payload(20),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234) / payload(20),
          .leaves = {flow().expires_in(300)},
      },
      Vector{
          .name = "an empty datagram is a datagram",
          .rfc = "RFC 768",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(40001, 53),
      },
      Vector{
          .name = "one odd byte of payload is summed as a high byte",
          .rfc = "RFC 768",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001) / payload(1),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234) / payload(1),
      },
      Vector{
          .name = "a checksum that becomes zero is sent to IPv6 as ffff",
          .rfc = "RFC 8200 8.1",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001) / raw(zero_in_6),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234).checksum(0xffff) / raw(zero_in_6),
      },
      Vector{
          .name = "a checksum that becomes zero is sent to IPv4 as ffff",
          .rfc = "RFC 768",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / udp(1234, 53) / raw(zero_in_4),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(40001, 53).checksum(0xffff) / raw(zero_in_4),
      },
      Vector{
          .name = "a checksum of ffff from IPv6 is carried on",
          .rfc = "RFC 8200 8.1",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / udp(1234, 53) /
                raw(zero_sum(ip6(client6, server6) / udp(1234, 53) / raw({0, 0}))),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(40001, 53) /
                 raw(zero_sum(ip6(client6, server6) / udp(1234, 53) / raw({0, 0}))),
      },
      Vector{
          .name = "a datagram without a checksum gets one",
          .rfc = "RFC 6146 3.4, RFC 7915 4.5",
          .given = {.sessions = {flow()}},
          .in = reply,
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234) / payload(21),
      },
      Vector{
          .name = "a datagram without a checksum whose sum is zero gets ffff",
          .rfc = "RFC 7915 4.5, RFC 8200 8.1",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001).checksum(0) / raw(zero_in_6),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234).checksum(0xffff) / raw(zero_in_6),
      },
      Vector{
          .name = "a long datagram without a checksum is summed to its end",
          .rfc = "RFC 7915 4.5",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4).df() / udp(53, 40001).checksum(0) / payload(1471),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234) / payload(1471),
      },
      Vector{
          .name = "a datagram of 512 bytes without a checksum is summed",
          .rfc = "RFC 7915 4.5",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001).checksum(0) / payload(504),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234) / payload(504),
      },
      Vector{
          .name = "a datagram of 513 bytes without a checksum is summed",
          .rfc = "RFC 7915 4.5",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001).checksum(0) / payload(505),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234) / payload(505),
      },
      Vector{
          .name = "a datagram of 8,899 bytes without a checksum is summed to its end",
          .rfc = "RFC 7915 4.5",
          .given = {.policy = {with_mtu(9000)}, .sessions = {flow()}},
          .in = ip4(server4, pool4).df() / udp(53, 40001).checksum(0) / payload(8891),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234) / payload(8891),
      },
      Vector{
          .name = "UDP options behind the datagram go along and are not summed",
          .rfc = "RFC 9868",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001).length(18) / payload(14),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234).length(18) / payload(14),
      },
      Vector{
          .name = "a calculated checksum does not cover UDP options",
          .rfc = "RFC 9868, RFC 7915 4.5",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001).length(18).checksum(0) / payload(14),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234).length(18) / payload(14),
      },
      Vector{
          .name = "a wrong checksum from IPv6 stays wrong",
          .rfc = "RFC 7915 1.2",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / udp(1234, 53).bad_checksum() / payload(20),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(40001, 53).bad_checksum() / payload(20),
      },
      Vector{
          .name = "a wrong checksum from IPv4 stays wrong",
          .rfc = "RFC 7915 1.2",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001).bad_checksum() / payload(20),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234).bad_checksum() / payload(20),
      },
      Vector{
          .name = "UDP over IPv6 without a checksum is refused",
          .rfc = "RFC 8200 8.1",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / udp(1234, 53).checksum(0) / payload(20),
          .expect = drop(dp::REASON_udp_zero_checksum_v6),
      },
      Vector{
          .name = "port zero is a port like others to the translator",
          .rfc = "RFC 6146 3.5.1",
          .in = ip6(client6, server6) / udp(0, 53) / payload(4),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53) / payload(4),
          .counts = a_new_flow,
      },
      Vector{
          .name = "a super packet of UDP counts its segments",
          .rfc = "RFC 6146 3.5.1",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / udp(1234, 53) / payload(5000),
          .expect = FORWARD,
          .out = ip4(pool4, server4).df() / udp(40001, 53) / payload(5000),
          .leaves = {flow().packets(4).bytes(5048)},
          .segments = 4,
      },
  };
}

} // namespace viaduct::test
