// SPDX-License-Identifier: MIT
//
// What reading any key needs: the problems so far, and functions that take one kind of value or say
// "NAME: found ..., expected ...". They know nothing of this configuration's keys (sections.h does).
#pragma once

#include "config/tree.h"

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace viaduct::config {

// A file of nonsense has a problem on every line: what is beyond this many is only mentioned.
constexpr size_t max_problems = 1000;

// A value and the name it goes by in messages ("nat64.prefix"); `key` is where that name stands.
struct Field {
  const Value &value;
  std::string name;
  Position key;
};

struct Checker {
  std::string file;
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
  std::vector<Problem> problems;
  bool more_problems = false; // than max_problems
};

// One key that a table may have. `read` is null for what is planned but not in this version.
struct Key {
  std::string_view name;
  void (*read)(Checker &, const Field &);
};

void problem(Checker &checker, Position at, std::string message);
void expected(Checker &checker, const Field &field, std::string_view what);

// Reads every key of a table by its function; unknown ones are problems.
void read_table(Checker &checker, const Field &field, std::span<const Key> keys);

// The value if it is of that kind (and in range, or one of the words); otherwise a problem.
const std::string *read_string(Checker &checker, const Field &field, std::string_view what);
std::optional<bool> read_boolean(Checker &checker, const Field &field);
std::optional<int64_t> read_number(Checker &checker, const Field &field, int64_t low, int64_t high);
// `later`: a word that is planned but not in this version.
std::optional<size_t> read_word(Checker &checker, const Field &field,
                                std::initializer_list<std::string_view> words,
                                std::string_view later = {});
// One to `most` items, each under the list's name.
std::vector<Field> read_list(Checker &checker, const Field &field, size_t most,
                             std::string_view what);
std::optional<Prefix6> read_prefix6(Checker &checker, const Field &field, std::string_view what);
std::optional<Prefix4> read_prefix4(Checker &checker, const Field &field, std::string_view what);

} // namespace viaduct::config
