// SPDX-License-Identifier: MIT
//
// Which packets are ours, and which addresses no packet may have. RFC 6052's prefixes of all
// lengths.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);

const Ipv4 private_hosts[] = {
    address4("10.1.2.3"),    address4("172.16.0.1"),     address4("192.0.0.1"),
    address4("198.18.0.1"),  address4("198.19.255.255"), address4("172.31.255.1"),
    address4("192.168.1.1"), address4("100.64.0.1"),     address4("169.254.1.1")};

Packet datagram() {
  return udp(1234, 53) / payload(8);
}

// A client that lies in none of the prefixes of the examples (RFC 9637's documentation range).
const Ipv6 far6 = address6("3fff:64::10");

Given far_client(const Prefix6 &prefix) {
  return {.policy = {with_prefixes({prefix}), with_allowed({prefix6("3fff::/20")})}};
}

// Out and back through one prefix; every octet of the IPv4 address is another, so that an octet in
// the wrong place shows.
Vector prefix_vector(const char *text) {
  Prefix6 prefix = prefix6(text);
  Ipv4 remote = address4("198.51.100.33");
  Ipv6 remote6 = embed(prefix, remote);
  return {.name = std::string("prefix ") + text,
          .rfc = "RFC 6052 2.2",
          .given = far_client(prefix),
          .in = ip6(far6, remote6) / datagram(),
          .expect = FORWARD,
          .out = ip4(pool4, remote).any_id() / udp(port("p"), 53) / payload(8),
          .counts = a_new_flow,
          .leaves = {session(UDP, {far6, 1234}, {pool4, port("p")}, {remote, 53}).prefix(prefix)},
          .then = {{.in = ip4(remote, pool4) / udp(53, port("p")) / payload(3),
                    .expect = FORWARD,
                    .out = ip6(remote6, far6) / udp(53, 1234) / payload(3)}}};
}

// The address that RFC 6052 2.4 gives for 192.0.2.33, typed in from there.
Vector rfc_example(const char *text, const char *address) {
  return {.name = std::string("the RFC's example for ") + text,
          .rfc = "RFC 6052 2.4",
          .given = far_client(prefix6(text)),
          .in = ip6(far6, address6(address)) / datagram(),
          .expect = FORWARD,
          .out = ip4(pool4, address4("192.0.2.33")).any_id() / udp(port("p"), 53) / payload(8),
          .counts = a_new_flow,
          .then = {{.in = ip4(address4("192.0.2.33"), pool4) / udp(53, port("p")) / payload(3),
                    .expect = FORWARD,
                    .out = ip6(address6(address), far6) / udp(53, 1234) / payload(3)}}};
}

std::vector<Vector> prefix_vectors() {
  Prefix6 first = prefix6("2001:db8:1::/96"), second = prefix6("2001:db8:2::/96");
  return {
      prefix_vector("2001:db8::/32"),
      prefix_vector("2001:db8:100::/40"),
      prefix_vector("2001:db8:122::/48"),
      prefix_vector("2001:db8:122:300::/56"),
      prefix_vector("2001:db8:122:344::/64"),
      prefix_vector("2001:db8:122:344::/96"),
      prefix_vector("64:ff9b::/96"),
      prefix_vector("64:ff9b:1::/48"),
      rfc_example("2001:db8::/32", "2001:db8:c000:221::"),
      rfc_example("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
      rfc_example("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
      rfc_example("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
      rfc_example("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
      rfc_example("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
      Vector{
          .name = "the suffix behind the IPv4 address is ignored on the way out",
          .rfc = "RFC 6052 2.3",
          .given = {.policy = {with_prefixes({prefix6("2001:db8:122::/48")})}},
          .in = ip6(client6, address6("2001:db8:122:c000:2:21ff:ffff:ffff")) / datagram(),
          .expect = FORWARD,
          .out = ip4(pool4, address4("192.0.2.33")).any_id() / udp(port("p"), 53) / payload(8),
          .counts = a_new_flow,
      },
      Vector{
          .name = "two prefixes each answer under their own",
          .rfc = "RFC 6146 3.5",
          .given = {.policy = {with_prefixes({first, second})}},
          .in = ip6(client6, embed(second, server4)) / datagram(),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / udp(port("p"), 53) / payload(8),
          .counts = a_new_flow,
          .then = {{.in = ip4(server4, pool4) / udp(53, port("p")),
                    .expect = FORWARD,
                    .out = ip6(embed(second, server4), client6) / udp(53, 1234)}},
      },
      Vector{
          .name = "a stranger to a binding appears under the first prefix",
          .rfc = "RFC 6146 3.5.1",
          .given = {.policy = {with_prefixes({first, second})},
                    .sessions = {session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53})
                                     .prefix(second)}},
          .in = ip4(server4b, pool4) / udp(9, 40001),
          .expect = FORWARD,
          .out = ip6(embed(first, server4b), client6) / udp(9, 1234),
          .counts = a_new_session,
      },
  };
}

std::vector<Vector> ours_vectors() {
  return {
      Vector{
          .name = "IPv6 to an address outside the prefix is not ours",
          .rfc = "RFC 6146 3.5",
          .in = ip6(client6, elsewhere6) / datagram(),
          .expect = PASS,
      },
      Vector{
          .name = "IPv6 next to the prefix is not ours",
          .rfc = "RFC 6146 3.5",
          .in = ip6(client6, address6("64:ff9b::1:c633:6450")) / datagram(),
          .expect = PASS,
      },
      Vector{
          .name = "IPv4 to an address outside the pool is not ours",
          .rfc = "RFC 6146 3.5",
          .in = ip4(server4, elsewhere4) / datagram(),
          .expect = PASS,
      },
      Vector{
          .name = "IPv4 to an address next to the pool is not ours",
          .rfc = "RFC 6146 3.5",
          .in = ip4(server4, pool4b) / datagram(),
          .expect = PASS,
      },
      Vector{
          .name = "every address of a pool of many is ours",
          .rfc = "RFC 6146 3.5",
          .given = {.policy = {with_pool({{address4("203.0.113.1")},
                                          {address4("203.0.113.2")},
                                          {address4("203.0.113.3")},
                                          {pool4},
                                          {pool4b}})},
                    .bindings = {binding(UDP, {client6, 1234}, {pool4b, 40001})}},
          .in = ip4(server4, pool4b) / udp(53, 40001),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234),
          .counts = a_new_session,
          .then = {{.in = ip4(server4, address4("203.0.113.1")) / udp(53, 40001),
                    .expect = drop(dp::REASON_no_binding)},
                   {.in = ip4(server4, address4("203.0.113.4")) / udp(53, 40001), .expect = PASS}},
      },
      Vector{
          .name = "without a policy nothing is ours",
          .rfc = "",
          .given = {.policy = {with_prefixes({}), with_pool({}), with_allowed({})}},
          .in = ip6(client6, server6) / datagram(),
          .expect = PASS,
          .then = {{.in = ip4(server4, pool4) / datagram(), .expect = PASS}},
      },
  };
}

Vector bad_source6(const char *text) {
  return {.name = std::string("source ") + text,
          .rfc = "RFC 7915 5",
          .given = {.policy = {with_allowed({prefix6("::/0")})}},
          .in = ip6(address6(text), server6) / datagram(),
          .expect = drop(dp::REASON_bad_source)};
}

Vector bad_source4(const char *text) {
  return {.name = std::string("source ") + text,
          .rfc = "RFC 7915 4",
          .given = {.bindings = {binding(UDP, {client6, 1234}, {pool4, 40001})}},
          .in = ip4(address4(text), pool4) / udp(53, 40001),
          .expect = drop(dp::REASON_bad_source)};
}

Vector bad_destination(const char *text) {
  return {.name = std::string("destination ") + text + " inside the prefix",
          .rfc = "RFC 6052 3.1",
          .in = ip6(client6, pref64(address4(text))) / datagram(),
          .expect = drop(dp::REASON_bad_destination)};
}

std::vector<Vector> address_vectors() {
  std::vector<Vector> all{
      bad_source6("::"),
      bad_source6("::1"),
      bad_source6("::ffff:192.0.2.1"),
      bad_source6("fe80::1"),
      bad_source6("ff02::1"),
      bad_source4("0.0.0.0"),
      bad_source4("0.1.2.3"),
      bad_source4("127.0.0.1"),
      bad_source4("224.0.0.1"),
      bad_source4("240.0.0.1"),
      bad_source4("255.255.255.255"),
      bad_destination("0.0.0.0"),
      bad_destination("127.0.0.1"),
      bad_destination("224.0.0.251"),
      bad_destination("240.0.0.1"),
      bad_destination("255.255.255.255"),
      Vector{
          .name = "an IPv6 source inside the prefix is a loop",
          .rfc = "RFC 6146 3.5, 5.4",
          .given = {.policy = {with_allowed({prefix6("::/0")})}},
          .in = ip6(pref64(server4b), server6) / datagram(),
          .expect = drop(dp::REASON_source_in_prefix),
      },
      Vector{
          .name = "an IPv6 source inside another of our prefixes is a loop",
          .rfc = "RFC 6146 3.5, 5.4",
          .given = {.policy = {with_prefixes({well_known_prefix, prefix6("2001:db8:2::/96")}),
                               with_allowed({prefix6("::/0")})}},
          .in = ip6(address6("2001:db8:2::c633:6450"), server6) / datagram(),
          .expect = drop(dp::REASON_source_in_prefix),
      },
      Vector{
          .name = "documentation addresses pass under the well known prefix",
          .rfc = "RFC 6052 3.1",
          .in = ip6(client6, pref64(address4("192.0.2.1"))) / datagram(),
          .expect = FORWARD,
          .out = ip4(pool4, address4("192.0.2.1")).any_id() / udp(port("p"), 53) / payload(8),
          .counts = a_new_flow,
      },
      Vector{
          .name = "a public address beside a private range passes",
          .rfc = "RFC 6052 3.1",
          .in = ip6(client6, pref64(address4("172.32.0.1"))) / datagram(),
          .expect = FORWARD,
          .out = ip4(pool4, address4("172.32.0.1")).any_id() / udp(port("p"), 53) / payload(8),
          .counts = a_new_flow,
      },
      Vector{
          .name = "a private source does not appear under the well known prefix",
          .rfc = "RFC 6052 3.1",
          .given = {.bindings = {binding(UDP, {client6, 1234}, {pool4, 40001})}},
          .in = ip4(private_hosts[0], pool4) / udp(53, 40001),
          .expect = drop(dp::REASON_private_destination),
      },
  };
  for (const Ipv4 &host : private_hosts) {
    all.push_back({.name = "private " + host.text() + " under the well known prefix",
                   .rfc = "RFC 6052 3.1",
                   .in = ip6(client6, pref64(host)) / datagram(),
                   .expect = drop(dp::REASON_private_destination)});
    all.push_back({.name = "private " + host.text() + " where it is allowed",
                   .rfc = "RFC 6052 3.1",
                   .given = {.policy = {with_private_ipv4_allowed()}},
                   .in = ip6(client6, pref64(host)) / datagram(),
                   .expect = FORWARD,
                   .out = ip4(pool4, host).any_id() / udp(port("p"), 53) / payload(8),
                   .counts = a_new_flow});
  }
  Prefix6 own = prefix6("2001:db8:122::/48");
  all.push_back({.name = "a private address under a prefix of one's own",
                 .rfc = "RFC 6052 3.1",
                 .given = {.policy = {with_prefixes({own})}},
                 .in = ip6(client6, embed(own, private_hosts[0])) / datagram(),
                 .expect = FORWARD,
                 .out = ip4(pool4, private_hosts[0]).any_id() / udp(port("p"), 53) / payload(8),
                 .counts = a_new_flow});
  return all;
}

} // namespace

std::vector<Vector> classify_vectors() {
  std::vector<Vector> all;
  for (auto some : {prefix_vectors, ours_vectors, address_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
