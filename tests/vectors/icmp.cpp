// SPDX-License-Identifier: MIT
//
// ICMP echo: types change, the identifier is translated like a port, and the checksum gains or
// loses the pseudo-header that only ICMPv6 has.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);

// client6 pings server4 with identifier 77, which is 40007 outside.
SessionState ping() {
  return session(ICMP, {client6, 77}, {pool4, 40007}, {server4, 0});
}

// Queries, single-hop and obsolete messages, and numbers that mean nothing: source quench, redirect, router
// discovery, timestamps, information, address masks; multicast listeners, neighbours, node information.
std::vector<Vector> without_counterpart_vectors() {
  std::vector<Vector> all;

  for (uint8_t type : {4, 5, 6, 9, 10, 14, 15, 16, 17, 18, 42, 255})
    all.push_back({.name = "ICMP type " + std::to_string(type) + " is not translated",
                   .rfc = "RFC 7915 4.2, RFC 5508 REQ-10",
                   .given = {.sessions = {ping()}},
                   .in = ip4(server4, pool4) / icmp4(type, 0, 40007, 1) / payload(28),
                   .expect = drop(dp::REASON_icmp_type)});
  for (uint8_t type : {0, 5, 100, 127, 130, 131, 132, 133, 134, 136, 137, 139, 143, 255})
    all.push_back({.name = "ICMPv6 type " + std::to_string(type) + " is not translated",
                   .rfc = "RFC 7915 5.2",
                   .given = {.sessions = {ping()}},
                   .in = ip6(client6, server6) / icmp6(type, 0, 77, 1) / payload(48),
                   .expect = drop(dp::REASON_icmp_type)});
  return all;
}

std::vector<Vector> echo_vectors() {
  return {
      Vector{
          .name = "a first echo request makes a binding and a session",
          .rfc = "RFC 6146 3.5.3",
          .in = ip6(client6, server6) / icmp6_echo_request(77, 1) / payload(56),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / icmp4_echo_request(port("id"), 1) / payload(56),
          .counts = a_new_flow,
          .leaves = {binding(ICMP, {client6, 77}, {pool4, port("id")}).sessions(1),
                     session(ICMP, {client6, 77}, {pool4, port("id")}, {server4, 0})
                         .state(dp::STATE_OPEN)
                         .expires_in(60)},
          .then = {{.after = 1,
                    .in = ip4(server4, pool4) / icmp4_echo_reply(port("id"), 1) / payload(56),
                    .expect = FORWARD,
                    .out = ip6(server6, client6) / icmp6_echo_reply(77, 1) / payload(56),
                    .leaves = {session(ICMP, {client6, 77}, {pool4, port("id")}, {server4, 0})
                                   .expires_in(60)
                                   .packets(2)
                                   .bytes(208)}}},
      },
      Vector{
          .name = "an echo request of a session",
          .rfc = "RFC 7915 5.2",
          .given = {.sessions = {ping()}},
          .in = ip6(client6, server6) / icmp6_echo_request(77, 2) / payload(56),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / icmp4_echo_request(40007, 2) / payload(56),
      },
      Vector{
          .name = "an echo reply of a session",
          .rfc = "RFC 7915 4.2",
          .given = {.sessions = {ping()}},
          .in = ip4(server4, pool4) / icmp4_echo_reply(40007, 2) / payload(56),
          .expect = FORWARD,
          .out = ip6(server6, client6) / icmp6_echo_reply(77, 2) / payload(56),
      },
      Vector{
          .name = "an echo request from IPv4 reaches the host behind a bound identifier",
          .rfc = "RFC 7915 4.2, RFC 6146 3.5.3",
          .given = {.sessions = {ping()}},
          .in = ip4(server4, pool4) / icmp4_echo_request(40007, 9) / payload(8),
          .expect = FORWARD,
          .out = ip6(server6, client6) / icmp6_echo_request(77, 9) / payload(8),
      },
      Vector{
          .name = "an echo reply from IPv6 goes out",
          .rfc = "RFC 7915 5.2",
          .given = {.sessions = {ping()}},
          .in = ip6(client6, server6) / icmp6_echo_reply(77, 9) / payload(8),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / icmp4_echo_reply(40007, 9) / payload(8),
      },
      Vector{
          .name = "an echo of odd length",
          .rfc = "RFC 7915 5.2",
          .given = {.sessions = {ping()}},
          .in = ip6(client6, server6) / icmp6_echo_request(77, 3) / payload(7),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / icmp4_echo_request(40007, 3) / payload(7),
      },
      Vector{
          .name = "an echo without data",
          .rfc = "RFC 7915 4.2",
          .given = {.sessions = {ping()}},
          .in = ip4(server4, pool4) / icmp4_echo_reply(40007, 0),
          .expect = FORWARD,
          .out = ip6(server6, client6) / icmp6_echo_reply(77, 0),
      },
      Vector{
          .name = "one host pings two servers with one identifier through one binding",
          .rfc = "RFC 6146 3.5.3",
          .given = {.sessions = {ping()}},
          .in = ip6(client6, pref64(server4b)) / icmp6_echo_request(77, 1),
          .expect = FORWARD,
          .out = ip4(pool4, server4b).any_id() / icmp4_echo_request(40007, 1),
          .counts = a_new_session,
          .leaves = {binding(ICMP, {client6, 77}, {pool4, 40007}).sessions(2),
                     session(ICMP, {client6, 77}, {pool4, 40007}, {server4b, 0})},
      },
      Vector{
          .name = "two hosts with the same identifier get two",
          .rfc = "RFC 6146 3.5.3",
          .in = ip6(client6, server6) / icmp6_echo_request(77, 1),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / icmp4_echo_request(port("first"), 1),
          .counts = a_new_flow,
          .then = {{.in = ip6(client6b, server6) / icmp6_echo_request(77, 1),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / icmp4_echo_request(port("second"), 1),
                    .counts = a_new_flow,
                    .leaves = {binding(ICMP, {client6, 77}, {pool4, port("first")}),
                               binding(ICMP, {client6b, 77}, {pool4, port("second")})}},
                   {.in = ip4(server4, pool4) / icmp4_echo_reply(port("first"), 1),
                    .expect = FORWARD,
                    .out = ip6(server6, client6) / icmp6_echo_reply(77, 1)},
                   {.in = ip4(server4, pool4) / icmp4_echo_reply(port("second"), 1),
                    .expect = FORWARD,
                    .out = ip6(server6, client6b) / icmp6_echo_reply(77, 1)}},
      },
      Vector{
          .name = "a wrong ICMPv6 checksum stays wrong",
          .rfc = "RFC 7915 1.2",
          .given = {.sessions = {ping()}},
          .in = ip6(client6, server6) / icmp6_echo_request(77, 1).bad_checksum() / payload(8),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / icmp4_echo_request(40007, 1).bad_checksum() /
                 payload(8),
      },
      Vector{
          .name = "a wrong ICMP checksum stays wrong",
          .rfc = "RFC 7915 1.2",
          .given = {.sessions = {ping()}},
          .in = ip4(server4, pool4) / icmp4_echo_reply(40007, 1).bad_checksum() / payload(8),
          .expect = FORWARD,
          .out = ip6(server6, client6) / icmp6_echo_reply(77, 1).bad_checksum() / payload(8),
      },
      Vector{
          .name = "an echo reply to an identifier nobody has",
          .rfc = "RFC 6146 3.5.3",
          .in = ip4(server4, pool4) / icmp4_echo_reply(40007, 1) / payload(8),
          .expect = drop(dp::REASON_no_binding),
      },
      Vector{
          .name = "a UDP binding is no binding for an echo",
          .rfc = "RFC 6146 3.5.3",
          .given = {.bindings = {binding(UDP, {client6, 77}, {pool4, 40007})}},
          .in = ip4(server4, pool4) / icmp4_echo_reply(40007, 1) / payload(8),
          .expect = drop(dp::REASON_no_binding),
      },
      Vector{
          .name = "a timestamp request is not translated",
          .rfc = "RFC 7915 4.2",
          .given = {.sessions = {ping()}},
          .in = ip4(server4, pool4) / icmp4(13, 0, 40007, 1) / payload(12),
          .expect = drop(dp::REASON_icmp_type),
      },
      Vector{
          .name = "a neighbour solicitation is not translated",
          .rfc = "RFC 7915 5.2",
          .in = ip6(client6, server6).hop_limit(255) / icmp6(135) / payload(16),
          .expect = drop(dp::REASON_icmp_type),
      },
      Vector{
          .name = "an echo request with a code is no echo request",
          .rfc = "RFC 7915 5.2",
          .in = ip6(client6, server6) / icmp6_echo_request(77, 1).code(1),
          .expect = drop(dp::REASON_icmp_type),
      },
      Vector{
          .name = "ICMPv4 inside IPv6 is refused",
          .rfc = "RFC 7915 5.1",
          .in = ip6(client6, server6) / icmp4_echo_request(77, 1),
          .expect = drop(dp::REASON_icmp_type),
      },
      Vector{
          .name = "ICMPv6 inside IPv4 is refused",
          .rfc = "RFC 7915 4.1",
          .given = {.sessions = {ping()}},
          .in = ip4(server4, pool4) / icmp6_echo_request(40007, 1),
          .expect = drop(dp::REASON_icmp_type),
      },
      Vector{
          .name = "checksum offload of an echo is a mistake",
          .rfc = "",
          .given = {.sessions = {ping()}},
          .in = ip6(client6, server6) / icmp6_echo_request(77, 1),
          .expect = drop(dp::REASON_bad_offload),
          .partial_checksum = true,
      },
  };
}

} // namespace

std::vector<Vector> icmp_vectors() {
  std::vector<Vector> all = echo_vectors();

  for (Vector &vector : without_counterpart_vectors())
    all.push_back(std::move(vector));
  return all;
}

} // namespace viaduct::test
