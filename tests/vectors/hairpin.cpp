// SPDX-License-Identifier: MIT
//
// Hairpins (RFC 6146 3.8): an IPv6 host speaks to another one by its pool endpoint. What comes out
// of the first pass is routed into the interface again, so a hairpin is two steps here: the packet
// that left comes in, and each host knows the other only under its outside address.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);
const Ipv6 pool6 = pref64(pool4); // the pool as the hosts see it
const Ipv6 pool6b = pref64(pool4b);

// What the default random number makes of an identification.
constexpr int ID = 0x1234;

constexpr Expect error_from4{dp::VERDICT_FORWARD, dp::REASON_translated_error_4to6};
constexpr Expect error_from6{dp::VERDICT_FORWARD, dp::REASON_translated_error_6to4};

// client6 and neighbour6 have each spoken to a server, so that each has a port.
std::vector<BindingState> two_hosts(Protocol protocol) {
  return {binding(protocol, {client6, 1234}, {pool4, 40001}),
          binding(protocol, {neighbour6, 5678}, {pool4, 40002})};
}

// The sessions of a hairpin: one for each host, each other's remote.
SessionState session_of_client(Protocol protocol) {
  return session(protocol, {client6, 1234}, {pool4, 40001}, {pool4, 40002});
}
SessionState session_of_neighbour(Protocol protocol) {
  return session(protocol, {neighbour6, 5678}, {pool4, 40002}, {pool4, 40001});
}

Ip4 between() {
  return ip4(pool4, pool4).id(ID);
}

std::vector<Vector> udp_hairpins() {
  return {
      Vector{
          .name = "a UDP hairpin arrives from the sender's outside endpoint, and its answer too",
          .rfc = "RFC 6146 3.8, RFC 4787 REQ-9",
          .given = {.bindings = two_hosts(UDP)},
          .in = ip6(client6, pool6) / udp(1234, 40002) / payload(20),
          .expect = FORWARD,
          .out = between() / udp(40001, 40002) / payload(20),
          .counts = a_new_session,
          .leaves = {session_of_client(UDP).state(dp::STATE_OPEN).expires_in(300)},
          .then = {{.in = between() / udp(40001, 40002) / payload(20),
                    .expect = FORWARD,
                    .out = ip6(pool6, neighbour6) / udp(40001, 5678) / payload(20),
                    .counts = a_new_session,
                    .leaves = {session_of_neighbour(UDP).state(dp::STATE_OPEN).expires_in(300)}},
                   {.in = ip6(neighbour6, pool6) / udp(5678, 40001) / payload(30),
                    .expect = FORWARD,
                    .out = between() / udp(40002, 40001) / payload(30)},
                   {.in = between() / udp(40002, 40001) / payload(30),
                    .expect = FORWARD,
                    .out = ip6(pool6, client6) / udp(40002, 1234) / payload(30),
                    .leaves = {session_of_client(UDP).packets(2).bytes(146),
                               session_of_neighbour(UDP).packets(2).bytes(146)}}},
      },
      Vector{
          .name = "a UDP hairpin by a host that has no port yet gets it one",
          .rfc = "RFC 6146 3.8, RFC 4787 REQ-9",
          .given = {.bindings = {binding(UDP, {neighbour6, 5678}, {pool4, 40002})}},
          .in = ip6(client6, pool6) / udp(1234, 40002),
          .expect = FORWARD,
          .out = between() / udp(port("p"), 40002),
          .counts = a_new_flow,
          .then = {{.in = between() / udp(port("p"), 40002),
                    .expect = FORWARD,
                    .out = ip6(pool6, neighbour6) / udp(port("p"), 5678),
                    .counts = a_new_session},
                   {.in = ip6(neighbour6, pool6) / udp(5678, port("p")),
                    .expect = FORWARD,
                    .out = between() / udp(40002, port("p"))},
                   {.in = between() / udp(40002, port("p")),
                    .expect = FORWARD,
                    .out = ip6(pool6, client6) / udp(40002, 1234)}},
      },
      Vector{
          .name = "a UDP hairpin to a port of the sender's own comes back to it",
          .rfc = "RFC 6146 3.8",
          .given = {.bindings = {binding(UDP, {client6, 1234}, {pool4, 40001}),
                                 binding(UDP, {client6, 5678}, {pool4, 40002})}},
          .in = ip6(client6, pool6) / udp(1234, 40002),
          .expect = FORWARD,
          .out = between() / udp(40001, 40002),
          .counts = a_new_session,
          .then = {{.in = between() / udp(40001, 40002),
                    .expect = FORWARD,
                    .out = ip6(pool6, client6) / udp(40001, 5678),
                    .counts = a_new_session}},
      },
      Vector{
          .name = "a UDP hairpin goes between two addresses of the pool",
          .rfc = "RFC 6146 3.8",
          .given = {.policy = {with_pool({{pool4}, {pool4b}})},
                    .bindings = {binding(UDP, {client6, 1234}, {pool4, 40001}),
                                 binding(UDP, {neighbour6, 5678}, {pool4b, 40001})}},
          .in = ip6(client6, pool6b) / udp(1234, 40001),
          .expect = FORWARD,
          .out = ip4(pool4, pool4b).id(ID) / udp(40001, 40001),
          .counts = a_new_session,
          .then = {{.in = ip4(pool4, pool4b).id(ID) / udp(40001, 40001),
                    .expect = FORWARD,
                    .out = ip6(pool6, neighbour6) / udp(40001, 5678),
                    .counts = a_new_session},
                   {.in = ip6(neighbour6, pool6) / udp(5678, 40001),
                    .expect = FORWARD,
                    .out = ip4(pool4b, pool4).id(ID) / udp(40001, 40001)},
                   {.in = ip4(pool4b, pool4).id(ID) / udp(40001, 40001),
                    .expect = FORWARD,
                    .out = ip6(pool6b, client6) / udp(40001, 1234)}},
      },
      Vector{
          .name = "a UDP hairpin to a port that nobody has ends in the second pass",
          .rfc = "RFC 6146 3.5.1, 3.8",
          .given = {.bindings = {binding(UDP, {client6, 1234}, {pool4, 40001})}},
          .in = ip6(client6, pool6) / udp(1234, 40002),
          .expect = FORWARD,
          .out = between() / udp(40001, 40002),
          .counts = a_new_session,
          .then = {{.in = between() / udp(40001, 40002), .expect = drop(dp::REASON_no_binding)}},
      },
      Vector{
          .name = "filtering by address holds for a UDP hairpin",
          .rfc = "RFC 6146 3.5.1, RFC 4787 REQ-8, REQ-9",
          .given = {.policy = {with_filtering(dp::FILTER_ADDRESS)}, .bindings = two_hosts(UDP)},
          .in = ip6(client6, pool6) / udp(1234, 40002),
          .expect = FORWARD,
          .out = between() / udp(40001, 40002),
          .counts = a_new_session,
          .then = {{.in = between() / udp(40001, 40002), .expect = drop(dp::REASON_filtered)},
                   {.in = ip6(neighbour6, pool6) / udp(5678, 40001),
                    .expect = FORWARD,
                    .out = between() / udp(40002, 40001),
                    .counts = a_new_session},
                   {.in = between() / udp(40002, 40001),
                    .expect = FORWARD,
                    .out = ip6(pool6, client6) / udp(40002, 1234)},
                   {.in = between() / udp(40001, 40002),
                    .expect = FORWARD,
                    .out = ip6(pool6, neighbour6) / udp(40001, 5678)}},
      },
      Vector{
          .name = "a long UDP hairpin keeps DF through both passes",
          .rfc = "RFC 7915 4.1, 5.1",
          .given = {.bindings = two_hosts(UDP)},
          .in = ip6(client6, pool6) / udp(1234, 40002) / payload(1400),
          .expect = FORWARD,
          .out = ip4(pool4, pool4).df() / udp(40001, 40002) / payload(1400),
          .counts = a_new_session,
          .then = {{.in = ip4(pool4, pool4).df() / udp(40001, 40002) / payload(1400),
                    .expect = FORWARD,
                    .out = ip6(pool6, neighbour6) / udp(40001, 5678) / payload(1400),
                    .counts = a_new_session}},
      },
  };
}

std::vector<Vector> tcp_hairpins() {
  const Tcp syn = tcp(1234, 40002).seq(100).syn().mss(1440);
  const Tcp syn_between = tcp(40001, 40002).seq(100).syn().mss(1440);
  return {
      Vector{
          .name = "a TCP hairpin is established through both passes",
          .rfc = "RFC 6146 3.5.2, 3.8, RFC 5382 REQ-8",
          .given = {.bindings = two_hosts(TCP)},
          .in = ip6(client6, pool6) / syn,
          .expect = FORWARD,
          .out = between() / syn_between,
          .counts = a_new_session,
          .leaves = {session_of_client(TCP).state(dp::STATE_V6_INIT).expires_in(240)},
          .then =
              {{.in = between() / syn_between,
                .expect = FORWARD,
                .out = ip6(pool6, neighbour6) / tcp(40001, 5678).seq(100).syn().mss(1440),
                .counts = a_new_session,
                .leaves = {session_of_neighbour(TCP).state(dp::STATE_V4_INIT).expires_in(240)}},
               {.in = ip6(neighbour6, pool6) / tcp(5678, 40001).seq(900).syn().ack(101),
                .expect = FORWARD,
                .out = between() / tcp(40002, 40001).seq(900).syn().ack(101),
                .leaves =
                    {session_of_neighbour(TCP).state(dp::STATE_ESTABLISHED).expires_in(7200)}},
               {.in = between() / tcp(40002, 40001).seq(900).syn().ack(101),
                .expect = FORWARD,
                .out = ip6(pool6, client6) / tcp(40002, 1234).seq(900).syn().ack(101),
                .leaves = {session_of_client(TCP).state(dp::STATE_ESTABLISHED).expires_in(7200)}},
               {.in = ip6(client6, pool6) / tcp(1234, 40002).seq(101).ack(901) / payload(50),
                .expect = FORWARD,
                .out = between() / tcp(40001, 40002).seq(101).ack(901) / payload(50)},
               {.in = between() / tcp(40001, 40002).seq(101).ack(901) / payload(50),
                .expect = FORWARD,
                .out = ip6(pool6, neighbour6) / tcp(40001, 5678).seq(101).ack(901) / payload(50)}},
      },
      Vector{
          .name = "a FIN in a TCP hairpin closes one side of both sessions",
          .rfc = "RFC 6146 3.5.2.2, 3.8",
          .given = {.sessions = {session_of_client(TCP).state(dp::STATE_ESTABLISHED),
                                 session_of_neighbour(TCP).state(dp::STATE_ESTABLISHED)}},
          .in = ip6(client6, pool6) / tcp(1234, 40002).ack(1).fin(),
          .expect = FORWARD,
          .out = between() / tcp(40001, 40002).ack(1).fin(),
          .leaves = {session_of_client(TCP).state(dp::STATE_V6_FIN_RCV)},
          .then = {{.in = between() / tcp(40001, 40002).ack(1).fin(),
                    .expect = FORWARD,
                    .out = ip6(pool6, neighbour6) / tcp(40001, 5678).ack(1).fin(),
                    .leaves = {session_of_neighbour(TCP).state(dp::STATE_V4_FIN_RCV)}}},
      },
      Vector{
          .name = "a TCP hairpin to a port that nobody has is held in the second pass",
          .rfc = "RFC 6146 3.5.2.2, 3.8",
          .given = {.bindings = {binding(TCP, {client6, 1234}, {pool4, 40001})}},
          .in = ip6(client6, pool6) / syn,
          .expect = FORWARD,
          .out = between() / syn_between,
          .counts = a_new_session,
          .then = {{.in = between() / syn_between,
                    .expect = drop(dp::REASON_syn_held),
                    .bpf = punt(dp::REASON_punt_syn)}},
      },
  };
}

// An ICMP query has one identifier for both ends, so what is written in the packet is the sender's
// own: on its own pool address it comes back to itself.
std::vector<Vector> ping_hairpins() {
  return {
      Vector{
          .name = "a ping hairpin to the sender's own pool address comes back to it",
          .rfc = "RFC 6146 3.5.3, 3.8, RFC 7857 12",
          .given = {.bindings = {binding(ICMP, {client6, 77}, {pool4, 40007})}},
          .in = ip6(client6, pool6) / icmp6_echo_request(77, 1) / payload(8),
          .expect = FORWARD,
          .out = between() / icmp4_echo_request(40007, 1) / payload(8),
          .counts = a_new_session,
          .then = {{.in = between() / icmp4_echo_request(40007, 1) / payload(8),
                    .expect = FORWARD,
                    .out = ip6(pool6, client6) / icmp6_echo_request(77, 1) / payload(8)},
                   {.in = ip6(client6, pool6) / icmp6_echo_reply(77, 1) / payload(8),
                    .expect = FORWARD,
                    .out = between() / icmp4_echo_reply(40007, 1) / payload(8)},
                   {.in = between() / icmp4_echo_reply(40007, 1) / payload(8),
                    .expect = FORWARD,
                    .out = ip6(pool6, client6) / icmp6_echo_reply(77, 1) / payload(8)}},
      },
      Vector{
          .name = "a ping hairpin to another pool address reaches who has the identifier there",
          .rfc = "RFC 6146 3.5.3, 3.8, RFC 7857 12",
          .given = {.policy = {with_pool({{pool4}, {pool4b}})},
                    .bindings = {binding(ICMP, {client6, 77}, {pool4, 40007}),
                                 binding(ICMP, {neighbour6, 5}, {pool4b, 40007})}},
          .in = ip6(client6, pool6b) / icmp6_echo_request(77, 1) / payload(8),
          .expect = FORWARD,
          .out = ip4(pool4, pool4b).id(ID) / icmp4_echo_request(40007, 1) / payload(8),
          .counts = a_new_session,
          .then = {{.in = ip4(pool4, pool4b).id(ID) / icmp4_echo_request(40007, 1) / payload(8),
                    .expect = FORWARD,
                    .out = ip6(pool6, neighbour6) / icmp6_echo_request(5, 1) / payload(8),
                    .counts = a_new_session},
                   {.in = ip6(neighbour6, pool6) / icmp6_echo_reply(5, 1) / payload(8),
                    .expect = FORWARD,
                    .out = ip4(pool4b, pool4).id(ID) / icmp4_echo_reply(40007, 1) / payload(8)},
                   {.in = ip4(pool4b, pool4).id(ID) / icmp4_echo_reply(40007, 1) / payload(8),
                    .expect = FORWARD,
                    .out = ip6(pool6b, client6) / icmp6_echo_reply(77, 1) / payload(8)}},
      },
      Vector{
          .name = "a ping hairpin to a pool address where nobody has the identifier ends there",
          .rfc = "RFC 6146 3.5.3, 3.8",
          .given = {.policy = {with_pool({{pool4}, {pool4b}})},
                    .bindings = {binding(ICMP, {client6, 77}, {pool4, 40007})}},
          .in = ip6(client6, pool6b) / icmp6_echo_request(77, 1),
          .expect = FORWARD,
          .out = ip4(pool4, pool4b).id(ID) / icmp4_echo_request(40007, 1),
          .counts = a_new_session,
          .then = {{.in = ip4(pool4, pool4b).id(ID) / icmp4_echo_request(40007, 1),
                    .expect = drop(dp::REASON_no_binding)}},
      },
  };
}

// The datagram that neighbour6 got by a hairpin, as each of the three networks shows it.
Packet received(size_t size) {
  return ip6(pool6, neighbour6).hop_limit(1) / udp(40001, 5678) / payload(size);
}
Packet under_way(size_t size) {
  return ip4(pool4, pool4).ttl(1).id(ID) / udp(40001, 40002) / payload(size);
}
Packet sent(size_t size) {
  return ip6(client6, pool6).hop_limit(1) / udp(1234, 40002) / payload(size);
}

// neighbour6's error about it, in both passes; it moves nothing.
Vector error_hairpin(std::string name, std::string rfc, size_t size, const Icmp &by_neighbour,
                     const Icmp &between4, const Icmp &to_client) {
  return Vector{
      .name = std::move(name),
      .rfc = std::move(rfc),
      .given = {.sessions = {session_of_client(UDP).expires_in(50),
                             session_of_neighbour(UDP).expires_in(50)}},
      .in = ip6(neighbour6, pool6) / by_neighbour / received(size),
      .expect = error_from6,
      .out = between() / between4 / under_way(size),
      .bpf = punt(dp::REASON_punt_icmp_error),
      .then = {{.in = between() / between4 / under_way(size),
                .expect = error_from4,
                .out = ip6(pool6, client6) / to_client / sent(size),
                .bpf = punt(dp::REASON_punt_icmp_error),
                .leaves = {session_of_client(UDP).expires_in(50),
                           session_of_neighbour(UDP).expires_in(50)}}},
  };
}

std::vector<Vector> error_hairpins() {
  Vector of_tcp{
      .name = "an error about a TCP hairpin reaches the sender about its own segment",
      .rfc = "RFC 6146 3.6.1, 3.8, RFC 5382 REQ-10",
      .given = {.sessions = {session_of_client(TCP).state(dp::STATE_ESTABLISHED),
                             session_of_neighbour(TCP).state(dp::STATE_ESTABLISHED)}},
      .in = ip6(neighbour6, pool6) / icmp6_unreachable(1) / ip6(pool6, neighbour6).hop_limit(1) /
            tcp(40001, 5678).ack(1),
      .expect = error_from6,
      .out = between() / icmp4_unreachable(10) / ip4(pool4, pool4).ttl(1).id(ID) /
             tcp(40001, 40002).ack(1),
      .bpf = punt(dp::REASON_punt_icmp_error),
      .then = {{.in = between() / icmp4_unreachable(10) / ip4(pool4, pool4).ttl(1).id(ID) /
                      tcp(40001, 40002).ack(1),
                .expect = error_from4,
                .out = ip6(pool6, client6) / icmp6_unreachable(1) /
                       ip6(client6, pool6).hop_limit(1) / tcp(1234, 40002).ack(1),
                .bpf = punt(dp::REASON_punt_icmp_error),
                .leaves = {session_of_client(TCP).state(dp::STATE_ESTABLISHED),
                           session_of_neighbour(TCP).state(dp::STATE_ESTABLISHED)}}},
  };
  Vector forged{
      .name = "an error about a hairpin that never was goes nowhere",
      .rfc = "RFC 5508 REQ-5",
      .given = {.bindings = two_hosts(UDP)},
      .in = ip6(neighbour6, pool6) / icmp6_unreachable(4) / received(20),
      .expect = drop(dp::REASON_error_without_session),
      .bpf = punt(dp::REASON_punt_icmp_error),
  };
  const std::string rfc = "RFC 6146 3.6.1, 3.8, RFC 5508 REQ-7, RFC 7915 4.2, 5.2";
  return {
      error_hairpin("port unreachable about a hairpin reaches the sender", rfc, 20,
                    icmp6_unreachable(4), icmp4_unreachable(3), icmp6_unreachable(4)),
      error_hairpin("time exceeded about a hairpin reaches the sender", rfc, 20,
                    icmp6_time_exceeded(), icmp4_time_exceeded(), icmp6_time_exceeded()),
      error_hairpin("too big about a hairpin says its MTU less 20, and 20 more", rfc, 500,
                    icmp6_too_big(1400), icmp4_frag_needed(1380), icmp6_too_big(1400)),
      of_tcp,
      forged,
  };
}

} // namespace

std::vector<Vector> hairpin_vectors() {
  std::vector<Vector> all;
  for (auto some : {udp_hairpins, tcp_hairpins, ping_hairpins, error_hairpins}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
