// SPDX-License-Identifier: MIT
//
// The tree becomes a Config. Each table of the configuration has a table of keys here, and each key
// one function that reads its value; what is in neither is unknown and refused with the nearest
// known name, what is planned and not in this version is refused with those words. Nothing
// stops at the first problem: a key that is wrong is reported and left at its default, and the
// whole is given out only if there was none.
//
// A problem names the key, what was found and what was expected, and points at the value (or at the
// key where the key itself is wrong).
#include "config/checker.h"
#include "config/duration.h"
#include "config/quote.h"
#include "datapath/types.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <net/if.h>
#include <sys/un.h>

namespace viaduct::config {

namespace {

constexpr std::chrono::seconds max_timeout = std::chrono::hours(24 * 7);
constexpr int64_t session_limit = 16'000'000;
constexpr size_t max_static = 1024;           // tables [[static]]
constexpr size_t max_resolver_addresses = 16; // of dns64.listen and of dns64.upstream

constexpr const char *smallest_config =
    "nat64 = { prefix = \"64:ff9b::/96\", pool4 = [\"203.0.113.10\"] }";
constexpr const char *a_nat64_prefix =
    "an IPv6 prefix of length 32, 40, 48, 56, 64 or 96, such as \"64:ff9b::/96\"";
constexpr const char *a_pool_address =
    "an IPv4 address such as \"203.0.113.10\" or { address = \"203.0.113.10\", "
    "ports = \"1024-65535\" }";

Prefix6 prefix6(std::string_view text) {
  return *Prefix6::parse(text);
}
Prefix4 prefix4(std::string_view text) {
  return *Prefix4::parse(text);
}

bool has_key(const Value &table, std::string_view key) {
  return std::ranges::find(table.entries, key, &Entry::key) != table.entries.end();
}

// --- [nvi] ---------------------------------------------------------------------------------------

// The kernel's own rules (dev_valid_name), and: '%' would make a pattern of it, "all" and "default"
// are not interfaces under /proc/sys/net.
bool valid_interface_name(std::string_view name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == ".." || name == "all" ||
      name == "default")
    return false;
  return std::ranges::all_of(
      name, [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%'; });
}

void nvi_name(Checker &checker, const Field &field) {
  constexpr const char *what = "an interface name of 1 to 15 visible ASCII characters without "
                               "'/', ':' and '%', such as \"nvi0\"";
  const std::string *name = read_string(checker, field, what);
  if (name == nullptr)
    return;
  if (!valid_interface_name(*name))
    return expected(checker, field, what);
  checker.config.nvi.name = *name;
}

void nvi_engine(Checker &checker, const Field &field) {
  if (auto word = read_word(checker, field, {"auto", "tun"}, "bpf"))
    checker.config.nvi.engine = *word == 0 ? Engine::automatic : Engine::tun;
}

constexpr Key nvi_keys[] = {{"name", nvi_name}, {"engine", nvi_engine}, {"direct", nullptr}};

void nvi(Checker &checker, const Field &field) {
  read_table(checker, field, nvi_keys);
}

// --- [nat64] -------------------------------------------------------------------------------------

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

struct Reserved4 {
  const char *prefix;
  const char *what;
};
constexpr Reserved4 no_hosts4[] = {{"0.0.0.0/8", "an address of \"this network\""},
                                   {"127.0.0.0/8", "a loopback address"},
                                   {"224.0.0.0/4", "a multicast address"},
                                   {"240.0.0.0/4", "a reserved address"}};

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
                              {"rst_check", nat64_rst_check},
                              {"inbound_refresh", nat64_inbound_refresh},
                              {"accounting", nat64_accounting},
                              {"mss_clamp", nullptr},
                              {"lowest_ipv6_mtu", nat64_lowest_ipv6_mtu},
                              {"timeouts", nat64_timeouts},
                              {"port_rest", nat64_port_rest},
                              {"subscriber_prefix", nat64_subscriber_prefix},
                              {"max_sessions_per_subscriber", nat64_max_sessions_per_subscriber},
                              {"max_bindings_per_subscriber", nat64_max_bindings_per_subscriber},
                              {"max_sessions", nat64_max_sessions}};

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

// --- [[static]] ----------------------------------------------------------------------------------

constexpr const char *a_map =
    "map = { inside = \"2001:db8:a::/120\", outside = \"198.51.100.0/24\" }";

void map_inside(Checker &checker, const Field &field) {
  auto prefix = read_prefix6(
      checker, field,
      "an IPv6 prefix such as \"2001:db8:a::/120\", or \"2001:db8:a::1/128\" for one host");
  if (!prefix)
    return;
  for (const char *other : {"::/32", "fe80::/10", "ff00::/8"})
    if (prefix->overlaps(prefix6(other)))
      return problem(checker, field.value.at,
                     fmt::format("{}: found \"{}\" with addresses of {}, expected addresses that a "
                                 "host may have",
                                 field.name, prefix->text(), other));
  for (const Map &map : checker.config.maps)
    if (map.inside == *prefix)
      return problem(checker, field.value.at,
                     fmt::format("{}: found \"{}\" a second time, expected every prefix once",
                                 field.name, prefix->text()));
  checker.map_inside = *prefix;
  checker.map_place.inside = field.value.at;
}

void map_outside(Checker &checker, const Field &field) {
  auto prefix = read_prefix4(
      checker, field,
      "an IPv4 prefix such as \"198.51.100.0/24\", or \"198.51.100.1/32\" for one host");
  if (!prefix)
    return;
  for (const Reserved4 &reserved : no_hosts4)
    if (prefix->overlaps(prefix4(reserved.prefix)))
      return problem(checker, field.value.at,
                     fmt::format("{}: found \"{}\" with addresses of {}, expected addresses that a "
                                 "host may have",
                                 field.name, prefix->text(), reserved.prefix));
  for (const Map &map : checker.config.maps)
    if (map.outside == *prefix)
      return problem(checker, field.value.at,
                     fmt::format("{}: found \"{}\" a second time, expected every prefix once",
                                 field.name, prefix->text()));
  checker.map_outside = *prefix;
  checker.map_place.outside = field.value.at;
}

constexpr Key map_keys[] = {{"inside", map_inside}, {"outside", map_outside}};

// The IPv4 suffix must fit behind the IPv6 prefix.
bool has_room(const Map &map) {
  return 32 - map.outside.length <= 128 - map.inside.length;
}

void static_map(Checker &checker, const Field &field) {
  size_t before = checker.problems.size();
  checker.map_inside.reset();
  checker.map_outside.reset();
  read_table(checker, field, map_keys);
  if (checker.problems.size() != before)
    return;
  if (!checker.map_inside || !checker.map_outside)
    return problem(checker, field.value.at,
                   fmt::format("{}: found a table without {}, expected {}", field.name,
                               checker.map_inside ? "outside" : "inside", a_map));
  Map map{*checker.map_inside, *checker.map_outside};
  if (!has_room(map))
    return problem(
        checker, field.value.at,
        fmt::format("{}: found {} bits behind \"{}\" and only {} behind \"{}\", expected "
                    "room for the former in the latter (RFC 7757 3.2)",
                    field.name, 32 - map.outside.length, map.outside.text(),
                    128 - map.inside.length, map.inside.text()));
  checker.config.maps.push_back(map);
  checker.map_places.push_back(checker.map_place);
}

void static_protocol(Checker &checker, const Field &field) {
  if (auto word = read_word(checker, field, {"tcp", "udp"}))
    checker.binding.protocol = *word == 0 ? dp::PROTOCOL_TCP : dp::PROTOCOL_UDP;
}

// "203.0.113.10:443" and "[2001:db8::80]:443".
template <typename Address>
std::optional<Address> parse_endpoint(std::string_view text, uint16_t &port) {
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return std::nullopt;
  std::string_view address = text.substr(0, colon), digits = text.substr(colon + 1);
  auto [end, code] = std::from_chars(digits.begin(), digits.end(), port);
  if (code != std::errc() || end != digits.end() || port == 0)
    return std::nullopt;
  if constexpr (std::is_same_v<Address, Ipv6>) {
    if (address.size() < 2 || !address.starts_with('[') || !address.ends_with(']'))
      return std::nullopt;
    address = address.substr(1, address.size() - 2);
  }
  auto parsed = Address::parse(address);
  return parsed ? std::optional<Address>(*parsed) : std::nullopt;
}

void static_outside(Checker &checker, const Field &field) {
  constexpr const char *what = "an address of pool4 and a port, such as \"203.0.113.10:443\"";
  const std::string *text = read_string(checker, field, what);
  if (text == nullptr)
    return;
  auto address = parse_endpoint<Ipv4>(*text, checker.binding.outside_port);
  if (!address)
    return expected(checker, field, what);
  checker.binding.outside = *address;
}

void static_inside(Checker &checker, const Field &field) {
  constexpr const char *what =
      "the IPv6 host's address in brackets and a port, such as \"[2001:db8:1::80]:443\"";
  const std::string *text = read_string(checker, field, what);
  if (text == nullptr)
    return;
  auto address = parse_endpoint<Ipv6>(*text, checker.binding.inside_port);
  if (!address)
    return expected(checker, field, what);
  for (const char *other : {"::/32", "fe80::/10", "ff00::/8"})
    if (prefix6(other).contains(*address))
      return problem(checker, field.value.at,
                     fmt::format("{}: found an address of {}, expected one that a host may have",
                                 field.name, other));
  checker.binding.inside = *address;
}

constexpr Key static_keys[] = {{"map", static_map},
                               {"protocol", static_protocol},
                               {"outside", static_outside},
                               {"inside", static_inside}};

constexpr const char *a_binding = "protocol = \"tcp\", outside = \"203.0.113.10:443\", inside = "
                                  "\"[2001:db8:1::80]:443\"";

void add_binding(Checker &checker, const Field &field) {
  const StaticBinding &binding = checker.binding;
  for (const StaticBinding &other : checker.config.bindings) {
    if (other.protocol != binding.protocol)
      continue;
    bool outside = other.outside == binding.outside && other.outside_port == binding.outside_port;
    bool inside = other.inside == binding.inside && other.inside_port == binding.inside_port;
    if (outside || inside)
      return problem(checker, field.value.at,
                     fmt::format("{}: found the same {} a second time, expected every end once for "
                                 "each protocol",
                                 field.name, outside ? "outside" : "inside"));
  }
  checker.config.bindings.push_back(binding);
  checker.outsides.push_back(field.value.at);
}

void one_static(Checker &checker, const Field &field) {
  size_t before = checker.problems.size();
  checker.binding = {};
  read_table(checker, field, static_keys);
  if (checker.problems.size() != before)
    return;
  bool map = has_key(field.value, "map");
  auto is_there = [&](const char *key) { return has_key(field.value, key); };
  constexpr std::array<const char *, 3> ends{"protocol", "outside", "inside"};
  auto how_many = std::ranges::count_if(ends, is_there);
  if (map && how_many == 0)
    return;
  if (map || how_many != 3)
    return problem(checker, field.value.at,
                   fmt::format("{}: found {}, expected either {} or {}", field.name,
                               map ? "a map together with a binding"
                                   : "a table without map and not with all of protocol, outside "
                                     "and inside",
                               a_map, a_binding));
  add_binding(checker, field);
}

void static_rules(Checker &checker, const Field &field) {
  auto what = fmt::format("tables [[static]], each with {} or {}", a_map, a_binding);
  for (const Field &item : read_list(checker, field, max_static, what))
    one_static(checker, item);
  if (checker.config.maps.size() > dp::MAX_MAPS)
    problem(checker, field.value.at,
            fmt::format("{}: found {} maps, expected at most {}", field.name,
                        checker.config.maps.size(), +dp::MAX_MAPS));
}

// What a static binding is at must be routed to us.
void check_bindings(Checker &checker) {
  const auto &pool = checker.config.nat64.pool4;
  for (size_t i = 0; i < checker.config.bindings.size(); i++) {
    const StaticBinding &binding = checker.config.bindings[i];
    if (std::ranges::find(pool, binding.outside, &PoolAddress::address) == pool.end())
      problem(checker, checker.outsides[i],
              fmt::format("static.outside: found {}, which is not in nat64.pool4, expected an "
                          "address of pool4",
                          binding.outside.text()));
    for (const Prefix6 &prefix : checker.config.nat64.prefixes)
      if (prefix.contains(binding.inside))
        problem(checker, checker.outsides[i],
                fmt::format("static.inside: found {}, which is inside nat64.prefix, expected the "
                            "address of an IPv6 host",
                            binding.inside.text()));
  }
}

// A pool address in a map would never be NAT64's, a router's would be a host's; and a mapped host
// inside a prefix would be an IPv4 host, whose address is not ours to translate again.
void check_maps(Checker &checker) {
  const Nat64 &nat64 = checker.config.nat64;
  for (size_t i = 0; i < checker.config.maps.size(); i++) {
    const auto &[inside, outside] = checker.config.maps[i];
    const auto refuse = [&, &place = checker.map_places[i], &outside = outside](const Ipv4 &address,
                                                                                const char *key) {
      if (outside.contains(address))
        problem(checker, place.outside,
                fmt::format("static.map.outside: found \"{}\", which holds {} of {}, expected a "
                            "prefix without such an address",
                            outside.text(), address.text(), key));
    };
    for (const PoolAddress &pool : nat64.pool4)
      refuse(pool.address, "nat64.pool4");
    for (const Ipv4 &router : nat64.router_pool4)
      refuse(router, "nat64.router_pool4");
    for (const Prefix6 &prefix : nat64.prefixes)
      if (inside.overlaps(prefix))
        problem(checker, checker.map_places[i].inside,
                fmt::format("static.map.inside: found \"{}\", which overlaps \"{}\" of "
                            "nat64.prefix, expected addresses of IPv6 hosts",
                            inside.text(), prefix.text()));
  }
}

// --- [dns64] -------------------------------------------------------------------------------------

// An address of either family in its usual spelling; empty if it is none or names no single host.
// The unspecified address means "all of this host's", which makes sense only to listen on.
std::string host_address(std::string_view text, bool unspecified_allowed) {
  if (auto four = Ipv4::parse(text)) {
    bool unspecified = *four == Ipv4{};
    bool multicast = prefix4("224.0.0.0/3").contains(*four); // and what is reserved above it
    return multicast || (unspecified && !unspecified_allowed) ? "" : four->text();
  }
  if (auto six = Ipv6::parse(text)) {
    bool unspecified = *six == Ipv6{};
    bool multicast = prefix6("ff00::/8").contains(*six);
    return multicast || (unspecified && !unspecified_allowed) ? "" : six->text();
  }
  return {};
}

std::vector<std::string> host_addresses(Checker &checker, const std::vector<Field> &items,
                                        bool unspecified_allowed, const char *what) {
  std::vector<std::string> addresses;
  for (const Field &item : items) {
    const std::string *text = read_string(checker, item, what);
    if (text == nullptr)
      continue;
    std::string address = host_address(*text, unspecified_allowed);
    if (address.empty())
      expected(checker, item, what);
    else if (std::ranges::find(addresses, address) != addresses.end())
      problem(checker, item.value.at,
              fmt::format("{}: found {} a second time, expected every address once", item.name,
                          address));
    else
      addresses.push_back(std::move(address));
  }
  return addresses;
}

void dns64_listen(Checker &checker, const Field &field) {
  auto items = read_list(checker, field, max_resolver_addresses,
                         "a list with at least one address to answer on, such as [\"::\"]");
  checker.config.dns64->listen = host_addresses(checker, items, true,
                                                "an address of this host such as \"2001:db8::53\", "
                                                "or \"::\" or \"0.0.0.0\" for all of them");
}

void dns64_allow(Checker &checker, const Field &field) {
  checker.config.dns64->allow = allow_list(checker, field);
}

void dns64_upstream(Checker &checker, const Field &field) {
  if (field.value.kind == Kind::list && field.value.items.empty())
    return; // resolve from the roots, as without the key
  auto items = read_list(checker, field, max_resolver_addresses,
                         "a list of resolvers' addresses such as [\"192.0.2.53\"]");
  checker.config.dns64->upstream =
      host_addresses(checker, items, false, "a resolver's address such as \"192.0.2.53\"");
}

void dns64_synthesize(Checker &checker, const Field &field) {
  if (auto word = read_word(checker, field, {"missing", "always"}))
    checker.config.dns64->synthesize = *word == 0 ? Synthesize::missing : Synthesize::always;
}

constexpr Key dns64_keys[] = {{"listen", dns64_listen},
                              {"allow", dns64_allow},
                              {"upstream", dns64_upstream},
                              {"synthesize", dns64_synthesize}};

void dns64(Checker &checker, const Field &field) {
  checker.config.dns64.emplace().listen = {"::"};
  read_table(checker, field, dns64_keys);
}

// --- [control] -----------------------------------------------------------------------------------

void control_socket(Checker &checker, const Field &field) {
  constexpr size_t longest = sizeof(sockaddr_un::sun_path) - 1;
  auto what = fmt::format("an absolute path of at most {} bytes, such as "
                          "\"/run/viaduct/control.sock\"",
                          longest);
  const std::string *path = read_string(checker, field, what);
  if (path == nullptr)
    return;
  bool control = std::ranges::any_of(*path, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (!path->starts_with('/') || path->ends_with('/') || path->size() > longest || control)
    return expected(checker, field, what);
  checker.config.control.socket = *path;
}

// "127.0.0.1:9464" or "[::1]:9464": no names, since they may change their meaning.
std::optional<Listen> parse_listen(std::string_view text) {
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return std::nullopt;
  std::string_view host = text.substr(0, colon), port = text.substr(colon + 1);
  bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed)
    host = host.substr(1, host.size() - 2);
  Listen listen{host_address(host, true), 0};
  bool is_ipv6 = listen.address.find(':') != std::string::npos;
  auto [end, fault] = std::from_chars(port.data(), port.data() + port.size(), listen.port);
  if (listen.address.empty() || is_ipv6 != bracketed || fault != std::errc() ||
      end != port.data() + port.size() || listen.port == 0)
    return std::nullopt;
  return listen;
}

void control_metrics(Checker &checker, const Field &field) {
  const char *what = "an address of this host and a port, such as \"127.0.0.1:9464\" or "
                     "\"[::1]:9464\"";
  const std::string *text = read_string(checker, field, what);
  if (text == nullptr)
    return;
  checker.config.control.metrics = parse_listen(*text);
  if (!checker.config.control.metrics)
    expected(checker, field, what);
}

constexpr Key control_keys[] = {{"socket", control_socket}, {"metrics", control_metrics}};

void control(Checker &checker, const Field &field) {
  read_table(checker, field, control_keys);
}

// --- the whole -----------------------------------------------------------------------------------

constexpr Key root_keys[] = {{"nvi", nvi},         {"nat64", nat64},         {"dns64", dns64},
                             {"control", control}, {"static", static_rules}, {"service", nullptr},
                             {"nat", nullptr},     {"lan", nullptr}};

} // namespace

Outcome parse(std::string_view text, const std::string &file) {
  auto tree = read_tree(text, file);
  if (auto *fault = std::get_if<Problem>(&tree))
    return Outcome{std::nullopt, {std::move(*fault)}};
  const Value &root = std::get<Value>(tree);
  Checker checker;
  checker.file = file;
  read_table(checker, {root, "", {1, 1}}, root_keys);
  if (!has_key(root, "nat64"))
    problem(checker, {},
            fmt::format("found no table [nat64], expected at least {}", smallest_config));
  check_maps(checker);
  check_bindings(checker);
  if (checker.problems.empty())
    return Outcome{std::move(checker.config), {}};
  std::ranges::stable_sort(checker.problems, {}, [](const Problem &problem) {
    return std::pair(problem.line, problem.column);
  });
  if (checker.more_problems)
    checker.problems.push_back(
        {file, 0, 0,
         fmt::format("found more than {} problems, the rest is not shown", max_problems)});
  return Outcome{std::nullopt, std::move(checker.problems)};
}

} // namespace viaduct::config
