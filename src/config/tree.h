// SPDX-License-Identifier: MIT
//
// TOML as a plain tree with a position on every key and value. It stands between toml++ and the
// checks so that the library is seen by one file only (it takes seconds to compile), and so that
// what the checks read is small and known to be bounded.
#pragma once

#include "config/config.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace viaduct::config {

constexpr size_t max_file_bytes = 1U << 20;

// Both 1-based; columns count characters, not bytes.
struct Position {
  unsigned line = 0;
  unsigned column = 0;
  auto operator<=>(const Position &) const = default;
};

enum class Kind { string, integer, boolean, floating, date, list, table };

struct Entry;

struct Value {
  Kind kind = Kind::table;
  Position at;
  std::string string;
  int64_t integer = 0;
  bool boolean = false;
  std::vector<Value> items;   // of a list
  std::vector<Entry> entries; // of a table, in file order
};

struct Entry {
  std::string key;
  Position at;
  Value value;
};

// The text's tree (a table), or what is wrong with it as TOML: one problem, as a parser that lost
// its place only invents more.
std::variant<Value, Problem> read_tree(std::string_view text, const std::string &file);

// What is wrong with a text before anybody parses it: its size, its encoding, keys nested so deep
// that a recursive parser would run out of stack.
std::optional<Problem> check_bounds(std::string_view text, const std::string &file);

// A regular file's bytes, of sane size.
Result<std::string> read_file(const std::string &path);

} // namespace viaduct::config
