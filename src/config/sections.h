// SPDX-License-Identifier: MIT
//
// The sections of the configuration, one file each (check_nat64.cpp, check_static.cpp,
// check_dns64.cpp; [nvi] and [control] are in check.cpp), and the few words that more than one of
// them uses. Each reads one table into Checker::config.
#pragma once

#include "config/checker.h"

#include <string>
#include <string_view>
#include <vector>

namespace viaduct::config {

struct Checker : Problems {
  Config config;                     // filled in as the values turn out good
  Position direct_at;                // where nvi.direct stands
  PoolAddress pool_entry;            // the entry of pool4 that is being read
  std::optional<Prefix6> map_inside; // of the map that is being read
  std::optional<Prefix4> map_outside;
  struct MapPlace {
    Position inside, outside;
  } map_place;                      // of the map that is being read
  std::vector<MapPlace> map_places; // of each of config.maps
  StaticBinding binding;            // that is being read
  std::vector<Position> outsides;   // of each of config.bindings
};
using Key = KeyOf<Checker>;

void nat64(Checker &checker, const Field &field);
void static_rules(Checker &checker, const Field &field);
void dns64(Checker &checker, const Field &field);

// What only the whole can tell, after every table has been read.
void check_maps(Checker &checker);
void check_bindings(Checker &checker);

inline constexpr const char *smallest_config =
    "nat64 = { prefix = \"64:ff9b::/96\", pool4 = [\"203.0.113.10\"] }";

struct Reserved4 {
  const char *prefix;
  const char *what;
};
inline constexpr Reserved4 no_hosts4[] = {{"0.0.0.0/8", "an address of \"this network\""},
                                          {"127.0.0.0/8", "a loopback address"},
                                          {"224.0.0.0/4", "a multicast address"},
                                          {"240.0.0.0/4", "a reserved address"}};

bool has_key(const Value &table, std::string_view key);

// Of this code's own words, which parse.
Prefix6 prefix6(std::string_view text);
Prefix4 prefix4(std::string_view text);

// A list of prefixes that names somebody.
std::vector<Prefix6> allow_list(Checker &checker, const Field &field);

// An address of either family in its usual spelling; empty if it is none or names no single host.
// The unspecified address means "all of this host's", which makes sense only to listen on.
std::string host_address(std::string_view text, bool unspecified_allowed);

} // namespace viaduct::config
