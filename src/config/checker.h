// SPDX-License-Identifier: MIT
//
// What reading any key needs: the problems so far, and functions that take one kind of value or say
// "NAME: found ..., expected ...". They know nothing of this configuration's keys (sections.h does),
// and the agent's configuration is read by them, too.
#pragma once

#include "config/tree.h"

#include <array>
#include <functional>
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

struct Problems {
  std::string file;
  std::vector<Problem> problems;
  bool more_problems = false; // than max_problems
};

// One key that a table may have. `read` is null for what is planned but not in this version.
template <typename Reader> struct KeyOf {
  std::string_view name;
  void (*read)(Reader &, const Field &);
};

void problem(Problems &checker, Position at, std::string message);
void expected(Problems &checker, const Field &field, std::string_view what);

// Calls `read` with each entry of a table whose key is known and in this version.
struct KnownKey {
  std::string_view name;
  bool planned;
};
void read_entries(Problems &checker, const Field &field, std::span<const KnownKey> keys,
                  const std::function<void(size_t key, const Field &)> &read);

// Reads every key of a table by its function; unknown ones are problems.
template <typename Reader, size_t Count>
void read_table(Reader &reader, const Field &field, const KeyOf<Reader> (&keys)[Count]) {
  std::array<KnownKey, Count> known{};
  for (size_t i = 0; i < Count; i++)
    known[i] = {keys[i].name, keys[i].read == nullptr};
  read_entries(reader, field, known,
               [&](size_t key, const Field &value) { keys[key].read(reader, value); });
}

// In file order, and with a word about those that are not shown.
std::vector<Problem> in_order(Problems &&problems);

// The value if it is of that kind (and in range, or one of the words); otherwise a problem.
const std::string *read_string(Problems &checker, const Field &field, std::string_view what);
std::optional<bool> read_boolean(Problems &checker, const Field &field);
std::optional<int64_t> read_number(Problems &checker, const Field &field, int64_t low,
                                   int64_t high);
// `later`: a word that is planned but not in this version.
std::optional<size_t> read_word(Problems &checker, const Field &field,
                                std::initializer_list<std::string_view> words,
                                std::string_view later = {});
// One to `most` items, each under the list's name.
std::vector<Field> read_list(Problems &checker, const Field &field, size_t most,
                             std::string_view what);
std::optional<Prefix6> read_prefix6(Problems &checker, const Field &field, std::string_view what);
std::optional<Prefix4> read_prefix4(Problems &checker, const Field &field, std::string_view what);

// Of [control], which every daemon has. The examples are for the message.
std::optional<std::string> read_socket_path(Problems &checker, const Field &field,
                                            std::string_view example);
std::optional<Listen> read_listen(Problems &checker, const Field &field, uint16_t example);

} // namespace viaduct::config
