// SPDX-License-Identifier: MIT
#include "config/checker.h"
#include "config/quote.h"

#include <algorithm>

namespace viaduct::config {

namespace {

constexpr size_t near_enough = 2;   // changed letters in what is taken for a slip of the pen
constexpr size_t max_compared = 64; // letters; no key is longer

std::string found(const Value &value) {
  switch (value.kind) {
  case Kind::string:
    return quoted(value.string);
  case Kind::integer:
    return fmt::format("the number {}", value.integer);
  case Kind::boolean:
    return value.boolean ? "true" : "false";
  case Kind::floating:
    return "a number with a fraction";
  case Kind::date:
    return "a date or time";
  case Kind::list:
    return value.items.empty() ? "an empty list" : "a list";
  case Kind::table:
    return "a table";
  }
  return "a value";
}

// How many characters must be put in, taken out or changed to make `b` of `a` (Levenshtein).
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++)
    row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      size_t above = row[j];
      size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({changed, above + 1, row[j - 1] + 1});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// "a", "a or b", "a, b or c".
std::string alternatives(std::initializer_list<std::string_view> words) {
  std::string text;
  size_t left = words.size();
  for (std::string_view word : words) {
    text += fmt::format("\"{}\"", word);
    if (--left > 0)
      text += left == 1 ? " or " : ", ";
  }
  return text;
}

void unknown_key(Checker &checker, const Entry &entry, const std::string &where,
                 std::span<const Key> keys) {
  if (checker.problems.size() >= max_problems) {
    checker.more_problems = true;
    return;
  }
  std::string word = entry.key;
  for (char &c : word)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  std::string_view nearest;
  size_t best = near_enough + 1;
  std::string known;
  for (const Key &key : keys) {
    if (key.read == nullptr)
      continue;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", key.name);
    if (word.size() > max_compared)
      continue;
    size_t steps = distance(word, key.name);
    if (steps < best && steps * 2 <= std::min(word.size(), key.name.size())) {
      best = steps;
      nearest = key.name;
    }
  }
  const char *kind = entry.value.kind == Kind::table ? "table" : "key";
  std::string place = where.empty() ? "" : fmt::format(" in {}", where);
  std::string hint = nearest.empty() ? fmt::format("expected one of {}", known)
                                     : fmt::format("did you mean \"{}\"?", nearest);
  problem(checker, entry.at,
          fmt::format("found the unknown {} {}{}, {}", kind, quoted(entry.key), place, hint));
}

} // namespace

void problem(Checker &checker, Position at, std::string message) {
  if (checker.problems.size() < max_problems)
    checker.problems.push_back({checker.file, at.line, at.column, std::move(message)});
  else
    checker.more_problems = true;
}

void expected(Checker &checker, const Field &field, std::string_view what) {
  problem(checker, field.value.at,
          fmt::format("{}: found {}, expected {}", field.name, found(field.value), what));
}

void read_table(Checker &checker, const Field &field, std::span<const Key> keys) {
  if (field.value.kind != Kind::table)
    return expected(checker, field, "a table");
  for (const Entry &entry : field.value.entries) {
    auto key = std::ranges::find(keys, entry.key, &Key::name);
    if (key == keys.end()) {
      unknown_key(checker, entry, field.name, keys);
      continue;
    }
    std::string name = field.name.empty() ? entry.key : fmt::format("{}.{}", field.name, entry.key);
    if (key->read == nullptr)
      problem(checker, entry.at,
              fmt::format("this version does not support {} yet, take the {} out",
                          field.name.empty() ? "[[" + name + "]]" : name,
                          field.name.empty() ? "table" : "key"));
    else
      key->read(checker, {entry.value, std::move(name), entry.at});
  }
}

const std::string *read_string(Checker &checker, const Field &field, std::string_view what) {
  if (field.value.kind == Kind::string)
    return &field.value.string;
  expected(checker, field, what);
  return nullptr;
}

std::optional<bool> read_boolean(Checker &checker, const Field &field) {
  if (field.value.kind == Kind::boolean)
    return field.value.boolean;
  expected(checker, field, "true or false");
  return std::nullopt;
}

std::optional<int64_t> read_number(Checker &checker, const Field &field, int64_t low,
                                   int64_t high) {
  const Value &value = field.value;
  if (value.kind == Kind::integer && value.integer >= low && value.integer <= high)
    return value.integer;
  expected(checker, field, fmt::format("a number from {} to {}", low, high));
  return std::nullopt;
}

std::optional<size_t> read_word(Checker &checker, const Field &field,
                                std::initializer_list<std::string_view> words,
                                std::string_view later) {
  const std::string *word = read_string(checker, field, alternatives(words));
  if (word == nullptr)
    return std::nullopt;
  const auto *at = std::ranges::find(words, *word);
  if (at != words.end())
    return static_cast<size_t>(at - words.begin());
  if (!later.empty() && *word == later)
    problem(checker, field.value.at,
            fmt::format("this version does not support {} = \"{}\" yet, expected {}", field.name,
                        later, alternatives(words)));
  else
    expected(checker, field, alternatives(words));
  return std::nullopt;
}

std::vector<Field> read_list(Checker &checker, const Field &field, size_t most,
                             std::string_view what) {
  std::vector<Field> items;
  if (field.value.kind != Kind::list || field.value.items.empty()) {
    expected(checker, field, what);
    return items;
  }
  if (field.value.items.size() > most)
    problem(checker, field.value.at,
            fmt::format("{}: found a list of {}, expected at most {}", field.name,
                        field.value.items.size(), most));
  // What is beyond the limit is not looked at: a list can be as long as a file may be.
  for (const Value &value :
       std::span(field.value.items).first(std::min(most, field.value.items.size())))
    items.push_back({value, field.name, field.key});
  return items;
}

namespace {

// A host's address with its subnet's length is the likeliest slip: it gets its own words.
template <typename Prefix, typename Address>
std::optional<Prefix> read_prefix(Checker &checker, const Field &field, std::string_view what,
                                  std::string_view any) {
  const std::string *text = read_string(checker, field, what);
  if (text == nullptr)
    return std::nullopt;
  auto prefix = Prefix::parse(*text);
  if (prefix)
    return *prefix;
  auto slash = std::min(text->rfind('/'), text->size());
  if (Address::parse(text->substr(0, slash)) &&
      Prefix::parse(std::string(any) + text->substr(slash)))
    problem(checker, field.value.at,
            fmt::format("{}: found {}, which has bits set behind its length, expected {}",
                        field.name, quoted(*text), what));
  else
    expected(checker, field, what);
  return std::nullopt;
}

} // namespace

std::optional<Prefix6> read_prefix6(Checker &checker, const Field &field, std::string_view what) {
  return read_prefix<Prefix6, Ipv6>(checker, field, what, "::");
}

std::optional<Prefix4> read_prefix4(Checker &checker, const Field &field, std::string_view what) {
  return read_prefix<Prefix4, Ipv4>(checker, field, what, "0.0.0.0");
}

} // namespace viaduct::config
