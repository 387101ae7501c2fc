// SPDX-License-Identifier: MIT
//
// The only file that includes toml++: its nodes become ours. Without exceptions, so that a syntax
// error is a value here too. Depth is bounded twice: lists and inline tables by toml++ itself
// (TOML_MAX_NESTED_VALUES), dotted keys, which it does not limit, by check_bounds before.
#include "config/tree.h"
#include "config/quote.h"

#define TOML_EXCEPTIONS 0
#define TOML_MAX_NESTED_VALUES 16
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_UNRELEASED_FEATURES 0
#include <toml++/toml.h>

#include <algorithm>

namespace viaduct::config {

namespace {

constexpr size_t longest_description = 200;

Position position(const toml::source_region &region) {
  return {region.begin.line, region.begin.column};
}

Value make(Kind kind, Position at) {
  Value value;
  value.kind = kind;
  value.at = at;
  return value;
}

Value convert(const toml::node &node, Position near);

Value convert_table(const toml::table &table, Position at) {
  Value value = make(Kind::table, at);
  for (const auto &[key, node] : table) {
    Position key_at = position(key.source());
    value.entries.push_back({std::string(key.str()), key_at, convert(node, key_at)});
  }
  // toml++ keeps a table's entries by name; people read them by place.
  std::ranges::stable_sort(value.entries, {}, &Entry::at);
  return value;
}

Value convert_list(const toml::array &list, Position at) {
  Value value = make(Kind::list, at);
  for (const auto &node : list)
    value.items.push_back(convert(node, at));
  return value;
}

// `near` is taken where the library knows no place, as for tables that a dotted key made.
Value convert(const toml::node &node, Position near) {
  Position at = position(node.source());
  if (at.line == 0)
    at = near;
  if (const auto *table = node.as_table())
    return convert_table(*table, at);
  if (const auto *list = node.as_array())
    return convert_list(*list, at);
  Value value = make(Kind::date, at);
  if (const auto *string = node.as_string()) {
    value.kind = Kind::string;
    value.string = string->get();
  } else if (const auto *integer = node.as_integer()) {
    value.kind = Kind::integer;
    value.integer = integer->get();
  } else if (const auto *boolean = node.as_boolean()) {
    value.kind = Kind::boolean;
    value.boolean = boolean->get();
  } else if (node.is_floating_point()) {
    value.kind = Kind::floating;
  }
  return value;
}

// The parser says what it saw and what it expected. Text without quotes, the likeliest slip, it
// takes for a number or a time and says something that does not help.
std::string explain(std::string_view description) {
  constexpr std::string_view opening = "Error while parsing ";
  if (description.starts_with(opening))
    description.remove_prefix(opening.size());
  auto what = description.substr(0, description.find(':'));
  bool unquoted = description.find("exceeded") == std::string_view::npos;
  bool scalar = false;
  for (const char *kind : {"value", "integer", "floating-point", "time", "date", "boolean"})
    scalar |= what.ends_with(kind);
  return fmt::format("not TOML: {}{}", printable(description, longest_description),
                     scalar && unquoted ? " (text stands in double quotes)" : "");
}

} // namespace

std::variant<Value, Problem> read_tree(std::string_view text, const std::string &file) {
  if (auto problem = check_bounds(text, file))
    return *problem;
  auto parsed = toml::parse(text);
  if (parsed)
    return convert_table(parsed.table(), {1, 1});
  const auto &failure = parsed.error();
  Position at = position(failure.source());
  return Problem{file, at.line, at.column, explain(failure.description())};
}

} // namespace viaduct::config
