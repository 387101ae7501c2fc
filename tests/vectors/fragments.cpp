// SPDX-License-Identifier: MIT
//
// Fragments: what needs a session is put together first (RFC 6146 3.4), what maps translate goes
// piece by piece (RFC 7915 4.1, 5.1.1), and what IPv6 might not carry whole is cut.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);
const Ipv6 mapped6 = address6("2001:db8:a::7");
const Ipv4 mapped4 = address4("192.0.2.7");

const OnBpf up = punt(dp::REASON_punt_fragment);
const OnBpf up_too_big = punt(dp::REASON_punt_too_big);

Given one_flow() {
  return {
      .sessions = {
          session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53}),
          session(TCP, {client6, 1234}, {pool4, 40002}, {server4, 80}).state(dp::STATE_ESTABLISHED),
          session(ICMP, {client6, 77}, {pool4, 40007}, {server4, 0})}};
}

Given one_map() {
  return {.policy = {with_maps({{"2001:db8:a::/120", "192.0.2.0/24"}})}};
}

// Bytes of what is behind the network header.
Raw part(const Packet &whole, size_t from, size_t size) {
  Bytes bytes = whole.bytes();
  auto start = bytes.begin() + static_cast<ptrdiff_t>((bytes[0] >> 4 == 4 ? 20 : 40) + from);
  return raw(Bytes(start, start + static_cast<ptrdiff_t>(size)));
}

Packet piece4(const Ip4 &header, const Packet &whole, uint16_t from, size_t size, bool more) {
  Ip4 ip = header;
  ip.offset(from).protocol(whole.bytes()[9]);
  if (more)
    ip.mf();
  return ip / part(whole, from, size);
}

Packet piece6(const Ip6 &header, const Packet &whole, uint16_t from, size_t size, bool more,
              uint32_t id) {
  return header / fragment6(from, more, id).next_header(whole.bytes()[6]) / part(whole, from, size);
}

// --- put together --------------------------------------------------------------------------------

// 48 bytes of UDP from the server.
Packet datagram4() {
  return ip4(server4, pool4) / udp(53, 40001) / payload(40);
}

Packet datagram4_out() {
  return ip6(server6, client6) / udp(53, 1234) / payload(40);
}

Packet from_server(uint16_t offset, size_t size, bool more, int id = 7) {
  return piece4(ip4(server4, pool4).id(id), datagram4(), offset, size, more);
}

Packet datagram6() {
  return ip6(client6, server6) / udp(1234, 53) / payload(40);
}

Packet datagram6_out(int id) {
  return ip4(pool4, server4).id(id) / udp(40001, 53) / payload(40);
}

Packet from_client(uint16_t offset, size_t size, bool more, uint32_t id = 0xabcd1234) {
  return piece6(ip6(client6, server6), datagram6(), offset, size, more, id);
}

// Packets in, all but the last are held; then the datagram goes on.
Vector gathered(std::string name, std::string rfc, const std::vector<Packet> &in,
                const Packet &out) {
  Vector vector{.name = std::move(name),
                .rfc = std::move(rfc),
                .given = one_flow(),
                .in = in.front(),
                .expect = HELD,
                .bpf = up};
  for (size_t i = 1; i < in.size(); i++) {
    bool last = i + 1 == in.size();
    vector.then.push_back({.in = in[i],
                           .expect = last ? FORWARD : HELD,
                           .out = last ? out : Packet(),
                           .counts = last ? a_last_fragment : Counts{},
                           .bpf = up});
  }
  return vector;
}

std::vector<Vector> gathering_vectors() {
  const Packet no_sum = ip4(server4, pool4) / udp(53, 40001).checksum(0) / payload(40);
  const Packet reply = ip4(server4, pool4) / icmp4_echo_reply(40007, 3) / payload(40);
  const Packet ping = ip6(client6, server6) / icmp6_echo_request(77, 3) / payload(40);
  const Packet segment = ip4(server4, pool4) / tcp(80, 40002).ack(1) / payload(40);
  const Packet wrong = ip6(client6, server6) / udp(1234, 53).bad_checksum() / payload(40);
  const Ip4 from4 = ip4(server4, pool4).id(9);
  const Ip6 from6 = ip6(client6, server6);
  return {
      gathered("two fragments of IPv4 become one datagram", "RFC 6146 3.4",
               {from_server(0, 24, true), from_server(24, 24, false)}, datagram4_out()),
      gathered("fragments of IPv4 in the wrong order", "RFC 6146 3.4",
               {from_server(40, 8, false), from_server(16, 24, true), from_server(0, 16, true)},
               datagram4_out()),
      gathered("the last fragment of IPv4 in the middle", "RFC 6146 3.4",
               {from_server(0, 16, true), from_server(40, 8, false), from_server(16, 24, true)},
               datagram4_out()),
      gathered("a fragment that comes twice is ignored", "RFC 8200 4.5",
               {from_server(0, 24, true), from_server(0, 24, true), from_server(24, 24, false)},
               datagram4_out()),
      gathered("fragments of two datagrams are kept apart", "RFC 791 3.2",
               {from_server(0, 24, true, 7), from_server(24, 24, false, 8),
                from_server(24, 24, false, 7)},
               datagram4_out()),
      gathered("two fragments of IPv6 become one datagram", "RFC 7915 5.1.1",
               {from_client(0, 24, true), from_client(24, 24, false)}, datagram6_out(0x1234)),
      gathered("fragments of IPv6 in the wrong order", "RFC 7915 5.1.1",
               {from_client(24, 24, false), from_client(0, 24, true)}, datagram6_out(0x1234)),
      gathered("a wrong checksum in fragments stays wrong", "RFC 7915 1.2",
               {piece6(from6, wrong, 0, 24, true, 7), piece6(from6, wrong, 24, 24, false, 7)},
               ip4(pool4, server4).id(7) / udp(40001, 53).bad_checksum() / payload(40)),
      gathered("fragments of a datagram without a checksum get one", "RFC 6146 3.4",
               {piece4(from4, no_sum, 0, 24, true), piece4(from4, no_sum, 24, 24, false)},
               datagram4_out()),
      gathered("fragments of an echo reply", "RFC 6146 3.5.3",
               {piece4(from4, reply, 0, 24, true), piece4(from4, reply, 24, 24, false)},
               ip6(server6, client6) / icmp6_echo_reply(77, 3) / payload(40)),
      gathered("fragments of an echo request", "RFC 6146 3.5.3",
               {piece6(from6, ping, 0, 24, true, 7), piece6(from6, ping, 24, 24, false, 7)},
               ip4(pool4, server4).id(7) / icmp4_echo_request(40007, 3) / payload(40)),
      gathered("fragments of a segment", "RFC 6146 3.4",
               {piece4(from4, segment, 0, 24, true), piece4(from4, segment, 24, 36, false)},
               ip6(server6, client6) / tcp(80, 1234).ack(1) / payload(40)),
      gathered("the first fragment says the hop limit and the traffic class", "RFC 8200 4.5",
               {piece6(ip6(client6, server6).hop_limit(9).traffic_class(0x10), datagram6(), 24, 24,
                       false, 7),
                piece6(ip6(client6, server6).hop_limit(33).traffic_class(0x2a), datagram6(), 0, 24,
                       true, 7)},
               ip4(pool4, server4).id(7).ttl(33).tos(0x2a) / udp(40001, 53) / payload(40)),
      gathered("congestion that one fragment met is the datagram's", "RFC 3168 5.3",
               {piece6(ip6(client6, server6).traffic_class(2), datagram6(), 0, 24, true, 7),
                piece6(ip6(client6, server6).traffic_class(3), datagram6(), 24, 24, false, 7)},
               ip4(pool4, server4).id(7).tos(3) / udp(40001, 53) / payload(40)),
      Vector{
          .name = "an atomic fragment of IPv6",
          .rfc = "RFC 7915 5.1.1",
          .given = one_flow(),
          .in = from_client(0, 48, false),
          .expect = FORWARD,
          .out = datagram6_out(0x1234),
          .bpf = up,
      },
      Vector{
          .name = "a fragment behind hop by hop options",
          .rfc = "RFC 7915 5.1",
          .given = one_flow(),
          .in = ip6(client6, server6) / hop_by_hop() / fragment6(0, true, 7).next_header(17) /
                part(datagram6(), 0, 24),
          .expect = HELD,
          .bpf = punt(dp::REASON_punt_extension_headers),
          .then = {{.in = from_client(24, 24, false, 7),
                    .expect = FORWARD,
                    .out = datagram6_out(7),
                    .counts = a_last_fragment,
                    .bpf = up}},
      },
  };
}

// --- what does not become whole ------------------------------------------------------------------

std::vector<Vector> stray_vectors() {
  const Packet overlapping = from_server(16, 24, true);
  return {
      Vector{
          .name = "fragments that overlap give the datagram up",
          .rfc = "RFC 5722 4",
          .given = one_flow(),
          .in = from_server(0, 24, true),
          .expect = HELD,
          .bpf = up,
          .then = {{.in = overlapping, .expect = drop(dp::REASON_fragment_overlap), .bpf = up},
                   {.in = from_server(24, 24, false),
                    .expect = drop(dp::REASON_fragment_overlap),
                    .bpf = up},
                   {.in = from_server(0, 24, true),
                    .expect = drop(dp::REASON_fragment_overlap),
                    .bpf = up}},
      },
      Vector{
          .name = "a datagram with two ends is given up",
          .rfc = "RFC 5722 4",
          .given = one_flow(),
          .in = from_server(24, 16, false),
          .expect = HELD,
          .bpf = up,
          .then = {{.in = from_server(40, 8, false),
                    .expect = drop(dp::REASON_fragment_overlap),
                    .bpf = up}},
      },
      Vector{
          .name = "an end before what is there already",
          .rfc = "RFC 5722 4",
          .given = one_flow(),
          .in = from_server(24, 16, true),
          .expect = HELD,
          .bpf = up,
          .then = {{.in = from_server(16, 8, false),
                    .expect = drop(dp::REASON_fragment_overlap),
                    .bpf = up}},
      },
      Vector{
          .name = "a fragment whose others are too late",
          .rfc = "RFC 6146 4",
          .given = one_flow(),
          .in = from_server(0, 24, true),
          .expect = HELD,
          .bpf = up,
          .then = {{.after = 3,
                    .in = from_server(24, 24, false),
                    .expect = HELD,
                    .counts = {{dp::REASON_fragments_missing, 1}},
                    .bpf = up},
                   {.in = from_server(0, 24, true),
                    .expect = FORWARD,
                    .out = datagram4_out(),
                    .counts = a_last_fragment,
                    .bpf = up}},
      },
      Vector{
          .name = "two seconds are not too late",
          .rfc = "RFC 6146 4",
          .given = one_flow(),
          .in = from_server(0, 24, true),
          .expect = HELD,
          .bpf = up,
          .then = {{.after = 2,
                    .in = from_server(24, 24, false),
                    .expect = FORWARD,
                    .out = datagram4_out(),
                    .counts = a_last_fragment,
                    .bpf = up}},
      },
      Vector{
          .name = "fragments to a port that nobody has",
          .rfc = "RFC 6146 3.5.1",
          .in = from_server(0, 24, true),
          .expect = HELD,
          .bpf = up,
          .then = {{.in = from_server(24, 24, false),
                    .expect = drop(dp::REASON_no_binding),
                    .counts = a_last_fragment,
                    .bpf = up}},
      },
      Vector{
          .name = "fragments of a new flow make a session when all are here",
          .rfc = "RFC 6146 3.4",
          .in = from_client(24, 24, false, 7),
          .expect = HELD,
          .bpf = up,
          .leaves = {no_binding(UDP, {client6, 1234})},
          .then = {{.in = from_client(0, 24, true, 7),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).id(7) / udp(port("p"), 53) / payload(40),
                    .counts = {{dp::REASON_fragment_held, 1},
                               {dp::REASON_binding_made, 1},
                               {dp::REASON_session_made, 1}},
                    .bpf = up}},
      },
      Vector{
          .name = "a fragment of a host that is not allowed is not kept",
          .rfc = "RFC 6146 5.3",
          .given = one_flow(),
          .in = ip6(stranger6, server6) / fragment6(0, true, 7).next_header(17) / payload(24),
          .expect = drop(dp::REASON_not_allowed),
          .bpf = up,
      },
      Vector{
          .name = "fragments to somebody else are not ours",
          .rfc = "RFC 6146 3.4",
          .in = ip4(server4, elsewhere4).mf().protocol(17) / payload(24),
          .expect = PASS,
          .bpf = up,
      },
  };
}

Vector bad(std::string name, std::string rfc, const Packet &in,
           std::optional<Icmp> answer = std::nullopt) {
  return Vector{.name = std::move(name),
                .rfc = std::move(rfc),
                .given = one_flow(),
                .in = in,
                .expect = drop(dp::REASON_bad_fragment),
                .answer = std::move(answer),
                .bpf = up};
}

std::vector<Vector> bad_vectors() {
  const Ip6 from6 = ip6(client6, server6);
  return {
      bad("a fragment of IPv4 that does not end at eight bytes", "RFC 791 3.2",
          from_server(0, 23, true)),
      bad("a fragment of IPv6 that does not end at eight bytes", "RFC 8200 4.5",
          from_client(0, 23, true), icmp6_parameter_problem(0, 4)),
      bad("a fragment of IPv6 that reaches beyond 65535", "RFC 8200 4.5",
          from6 / fragment6(65528, false, 7).next_header(17) / payload(8),
          icmp6_parameter_problem(0, 42)),
      bad("a fragment of IPv4 that reaches beyond 65535", "RFC 791 3.2",
          ip4(server4, pool4).id(7).offset(65512).protocol(17) / payload(8)),
      bad("a fragment of nothing", "RFC 8200 4.5", from6 / fragment6(8, true, 7).next_header(17),
          icmp6_parameter_problem(0, 4)),
      bad("a TCP header that ends in the second fragment", "RFC 3128",
          ip4(server4, pool4).id(7).offset(8).protocol(6) / payload(24)),
      Vector{
          .name = "an extension header behind the fragment header",
          .rfc = "RFC 7915 5.1.1",
          .given = one_flow(),
          .in = from6 / fragment6(0, true, 7) / destination_options() / udp(1234, 53) / payload(8),
          .expect = drop(dp::REASON_extension_headers),
          .bpf = up,
      },
      Vector{
          .name = "a fragment of ICMP over IPv6",
          .rfc = "RFC 7915 5.1",
          .given = one_flow(),
          .in = from6 / fragment6(0, true, 7).next_header(1) / payload(24),
          .expect = drop(dp::REASON_icmp_type),
          .bpf = up,
      },
      Vector{
          .name = "a source route in a later fragment is not answered",
          .rfc = "RFC 1812 4.3.2.7",
          .given = one_flow(),
          .in = ip4(server4, pool4).lsrr({server4b}).offset(24).protocol(17) / payload(24),
          .expect = drop(dp::REASON_source_route),
          .bpf = punt(dp::REASON_punt_ipv4_options),
      },
  };
}

// --- cut -----------------------------------------------------------------------------------------

std::vector<Vector> cut_vectors() {
  // 1232 bytes of payload fit behind IPv6 and UDP header, and 1224 of anything behind a Fragment
  // header.
  const Packet longer = ip6(server6, client6) / udp(53, 1234) / payload(1233);
  const Packet big = ip6(server6, client6) / udp(53, 1234) / payload(3000);
  const Packet segment = ip6(server6, client6) / tcp(80, 1234).ack(1) / payload(1400);
  const Packet big_in = ip4(server4, pool4) / udp(53, 40001) / payload(3000);
  const Ip6 out = ip6(server6, client6);
  return {
      Vector{
          .name = "what makes 1280 bytes of IPv6 goes whole",
          .rfc = "RFC 7915 4.1",
          .given = one_flow(),
          .in = ip4(server4, pool4) / udp(53, 40001) / payload(1232),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234) / payload(1232),
      },
      Vector{
          .name = "what makes 1281 bytes of IPv6 and has DF clear is cut",
          .rfc = "RFC 7915 4.1",
          .given = one_flow(),
          .in = ip4(server4, pool4).id(0xbeef) / udp(53, 40001) / payload(1233),
          .expect = FORWARD,
          .bpf = up_too_big,
          .pieces = {piece6(out, longer, 0, 1232, true, 0xbeef),
                     piece6(out, longer, 1232, 9, false, 0xbeef)},
      },
      Vector{
          .name = "what makes 1281 bytes of IPv6 and has DF set goes whole",
          .rfc = "RFC 7915 4.1",
          .given = one_flow(),
          .in = ip4(server4, pool4).df().id(0xbeef) / udp(53, 40001) / payload(1233),
          .expect = FORWARD,
          .out = longer,
      },
      Vector{
          .name = "a larger lowest_ipv6_mtu lets more through whole",
          .rfc = "RFC 7915 4",
          .given = {.policy = {with_lowest_ipv6_mtu(1500)}, .sessions = one_flow().sessions},
          .in = ip4(server4, pool4) / udp(53, 40001) / payload(1452),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234) / payload(1452),
      },
      Vector{
          .name = "a long datagram is cut into three",
          .rfc = "RFC 7915 4.1",
          .given = one_flow(),
          .in = ip4(server4, pool4).id(7) / udp(53, 40001) / payload(3000),
          .expect = FORWARD,
          .bpf = up_too_big,
          .pieces = {piece6(out, big, 0, 1232, true, 7), piece6(out, big, 1232, 1232, true, 7),
                     piece6(out, big, 2464, 544, false, 7)},
      },
      Vector{
          .name = "a checksum left to hardware is done before the cut",
          .rfc = "RFC 7915 4.1",
          .given = one_flow(),
          .in = ip4(server4, pool4).id(7) / udp(53, 40001).partial_checksum() / payload(3000),
          .expect = FORWARD,
          .bpf = up_too_big,
          .pieces = {piece6(out, big, 0, 1232, true, 7), piece6(out, big, 1232, 1232, true, 7),
                     piece6(out, big, 2464, 544, false, 7)},
          .partial_checksum = true,
      },
      Vector{
          .name = "a segment with DF clear is cut, too",
          .rfc = "RFC 7915 4.1",
          .given = one_flow(),
          .in = ip4(server4, pool4).id(7) / tcp(80, 40002).ack(1) / payload(1400),
          .expect = FORWARD,
          .bpf = up_too_big,
          .pieces = {piece6(out, segment, 0, 1232, true, 7),
                     piece6(out, segment, 1232, 188, false, 7)},
      },
      Vector{
          .name = "a super packet with DF clear gets smaller segments",
          .rfc = "RFC 7915 4.1",
          .given = one_flow(),
          .in = ip4(server4, pool4).id(7) / tcp(80, 40002).ack(1) / payload(12000),
          .expect = FORWARD,
          .out = ip6(server6, client6) / tcp(80, 1234).ack(1) / payload(12000),
          .bpf = up_too_big,
          .segments = 9,
          .segment_size = 1440,
          .out_segment_size = 1220,
      },
      Vector{
          .name = "a super packet with DF clear and small segments stays as it is",
          .rfc = "RFC 7915 4.1",
          .given = one_flow(),
          .in = ip4(server4, pool4).id(7) / tcp(80, 40002).ack(1) / payload(12000),
          .expect = FORWARD,
          .out = ip6(server6, client6) / tcp(80, 1234).ack(1) / payload(12000),
          .segments = 10,
          .segment_size = 1220,
      },
      Vector{
          .name = "what the kernel has cut for IPv4 is put together and cut for IPv6",
          .rfc = "RFC 7915 4.1",
          .given = one_flow(),
          .in = piece4(ip4(server4, pool4).id(7), big_in, 0, 1456, true),
          .expect = HELD,
          .bpf = up,
          .then = {{.in = piece4(ip4(server4, pool4).id(7), big_in, 1456, 1456, true),
                    .expect = HELD,
                    .bpf = up},
                   {.in = piece4(ip4(server4, pool4).id(7), big_in, 2912, 96, false),
                    .expect = FORWARD,
                    .counts = a_last_fragment,
                    .bpf = up,
                    .pieces = {piece6(out, big, 0, 1232, true, 7),
                               piece6(out, big, 1232, 1232, true, 7),
                               piece6(out, big, 2464, 544, false, 7)}}},
      },
  };
}

// --- without state -------------------------------------------------------------------------------

Vector carried(std::string name, std::string rfc, const Packet &in, const Packet &out) {
  return Vector{.name = std::move(name),
                .rfc = std::move(rfc),
                .given = one_map(),
                .in = in,
                .expect = FORWARD,
                .out = out,
                .bpf = up};
}

std::vector<Vector> stateless_vectors() {
  const Packet in4 = ip4(server4, mapped4) / udp(53, 1234) / payload(40);
  const Packet out6 = ip6(server6, mapped6) / udp(53, 1234) / payload(40);
  const Packet in6 = ip6(mapped6, server6) / udp(1234, 53) / payload(40);
  const Packet out4 = ip4(mapped4, server4) / udp(1234, 53) / payload(40);
  const Packet no_sum = ip4(server4, mapped4) / udp(53, 1234).checksum(0) / payload(40);
  const Packet big4 = ip4(server4, mapped4) / udp(53, 1234) / payload(3000);
  const Packet big6 = ip6(server6, mapped6) / udp(53, 1234) / payload(3000);
  const Packet reply = ip4(server4, mapped4) / icmp4_echo_reply(5, 3) / payload(40);
  const Packet esp4 = ip4(server4, mapped4).protocol(50) / payload(48);
  const Packet esp6 = ip6(server6, mapped6).next_header(50) / payload(48);
  const Ip4 to4 = ip4(server4, mapped4).id(9), from4 = ip4(mapped4, server4).id(0x1234);
  const Ip6 to6 = ip6(server6, mapped6), from6 = ip6(mapped6, server6);
  return {
      carried("a first fragment of IPv4", "RFC 7915 4.1", piece4(to4, in4, 0, 24, true),
              piece6(to6, out6, 0, 24, true, 9)),
      carried("a later fragment of IPv4", "RFC 7915 4.1", piece4(to4, in4, 24, 16, true),
              piece6(to6, out6, 24, 16, true, 9)),
      carried("the last fragment of IPv4", "RFC 7915 4.1", piece4(to4, in4, 40, 8, false),
              piece6(to6, out6, 40, 8, false, 9)),
      carried("a fragment of IPv4 with DF set", "RFC 7915 4.1",
              piece4(ip4(server4, mapped4).id(9).df(), in4, 0, 24, true),
              piece6(to6, out6, 0, 24, true, 9)),
      carried("a first fragment of IPv6", "RFC 7915 5.1.1",
              piece6(from6, in6, 0, 24, true, 0xabcd1234), piece4(from4, out4, 0, 24, true)),
      carried("a later fragment of IPv6", "RFC 7915 5.1.1",
              piece6(from6, in6, 24, 16, true, 0xabcd1234), piece4(from4, out4, 24, 16, true)),
      carried("the last fragment of IPv6", "RFC 7915 5.1.1",
              piece6(from6, in6, 40, 8, false, 0xabcd1234), piece4(from4, out4, 40, 8, false)),
      carried("a fragment of a protocol that nobody knows", "RFC 7915 4.1",
              piece4(to4, esp4, 0, 24, true), piece6(to6, esp6, 0, 24, true, 9)),
      Vector{
          .name = "a first fragment without a checksum",
          .rfc = "RFC 7915 4.5",
          .given = one_map(),
          .in = piece4(to4, no_sum, 0, 24, true),
          .expect = drop(dp::REASON_udp_zero_checksum_v4),
          .bpf = up,
      },
      Vector{
          .name = "a first fragment with a part of a TCP header",
          .rfc = "RFC 1858",
          .given = one_map(),
          .in = ip4(server4, mapped4).mf().protocol(6) / payload(8),
          .expect = drop(dp::REASON_truncated),
          .bpf = up,
      },
      Vector{
          .name = "an echo reply to a mapped host is put together",
          .rfc = "RFC 7915 1.2",
          .given = one_map(),
          .in = piece4(to4, reply, 0, 24, true),
          .expect = HELD,
          .bpf = up,
          .then = {{.in = piece4(to4, reply, 24, 24, false),
                    .expect = FORWARD,
                    .out = ip6(server6, mapped6) / icmp6_echo_reply(5, 3) / payload(40),
                    .counts = a_last_fragment,
                    .bpf = up}},
      },
      Vector{
          .name = "a fragment that IPv6 may not carry is cut again",
          .rfc = "RFC 7915 4.1",
          .given = one_map(),
          .in = piece4(to4, big4, 1456, 1456, true),
          .expect = FORWARD,
          .bpf = up,
          .pieces = {piece6(to6, big6, 1456, 1232, true, 9), piece6(to6, big6, 2688, 224, true, 9)},
      },
      Vector{
          .name = "a last fragment that IPv6 may not carry is cut again",
          .rfc = "RFC 7915 4.1",
          .given = one_map(),
          .in = piece4(to4, big4, 1456, 1552, false),
          .expect = FORWARD,
          .bpf = up,
          .pieces = {piece6(to6, big6, 1456, 1232, true, 9),
                     piece6(to6, big6, 2688, 320, false, 9)},
      },
  };
}

// --- inside errors -------------------------------------------------------------------------------

Vector about(std::string name, std::string rfc, const Given &given, const Packet &in,
             const Packet &out) {
  bool v6 = in.bytes()[0] >> 4 == 6;
  return Vector{.name = std::move(name),
                .rfc = std::move(rfc),
                .given = given,
                .in = in,
                .expect = {dp::VERDICT_FORWARD, v6 ? dp::REASON_translated_error_6to4
                                                   : dp::REASON_translated_error_4to6},
                .out = out,
                .bpf = punt(dp::REASON_punt_icmp_error)};
}

std::vector<Vector> error_vectors() {
  const Packet sent4 = ip4(pool4, server4) / udp(40001, 53) / payload(40);
  const Packet sent6 = ip6(client6, server6) / udp(1234, 53) / payload(40);
  const Packet got4 = ip4(server4, pool4) / udp(53, 40001) / payload(40);
  const Packet got6 = ip6(server6, client6) / udp(53, 1234) / payload(40);
  const Packet map4 = ip4(mapped4, server4) / udp(1234, 53) / payload(40);
  const Packet map6 = ip6(mapped6, server6) / udp(1234, 53) / payload(40);
  return {
      about("an error about a first fragment", "RFC 7915 4.3", one_flow(),
            ip4(router4, pool4) / icmp4_time_exceeded() /
                piece4(ip4(pool4, server4).id(7), sent4, 0, 24, true),
            ip6(pref64(router4), client6) / icmp6_time_exceeded() /
                piece6(ip6(client6, server6), sent6, 0, 24, true, 7)),
      about("an ICMPv6 error about a first fragment", "RFC 7915 5.3", one_flow(),
            ip6(router6, server6) / icmp6_too_big(1280) /
                piece6(ip6(server6, client6), got6, 0, 24, true, 7),
            ip4(pool4, server4).any_id() / icmp4_frag_needed(1260) /
                piece4(ip4(server4, pool4).id(7), got4, 0, 24, true)),
      about("an error about a later fragment of a mapped host", "RFC 7915 4.3", one_map(),
            ip4(router4, mapped4) / icmp4_time_exceeded() /
                piece4(ip4(mapped4, server4).id(7), map4, 24, 16, true),
            ip6(pref64(router4), mapped6) / icmp6_time_exceeded() /
                piece6(ip6(mapped6, server6), map6, 24, 16, true, 7)),
  };
}

} // namespace

std::vector<Vector> fragment_vectors() {
  std::vector<Vector> all;
  for (auto some : {gathering_vectors, stray_vectors, bad_vectors, cut_vectors, stateless_vectors,
                    error_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
