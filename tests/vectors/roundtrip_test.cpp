// SPDX-License-Identifier: MIT
//
// There and back: random packets through the native build, their answers through it again, and what
// comes out must be what went in with its ends exchanged, byte for byte, but for what RFC 7915
// gives up on the way (flow label, extension headers, options, identification and DF). The other
// half of the proof is that each translation is also compared with the same packet written in the
// tests' own language, whose code the data path does not share.
//
// Addresses, ports, prefixes, sizes, fields, checksums (right, wrong, partial) are all random.
// A failure prints the packets, field by field, and how to run it again (RC_PARAMS).
#include "lib/decode.h"
#include "lib/packet.h"
#include "native_target.h"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <rapidcheck.h>

namespace viaduct::test {
namespace {

// 4 properties of 5,000 cases. Before rapidcheck reads it, and RC_PARAMS from outside wins.
[[maybe_unused]] const int cases = setenv("RC_PARAMS", "max_success=5000", 0);

using Span = std::span<const uint8_t>;

constexpr uint32_t now = 1000, chance = 0x5eed1234;
constexpr int identification = chance & 0xffff;
constexpr size_t ip4_header = 20, ip6_header = 40;

// --- chance --------------------------------------------------------------------------------------

uint32_t number(uint32_t low, uint32_t high) { // both included
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<uint64_t>(low, uint64_t{high} + 1));
}

uint8_t octet() {
  return static_cast<uint8_t>(number(0, 255));
}

uint16_t word() {
  return static_cast<uint16_t>(number(0, 0xffff));
}

bool one_in(uint32_t n) {
  return number(1, n) == 1;
}

Bytes noise(size_t size) {
  std::minstd_rand random(number(1, 0x7ffffffe));
  Bytes bytes(size);
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<uint8_t>(random() >> 8); });
  return bytes;
}

// Any address a host may have that is not private.
Ipv4 any_host4() {
  auto first = static_cast<uint8_t>(number(11, 99)); // none of 0, 10, 100, 127, 169, 172, 192, 224
  Ipv4 address;
  address.bytes = {first, octet(), octet(), octet()};
  return address;
}

Ipv6 any_host6() {
  Bytes bytes = noise(16);
  bytes[0] = 0x2a; // all prefixes are in 2001::/16
  return Ipv6::from_bytes(Span(bytes).first<16>());
}

Prefix6 any_prefix() {
  static const std::vector<uint8_t> lengths{32, 40, 48, 56, 64, 96};
  uint8_t length = lengths[number(0, 5)];
  Bytes bytes = noise(16);
  bytes[0] = 0x20, bytes[1] = 0x01;
  bytes[8] = 0; // RFC 6052 2.2: bits 64 to 71
  std::fill(bytes.begin() + length / 8, bytes.end(), uint8_t{0});
  return {Ipv6::from_bytes(Span(bytes).first<16>()), length};
}

enum class Sum : uint8_t { right, wrong, partial };

// One flow and the gateway it goes through.
struct Flow {
  Prefix6 prefix = any_prefix();
  Ipv6 client = any_host6();
  Ipv4 pool = any_host4(), server = any_host4(), router = any_host4();
  Protocol protocol = std::vector<Protocol>{TCP, UDP, ICMP}[number(0, 2)];
  uint16_t client_port = word(), pool_port = static_cast<uint16_t>(number(1, 65535)),
           server_port = word();
  Ipv6 server_inside = embed(prefix, server);

  Given given() const {
    SessionState state = session(protocol, {client, client_port}, {pool, pool_port},
                                 {server, protocol == ICMP ? uint16_t{0} : server_port})
                             .prefix(prefix);
    if (protocol == TCP)
      state.state(dp::STATE_ESTABLISHED);
    return {.policy = {with_prefixes({prefix}), with_pool({{pool, 1, 65535}}),
                       with_lowest_ipv6_mtu(65535), // nothing is cut
                       with_allowed({prefix6("2a00::/8")})},
            .sessions = {state}};
  }
};

// The transport header and all behind it, with the ends as one side knows them.
struct Load {
  Protocol protocol{};
  Sum sum = Sum::right;
  uint16_t error = 0; // by which a wrong checksum is off
  Tcp segment;
  uint16_t sequence = 0;
  Bytes data;

  Load(const Flow &flow, size_t most) : protocol(flow.protocol) {
    sum = static_cast<Sum>(number(0, protocol == ICMP ? 1 : 2));
    error = static_cast<uint16_t>(number(1, 0xfffe));
    segment.seq_ = number(0, 0xffffffff);
    segment.ack_ = number(0, 0xffffffff);
    segment.flags_ = octet();
    segment.window_ = word();
    segment.urgent_ = word();
    segment.options_ = noise(4 * size_t{number(0, 10)});
    sequence = word();
    data = noise(number(0, static_cast<uint32_t>(one_in(16) ? most : 1500)));
  }

  Packet from(uint16_t source, uint16_t destination, bool v6, bool request) const {
    Packet head;
    if (protocol == ICMP) {
      uint16_t id = request ? source : destination;
      if (v6)
        head = request ? icmp6_echo_request(id, sequence) : icmp6_echo_reply(id, sequence);
      else
        head = request ? icmp4_echo_request(id, sequence) : icmp4_echo_reply(id, sequence);
    } else if (protocol == UDP) {
      head = udp(source, destination);
    } else {
      Tcp filled = segment;
      filled.source_ = source;
      filled.destination_ = destination;
      head = filled;
    }
    return head / raw(data);
  }
};

// --- bytes ---------------------------------------------------------------------------------------

uint16_t get16(const Bytes &bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void put16(Bytes &bytes, size_t at, uint16_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

uint16_t add_ones(uint16_t a, uint16_t b) {
  uint32_t sum = uint32_t{a} + b;
  return static_cast<uint16_t>(sum + (sum >> 16));
}

size_t checksum_offset(Protocol protocol) {
  return protocol == TCP ? 16 : protocol == UDP ? 6 : 2;
}

// Of the two zeros of ones' complement a checksum field may hold either; UDP writes the one (RFC
// 768), the others the other.
uint16_t one_zero(Protocol protocol, uint16_t field) {
  if (protocol == UDP)
    return field == 0 ? 0xffff : field;
  return field == 0xffff ? 0 : field;
}

// The bytes of a packet that was written with a right checksum, as `load` wants it.
Bytes finished(const Packet &packet, const Load &load, size_t transport) {
  if (load.sum == Sum::partial)
    return packet.with_partial_checksum()->bytes();
  Bytes bytes = packet.bytes();
  size_t at = transport + checksum_offset(load.protocol);
  uint16_t field = get16(bytes, at);
  if (load.sum == Sum::wrong)
    field = add_ones(field, load.error);
  put16(bytes, at, one_zero(load.protocol, field));
  return bytes;
}

void swap_bytes(Bytes &bytes, size_t a, size_t b, size_t size) {
  std::swap_ranges(bytes.begin() + static_cast<ptrdiff_t>(a),
                   bytes.begin() + static_cast<ptrdiff_t>(a + size),
                   bytes.begin() + static_cast<ptrdiff_t>(b));
}

// The answer to a packet: the same bytes, source and destination exchanged, an echo's type too.
// Only the latter changes the checksum (RFC 1624).
Bytes answer(Bytes bytes, Protocol protocol) {
  bool v6 = bytes[0] >> 4 == 6;
  size_t transport = v6 ? ip6_header : ip4_header;
  if (v6)
    swap_bytes(bytes, 8, 24, 16);
  else
    swap_bytes(bytes, 12, 16, 4);
  if (protocol != ICMP) {
    swap_bytes(bytes, transport, transport + 2, 2);
    return bytes;
  }
  uint16_t old = get16(bytes, transport);
  uint8_t &type = bytes[transport];
  if (v6)
    type = type == 128 ? 129 : 128;
  else
    type = type == 8 ? 0 : 8;
  uint16_t sum = static_cast<uint16_t>(~get16(bytes, transport + 2));
  sum = add_ones(add_ones(sum, static_cast<uint16_t>(~old)), get16(bytes, transport));
  put16(bytes, transport + 2, static_cast<uint16_t>(~sum));
  return bytes;
}

// --- translation ---------------------------------------------------------------------------------

Bytes translated(NativeTarget &target, const Bytes &packet, bool partial) {
  auto result =
      target.run({.packet = packet, .partial_checksum = partial, .now = now, .random = chance});
  if (!result)
    RC_FAIL(result.failure().message);
  if (!result->trespass.empty())
    RC_FAIL(result->trespass);
  if (result->verdict != dp::VERDICT_FORWARD)
    RC_FAIL(fmt::format("{}: {}\n{}", verdict_name(result->verdict), reason_name(result->reason),
                        decode(packet)));
  RC_ASSERT(result->partial_checksum == partial);
  RC_ASSERT(malformation(result->packet) == "");
  return result->packet;
}

void expect_bytes(const char *what, const Bytes &expected, const Bytes &actual) {
  if (expected != actual)
    RC_FAIL(fmt::format("{}:\n{}", what, difference(expected, actual)));
}

void start(NativeTarget &target, const Flow &flow) {
  if (auto ready = target.reset(tables_of(flow.given(), now)); !ready)
    RC_FAIL(ready.failure().message);
}

Ip4 header4(const Ipv4 &source, const Ipv4 &destination, uint8_t tos, uint8_t ttl, size_t load) {
  Ip4 header = ip4(source, destination).tos(tos).ttl(ttl);
  return ip4_header + load <= 1260 ? header.id(identification) : header.df();
}

// Now and then data that makes the checksum on the other side come out as zero, which UDP writes as
// ffff: too rare to wait for.
void provoke_zero(Load &load, const std::function<Packet()> &other_side, size_t transport) {
  if (load.protocol != UDP || load.sum != Sum::right || load.data.size() < 2 || !one_in(8))
    return;
  put16(load.data, 0, 0);
  put16(load.data, 0, get16(other_side().bytes(), transport + checksum_offset(UDP)));
}

// How much of a packet a router sends back: at least eight bytes of its transport header, and not
// half of its checksum, which nobody can translate (or use).
size_t any_quote(size_t header, const Load &load, size_t most) {
  auto size = number(static_cast<uint32_t>(header + 8), static_cast<uint32_t>(most));
  return size == header + checksum_offset(load.protocol) + 1 ? size - 1 : size;
}

// The longest data that fits both families behind the longest headers in use.
constexpr size_t most_data = 65535 - ip4_header - 60 - 3 * 8;

// --- properties ----------------------------------------------------------------------------------

TEST(Roundtrip, an_ipv6_packet_and_its_answer) {
  EXPECT_TRUE(rc::check("out to IPv4 and back", [] {
    Flow flow;
    Load load(flow, most_data);
    uint8_t tos = octet(), hops = octet();
    NativeTarget target;
    start(target, flow);

    auto translation = [&] {
      Packet transport = load.from(flow.pool_port, flow.server_port, false, true);
      size_t size = transport.bytes().size();
      return header4(flow.pool, flow.server, tos, hops, size) / transport;
    };
    provoke_zero(load, translation, ip4_header);
    Packet transport = load.from(flow.client_port, flow.server_port, true, true);
    Ip6 header = ip6(flow.client, flow.server_inside).traffic_class(tos).hop_limit(hops);
    Bytes plain = finished(header / transport, load, ip6_header), in = plain;
    Ip6 labelled = header;
    labelled.flow_label(number(0, 0xfffff));
    size_t extensions = one_in(4) ? number(1, 3) : 0;
    Packet dressed = labelled;
    for (size_t i = 0; i < extensions; i++)
      dressed = dressed / (i == 0 ? hop_by_hop() : i == 1 ? routing(0, 0) : destination_options());
    Bytes dress = (dressed / transport).bytes();
    size_t dress_size = ip6_header + 8 * extensions;
    in.erase(in.begin(), in.begin() + ip6_header);
    in.insert(in.begin(), dress.begin(), dress.begin() + static_cast<ptrdiff_t>(dress_size));

    bool partial = load.sum == Sum::partial;
    Bytes out = translated(target, in, partial);
    expect_bytes("to IPv4", finished(translation(), load, ip4_header), out);

    Bytes back = translated(target, answer(out, load.protocol), partial);
    expect_bytes("and back", answer(plain, load.protocol), back);
  }));
}

TEST(Roundtrip, an_ipv4_packet_and_its_answer) {
  EXPECT_TRUE(rc::check("in to IPv6 and back", [] {
    Flow flow;
    Load load(flow, most_data);
    uint8_t tos = octet(), hops = octet();
    NativeTarget target;
    start(target, flow);

    bool without = load.protocol == UDP && one_in(4); // a checksum
    if (without)
      load.sum = Sum::right;
    Ip4 header = ip4(flow.server, flow.pool).tos(tos).ttl(hops).id(word());
    if (one_in(2))
      header.df();
    if (one_in(4))
      header.record_route(static_cast<uint8_t>(number(1, 9)));
    size_t header_size = ip4_header + header.options_.size();
    header_size += (4 - header_size % 4) % 4;
    uint16_t inside = load.protocol == ICMP ? flow.client_port : flow.server_port;
    auto translation = [&] {
      return ip6(flow.server_inside, flow.client).traffic_class(tos).hop_limit(hops) /
             load.from(inside, flow.client_port, true, true);
    };
    provoke_zero(load, translation, ip6_header);
    Packet transport = load.from(flow.server_port, flow.pool_port, false, true);
    if (load.protocol == ICMP) // a request from outside reaches the bound identifier
      transport = load.from(flow.pool_port, flow.pool_port, false, true);
    Bytes in = finished(header / transport, load, header_size);
    if (without)
      put16(in, header_size + checksum_offset(UDP), 0);

    bool partial = load.sum == Sum::partial;
    Bytes out = translated(target, in, partial);
    expect_bytes("to IPv6", finished(translation(), load, ip6_header), out);

    Bytes back = translated(target, answer(out, load.protocol), partial);
    Packet plain = header4(flow.server, flow.pool, tos, hops, in.size() - header_size) / transport;
    expect_bytes("and back", answer(finished(plain, load, ip4_header), load.protocol), back);
  }));
}

// An error quotes the packet that went out; its sender must find the packet it sent.
TEST(Roundtrip, an_ipv6_host_finds_its_packet_in_an_error) {
  EXPECT_TRUE(rc::check("out to IPv4, back inside an error", [] {
    Flow flow;
    Load load(flow, 3000);
    if (load.sum == Sum::partial)
      load.sum = Sum::right; // on the wire they are whole
    uint8_t tos = octet(), left = octet();
    NativeTarget target;
    start(target, flow);
    Ip6 header = ip6(flow.client, flow.server_inside).traffic_class(tos);
    provoke_zero(
        load, [&] { return header / load.from(flow.client_port, flow.server_port, true, true); },
        ip6_header);
    Packet transport = load.from(flow.client_port, flow.server_port, true, true);
    Bytes out = translated(target, finished(header / transport, load, ip6_header), false);

    Bytes quoted4 = out;
    quoted4[8] = left; // its time to live has run down, its header checksum with it
    put16(quoted4, 10, 0);
    put16(quoted4, 10, static_cast<uint16_t>(~ones_sum(Span(quoted4).first(ip4_header))));
    size_t quoted = any_quote(ip4_header, load, std::min<size_t>(out.size(), 1480));
    quoted4.resize(quoted);
    Bytes error = translated(
        target, (ip4(flow.router, flow.pool) / icmp4_time_exceeded() / raw(quoted4)).bytes(),
        false);

    Bytes quoted6 = finished(header.hop_limit(left) / transport, load, ip6_header);
    quoted6.resize(std::min<size_t>(quoted - ip4_header + ip6_header, 1280 - 48));
    Packet expected =
        ip6(embed(flow.prefix, flow.router), flow.client) / icmp6_time_exceeded() / raw(quoted6);
    expect_bytes("the error", expected.bytes(), error);
    RC_ASSERT(transport_checksum(error) == SumState::right);
  }));
}

TEST(Roundtrip, an_ipv4_host_finds_its_packet_in_an_error) {
  EXPECT_TRUE(rc::check("in to IPv6, back inside an error", [] {
    Flow flow;
    Load load(flow, 3000);
    if (load.sum == Sum::partial)
      load.sum = Sum::right;
    uint8_t tos = octet(), left = octet();
    NativeTarget target;
    start(target, flow);
    uint16_t source = load.protocol == ICMP ? flow.pool_port : flow.server_port;
    Packet transport = load.from(source, flow.pool_port, false, false);
    Bytes in =
        finished(ip4(flow.server, flow.pool).tos(tos).id(word()) / transport, load, ip4_header);
    Bytes quoted6 = translated(target, in, false);

    quoted6[7] = left;
    size_t quoted = any_quote(ip6_header, load, std::min<size_t>(quoted6.size(), 1280 - 48));
    quoted6.resize(quoted);
    Packet sent = ip6(any_host6(), flow.server_inside) / icmp6_unreachable(4) / raw(quoted6);
    Bytes error = translated(target, sent.bytes(), false);

    Bytes quoted4 =
        finished(header4(flow.server, flow.pool, tos, left, in.size() - ip4_header) / transport,
                 load, ip4_header);
    quoted4.resize(std::min<size_t>(quoted - ip6_header + ip4_header, 576 - 28));
    Packet expected = header4(flow.pool, flow.server, 0, 64, 8 + quoted4.size()) /
                      icmp4_unreachable(3) / raw(quoted4);
    expect_bytes("the error", expected.bytes(), error);
    RC_ASSERT(transport_checksum(error) == SumState::right);
  }));
}

} // namespace
} // namespace viaduct::test
