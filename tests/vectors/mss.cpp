// SPDX-License-Identifier: MIT
//
// What SYNs announce: lowered where the gateway's links carry less, in both directions, and nothing
// else about them.
#include "vectors.h"

#include <fmt/format.h>

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);

constexpr uint16_t largest = 1340, beyond = 8940; // they differ in both bytes
constexpr int ID = 0x1234; // what the default random number makes of an identification
const Counts lowered{{dp::REASON_mss_clamped, 1}};

// client6:1234 speaks with server4:80 through pool4:40001.
SessionState flow() {
  return session(TCP, {client6, 1234}, {pool4, 40001}, {server4, 80}).state(dp::STATE_V6_INIT);
}

Given clamping() {
  return {.policy = {with_largest_segment(largest)}, .sessions = {flow()}};
}

Tcp outbound() {
  return tcp(1234, 80).seq(100);
}
Tcp outbound_translated() {
  return tcp(40001, 80).seq(100);
}
Tcp inbound() {
  return tcp(80, 40001).seq(900).ack(101);
}
Tcp inbound_translated() {
  return tcp(80, 1234).seq(900).ack(101);
}

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes &part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

Bytes mss(uint16_t value) {
  return {2, 4, static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

// SYN and SYN-ACK with these options, which leave as those.
std::vector<Vector> both_ways(const std::string &name, const Bytes &in, const Bytes &out) {
  const Counts counts = in == out ? Counts{} : lowered;
  return {Vector{
              .name = name + ", to IPv4",
              .rfc = "RFC 9293 3.7.1",
              .given = clamping(),
              .in = ip6(client6, server6) / outbound().syn().option(in) / payload(3),
              .expect = FORWARD,
              .out = ip4(pool4, server4).any_id() / outbound_translated().syn().option(out) /
                     payload(3),
              .counts = counts,
          },
          Vector{
              .name = name + ", to IPv6",
              .rfc = "RFC 9293 3.7.1",
              .given = clamping(),
              .in = ip4(server4, pool4) / inbound().syn().option(in) / payload(3),
              .expect = FORWARD,
              .out = ip6(server6, client6) / inbound_translated().syn().option(out) / payload(3),
              .counts = counts,
          }};
}

// --- where it stands -----------------------------------------------------------------------------

std::vector<Vector> option_vectors() {
  const Bytes nop{1}, sack{4, 2}, window{3, 3, 7}, stamp{8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
  const Bytes end{0};
  struct Row {
    const char *name;
    Bytes in, out;
  };
  auto before = [](const Bytes &options) {
    return Row{"", joined({options, mss(beyond)}), joined({options, mss(largest)})};
  };
  auto named = [](const char *name, Row row) { return row.name = name, row; };
  auto stays = [](const char *name, const Bytes &options) { return Row{name, options, options}; };
  const std::vector<Row> rows = {
      named("an MSS beyond what the links carry is lowered", before({})),
      {"the largest MSS is lowered", mss(65535), mss(largest)},
      {"an MSS one too large is lowered", mss(largest + 1), mss(largest)},
      {"an MSS among the options of Linux is lowered",
       joined({mss(beyond), sack, stamp, nop, window}),
       joined({mss(largest), sack, stamp, nop, window})},
      named("an MSS behind other options is lowered",
            before(joined({sack, stamp, sack, nop, nop}))),
      named("an MSS at an odd offset is lowered", before(nop)),
      named("an MSS behind three bytes of window scale is lowered", before(window)),
      named("an MSS behind options of any kind is lowered", before({253, 6, 2, 4, 34, 236})),
      named("an MSS in the last four of forty bytes is lowered", before(Bytes(36, 1))),
      named("an MSS of another length is an option like any other", before({2, 6, 34, 236, 0, 0})),
      {"of two MSS the first is lowered", joined({mss(beyond), mss(beyond)}),
       joined({mss(largest), mss(beyond)})},
      stays("an MSS of just what the links carry stays", mss(largest)),
      stays("a smaller MSS stays", mss(536)),
      stays("an MSS of zero stays", mss(0)),
      stays("without an MSS none is added", joined({sack, stamp})),
      stays("without options none is added", {}),
      stays("forty bytes without an MSS stay", Bytes(40, 1)),
      stays("an MSS behind the end of the options stays",
            joined({end, nop, nop, nop, mss(beyond)})),
      stays("an option of length 0 ends the search for the MSS",
            joined({{8, 0}, nop, nop, mss(beyond)})),
      stays("an option of length 1 ends the search for the MSS",
            joined({{8, 1}, nop, nop, mss(beyond)})),
      stays("an option longer than the header ends the search for the MSS",
            joined({{8, 255}, nop, nop, mss(beyond)})),
      stays("an option that covers the MSS hides it", joined({{8, 6}, mss(beyond)})),
      stays("an MSS of length 0 stays", {2, 0, 34, 236}),
      stays("an MSS of length 3 stays", {2, 3, 34, 236}),
      stays("an MSS that the header cuts stays", {1, 1, 2, 4}),
  };
  std::vector<Vector> all;
  for (const Row &row : rows)
    for (const Vector &vector : both_ways(row.name, row.in, row.out))
      all.push_back(vector);
  return all;
}

// --- which packets -------------------------------------------------------------------------------

std::vector<Vector> handshake_vectors() {
  Counts first = a_new_flow, inverse = a_new_session;
  first.insert(lowered.begin(), lowered.end());
  inverse.insert(lowered.begin(), lowered.end());
  return {
      Vector{
          .name = "SYN and SYN-ACK of a connection from IPv6 announce what the links carry",
          .rfc = "RFC 9293 3.7.1",
          .given = {.policy = {with_largest_segment(largest)}},
          .in = ip6(client6, server6) / outbound().syn().mss(1440),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / tcp(port("p"), 80).seq(100).syn().mss(largest),
          .counts = first,
          .then = {{.in =
                        ip4(server4, pool4) / tcp(80, port("p")).seq(900).ack(101).syn().mss(1460),
                    .expect = FORWARD,
                    .out = ip6(server6, client6) / inbound_translated().syn().mss(largest),
                    .counts = lowered}},
      },
      Vector{
          .name = "SYN and SYN-ACK of a connection from IPv4 announce what the links carry",
          .rfc = "RFC 9293 3.7.1",
          .given = clamping(),
          .in = ip4(server4b, pool4) / tcp(5555, 40001).syn().mss(1460),
          .expect = FORWARD,
          .out = ip6(pref64(server4b), client6) / tcp(5555, 1234).syn().mss(largest),
          .counts = inverse,
          .then = {{.in = ip6(client6, pref64(server4b)) / tcp(1234, 5555).syn().ack(1).mss(1440),
                    .expect = FORWARD,
                    .out =
                        ip4(pool4, server4b).any_id() / tcp(40001, 5555).syn().ack(1).mss(largest),
                    .counts = lowered}},
      },
      Vector{
          .name = "what maps translate announces what the links carry",
          .rfc = "RFC 9293 3.7.1, RFC 7757 3",
          .given = {.policy = {with_maps({{"2001:db8:c::1/128", "203.0.113.99/32"}}),
                               with_largest_segment(largest)}},
          .in = ip4(server4, address4("203.0.113.99")) / tcp(80, 443).syn().mss(1460),
          .expect = FORWARD,
          .out = ip6(server6, address6("2001:db8:c::1")) / tcp(80, 443).syn().mss(largest),
          .counts = lowered,
          .then = {{.in = ip6(address6("2001:db8:c::1"), server6) /
                          tcp(443, 80).syn().ack(1).mss(1440),
                    .expect = FORWARD,
                    .out = ip4(address4("203.0.113.99"), server4).any_id() /
                           tcp(443, 80).syn().ack(1).mss(largest),
                    .counts = lowered}},
      },
  };
}

std::vector<Vector> other_segments() {
  return {
      Vector{
          .name = "mss_clamp = false leaves the MSS to the hosts, to IPv4",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / outbound().syn().mss(beyond),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / outbound_translated().syn().mss(beyond),
      },
      Vector{
          .name = "mss_clamp = false leaves the MSS to the hosts, to IPv6",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / inbound().syn().mss(beyond),
          .expect = FORWARD,
          .out = ip6(server6, client6) / inbound_translated().syn().mss(beyond),
      },
      Vector{
          .name = "an MSS in what is no SYN stays, to IPv4",
          .rfc = "RFC 9293 3.7.1",
          .given = clamping(),
          .in = ip6(client6, server6) / outbound().ack(901).mss(beyond) / payload(5),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / outbound_translated().ack(901).mss(beyond) /
                 payload(5),
      },
      Vector{
          .name = "an MSS in what is no SYN stays, to IPv6",
          .rfc = "RFC 9293 3.7.1",
          .given = clamping(),
          .in = ip4(server4, pool4) / inbound().mss(beyond) / payload(5),
          .expect = FORWARD,
          .out = ip6(server6, client6) / inbound_translated().mss(beyond) / payload(5),
      },
      Vector{
          .name = "a SYN behind an MSS that was lowered keeps its own",
          .given = clamping(),
          .in = ip6(client6, server6) / outbound().syn().mss(beyond),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / outbound_translated().syn().mss(largest),
          .counts = lowered,
          .then = {{.in = ip6(client6, server6) / outbound().syn().mss(1000),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / outbound_translated().syn().mss(1000)},
                   {.in = ip6(client6, server6) / icmp6_echo_request(7, 1) / payload(30),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / icmp4_echo_request(port("id"), 1) /
                           payload(30),
                    .counts = a_new_flow}},
      },
  };
}

// --- headers before it ---------------------------------------------------------------------------

std::vector<Vector> header_vectors_before() {
  const Bytes spacing{1, 1, 1, 1};
  auto far = [](const Tcp &segment) { // the TCP header ends four bytes before what is read
    return ip6(client6, server6) / extension(60, Bytes(190, 0)) / segment;
  };
  auto near = [](const Tcp &segment) { return ip4(pool4, server4).any_id() / segment; };
  return {
      Vector{
          .name = "an MSS behind IPv4 options is lowered",
          .rfc = "RFC 9293 3.7.1",
          .given = clamping(),
          .in = ip4(server4, pool4).record_route(3) / inbound().syn().mss(beyond),
          .expect = FORWARD,
          .out = ip6(server6, client6) / inbound_translated().syn().mss(largest),
          .counts = lowered,
          .bpf = punt(dp::REASON_punt_ipv4_options),
      },
      Vector{
          .name = "an MSS behind IPv6 extension headers is lowered",
          .rfc = "RFC 9293 3.7.1",
          .given = clamping(),
          .in = far(outbound().syn().mss(beyond)),
          .expect = FORWARD,
          .out = near(outbound_translated().syn().mss(largest)),
          .counts = lowered,
          .bpf = punt(dp::REASON_punt_extension_headers),
      },
      Vector{
          .name = "an MSS behind more headers than are read stays",
          .rfc = "RFC 9293 3.7.1",
          .given = clamping(),
          .in = far(outbound().syn().option(spacing).mss(beyond)),
          .expect = FORWARD,
          .out = near(outbound_translated().syn().option(spacing).mss(beyond)),
          .bpf = punt(dp::REASON_punt_extension_headers),
      },
  };
}

// --- checksums -----------------------------------------------------------------------------------

// The runner's partial checksums are tried with every vector above.
std::vector<Vector> wrong_checksums() {
  std::vector<Vector> all;
  for (const Bytes &before : {Bytes{}, Bytes{1}}) {
    const char *offset = before.empty() ? "even" : "odd";
    const Bytes in = joined({before, mss(beyond)}), out = joined({before, mss(largest)});
    all.push_back({
        .name = fmt::format("a wrong checksum stays wrong where the MSS is lowered at an {} "
                            "offset, to IPv4",
                            offset),
        .rfc = "RFC 7915 5.5",
        .given = clamping(),
        .in = ip6(client6, server6) / outbound().syn().option(in).bad_checksum(),
        .expect = FORWARD,
        .out =
            ip4(pool4, server4).any_id() / outbound_translated().syn().option(out).bad_checksum(),
        .counts = lowered,
    });
    all.push_back({
        .name = fmt::format("a wrong checksum stays wrong where the MSS is lowered at an {} "
                            "offset, to IPv6",
                            offset),
        .rfc = "RFC 7915 4.5",
        .given = clamping(),
        .in = ip4(server4, pool4) / inbound().syn().option(in).bad_checksum(),
        .expect = FORWARD,
        .out = ip6(server6, client6) / inbound_translated().syn().option(out).bad_checksum(),
        .counts = lowered,
    });
  }
  return all;
}

// --- inside errors -------------------------------------------------------------------------------

std::vector<Vector> quoted_vectors() {
  Given given = clamping();
  given.policy.push_back(without_rst_check());
  return {
      Vector{
          .name = "the MSS of a SYN that an ICMP error is about stays",
          .rfc = "RFC 7915 4.3",
          .given = given,
          .in = ip4(router4, pool4) / icmp4_unreachable(1) / ip4(pool4, server4).ttl(9) /
                outbound_translated().syn().mss(beyond),
          .expect = {dp::VERDICT_FORWARD, dp::REASON_translated_error_4to6},
          .out = ip6(pref64(router4), client6) / icmp6_unreachable(0) /
                 ip6(client6, server6).hop_limit(9) / outbound().syn().mss(beyond),
          .bpf = punt(dp::REASON_punt_icmp_error),
      },
      Vector{
          .name = "the MSS of a SYN-ACK that an ICMPv6 error is about stays",
          .rfc = "RFC 7915 5.3",
          .given = given,
          .in = ip6(client6, server6) / icmp6_unreachable(0) / ip6(server6, client6).hop_limit(9) /
                inbound_translated().syn().mss(beyond),
          .expect = {dp::VERDICT_FORWARD, dp::REASON_translated_error_6to4},
          .out = ip4(pool4, server4).any_id() / icmp4_unreachable(1) /
                 ip4(server4, pool4).ttl(9).id(ID) / inbound().syn().mss(beyond),
          .bpf = punt(dp::REASON_punt_icmp_error),
      },
  };
}

} // namespace

std::vector<Vector> mss_vectors() {
  std::vector<Vector> all;
  for (auto some : {option_vectors, handshake_vectors, other_segments, header_vectors_before,
                    wrong_checksums, quoted_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
