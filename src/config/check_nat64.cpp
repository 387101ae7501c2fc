// SPDX-License-Identifier: MIT
//
// [nat64]: prefixes, the pool, who may use it, timers and quotas.
#include "config/duration.h"
#include "config/quote.h"
#include "config/sections.h"
#include "datapath/types.h"

#include <algorithm>
#include <charconv>

namespace viaduct::config {

namespace {

constexpr std::chrono::seconds max_timeout = std::chrono::hours(24 * 7);
constexpr int64_t session_limit = 16'000'000;

constexpr const char *a_nat64_prefix =
    "an IPv6 prefix of length 32, 40, 48, 56, 64 or 96, such as \"64:ff9b::/96\"";
constexpr const char *a_pool_address =
    "an IPv4 address such as \"203.0.113.10\" or { address = \"203.0.113.10\", "
    "ports = \"1024-65535\" }";
// Why a prefix of a right form may not translate; empty if it may. RFC 6052 2.2 and 3.1, RFC 8215.
std::string prefix_fault(const Prefix6 &prefix) {
  for (unsigned good : {32U, 40U, 48U, 56U, 64U, 96U})
    if (prefix.length == good) {
      if (prefix.address.bytes[8] != 0)
        return "bits 64 to 71 set, expected them zero (RFC 6052 2.2)";
      for (const char *other : {"::/64", "fe80::/10", "ff00::/8"})
        if (prefix.overlaps(prefix6(other)))
          return fmt::format("addresses of {}, expected unicast addresses only", other);
      bool special = prefix.overlaps(prefix6("64:ff9b::/32"));
      bool local_use = prefix.length >= 48 && prefix.overlaps(prefix6("64:ff9b:1::/48"));
      if (special && !local_use && prefix != prefix6("64:ff9b::/96"))
        return "addresses of 64:ff9b::/32, expected from there only 64:ff9b::/96 (RFC 6052) or a "
               "prefix inside 64:ff9b:1::/48 (RFC 8215)";
      return {};
    }
  return fmt::format("the length {}, expected 32, 40, 48, 56, 64 or 96 (RFC 6052)", prefix.length);
}

void one_prefix(Checker &checker, const Field &field) {
  auto prefix = read_prefix6(checker, field, a_nat64_prefix);
  if (!prefix)
    return;
  if (auto fault = prefix_fault(*prefix); !fault.empty())
    return problem(checker, field.value.at,
                   fmt::format("{}: found \"{}\" with {}", field.name, prefix->text(), fault));
  for (const Prefix6 &other : checker.config.nat64.prefixes)
    if (prefix->overlaps(other))
      return problem(checker, field.value.at,
                     fmt::format("{}: found \"{}\", which overlaps \"{}\", expected prefixes that "
                                 "do not overlap",
                                 field.name, prefix->text(), other.text()));
  checker.config.nat64.prefixes.push_back(*prefix);
}

void nat64_prefix(Checker &checker, const Field &field) {
  if (field.value.kind == Kind::string)
    return one_prefix(checker, field);
  auto what = fmt::format("{}, or a list of them", a_nat64_prefix);
  for (const Field &item : read_list(checker, field, dp::MAX_PREFIXES, what))
    one_prefix(checker, item);
}

// What kind of address cannot be in a pool; empty if it can.
std::string pool_fault(const Ipv4 &address) {
  for (const Reserved4 &reserved : no_hosts4)
    if (prefix4(reserved.prefix).contains(address))
      return reserved.what;
  return {};
}

void pool_address(Checker &checker, const Field &field) {
  const std::string *text = read_string(checker, field, a_pool_address);
  if (text == nullptr)
    return;
  if (*text == "uplink")
    return problem(checker, field.value.at,
                   fmt::format("this version does not support \"uplink\" in {} yet, expected {}",
                               field.name, a_pool_address));
  auto address = Ipv4::parse(*text);
  if (!address)
    return expected(checker, field, a_pool_address);
  if (auto fault = pool_fault(*address); !fault.empty())
    return problem(checker, field.value.at,
                   fmt::format("{}: found {}, {}, expected a unicast address that is routed to "
                               "this host",
                               field.name, quoted(*text), fault));
  checker.pool_entry.address = *address;
}

// "1024-65535"; both ends belong to the range.
bool parse_ports(std::string_view text, uint16_t &low, uint16_t &high) {
  auto middle = text.find('-');
  if (middle == std::string_view::npos)
    return false;
  auto number = [](std::string_view digits, uint16_t &value) {
    auto [end, code] = std::from_chars(digits.begin(), digits.end(), value);
    return code == std::errc() && end == digits.end();
  };
  return number(text.substr(0, middle), low) && number(text.substr(middle + 1), high) && low >= 1 &&
         low <= high;
}

void pool_ports(Checker &checker, const Field &field) {
  constexpr const char *what =
      "a range of ports from 1 to 65535, the lowest first, such as \"1024-65535\"";
  const std::string *text = read_string(checker, field, what);
  if (text == nullptr)
    return;
  if (!parse_ports(*text, checker.pool_entry.port_low, checker.pool_entry.port_high))
    expected(checker, field, what);
}

void pool_drain(Checker &checker, const Field &field) {
  if (auto value = read_boolean(checker, field))
    checker.pool_entry.drain = *value;
}

constexpr Key pool_entry_keys[] = {
    {"address", pool_address}, {"ports", pool_ports}, {"drain", pool_drain}};

void one_pool_entry(Checker &checker, const Field &field) {
  size_t before = checker.problems.size();
  PoolAddress &entry = checker.pool_entry;
  entry = {};
  if (field.value.kind == Kind::table) {
    read_table(checker, field, pool_entry_keys);
    if (!has_key(field.value, "address"))
      problem(checker, field.value.at,
              fmt::format("{}: found a table without address, expected {}", field.name,
                          a_pool_address));
  } else {
    pool_address(checker, field);
  }
  if (checker.problems.size() != before)
    return;
  auto &pool = checker.config.nat64.pool4;
  if (std::ranges::find(pool, entry.address, &PoolAddress::address) != pool.end())
    return problem(checker, field.value.at,
                   fmt::format("{}: found {} a second time, expected every address once",
                               field.name, entry.address.text()));
  pool.push_back(entry);
}

void nat64_pool4(Checker &checker, const Field &field) {
  auto what = fmt::format("a list, each item {}", a_pool_address);
  for (const Field &item : read_list(checker, field, dp::MAX_POOL, what))
    one_pool_entry(checker, item);
  auto &pool = checker.config.nat64.pool4;
  std::ranges::sort(pool);
  if (!pool.empty() && std::ranges::all_of(pool, &PoolAddress::drain))
    problem(checker, field.value.at,
            fmt::format("{}: found only addresses that drain, expected at least one that does not",
                        field.name));
}

void nat64_router_pool4(Checker &checker, const Field &field) {
  constexpr const char *what = "an IPv4 address such as \"203.0.113.250\"";
  auto &pool = checker.config.nat64.router_pool4;
  for (const Field &item : read_list(checker, field, dp::MAX_ERROR_SOURCES,
                                     fmt::format("a list, each item {}", what))) {
    const std::string *text = read_string(checker, item, what);
    if (text == nullptr)
      continue;
    auto address = Ipv4::parse(*text);
    if (!address)
      expected(checker, item, what);
    else if (auto fault = pool_fault(*address); !fault.empty())
      problem(checker, item.value.at,
              fmt::format("{}: found {}, {}, expected a unicast address that no host has",
                          item.name, quoted(*text), fault));
    else if (std::ranges::find(pool, *address) != pool.end())
      problem(checker, item.value.at,
              fmt::format("{}: found {} a second time, expected every address once", item.name,
                          address->text()));
    else
      pool.push_back(*address);
  }
  std::ranges::sort(pool);
}

void nat64_filtering(Checker &checker, const Field &field) {
  if (auto word = read_word(checker, field, {"endpoint", "address"}))
    checker.config.nat64.filtering = *word == 0 ? Filtering::endpoint : Filtering::address;
}

void nat64_allow(Checker &checker, const Field &field) {
  checker.config.nat64.allow = allow_list(checker, field);
}

void nat64_allow_private_ipv4(Checker &checker, const Field &field) {
  if (auto value = read_boolean(checker, field))
    checker.config.nat64.allow_private_ipv4 = *value;
}

void nat64_copy_traffic_class(Checker &checker, const Field &field) {
  if (auto value = read_boolean(checker, field))
    checker.config.nat64.copy_traffic_class = *value;
}

void nat64_map_udp_zero_checksum(Checker &checker, const Field &field) {
  if (auto word = read_word(checker, field, {"calculate", "drop"}))
    checker.config.nat64.map_udp_zero_checksum =
        *word == 0 ? ZeroChecksum::calculate : ZeroChecksum::drop;
}

void nat64_icmp_error_rate(Checker &checker, const Field &field) {
  constexpr int64_t fastest = 1000000;
  if (auto rate = read_number(checker, field, 0, fastest))
    checker.config.nat64.icmp_error_rate = static_cast<uint32_t>(*rate);
}

void nat64_rst_check(Checker &checker, const Field &field) {
  if (auto word = read_word(checker, field, {"window", "off"}))
    checker.config.nat64.rst_check = *word == 0 ? RstCheck::window : RstCheck::off;
}

void nat64_inbound_refresh(Checker &checker, const Field &field) {
  if (auto value = read_boolean(checker, field))
    checker.config.nat64.inbound_refresh = *value;
}

void nat64_accounting(Checker &checker, const Field &field) {
  if (auto value = read_boolean(checker, field))
    checker.config.nat64.accounting = *value;
}

void nat64_mss_clamp(Checker &checker, const Field &field) {
  if (auto value = read_boolean(checker, field))
    checker.config.nat64.mss_clamp = *value;
}

template <std::chrono::seconds Timeouts::*Member>
void timeout(Checker &checker, const Field &field) {
  constexpr const char *what =
      "a time from \"1s\" to \"7d\", such as \"90s\", \"5m\", \"2h\" or \"2h4m\"";
  const std::string *text = read_string(checker, field, what);
  if (text == nullptr)
    return;
  auto span = parse_duration(*text);
  if (!span || span->count() <= 0 || *span > max_timeout)
    return expected(checker, field, what);
  checker.config.nat64.timeouts.*Member = *span;
}

// RFC 6146 4 wants two seconds at least; memory is set aside for little more than that.
void fragment_timeout(Checker &checker, const Field &field) {
  constexpr const char *what = "a time from \"2s\" to \"60s\", such as \"2s\"";
  const std::string *text = read_string(checker, field, what);
  if (text == nullptr)
    return;
  auto span = parse_duration(*text);
  if (!span || span->count() < 2 || span->count() > 60)
    return expected(checker, field, what);
  checker.config.nat64.timeouts.fragment = *span;
}

void nat64_port_rest(Checker &checker, const Field &field) {
  constexpr std::chrono::seconds most = std::chrono::minutes(15);
  static_assert(most.count() < dp::REST_TICK * (dp::REST_TICKS - 1));
  auto what = fmt::format("a time from \"0s\" to \"{}\", such as \"2m\"", duration_text(most));
  const std::string *text = read_string(checker, field, what);
  if (text == nullptr)
    return;
  auto span = parse_duration(*text);
  if (!span || span->count() < 0 || *span > most)
    return expected(checker, field, what);
  checker.config.nat64.port_rest = *span;
}

constexpr Key timeouts_keys[] = {{"udp", timeout<&Timeouts::udp>},
                                 {"tcp_established", timeout<&Timeouts::tcp_established>},
                                 {"tcp_transitory", timeout<&Timeouts::tcp_transitory>},
                                 {"icmp", timeout<&Timeouts::icmp>},
                                 {"tcp_incoming_syn", timeout<&Timeouts::tcp_incoming_syn>},
                                 {"fragment", fragment_timeout}};

void nat64_timeouts(Checker &checker, const Field &field) {
  read_table(checker, field, timeouts_keys);
}

// 1280 is what every IPv6 link takes (RFC 8200 5).
void nat64_lowest_ipv6_mtu(Checker &checker, const Field &field) {
  if (auto bytes = read_number(checker, field, 1280, 65535))
    checker.config.nat64.lowest_ipv6_mtu = static_cast<uint16_t>(*bytes);
}

void nat64_subscriber_prefix(Checker &checker, const Field &field) {
  if (auto bits = read_number(checker, field, 32, 128))
    checker.config.nat64.subscriber_prefix = static_cast<uint8_t>(*bits);
}

void nat64_max_sessions_per_subscriber(Checker &checker, const Field &field) {
  if (auto count = read_number(checker, field, 1, session_limit))
    checker.config.nat64.max_sessions_per_subscriber = static_cast<uint32_t>(*count);
}

void nat64_max_bindings_per_subscriber(Checker &checker, const Field &field) {
  if (auto count = read_number(checker, field, 1, session_limit))
    checker.config.nat64.max_bindings_per_subscriber = static_cast<uint32_t>(*count);
}

void nat64_max_sessions(Checker &checker, const Field &field) {
  if (auto count = read_number(checker, field, 1, session_limit))
    checker.config.nat64.max_sessions = static_cast<uint32_t>(*count);
}

constexpr Key nat64_keys[] = {{"prefix", nat64_prefix},
                              {"pool4", nat64_pool4},
                              {"router_pool4", nat64_router_pool4},
                              {"filtering", nat64_filtering},
                              {"allow", nat64_allow},
                              {"allow_private_ipv4", nat64_allow_private_ipv4},
                              {"copy_traffic_class", nat64_copy_traffic_class},
                              {"map_udp_zero_checksum", nat64_map_udp_zero_checksum},
                              {"icmp_error_rate", nat64_icmp_error_rate},
                              {"rst_check", nat64_rst_check},
                              {"inbound_refresh", nat64_inbound_refresh},
                              {"accounting", nat64_accounting},
                              {"mss_clamp", nat64_mss_clamp},
                              {"lowest_ipv6_mtu", nat64_lowest_ipv6_mtu},
                              {"timeouts", nat64_timeouts},
                              {"port_rest", nat64_port_rest},
                              {"subscriber_prefix", nat64_subscriber_prefix},
                              {"max_sessions_per_subscriber", nat64_max_sessions_per_subscriber},
                              {"max_bindings_per_subscriber", nat64_max_bindings_per_subscriber},
                              {"max_sessions", nat64_max_sessions}};

} // namespace

// An empty list would read as "nobody" to one and as "everybody" to another: it is refused.
std::vector<Prefix6> allow_list(Checker &checker, const Field &field) {
  std::vector<Prefix6> prefixes;
  constexpr const char *what =
      "a list with at least one IPv6 prefix, such as [\"2001:db8:64::/64\"], or no such key";
  for (const Field &item : read_list(checker, field, dp::MAX_ALLOW, what))
    if (auto prefix = read_prefix6(checker, item, "an IPv6 prefix such as \"2001:db8:64::/64\""))
      prefixes.push_back(*prefix);
  return prefixes;
}

void nat64(Checker &checker, const Field &field) {
  read_table(checker, field, nat64_keys);
  if (field.value.kind != Kind::table)
    return;
  for (const char *required : {"prefix", "pool4"})
    if (!has_key(field.value, required))
      problem(
          checker, field.key,
          fmt::format("nat64: found no key {}, expected at least {}", required, smallest_config));
}

} // namespace viaduct::config
