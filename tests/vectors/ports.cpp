// SPDX-License-Identifier: MIT
//
// Which port a binding gets: alike (RFC 4787 REQ-3a, REQ-4), rested (RFC 6888 REQ-8), from an
// address that does not drain, and within the subscriber's quota of bindings.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);
const Ipv6 server6b = pref64(server4b);

BindingState bound(Protocol protocol, uint16_t inside, uint16_t pool) {
  return binding(protocol, {neighbour6, inside}, {pool4, pool});
}

Ipv4 nth_pool4(uint8_t n) {
  Ipv4 address = pool4;
  address.bytes[3] = static_cast<uint8_t>(address.bytes[3] + n);
  return address;
}

// From client6:inside, with a pool of two or three ports, this one and no other.
Vector alike(std::string name, Protocol protocol, uint16_t low, uint16_t high, uint16_t inside,
             uint16_t expected) {
  Vector vector{.name = std::move(name),
                .rfc = "RFC 4787 REQ-3a, REQ-4, RFC 6146 3.5.1.1",
                .given = {.policy = {with_pool({{pool4, low, high}})}},
                .expect = FORWARD,
                .counts = a_new_flow};
  if (protocol == UDP) {
    vector.in = ip6(client6, server6) / udp(inside, 53);
    vector.out = ip4(pool4, server4).any_id() / udp(expected, 53);
  } else {
    vector.in = ip6(client6, server6) / tcp(inside, 80).syn();
    vector.out = ip4(pool4, server4).any_id() / tcp(expected, 80).syn();
  }
  return vector;
}

std::vector<Vector> alike_vectors() {
  return {
      alike("a UDP port below 1024 stays below", UDP, 1022, 1026, 53, 1023),
      alike("an even UDP port below 1024 stays below and even", UDP, 1022, 1026, 54, 1022),
      alike("a UDP port from 1024 on stays there", UDP, 1022, 1025, 53001, 1025),
      alike("a TCP port below 1024 stays below", TCP, 1023, 1026, 22, 1023),
      alike("a TCP port from 1024 on stays there", TCP, 1000, 1024, 2222, 1024),
      alike("an even UDP port stays even", UDP, 5000, 5001, 1234, 5000),
      alike("an odd UDP port stays odd", UDP, 5000, 5001, 1235, 5001),
      alike("a port below 1024 gets a higher one where there is no other", UDP, 5000, 5001, 53,
            5001),
      alike("a port from 1024 on gets a lower one where there is no other", TCP, 700, 700, 5000,
            700),
      Vector{
          .name = "an even UDP port becomes odd where no even one is free",
          .rfc = "RFC 4787 REQ-4",
          .given = {.policy = {with_pool({{pool4, 5000, 5001}})},
                    .bindings = {bound(UDP, 2, 5000)}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(5001, 53),
          .counts = a_new_flow,
          .bpf = punt(dp::REASON_punt_port_search),
      },
      Vector{
          .name = "a port below 1024 gets a higher one where none of its kind is free",
          .rfc = "RFC 4787 REQ-3a",
          .given = {.policy = {with_pool({{pool4, 1023, 1024}})},
                    .bindings = {bound(TCP, 2, 1023)}},
          .in = ip6(client6, server6) / tcp(22, 80).syn(),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / tcp(1024, 80).syn(),
          .counts = a_new_flow,
          .bpf = punt(dp::REASON_punt_port_search),
      },
  };
}

SessionState old_flow() {
  return session(UDP, {neighbour6, 2}, {pool4, 5000}, {server4, 53}).expires_in(5);
}

// A host after the flow that had port 5000 has ended.
std::vector<Vector> rest_vectors() {
  const Counts ended = one_ends(dp::WHY_EXPIRED);
  auto from = [](uint16_t inside) { return ip6(client6, server6) / udp(inside, 53); };
  auto at = [](uint16_t pool) { return ip4(pool4, server4).any_id() / udp(pool, 53); };
  Counts again = a_new_flow;
  again[dp::REASON_port_not_rested] = 1;
  // The packet that every vector begins with: the old flow's own.
  Vector rests{
      .name = "a freed port rests while there is another",
      .rfc = "RFC 6888 REQ-8",
      .given = {.policy = {with_pool({{pool4, 5000, 5002}})}, .sessions = {old_flow()}},
      .in = ip4(server4, pool4) / udp(53, 5000),
      .expect = FORWARD,
      .out = ip6(server6, neighbour6) / udp(53, 2),
      .then = {sweep_after(301, ended, {}),
               {.in = from(10), .expect = FORWARD, .out = at(5002), .counts = a_new_flow},
               {.in = from(12), .expect = FORWARD, .out = at(5001), .counts = a_new_flow},
               // Nothing else is left.
               {.in = from(14), .expect = FORWARD, .out = at(5000), .counts = again}},
  };
  Vector over = rests;
  over.name = "a freed port is free after its rest";
  over.given.policy = {with_pool({{pool4, 5000, 5000}})};
  over.then = {
      sweep_after(301, ended, {}),
      {.after = 125, .in = from(10), .expect = FORWARD, .out = at(5000), .counts = a_new_flow}};
  Vector early = over;
  early.name = "a freed port rests for two minutes";
  early.then[1].after = 119;
  early.then[1].counts = again;
  Vector off = over;
  off.name = "without a rest a freed port is free at once";
  off.given.policy.push_back(with_port_rest(0));
  off.then[1].after = 0;
  Vector other = over;
  other.name = "a port that rests for UDP is free for TCP";
  other.then[1] = {.in = ip6(client6, server6) / tcp(10, 80).syn(),
                   .expect = FORWARD,
                   .out = ip4(pool4, server4).any_id() / tcp(5000, 80).syn(),
                   .counts = a_new_flow};
  return {rests, over, early, off, other};
}

std::vector<Vector> quota_vectors() {
  return {
      Vector{
          .name = "the subscriber has all the bindings it may have",
          .rfc = "RFC 6888 REQ-4",
          .given = {.policy = {with_binding_quota(1)}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
          .then = {{.in = ip6(client6b, server6) / udp(1234, 53),
                    .expect = drop(dp::REASON_binding_quota),
                    .answer = icmp6_unreachable(1),
                    .leaves = {no_binding(UDP, {client6b, 1234})}}},
      },
      Vector{
          .name = "a binding more than the quota is none where the binding is there",
          .rfc = "RFC 6888 REQ-4",
          .given = {.policy = {with_binding_quota(1)}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
          .then = {{.in = ip6(client6, server6b) / udp(1234, 53),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4b).any_id() / udp(port("p"), 53),
                    .counts = a_new_session}},
      },
      Vector{
          .name = "a binding that has ended no longer counts",
          .rfc = "RFC 6888 REQ-4",
          .given = {.policy = {with_binding_quota(1)}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
          .then = {sweep_after(301, one_ends(dp::WHY_EXPIRED), {}),
                   {.in = ip6(client6, server6) / udp(1236, 53),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / udp(port("q"), 53),
                    .counts = a_new_flow},
                   {.in = ip6(client6, server6) / udp(1238, 53),
                    .expect = drop(dp::REASON_binding_quota),
                    .answer = icmp6_unreachable(1)}},
      },
      Vector{
          .name = "one subscriber's quota of bindings is not another's",
          .rfc = "RFC 6888 REQ-4",
          .given = {.policy = {with_binding_quota(1)}, .bindings = {bound(UDP, 2, 5000)}},
          .in = ip6(client6, server6) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53),
          .counts = a_new_flow,
      },
  };
}

// pool4 drains, pool4b does not.
std::vector<Vector> drain_vectors() {
  const PolicyChange draining = with_pool({{pool4, 1024, 65535, true}, {pool4b, 5000, 5001}});
  const SessionState flow = session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53});
  return {
      Vector{
          .name = "a binding on an address that drains goes on",
          .rfc = "RFC 6146 3.5.1",
          .given = {.policy = {draining}, .sessions = {flow}},
          .in = ip6(client6, server6b) / udp(1234, 53),
          .expect = FORWARD,
          .out = ip4(pool4, server4b).any_id() / udp(40001, 53),
          .counts = a_new_session,
          .then = {{.in = ip4(server4, pool4) / udp(53, 40001),
                    .expect = FORWARD,
                    .out = ip6(server6, client6) / udp(53, 1234)}},
      },
      Vector{
          .name = "a new binding is on an address that does not drain",
          .rfc = "RFC 6146 3.5.1.1",
          .given = {.policy = {draining}, .sessions = {flow}},
          .in = ip6(client6, server6) / udp(1236, 53),
          .expect = FORWARD,
          .out = ip4(pool4b, server4).any_id() / udp(5000, 53),
          .counts = a_new_flow,
      },
      Vector{
          .name = "an address that drains helps nobody out",
          .rfc = "RFC 6146 3.5.1.1",
          .given = {.policy = {draining},
                    .bindings = {binding(UDP, {neighbour6, 2}, {pool4b, 5000}),
                                 binding(UDP, {neighbour6, 4}, {pool4b, 5001})}},
          .in = ip6(client6, server6) / udp(1236, 53),
          .expect = drop(dp::REASON_no_port),
          .answer = icmp6_unreachable(3),
          .bpf = punt(dp::REASON_punt_port_search),
      },
  };
}

// pool4 and so many behind it, with a port each. pool4 is client6's own, and has none left.
Given own_is_full(uint8_t others, uint8_t draining) {
  std::vector<PoolRange> pool;
  for (uint8_t i = 0; i <= others; i++)
    pool.push_back({nth_pool4(i), 5000, 5000, i > 0 && i <= draining});
  return {.policy = {with_pool(pool)},
          .bindings = {bound(UDP, 2, 5000)},
          .subscribers = {{client6, pool4, 1}}};
}

// Chances 1 to 6 begin to search at each of the six addresses.
Vector past_draining(uint32_t random) {
  return {
      .name =
          "four addresses that drain do not hide a free one, with chance " + std::to_string(random),
      .rfc = "RFC 6146 3.5.1.1",
      .given = own_is_full(5, 4),
      .random = random,
      .in = ip6(client6, server6) / udp(1234, 53),
      .expect = FORWARD,
      .out = ip4(nth_pool4(5), server4).any_id() / udp(5000, 53),
      .counts = a_new_flow,
      .bpf = punt(dp::REASON_punt_port_search),
  };
}

// Each flow fills one more address, and the last one finds that all are.
Vector past_full() {
  auto from = [](uint16_t inside) { return ip6(client6, server6) / udp(inside, 53); };
  auto at = [](uint8_t n) { return ip4(nth_pool4(n), server4).any_id() / udp(5000, 53); };
  Vector vector{
      .name = "five addresses that are full do not hide a free one",
      .rfc = "RFC 6146 3.5.1.1",
      .given = own_is_full(6, 0),
      .random = 5, // the search begins with pool4
      .in = from(1001),
      .expect = FORWARD,
      .out = at(1),
      .counts = a_new_flow,
      .bpf = punt(dp::REASON_punt_port_search),
  };
  for (uint8_t n = 2; n <= 6; n++)
    vector.then.push_back({.in = from(static_cast<uint16_t>(1000 + n)),
                           .expect = FORWARD,
                           .out = at(n),
                           .counts = a_new_flow});
  vector.then.push_back(
      {.in = from(1007), .expect = drop(dp::REASON_no_port), .answer = icmp6_unreachable(3)});
  return vector;
}

std::vector<Vector> elsewhere_vectors() {
  std::vector<Vector> vectors{past_full()};
  for (uint32_t chance = 1; chance <= 6; chance++)
    vectors.push_back(past_draining(chance));
  return vectors;
}

} // namespace

std::vector<Vector> port_vectors() {
  std::vector<Vector> all;
  for (auto some : {alike_vectors, rest_vectors, quota_vectors, drain_vectors, elsewhere_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
