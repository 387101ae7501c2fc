// SPDX-License-Identifier: MIT
//
// Who is let in from IPv4: endpoint-independent and address-dependent filtering, and TCP SYNs that
// nobody has asked for, which are held in case of a simultaneous open.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);
const Ipv6 server6b = pref64(server4b);

const PolicyChange by_address = with_filtering(dp::FILTER_ADDRESS);

SessionState udp_flow() {
  return session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53});
}

SessionState tcp_flow() {
  return session(TCP, {client6, 1234}, {pool4, 40001}, {server4, 80});
}

std::vector<Vector> address_vectors() {
  return {
      Vector{
          .name = "filtering by address lets the same address in from another port",
          .rfc = "RFC 6146 3.5.1, RFC 4787 REQ-8",
          .given = {.policy = {by_address}, .sessions = {udp_flow()}},
          .in = ip4(server4, pool4) / udp(9, 40001),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(9, 1234),
          .counts = a_new_session,
          .leaves = {session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 9}).expires_in(300)},
      },
      Vector{
          .name = "filtering by address keeps another address out",
          .rfc = "RFC 6146 3.5.1, RFC 4787 REQ-8",
          .given = {.policy = {by_address}, .sessions = {udp_flow()}},
          .in = ip4(server4b, pool4) / udp(53, 40001),
          .expect = drop(dp::REASON_filtered),
          .leaves = {no_session(UDP, {pool4, 40001}, {server4b, 53}),
                     binding(UDP, {client6, 1234}, {pool4, 40001}).sessions(1)},
      },
      Vector{
          .name = "filtering by address lets in whom the IPv6 host speaks to next",
          .rfc = "RFC 6146 3.5.1",
          .given = {.policy = {by_address}, .sessions = {udp_flow()}},
          .in = ip6(client6, server6b) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4b).any_id() / udp(40001, 53),
          .counts = a_new_session,
          .then = {{.in = ip4(server4b, pool4) / udp(9, 40001),
                    .expect = FORWARD,
                    .out = ip6(server6b, client6) / udp(9, 1234),
                    .counts = a_new_session}},
      },
      Vector{
          .name = "filtering by address forgets an address with its last session",
          .rfc = "RFC 6146 3.5.1",
          .given = {.policy = {by_address}, .sessions = {udp_flow()}},
          .in = ip6(client6, server6b) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4b).any_id() / udp(40001, 53),
          .counts = a_new_session,
          .then = {{.after = 200,
                    .in = ip6(client6, server6) / udp(1234, 53),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / udp(40001, 53)},
                   sweep_after(101,
                               {{dp::REASON_session_ended, 1}, {dp::REASON_session_expired, 1}},
                               {no_session(UDP, {pool4, 40001}, {server4b, 53}), udp_flow()}),
                   {.in = ip4(server4b, pool4) / udp(9, 40001),
                    .expect = drop(dp::REASON_filtered)}},
      },
      Vector{
          .name = "filtering by address is for the port that was spoken from",
          .rfc = "RFC 6146 3.5.1",
          .given = {.policy = {by_address},
                    .sessions = {udp_flow(),
                                 session(UDP, {client6, 1235}, {pool4, 40002}, {server4b, 53})}},
          .in = ip4(server4b, pool4) / udp(53, 40001),
          .expect = drop(dp::REASON_filtered),
      },
      Vector{
          .name = "filtering by address lets a session's own packets in",
          .rfc = "RFC 6146 3.5.1",
          .given = {.policy = {by_address}, .sessions = {udp_flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234),
      },
      Vector{
          .name = "filtering by address keeps echo requests of strangers out",
          .rfc = "RFC 6146 3.5.3",
          .given = {.policy = {by_address},
                    .sessions = {session(ICMP, {client6, 7}, {pool4, 40007}, {server4, 0})}},
          .in = ip4(server4b, pool4) / icmp4_echo_request(40007, 1),
          .expect = drop(dp::REASON_filtered),
          .then = {{.in = ip4(server4, pool4) / icmp4_echo_reply(40007, 1),
                    .expect = FORWARD,
                    .out = ip6(server6, client6) / icmp6_echo_reply(7, 1)}},
      },
      Vector{
          .name = "filtering by address keeps stray segments out",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.policy = {by_address}, .sessions = {tcp_flow()}},
          .in = ip4(server4b, pool4) / tcp(80, 40001).ack(1),
          .expect = drop(dp::REASON_filtered),
      },
      Vector{
          .name = "filtering by address lets a SYN in from an address that is known",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.policy = {by_address}, .sessions = {tcp_flow()}},
          .in = ip4(server4, pool4) / tcp(20, 40001).syn(),
          .expect = FORWARD,
          .out = ip6(server6, client6) / tcp(20, 1234).syn(),
          .counts = a_new_session,
          .leaves = {session(TCP, {client6, 1234}, {pool4, 40001}, {server4, 20})
                         .state(dp::STATE_V4_INIT)
                         .expires_in(240)},
      },
      Vector{
          .name = "filtering by address and a quota that is used up",
          .rfc = "RFC 6888 REQ-4",
          .given = {.policy = {by_address, with_quota(1)}, .sessions = {udp_flow()}},
          .in = ip4(server4, pool4) / udp(9, 40001),
          .expect = drop(dp::REASON_subscriber_quota),
      },
      Vector{
          .name = "no room for a peer is no room for a session",
          .rfc = "RFC 6146 5.3",
          .given = {.policy = {by_address}, .max_sessions = 1, .sessions = {udp_flow()}},
          .in = ip6(client6, server6b) / udp(1234, 53),
          .expect = drop(dp::REASON_table_full),
          .answer = icmp6_unreachable(3),
          .leaves = {binding(UDP, {client6, 1234}, {pool4, 40001}).sessions(1)},
      },
  };
}

Packet syn_in() {
  return ip4(server4, pool4) / tcp(80, 40001).seq(900).syn().mss(1460);
}

// What the sender of a held SYN is told in the end.
Packet refusal() {
  return ip4(pool4, server4).tos(0xc0).any_id() / icmp4_unreachable(3) / syn_in();
}

// Packets that leave a vector's BPF run at its first step.
std::vector<Vector> hold_vectors() {
  const SessionState other =
      session(TCP, {client6, 1234}, {pool4, 40001}, {server4b, 80}); // same binding
  return {
      Vector{
          .name = "a SYN to a port nobody has is held six seconds and then refused",
          .rfc = "RFC 6146 3.5.2.2, RFC 5382 REQ-4",
          .in = syn_in(),
          .expect = drop(dp::REASON_syn_held),
          .bpf = punt(dp::REASON_punt_syn),
          .leaves = {no_session(TCP, {pool4, 40001}, {server4, 80})},
          .then = {sweep_after(6, {}, {}),
                   sweep_after(1, {{dp::REASON_syn_unanswered, 1}}, {}, {refusal()}),
                   sweep_after(1, {}, {})},
      },
      Vector{
          .name = "a SYN of a stranger is held under filtering by address",
          .rfc = "RFC 6146 3.5.2.2, RFC 5382 REQ-4",
          .given = {.policy = {by_address}, .sessions = {other}},
          .in = syn_in(),
          .expect = drop(dp::REASON_syn_held),
          .bpf = punt(dp::REASON_punt_syn),
          .leaves = {no_session(TCP, {pool4, 40001}, {server4, 80}),
                     binding(TCP, {client6, 1234}, {pool4, 40001}).sessions(1)},
          .then = {sweep_after(7, {{dp::REASON_syn_unanswered, 1}}, {}, {refusal()})},
      },
      Vector{
          .name = "a held SYN that is sent again does not let itself in",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.policy = {by_address}, .sessions = {other}},
          .in = syn_in(),
          .expect = drop(dp::REASON_syn_held),
          .bpf = punt(dp::REASON_punt_syn),
          .then = {{.after = 1, .in = syn_in(), .expect = drop(dp::REASON_syn_held)},
                   {.after = 2,
                    .in = syn_in(),
                    .expect = drop(dp::REASON_syn_held),
                    .leaves = {no_session(TCP, {pool4, 40001}, {server4, 80})}},
                   // One answer, six seconds after the first of them.
                   sweep_after(4, {{dp::REASON_syn_unanswered, 1}}, {}, {refusal()}),
                   sweep_after(10, {}, {})},
      },
      Vector{
          .name = "a SYN from inside takes the place of the one that is held",
          .rfc = "RFC 6146 3.5.2.2, RFC 5382 REQ-2, REQ-4",
          .given = {.policy = {by_address}, .sessions = {other}},
          .in = syn_in(),
          .expect = drop(dp::REASON_syn_held),
          .bpf = punt(dp::REASON_punt_syn),
          .then = {{.after = 3,
                    .in = ip6(client6, server6) / tcp(1234, 80).seq(100).syn(),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / tcp(40001, 80).seq(100).syn(),
                    .counts = a_new_session,
                    .leaves = {session(TCP, {client6, 1234}, {pool4, 40001}, {server4, 80})
                                   .state(dp::STATE_V6_INIT)}},
                   {.after = 0, // the peer's SYN again, now with an ACK: both are open
                    .in = ip4(server4, pool4) / tcp(80, 40001).seq(900).ack(101).syn(),
                    .expect = FORWARD,
                    .out = ip6(server6, client6) / tcp(80, 1234).seq(900).ack(101).syn(),
                    .leaves = {session(TCP, {client6, 1234}, {pool4, 40001}, {server4, 80})
                                   .state(dp::STATE_ESTABLISHED)
                                   .expires_in(7200)}},
                   sweep_after(7, {}, {})}, // and nobody is told anything
      },
      Vector{
          .name = "a held SYN longer than an answer is quoted as far as it fits",
          .rfc = "RFC 1812 4.3.2.3",
          .in = ip4(server4, pool4) / tcp(80, 40001).seq(900).syn() / payload(1200),
          .expect = drop(dp::REASON_syn_held),
          .bpf = punt(dp::REASON_punt_syn),
          .then = {sweep_after(
              7, {{dp::REASON_syn_unanswered, 1}}, {},
              {ip4(pool4, server4).tos(0xc0).any_id() / icmp4_unreachable(3) / raw([] {
                 Bytes whole =
                     (ip4(server4, pool4) / tcp(80, 40001).seq(900).syn() / payload(1200)).bytes();
                 whole.resize(576 - 28);
                 return whole;
               }())})},
      },
      Vector{
          .name = "a reset to a port nobody has is not held",
          .rfc = "RFC 6146 3.5.2.2",
          .in = ip4(server4, pool4) / tcp(80, 40001).syn().rst(),
          .expect = drop(dp::REASON_no_binding),
          .then = {sweep_after(7, {}, {})},
      },
  };
}

// One more SYN than there is room for, each from a port of its own.
Vector full_hold() {
  constexpr uint32_t room = 1024;
  auto syn = [](uint32_t i) {
    return ip4(server4, pool4) / tcp(static_cast<uint16_t>(1024 + i), 40001).syn();
  };
  Vector vector{
      .name = "there is room for so many held SYNs and no more",
      .rfc = "RFC 6146 5.3",
      .in = syn(0),
      .expect = drop(dp::REASON_syn_held),
      .bpf = punt(dp::REASON_punt_syn),
  };
  for (uint32_t i = 1; i < room; i++)
    vector.then.push_back({.in = syn(i), .expect = drop(dp::REASON_syn_held)});
  vector.then.push_back({.in = syn(room), .expect = drop(dp::REASON_syn_hold_full)});
  return vector;
}

} // namespace

std::vector<Vector> filtering_vectors() {
  std::vector<Vector> all{full_hold()};
  for (auto some : {address_vectors, hold_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
