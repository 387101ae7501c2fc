// SPDX-License-Identifier: MIT
//
// [[static]]: maps of addresses (RFC 7757) and bindings of single ports.
#include "config/sections.h"
#include "datapath/types.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace viaduct::config {

namespace {

constexpr size_t max_static = 1024; // tables [[static]]

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

} // namespace

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

} // namespace viaduct::config
