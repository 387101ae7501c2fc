// SPDX-License-Identifier: MIT
//
// Both engines say the same of the same history.
//
// A program is a policy and some hundred packets of a few hosts, in both directions: sessions are
// made, moved, refused, closed and cleared, outlive their time and are swept; ICMP errors come about
// them; datagrams come in fragments, out of order, twice, overlapping; fields and bytes are damaged on
// the way. Each packet goes through the BPF engine, in the kernel this runs on, and through the native
// one, with the same clock and chance. Verdict, reason, bytes and the answer must be equal packet by
// packet, also where the BPF program has handed it up and the keeper has made the session; what a sweep
// ends and sends; counters, use of ports and all tables at the end of each program. The BPF engine's
// tables must also fit together by themselves.
//
//   vectors_agreement [--hook nvi|direct_tc|direct_xdp] [--packets N] [--seed S] [--program P]
//
// --hook: a direct port's program sees each packet first, one hop earlier.
// A failure names its seed and program; with --program only that one runs.
#include "engine_target.h"
#include "lib/buckets_consistent.h"
#include "lib/decode.h"
#include "native_target.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <bpf/bpf.h>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace viaduct::test {
namespace {

constexpr unsigned PACKETS_PER_PROGRAM = 250;

class Chance {
public:
  explicit Chance(uint64_t seed) : engine_(seed) {}

  uint32_t number(uint32_t low, uint32_t high) { // both included
    return low + static_cast<uint32_t>(engine_() % (uint64_t{high} - low + 1));
  }
  uint32_t any() { return static_cast<uint32_t>(engine_()); }
  bool one_in(uint32_t n) { return number(1, n) == 1; }
  template <typename T> const T &of(const std::vector<T> &choices) {
    return choices[number(0, static_cast<uint32_t>(choices.size()) - 1)];
  }

private:
  std::mt19937_64 engine_; // the same numbers everywhere
};

// --- programs ------------------------------------------------------------------------------------

const Prefix6 own_prefix = prefix6("2001:db8:122::/48");
const std::vector<MapPair> address_maps{{"2001:db8:a::/122", "192.0.2.0/26"},
                                        {"2001:db8:c::1/128", "192.0.2.99/32"}};

Given any_given(Chance &chance) {
  Given given;
  given.policy = {with_prefixes({well_known_prefix, own_prefix}), with_maps(address_maps),
                  with_error_sources({router4})};
  const std::vector<PolicyChange> pools{
      with_pool({{pool4}, {pool4b, 1024, 65535, chance.one_in(4)}}),
      with_pool({{pool4, 1000, 1100}, {pool4b, 40000, 40099}}),
      with_pool({{pool4, 1000, 1007}, {pool4b, 40000, 40003}})}; // soon all taken
  given.policy.push_back(chance.of(pools));
  if (chance.one_in(2))
    given.policy.push_back(with_filtering(dp::FILTER_ADDRESS));
  if (chance.one_in(3))
    given.policy.push_back(with_quota(chance.number(1, 20)));
  if (chance.one_in(3))
    given.policy.push_back(with_binding_quota(chance.number(1, 10)));
  if (chance.one_in(3))
    given.policy.push_back(with_port_rest(0));
  if (chance.one_in(4))
    given.policy.push_back(with_outbound_refresh_only());
  if (chance.one_in(4))
    given.policy.push_back(with_zero_traffic_class());
  if (chance.one_in(4))
    given.policy.push_back(with_private_ipv4_allowed());
  if (chance.one_in(4))
    given.policy.push_back(with_zero_checksum_dropped());
  if (chance.one_in(4))
    given.policy.push_back([](dp::policy &policy) { policy.rst_window = 0; });
  if (chance.one_in(4))
    given.policy.push_back([](dp::policy &policy) { policy.accounting = 0; });
  if (!chance.one_in(4))
    given.policy.push_back(with_largest_segment(static_cast<uint16_t>(chance.number(536, 9000))));
  given.max_sessions = chance.one_in(3) ? 8 : 512;
  return given;
}

// Options of all kinds, an MSS among them as a rule, and now and then nonsense.
Bytes any_options(Chance &chance) {
  static const std::vector<Bytes> options{
      {1}, {1}, {4, 2}, {3, 3, 7}, {8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, {253, 5, 2, 4, 9}};
  static const std::vector<Bytes> odd{{0}, {8, 0}, {8, 1}, {8, 200}, {2, 3, 9}, {2, 6, 9, 9, 9, 9}};
  Bytes all;
  for (uint32_t i = chance.number(0, 5); i > 0; i--) {
    const Bytes &one = chance.of(chance.one_in(16) ? odd : options);
    all.insert(all.end(), one.begin(), one.end());
    if (chance.one_in(2))
      all.insert(all.end(), {2, 4, static_cast<uint8_t>(chance.any() % 64),
                             static_cast<uint8_t>(chance.any())});
  }
  all.resize(std::min<size_t>(all.size(), 40)); // the last one may be cut
  return all;
}

Tcp any_segment(Chance &chance, uint16_t source, uint16_t destination) {
  Tcp segment = tcp(source, destination);
  segment.seq_ = chance.one_in(4) ? chance.any() : 1000 + chance.number(0, 100000);
  segment.ack_ = chance.any();
  constexpr std::array<uint8_t, 8> flags{0x02, 0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14};
  segment.flags_ = chance.one_in(16) ? static_cast<uint8_t>(chance.any())
                                     : flags[chance.number(0, flags.size() - 1)];
  segment.window_ = static_cast<uint16_t>(chance.any());
  segment.options_ = any_options(chance);
  return segment;
}

size_t any_size(Chance &chance) {
  return chance.one_in(8) ? chance.number(0, 2900) : chance.number(0, 100);
}

Protocol any_protocol(Chance &chance) {
  static const std::vector<Protocol> protocols{ICMP, TCP, UDP, UDP};
  return chance.of(protocols);
}

Packet any_load(Chance &chance, Protocol protocol, uint16_t source, uint16_t destination, bool v6) {
  Packet data = payload(any_size(chance));
  switch (protocol) {
  case ICMP: {
    bool request = chance.one_in(2);
    auto id = request ? source : destination;
    auto sequence = static_cast<uint16_t>(chance.any());
    if (v6)
      return (request ? icmp6_echo_request(id, sequence) : icmp6_echo_reply(id, sequence)) / data;
    return (request ? icmp4_echo_request(id, sequence) : icmp4_echo_reply(id, sequence)) / data;
  }
  case TCP: {
    Tcp segment = any_segment(chance, source, destination);
    return (chance.one_in(16) ? segment.bad_checksum() : segment) / data;
  }
  default: {
    Udp datagram = udp(source, destination);
    if (chance.one_in(16))
      datagram.bad_checksum();
    else if (chance.one_in(8))
      datagram.checksum(0);
    return datagram / data;
  }
  }
}

// Few enough of everything, so that packets meet the sessions of others.
uint16_t any_port(Chance &chance) {
  static const std::vector<uint16_t> ports{53, 80, 443, 1000, 1001, 1234, 40000, 65535};
  return chance.of(ports);
}

Ipv4 any_server(Chance &chance) {
  static const std::vector<Ipv4> servers{server4, server4b, address4("198.51.100.82")};
  static const std::vector<Ipv4> odd{address4("10.1.2.3"), address4("127.0.0.1"),
                                     address4("192.0.2.7"), pool4};
  return chance.of(chance.one_in(16) ? odd : servers);
}

Ipv6 any_host(Chance &chance) {
  static const std::vector<Ipv6> hosts{client6, client6b, neighbour6, address6("2001:db8:a::7")};
  static const std::vector<Ipv6> odd{stranger6, address6("2001:db8:c::1"), address6("::1"),
                                     pref64(server4)};
  return chance.of(chance.one_in(16) ? odd : hosts);
}

Packet from_ipv6(Chance &chance) {
  Ipv4 server = any_server(chance);
  Ipv6 destination = chance.one_in(4) ? embed(own_prefix, server) : pref64(server);
  if (chance.one_in(32))
    destination = elsewhere6;
  Ip6 header = ip6(any_host(chance), destination);
  header.hop_limit(static_cast<uint8_t>(chance.any()));
  header.traffic_class(static_cast<uint8_t>(chance.any())).flow_label(chance.any() & 0xfffff);
  Packet load = any_load(chance, any_protocol(chance), any_port(chance), any_port(chance), true);
  if (chance.one_in(32))
    return header / (chance.one_in(2) ? hop_by_hop() : destination_options()) / load;
  return header / load;
}

// To a port that somebody has, most of the time.
Packet from_ipv4(Chance &chance, const std::vector<dp::port_key> &ports) {
  Ipv4 to = chance.one_in(8) ? address4("192.0.2.7") : chance.one_in(2) ? pool4 : pool4b;
  uint16_t port = any_port(chance);
  Protocol protocol = any_protocol(chance);
  if (!ports.empty() && !chance.one_in(4)) {
    const dp::port_key &taken = chance.of(ports);
    to = Ipv4::from_network_order(taken.pool_address);
    protocol = static_cast<Protocol>(taken.protocol);
    port = static_cast<uint16_t>(taken.pool_port >> 8 | taken.pool_port << 8);
  }
  Ip4 header = ip4(any_server(chance), to);
  header.ttl(static_cast<uint8_t>(chance.any())).tos(static_cast<uint8_t>(chance.any()));
  header.id(static_cast<uint16_t>(chance.any()));
  if (chance.one_in(2))
    header.df();
  if (chance.one_in(32))
    header.record_route(3);
  return header / any_load(chance, protocol, any_port(chance), port, false);
}

// --- errors ---------------------------------------------------------------------------------------

using SessionRow = std::pair<dp::session_key, dp::session>;

uint16_t host_order(uint16_t port) {
  return static_cast<uint16_t>(port >> 8 | port << 8);
}

// What is quoted, often no more than the first bytes.
Packet quoted(Chance &chance, const Packet &whole, size_t header) {
  if (chance.one_in(3))
    return whole;
  return raw(whole.cut_to(header + 8 + chance.number(0, 30)).bytes());
}

// About a packet that the pool's address has sent, mostly.
Packet error_from_ipv4(Chance &chance, const SessionRow &session) {
  const dp::session_key &key = session.first;
  const Ipv4 pool = Ipv4::from_network_order(key.pool_address);
  const Ipv4 remote = Ipv4::from_network_order(key.remote_address);
  const auto protocol = static_cast<Protocol>(key.protocol);
  const Packet sent =
      ip4(pool, remote).ttl(1).id(static_cast<uint16_t>(chance.any())) /
      any_load(chance, protocol, host_order(key.pool_port), host_order(key.remote_port), false);
  const std::vector<Icmp> errors{
      icmp4_unreachable(static_cast<uint8_t>(chance.number(0, 16))),
      icmp4_frag_needed(static_cast<uint16_t>(chance.number(0, 2000))), icmp4_time_exceeded(),
      icmp4_parameter_problem(static_cast<uint8_t>(chance.number(0, 24))),
      icmp4(static_cast<uint8_t>(chance.number(0, 20)), static_cast<uint8_t>(chance.number(0, 4)))};
  Icmp error = chance.of(errors);
  if (chance.one_in(32))
    error.bad_checksum();
  return ip4(chance.one_in(2) ? remote : router4, pool) / error / quoted(chance, sent, 20);
}

// The IPv6 host's end of it, as it was translated.
Packet error_from_ipv6(Chance &chance, const SessionRow &session) {
  const auto &[key, value] = session;
  const Ipv4 server = Ipv4::from_network_order(key.remote_address);
  const Ipv6 remote = chance.one_in(4) ? embed(own_prefix, server) : pref64(server);
  Ipv6 inside{};
  std::copy_n(value.inside.byte, inside.bytes.size(), inside.bytes.begin());
  const auto protocol = static_cast<Protocol>(key.protocol);
  const Packet sent =
      ip6(remote, inside).hop_limit(1) /
      any_load(chance, protocol, host_order(key.remote_port), host_order(value.inside_port), true);
  const std::vector<Icmp> errors{
      icmp6_unreachable(static_cast<uint8_t>(chance.number(0, 7))),
      icmp6_too_big(chance.number(0, 2000)), icmp6_time_exceeded(),
      icmp6_parameter_problem(static_cast<uint8_t>(chance.number(0, 2)), chance.number(0, 48)),
      icmp6(static_cast<uint8_t>(chance.number(0, 8)), static_cast<uint8_t>(chance.number(0, 4)))};
  Icmp error = chance.of(errors);
  if (chance.one_in(32))
    error.bad_checksum();
  return ip6(chance.one_in(2) ? inside : router6, remote) / error / quoted(chance, sent, 40);
}

// --- fragments ------------------------------------------------------------------------------------

// A part of a whole packet without options or extension headers, `from` and `size` of what is behind
// its header.
Bytes part_of(const Bytes &whole, size_t from, size_t size, bool more, uint32_t id) {
  const bool v6 = whole[0] >> 4 == 6;
  const size_t header = v6 ? 40 : 20;
  Bytes part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(header));
  const auto field = static_cast<uint16_t>(v6 ? from | more : from / 8 | (more ? 0x2000U : 0U));
  auto put = [&](size_t at, size_t value) {
    part[at] = static_cast<uint8_t>(value >> 8);
    part[at + 1] = static_cast<uint8_t>(value);
  };
  if (v6) {
    put(4, size + 8);
    part.insert(part.end(), {part[6], 0, 0, 0, 0, 0, 0, 0});
    part[6] = 44;
    put(42, field);
    put(46, id);
  } else {
    put(2, header + size);
    put(4, id);
    put(6, field);
    put(10, 0);
    put(10, static_cast<uint16_t>(~ones_sum(part)));
  }
  const auto data = whole.begin() + static_cast<ptrdiff_t>(header + from);
  part.insert(part.end(), data, data + static_cast<ptrdiff_t>(size));
  return part;
}

bool can_be_cut(const Bytes &whole) {
  return whole.size() > 80 && (whole[0] >> 4 == 6 || whole[0] == 0x45) &&
         (whole[0] >> 4 != 6 || whole[6] == TCP || whole[6] == UDP || whole[6] == 58);
}

// Two to four, in any order; now and then one twice, one that overlaps another, or one too few.
std::vector<Bytes> in_fragments(Chance &chance, const Bytes &whole) {
  const size_t length = whole.size() - (whole[0] >> 4 == 6 ? 40 : 20);
  const uint32_t id = chance.number(1, 0xffff), count = chance.number(2, 4);
  const size_t step = std::max<size_t>(8, length / count / 8 * 8);
  std::vector<Bytes> parts;
  for (size_t from = 0; from < length; from += step) {
    size_t size = std::min(step, length - from);
    if (chance.one_in(24)) // into the next one
      size = std::min(size + 8, length - from);
    parts.push_back(part_of(whole, from, size, from + size < length, id));
  }
  if (chance.one_in(8))
    parts.push_back(chance.of(parts));
  for (size_t i = parts.size(); i > 1; i--)
    std::swap(parts[i - 1], parts[chance.number(0, static_cast<uint32_t>(i) - 1)]);
  if (chance.one_in(8))
    parts.pop_back();
  return parts;
}

// Flipped, cut off, followed by something; with a network header that is right again half the time.
void damage(Chance &chance, Bytes &bytes) {
  for (uint32_t i = chance.number(1, 3); i > 0 && !bytes.empty(); i--)
    bytes[chance.number(0, std::min<uint32_t>(static_cast<uint32_t>(bytes.size()), 64) - 1)] =
        static_cast<uint8_t>(chance.any());
  if (chance.one_in(4))
    bytes.resize(chance.number(0, static_cast<uint32_t>(bytes.size())));
  if (chance.one_in(8))
    bytes.resize(bytes.size() + chance.number(1, 40), 0xee);
  if (chance.one_in(2) || bytes.size() < 20 || bytes[0] >> 4 != 4)
    return;
  bytes[10] = bytes[11] = 0;
  auto sum = static_cast<uint16_t>(~ones_sum(std::span(bytes).first(20)));
  bytes[10] = static_cast<uint8_t>(sum >> 8);
  bytes[11] = static_cast<uint8_t>(sum);
}

// --- tables --------------------------------------------------------------------------------------

// As often as they are there: a key must not be there twice.
using Rows = std::multiset<std::pair<Bytes, Bytes>>;

template <typename T> Bytes bytes_of(const T &value) {
  auto *start = reinterpret_cast<const uint8_t *>(&value);
  return {start, start + sizeof value};
}

template <typename Key, typename Value> Rows rows_of(int map) {
  Rows rows;
  Key key{};
  for (int more = bpf_map_get_next_key(map, nullptr, &key); more == 0;
       more = bpf_map_get_next_key(map, &key, &key)) {
    Value value{};
    if (bpf_map_lookup_elem(map, &key, &value) == 0)
      rows.emplace(bytes_of(key), bytes_of(value));
  }
  return rows;
}

template <typename Entry> Rows rows_of(const tables::TableMaps &maps) {
  tables::MapTable<Entry> table(maps, tables::MapTable<Entry>::FOR_ALL);
  Rows rows;
  uint64_t cursor = 0;
  do
    cursor = table.walk(cursor, SIZE_MAX, [&](const auto &key, const auto &value) {
      rows.emplace(bytes_of(key), bytes_of(value));
    });
  while (cursor != 0);
  return rows;
}

template <typename Key, typename Value, typename Dump> Rows rows_of(dp::engine *engine, Dump dump) {
  constexpr uint32_t limit = 256;
  std::vector<Key> keys(limit);
  std::vector<Value> values(limit);
  Rows rows;
  uint64_t cursor = 0;
  do {
    uint32_t count = 0;
    cursor = dump(engine, cursor, keys.data(), values.data(), limit, &count);
    for (uint32_t i = 0; i < count; i++)
      rows.emplace(bytes_of(keys[i]), bytes_of(values[i]));
  } while (cursor != 0);
  return rows;
}

// "" where they are equal.
std::string table_difference(const char *name, const Rows &bpf, const Rows &native) {
  std::string text;
  auto tell = [&](const char *whose, const Rows &some, const Rows &others) {
    std::vector<Rows::value_type> rows;
    std::set_difference(some.begin(), some.end(), others.begin(), others.end(),
                        std::back_inserter(rows));
    for (const auto &[key, value] : rows)
      text += fmt::format("{} only of {}: {} {}\n", name, whose, hex(key), hex(value));
  };
  tell("BPF", bpf, native);
  tell("the native build", native, bpf);
  return text;
}

// --- a run ---------------------------------------------------------------------------------------

class Run {
public:
  Run(Hook hook, uint64_t seed) : seed_(seed), engine_(hook) {}

  void program(uint64_t number) {
    Chance chance(seed_ * 1'000'003 + number);
    program_ = number;
    Given given = any_given(chance);
    uint32_t now = 1000;
    policy_ = tables_of(given, now).policy;
    for (Target *target : {static_cast<Target *>(&engine_), static_cast<Target *>(&native_)})
      if (auto done = target->reset(tables_of(given, now)); !done)
        fail(done.failure().message);
    ports_.clear();
    sessions_.clear();
    parts_.clear();
    handed_up_before_ = handed_up_;
    for (unsigned i = 0; i < PACKETS_PER_PROGRAM; i++) {
      now += chance.one_in(64) ? chance.number(50, 8000) : chance.number(0, 1);
      packet(chance, now);
      if (i % 16 == 0)
        learn();
      if (chance.one_in(50))
        sweep(now, chance.one_in(3));
    }
    compare_tables();
    compare_counters();
    compare_ports();
  }

  uint64_t packets() const { return packets_; }
  uint64_t handed_up() const { return handed_up_; }
  uint64_t swept() const { return swept_; }
  uint64_t forwarded() const { return forwarded_; }
  uint64_t gathered() const { return gathered_; }
  uint64_t by_port() const { return by_port_; }
  uint64_t errors() const {
    const auto count = [&](dp::reason reason) {
      auto found = reasons_.find(reason);
      return found == reasons_.end() ? 0 : found->second;
    };
    return std::min(count(dp::REASON_translated_error_4to6),
                    count(dp::REASON_translated_error_6to4));
  }

  void report() const {
    fmt::print(
        "{} packets, of which {} were translated, {} of them put together, {} answered and {} "
        "handed up, {} taken by the port; {} sessions ended by sweeps, {} of them cleared, {} "
        "asked\n",
        packets_, forwarded_, gathered_, answered_, handed_up_, by_port_, swept_, cleared_, asked_);
    for (const auto &[reason, times] : punts_)
      fmt::print("  {:8} {}\n", times, reason_name(reason));
    for (const auto &[reason, times] : reasons_)
      fmt::print("  {:8} {}\n", times, reason_name(reason));
  }

private:
  [[noreturn]] void fail(const std::string &what, std::span<const uint8_t> in = {}) const {
    report();
    fmt::print(stderr, "{}\n{}run again: --seed {} --program {}\n", what,
               in.empty() ? "" : "in:\n" + decode(in), seed_, program_);
    std::exit(1);
  }

  Bytes any_packet(Chance &chance) {
    if (!parts_.empty() && !chance.one_in(3)) {
      Bytes part = std::move(parts_.back());
      parts_.pop_back();
      return part;
    }
    if (!sessions_.empty() && chance.one_in(12)) {
      const SessionRow &session = chance.of(sessions_);
      return (chance.one_in(2) ? error_from_ipv4(chance, session)
                               : error_from_ipv6(chance, session))
          .bytes();
    }
    Bytes whole = (chance.one_in(2) ? from_ipv6(chance) : from_ipv4(chance, ports_)).bytes();
    if (parts_.empty() && can_be_cut(whole) && chance.one_in(16)) {
      parts_ = in_fragments(chance, whole);
      return any_packet(chance);
    }
    return whole;
  }

  void packet(Chance &chance, uint32_t now) {
    Arrival arrival;
    arrival.packet = any_packet(chance);
    if (chance.one_in(8))
      damage(chance, arrival.packet);
    arrival.now = now;
    arrival.random = chance.any();
    arrival.segments = chance.one_in(32) ? 3 : 1;
    packets_++;
    auto first = engine_.run(arrival);
    if (!first)
      fail(first.failure().message, arrival.packet);
    reasons_[first->reason]++;
    if (engine_.handed_up() != dp::REASON_none) {
      handed_up_++;
      punts_[engine_.handed_up()]++;
    }
    by_port_ += engine_.by_port();
    auto second = native_.run(arrival);
    for (const auto *departure : {&first, &second})
      if (!*departure || !(*departure)->trespass.empty())
        fail(*departure ? (*departure)->trespass : departure->failure().message, arrival.packet);
    compare(arrival, *first, *second);
  }

  void compare(const Arrival &arrival, const Departure &bpf, const Departure &native) {
    if (bpf.verdict != native.verdict || bpf.reason != native.reason)
      fail(fmt::format("bpf: {} {}, native: {} {}", verdict_name(bpf.verdict),
                       reason_name(bpf.reason), verdict_name(native.verdict),
                       reason_name(native.reason)),
           arrival.packet);
    if (bpf.answer != native.answer)
      fail("answer: - bpf, + native:\n" + difference(bpf.answer, native.answer), arrival.packet);
    answered_ += !bpf.answer.empty();
    if (bpf.verdict != dp::VERDICT_FORWARD)
      return;
    forwarded_++;
    gathered_ += bpf.reassembled;
    if (bpf.packet != native.packet || bpf.pieces != native.pieces)
      fail("- bpf, + native:\n" + difference(bpf.packet, native.packet), arrival.packet);
  }

  // A sweep's chance is its own: the identification of what it sends over IPv4.
  static void without_chance(Bytes &packet) {
    if (packet[0] >> 4 == 4)
      packet[4] = packet[5] = packet[10] = packet[11] = 0;
  }

  static std::string differences(const std::vector<Bytes> &bpf, const std::vector<Bytes> &native) {
    std::string all;
    for (size_t i = 0; i < std::min(bpf.size(), native.size()); i++)
      if (bpf[i] != native[i])
        all += "- bpf, + native:\n" + difference(bpf[i], native[i]);
    return all;
  }

  // By port, so that it does not matter in which order the tables are walked.
  static dp::event_why cause_of(const dp::session_key &key) {
    return (key.remote_port & 0x0100) == 0   ? dp::WHY_NONE
           : (key.remote_port & 0x0200) == 0 ? dp::WHY_CLEARED
                                             : dp::WHY_DISALLOWED;
  }

  void sweep(uint32_t now, bool clear) {
    std::vector<Bytes> bpf, native;
    tables::Cause cause;
    if (clear)
      cause = [](const dp::session_key &key, const dp::session &) { return cause_of(key); };
    uint64_t ended = engine_.tables().sweep(now, cause, [&](std::span<const uint8_t> packet) {
      bpf.emplace_back(packet.begin(), packet.end());
      return true;
    });
    dp::sweep_calls calls{};
    calls.context = &native;
    calls.send = [](void *context, const dp::frame *frame) {
      static_cast<std::vector<Bytes> *>(context)->emplace_back(frame->data,
                                                               frame->data + frame->length);
      return 0;
    };
    if (clear)
      calls.cause = [](void *, const dp::session_key *key, const dp::session *) {
        return cause_of(*key);
      };
    uint64_t expected = dp::engine_sweep(native_.engine(), now, &calls);
    if (ended != expected)
      fail(
          fmt::format("a sweep ended {} sessions of bpf, {} of the native build", ended, expected));
    for (auto *sent : {&bpf, &native}) {
      std::for_each(sent->begin(), sent->end(), without_chance);
      std::sort(sent->begin(), sent->end());
    }
    if (bpf != native)
      fail(fmt::format("a sweep sent {} packets of bpf, {} of the native build\n", bpf.size(),
                       native.size()) +
           differences(bpf, native));
    swept_ += ended;
    cleared_ += clear ? ended : 0;
    asked_ += bpf.size();
    compare_tables();
  }

  template <typename T> static T from_bytes(const Bytes &bytes) {
    T value;
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<uint8_t *>(&value));
    return value;
  }

  void learn() {
    ports_.clear();
    for (const auto &[key, value] : native_rows<dp::port_key, dp::port>(dp::engine_dump_ports))
      ports_.push_back(from_bytes<dp::port_key>(key));
    sessions_.clear();
    for (const auto &[key, value] :
         native_rows<dp::session_key, dp::session>(dp::engine_dump_sessions))
      sessions_.emplace_back(from_bytes<dp::session_key>(key), from_bytes<dp::session>(value));
  }

  template <typename Key, typename Value, typename Dump> Rows native_rows(Dump dump) const {
    return rows_of<Key, Value>(native_.engine(), dump);
  }

  void compare_tables() const {
    const tables::BpfObject &maps = engine_.tables().object();
    std::string difference =
        table_difference("session", rows_of<dp::session_entry>(maps.sessions()),
                         native_rows<dp::session_key, dp::session>(dp::engine_dump_sessions)) +
        table_difference("binding", rows_of<dp::binding_entry>(maps.bindings()),
                         native_rows<dp::binding_key, dp::binding>(dp::engine_dump_bindings)) +
        table_difference("port", rows_of<dp::port_entry>(maps.ports()),
                         native_rows<dp::port_key, dp::port>(dp::engine_dump_ports)) +
        table_difference(
            "subscriber", rows_of<dp::subscriber_key, dp::subscriber>(maps.subscribers()),
            native_rows<dp::subscriber_key, dp::subscriber>(dp::engine_dump_subscribers)) +
        table_difference("peer", rows_of<dp::peer_key, dp::peer>(maps.peers()),
                         native_rows<dp::peer_key, dp::peer>(dp::engine_dump_peers));
    if (!difference.empty())
      fail("the tables differ:\n" + difference);
    if (std::string wrong = what_is_wrong(maps); !wrong.empty())
      fail("the tables do not fit together:\n" + wrong);
  }

  void compare_counters() const {
    Counters bpf = engine_.counters(), native = native_.counters();
    // A packet that is to be answered, since there is no room for its session, makes a binding and gives
    // it back: the program's, the keeper's, and in the native build as long as what was given back and
    // is not reclaimed yet leaves room for it.
    uint64_t given_back = bpf[dp::REASON_binding_ended] - native[dp::REASON_binding_ended];
    if (given_back > 2 * (handed_up_ - handed_up_before_))
      fail(fmt::format("{} bindings given back by {} packets", given_back,
                       handed_up_ - handed_up_before_));
    bpf[dp::REASON_binding_ended] -= given_back;
    bpf[dp::REASON_binding_made] -= given_back;
    bpf[dp::REASON_port_not_rested] -=
        std::min(given_back, bpf[dp::REASON_port_not_rested] - native[dp::REASON_port_not_rested]);
    for (uint32_t i = 0; i < dp::REASON_COUNT; i++)
      if (bpf[i] != native[i])
        fail(fmt::format("counter {}: bpf {}, native {}", reason_name(static_cast<dp::reason>(i)),
                         bpf[i], native[i]));
  }

  void compare_ports() const {
    for (const dp::pool_address &pool : std::span(policy_.pool).first(policy_.pool_count)) {
      const dp::pool_use bpf = engine_.tables().pool_use(pool);
      dp::pool_use native;
      dp::engine_pool_use(native_.engine(), pool.slot, &native);
      for (size_t i = 0; i < dp::PORT_PROTOCOLS; i++)
        if (bpf.used[i] != native.used[i])
          fail(fmt::format("ports in use: bpf {}, native {}", bpf.used[i], native.used[i]));
    }
  }

  uint64_t seed_, program_ = 0;
  dp::policy policy_{};
  EngineTarget engine_;
  NativeTarget native_;
  std::vector<dp::port_key> ports_;
  std::vector<SessionRow> sessions_;
  std::vector<Bytes> parts_; // fragments that are still to come
  uint64_t packets_ = 0, handed_up_ = 0, handed_up_before_ = 0, forwarded_ = 0, answered_ = 0;
  uint64_t gathered_ = 0, by_port_ = 0;
  uint64_t swept_ = 0, cleared_ = 0, asked_ = 0;
  std::map<dp::reason, uint64_t> reasons_, punts_;
};

} // namespace
} // namespace viaduct::test

namespace {

int run(int argc, char **argv) {
  uint64_t packets = 1'000'000, seed = 1;
  std::optional<uint64_t> program;
  auto hook = viaduct::test::Hook::nvi;
  const std::map<std::string, viaduct::test::Hook> hooks{
      {"nvi", viaduct::test::Hook::nvi},
      {"direct_tc", viaduct::test::Hook::direct_tc},
      {"direct_xdp", viaduct::test::Hook::direct_xdp}};
  CLI::App app("Both builds of the data path, the same packets.");
  app.add_option("--hook", hook, "Which program sees a packet first")
      ->transform(CLI::CheckedTransformer(hooks));
  app.add_option("--packets", packets, "How many, at least");
  app.add_option("--seed", seed, "Which");
  app.add_option("--program", program, "Only this one");
  CLI11_PARSE(app, argc, argv);

  viaduct::test::Run run(hook, seed);
  if (program)
    run.program(*program);
  else
    for (uint64_t i = 0; run.packets() < packets; i++)
      run.program(i);
  run.report();
  // Agreement about nothing would be none.
  if (!program && (run.forwarded() < packets / 5 || run.handed_up() < packets / 100 ||
                   run.swept() < packets / 1000 || run.errors() < packets / 1000 ||
                   run.gathered() < packets / 1000 ||
                   (hook != viaduct::test::Hook::nvi && run.by_port() < packets / 2))) {
    std::fprintf(stderr, "too few packets were translated, put together, handed up or taken by the "
                         "port, or sessions swept\n");
    return 1;
  }
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception &failure) {
    std::fputs(failure.what(), stderr);
    return 1;
  }
}
