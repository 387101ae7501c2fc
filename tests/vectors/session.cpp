// SPDX-License-Identifier: MIT
//
// Bindings, sessions, subscribers, pools: who gets which port, who is let in, and where it ends.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);
const Ipv6 server6b = pref64(server4b);

SessionState flow() {
  return session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53});
}

// Endpoint-independent mapping and filtering.
std::vector<Vector> mapping_vectors() {
  return {
      Vector{
          .name = "one source port to two servers has one binding",
          .rfc = "RFC 4787 REQ-1, RFC 6146 3.5.1",
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
          .then = {{.in = ip6(client6, server6b) / udp(1234, 123),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4b).any_id() / udp(port("p"), 123),
                    .counts = a_new_session,
                    .leaves = {binding(UDP, {client6, 1234}, {pool4, port("p")}).sessions(2)}},
                   {.in = ip6(client6, server6) / udp(1234, 54),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / udp(port("p"), 54),
                    .counts = a_new_session,
                    .leaves = {binding(UDP, {client6, 1234}, {pool4, port("p")}).sessions(3)}}},
      },
      Vector{
          .name = "one source port to two servers has one binding for TCP too",
          .rfc = "RFC 5382 REQ-1, RFC 6146 3.5.2",
          .in = ip6(client6, server6) / tcp(1234, 80).syn(),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / tcp(port("p"), 80).syn(),
          .counts = a_new_flow,
          .then = {{.in = ip6(client6, server6b) / tcp(1234, 80).syn(),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4b).any_id() / tcp(port("p"), 80).syn(),
                    .counts = a_new_session}},
      },
      Vector{
          .name = "two source ports have two bindings",
          .rfc = "RFC 6146 3.5.1",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / udp(1235, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("other"), 53),
          .counts = a_new_flow,
          .leaves = {binding(UDP, {client6, 1234}, {pool4, 40001}),
                     binding(UDP, {client6, 1235}, {pool4, port("other")})},
      },
      Vector{
          .name = "TCP and UDP from one port have bindings of their own",
          .rfc = "RFC 6146 3.1",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / tcp(1234, 53).syn(),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / tcp(port("p"), 53).syn(),
          .counts = a_new_flow,
          .leaves = {binding(UDP, {client6, 1234}, {pool4, 40001}),
                     binding(TCP, {client6, 1234}, {pool4, port("p")})},
      },
      Vector{
          .name = "two hosts with one source port come from two ports",
          .rfc = "RFC 4787 REQ-3",
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("first"), 53),
          .counts = a_new_flow,
          .then = {{.in = ip6(client6b, server6) / udp(1234, 53),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / udp(port("second"), 53),
                    .counts = a_new_flow},
                   {.in = ip4(server4, pool4) / udp(53, port("first")),
                    .expect = FORWARD,
                    .out = ip6(server6, client6) / udp(53, 1234)},
                   {.in = ip4(server4, pool4) / udp(53, port("second")),
                    .expect = FORWARD,
                    .out = ip6(server6, client6b) / udp(53, 1234)}},
      },
      Vector{
          .name = "a stranger may speak to a bound port",
          .rfc = "RFC 4787 REQ-8, RFC 6146 3.5.1",
          .given = {.sessions = {flow()}},
          .in = ip4(server4b, pool4) / udp(9, 40001),
          .expect = FORWARD,
          .out = ip6(server6b, client6) / udp(9, 1234),
          .counts = a_new_session,
          .leaves = {session(UDP, {client6, 1234}, {pool4, 40001}, {server4b, 9})
                         .state(dp::STATE_OPEN)
                         .expires_in(300),
                     binding(UDP, {client6, 1234}, {pool4, 40001}).sessions(2)},
          .then = {{.in = ip6(client6, server6b) / udp(1234, 9),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4b).any_id() / udp(40001, 9)}},
      },
      Vector{
          .name = "the same server from another port is a session of its own",
          .rfc = "RFC 6146 3.5.1",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(54, 40001),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(54, 1234),
          .counts = a_new_session,
      },
      Vector{
          .name = "a port that nobody has bound",
          .rfc = "RFC 6146 3.5.1",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40002),
          .expect = drop(dp::REASON_no_binding),
      },
      Vector{
          .name = "a TCP binding lets no UDP in",
          .rfc = "RFC 6146 3.1",
          .given = {.bindings = {binding(TCP, {client6, 1234}, {pool4, 40001})}},
          .in = ip4(server4, pool4) / udp(53, 40001),
          .expect = drop(dp::REASON_no_binding),
      },
      Vector{
          .name = "traffic from IPv4 refreshes a UDP session",
          .rfc = "RFC 6146 3.5.1",
          .given = {.sessions = {flow().expires_in(5)}},
          .in = ip4(server4, pool4) / udp(53, 40001),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234),
          .leaves = {flow().expires_in(300)},
      },
      Vector{
          .name = "without accounting nothing is counted in the session",
          .rfc = "",
          .given = {.policy = {without_accounting()}, .sessions = {flow()}},
          .in = ip4(server4, pool4) / udp(53, 40001),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234),
          .leaves = {flow().packets(0).bytes(0)},
      },
  };
}

// With one of two addresses full, whatever chance says first.
Vector other_address(uint32_t random) {
  return {.name = "where the subscriber's address is full another one helps with chance " +
                  std::to_string(random),
          .rfc = "RFC 6146 3.5.1.1",
          .given = {.policy = {with_pool({{pool4, 5000, 5000}, {pool4b, 2000, 2999}})},
                    .bindings = {binding(UDP, {client6, 1}, {pool4, 5000})}},
          .random = random,
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4b, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
          .bpf = punt(dp::REASON_punt_port_search)};
}

// Which address and which port.
std::vector<Vector> pool_vectors() {
  const std::vector<PolicyChange> two_addresses{with_pool({{pool4}, {pool4b}})};
  return {
      Vector{
          .name = "all bindings of a subscriber are on one address",
          .rfc = "RFC 6146 3.5.1.1, RFC 4787 REQ-2",
          .given = {.policy = two_addresses, .subscribers = {{client6, pool4b, 1}}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4b, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
          .then = {{.in = ip6(client6, server6) / tcp(99, 80).syn(),
                    .expect = FORWARD,
                    .out = ip4(pool4b, server4).any_id() / tcp(port("q"), 80).syn(),
                    .counts = a_new_flow},
                   {.in = ip6(client6b, server6) / icmp6_echo_request(7, 1),
                    .expect = FORWARD,
                    .out = ip4(pool4b, server4).any_id() / icmp4_echo_request(port("r"), 1),
                    .counts = a_new_flow}},
      },
      Vector{
          .name = "another subscriber may be on another address",
          .rfc = "RFC 6146 3.5.1.1",
          .given = {.policy = two_addresses,
                    .subscribers = {{client6, pool4b, 1}, {neighbour6, pool4, 1}}},
          .in = ip6(neighbour6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
      },
      other_address(1),
      other_address(2),
      other_address(3),
      other_address(4),
      Vector{
          .name = "a subscriber whose address has left the pool gets another",
          .rfc = "",
          .given = {.policy = {with_pool({{pool4}})},
                    .subscribers = {{client6, address4("203.0.113.77"), 1}}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
      },
      Vector{
          .name = "ports come from the range of the address",
          .rfc = "RFC 6146 3.5.1.1",
          .given = {.policy = {with_pool({{pool4, 3000, 3003}})}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
      },
      Vector{
          .name = "the highest port belongs to the range",
          .rfc = "RFC 6146 3.5.1.1",
          .given = {.policy = {with_pool({{pool4, 65535, 65535}})}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(65535, 53),
          .counts = a_new_flow,
      },
      Vector{
          .name = "the only port is taken",
          .rfc = "RFC 6146 3.5.1.1, RFC 6888 REQ-11",
          .given = {.policy = {with_pool({{pool4, 5000, 5000}})},
                    .bindings = {binding(UDP, {client6, 1}, {pool4, 5000})}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = drop(dp::REASON_no_port),
          .answer = icmp6_unreachable(3),
          .bpf = punt(dp::REASON_punt_port_search),
          .leaves = {no_binding(UDP, {client6, 1234}), binding(UDP, {client6, 1}, {pool4, 5000})},
      },
      Vector{
          .name = "a port taken for UDP is free for TCP",
          .rfc = "RFC 6146 3.1",
          .given = {.policy = {with_pool({{pool4, 5000, 5000}})},
                    .bindings = {binding(UDP, {client6, 1}, {pool4, 5000})}},
          .in = ip6(client6, server6) / tcp(1234, 80).syn(),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / tcp(5000, 80).syn(),
          .counts = a_new_flow,
      },
      Vector{
          .name = "a range of two ports gives both and no third",
          .rfc = "RFC 6146 3.5.1.1",
          .given = {.policy = {with_pool({{pool4, 5000, 5001}})}},
          .in = ip6(client6, server6) / udp(1, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("first"), 53),
          .counts = a_new_flow,
          .then = {{.in = ip6(client6, server6) / udp(2, 53),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / udp(port("second"), 53),
                    .counts = a_new_flow},
                   {.in = ip6(client6, server6) / udp(3, 53),
                    .expect = drop(dp::REASON_no_port),
                    .answer = icmp6_unreachable(3),
                    .bpf = punt(dp::REASON_punt_port_search)}},
      },
  };
}

// Who may, and how much.
std::vector<Vector> limit_vectors() {
  return {
      Vector{
          .name = "a stranger may not use the gateway",
          .rfc = "",
          .in = ip6(stranger6, server6) / udp(1234, 53),
          .expect = drop(dp::REASON_not_allowed),
          .leaves = {no_binding(UDP, {stranger6, 1234})},
      },
      Vector{
          .name = "nobody may use a gateway that allows nobody",
          .rfc = "",
          .given = {.policy = {with_allowed({})}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = drop(dp::REASON_not_allowed),
      },
      Vector{
          .name = "one host of a net is allowed and no other",
          .rfc = "",
          .given = {.policy = {with_allowed({prefix6("2001:db8:64::10/128")})}},
          .in = ip6(client6b, server6) / udp(1234, 53),
          .expect = drop(dp::REASON_not_allowed),
          .then = {{.in = ip6(client6, server6) / udp(1234, 53),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
                    .counts = a_new_flow}},
      },
      Vector{
          .name = "the subscriber has all the sessions it may have",
          .rfc = "RFC 6888 REQ-4",
          .given = {.policy = {with_quota(1)}, .sessions = {flow()}},
          .in = ip6(client6, server6) / udp(1235, 53),
          .expect = drop(dp::REASON_subscriber_quota),
          .answer = icmp6_unreachable(1),
          .leaves = {no_binding(UDP, {client6, 1235})},
          .then = {{.in = ip6(client6, server6) / udp(1234, 53), // what is there goes on
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / udp(40001, 53)},
                   {.in = ip6(client6, server6b) / udp(1234, 53), // a session counts, not a binding
                    .expect = drop(dp::REASON_subscriber_quota),
                    .answer = icmp6_unreachable(1)}},
      },
      Vector{
          .name = "the quota counts sessions that IPv4 opens",
          .rfc = "RFC 6888 REQ-4",
          .given = {.policy = {with_quota(1)}, .sessions = {flow()}},
          .in = ip4(server4b, pool4) / udp(9, 40001),
          .expect = drop(dp::REASON_subscriber_quota),
          .leaves = {binding(UDP, {client6, 1234}, {pool4, 40001}).sessions(1)},
      },
      Vector{
          .name = "what was refused does not use up the quota",
          .rfc = "RFC 6888 REQ-4",
          .given = {.policy = {with_quota(1), with_pool({{pool4, 5000, 5000}})},
                    .bindings = {binding(UDP, {neighbour6, 1}, {pool4, 5000})}},
          .in = ip6(client6, server6) / udp(1, 53),
          .expect = drop(dp::REASON_no_port),
          .answer = icmp6_unreachable(3),
          .bpf = punt(dp::REASON_punt_port_search),
          .then = {{.in = ip6(client6, server6) / udp(2, 53),
                    .expect = drop(dp::REASON_no_port),
                    .answer = icmp6_unreachable(3)},
                   {.in = ip6(client6, server6) / tcp(3, 80).syn(),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / tcp(5000, 80).syn(),
                    .counts = a_new_flow}},
      },
      Vector{
          .name = "hosts of one net share their quota",
          .rfc = "RFC 7785",
          .given = {.policy = {with_quota(1)}, .sessions = {flow()}},
          .in = ip6(client6b, server6) / udp(1234, 53),
          .expect = drop(dp::REASON_subscriber_quota),
          .answer = icmp6_unreachable(1),
      },
      Vector{
          .name = "one subscriber's quota is not another's",
          .rfc = "RFC 6888 REQ-4",
          .given = {.policy = {with_quota(1)}, .sessions = {flow()}},
          .in = ip6(neighbour6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
      },
      Vector{
          .name = "subscribers can be wider nets",
          .rfc = "RFC 7785",
          .given = {.policy = {with_quota(1), with_subscriber_prefix(56)}, .sessions = {flow()}},
          .in = ip6(address6("2001:db8:64:0:1::1"), server6) / udp(1234, 53),
          .expect = drop(dp::REASON_subscriber_quota),
          .answer = icmp6_unreachable(1),
      },
      Vector{
          .name = "subscribers can be single hosts",
          .rfc = "RFC 7785",
          .given = {.policy = {with_quota(1), with_subscriber_prefix(128)}, .sessions = {flow()}},
          .in = ip6(client6b, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
      },
      Vector{
          .name = "the session table is full",
          .rfc = "RFC 6146 5.3, RFC 6888 REQ-11",
          .given = {.max_sessions = 1, .sessions = {flow()}},
          .in = ip6(client6, server6b) / udp(1234, 53),
          .expect = drop(dp::REASON_table_full),
          .answer = icmp6_unreachable(3),
          .leaves = {no_session(UDP, {pool4, 40001}, {server4b, 53}),
                     binding(UDP, {client6, 1234}, {pool4, 40001}).sessions(1), flow()},
          .then = {{.in = ip4(server4, pool4) / udp(53, 40001), // what is there goes on
                    .expect = FORWARD,
                    .out = ip6(server6, client6) / udp(53, 1234)},
                   {.in = ip4(server4b, pool4) / udp(53, 40001),
                    .expect = drop(dp::REASON_table_full),
                    .leaves = {binding(UDP, {client6, 1234}, {pool4, 40001}).sessions(1)}}},
      },
      Vector{
          .name = "a binding that no table has room for",
          .rfc = "RFC 6146 5.3",
          .given = {.max_sessions = 1, .sessions = {flow()}},
          .in = ip6(client6, server6) / udp(1235, 53),
          .expect = drop(dp::REASON_table_full),
          .answer = icmp6_unreachable(3),
          .leaves = {no_binding(UDP, {client6, 1235})},
      },
      Vector{
          .name = "a subscriber that no table has room for",
          .rfc = "RFC 6146 5.3",
          .given = {.max_sessions = 1, .sessions = {flow()}},
          .in = ip6(neighbour6, server6) / udp(1235, 53),
          .expect = drop(dp::REASON_table_full),
          .answer = icmp6_unreachable(3),
      },
  };
}

// What the sweep has taken out of life and not yet out of the tables: seen for a moment by a packet
// on another CPU.
std::vector<Vector> dying_vectors() {
  constexpr uint32_t now = 1000;
  BindingState dead = binding(UDP, {client6, 1234}, {pool4, 40001}).sessions(BINDING_DEAD);
  BindingState dead_of_tcp = binding(TCP, {client6, 1234}, {pool4, 40001}).sessions(BINDING_DEAD);
  SessionState ended = flow().expires_in(0U - now); // SESSION_DEAD
  return {
      Vector{
          .name = "a binding that is dying takes no new session from IPv6",
          .given = {.bindings = {dead}},
          .now = now,
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = drop(dp::REASON_dying),
          .leaves = {dead, no_session(UDP, {pool4, 40001}, {server4, 53})},
      },
      Vector{
          .name = "a binding that is dying takes no new session from IPv4",
          .given = {.bindings = {dead}},
          .now = now,
          .in = ip4(server4, pool4) / udp(53, 40001),
          .expect = drop(dp::REASON_no_binding),
          .leaves = {dead, no_session(UDP, {pool4, 40001}, {server4, 53})},
      },
      Vector{
          .name = "a segment to the port of a binding that is dying goes to nobody",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.bindings = {dead_of_tcp}},
          .now = now,
          .in = ip4(server4, pool4) / tcp(443, 40001).ack(1),
          .expect = drop(dp::REASON_no_binding),
      },
      Vector{
          .name = "a session that has ended is not refreshed from IPv6",
          .given = {.sessions = {ended}},
          .now = now,
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = drop(dp::REASON_dying),
          .leaves = {ended},
      },
      Vector{
          .name = "a session that has ended is not refreshed from IPv4",
          .given = {.sessions = {ended}},
          .now = now,
          .in = ip4(server4, pool4) / udp(53, 40001),
          .expect = drop(dp::REASON_dying),
          .leaves = {ended},
      },
      Vector{
          .name = "an error about a packet of a session that has ended",
          .rfc = "RFC 5508 REQ-4",
          .given = {.sessions = {ended}},
          .now = now,
          .in = ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4) / udp(40001, 53),
          .expect = drop(dp::REASON_error_without_session),
          .bpf = punt(dp::REASON_punt_icmp_error),
      },
  };
}

} // namespace

std::vector<Vector> session_vectors() {
  std::vector<Vector> all;
  for (auto some : {mapping_vectors, pool_vectors, limit_vectors, dying_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
