// SPDX-License-Identifier: MIT
#include "config/checker.h"
#include "config/quote.h"
#include "config/sections.h"

#include <algorithm>
#include <charconv>
#include <sys/un.h>

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

void unknown_key(Problems &checker, const Entry &entry, const std::string &where,
                 std::span<const KnownKey> keys) {
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
  for (const KnownKey &key : keys) {
    if (key.planned)
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

void problem(Problems &checker, Position at, std::string message) {
  if (checker.problems.size() < max_problems)
    checker.problems.push_back({checker.file, at.line, at.column, std::move(message)});
  else
    checker.more_problems = true;
}

void expected(Problems &checker, const Field &field, std::string_view what) {
  problem(checker, field.value.at,
          fmt::format("{}: found {}, expected {}", field.name, found(field.value), what));
}

void read_entries(Problems &checker, const Field &field, std::span<const KnownKey> keys,
                  const std::function<void(size_t key, const Field &)> &read) {
  if (field.value.kind != Kind::table)
    return expected(checker, field, "a table");
  for (const Entry &entry : field.value.entries) {
    auto key = std::ranges::find(keys, entry.key, &KnownKey::name);
    if (key == keys.end()) {
      unknown_key(checker, entry, field.name, keys);
      continue;
    }
    std::string name = field.name.empty() ? entry.key : fmt::format("{}.{}", field.name, entry.key);
    if (key->planned)
      problem(checker, entry.at,
              fmt::format("this version does not support {} yet, take the {} out",
                          field.name.empty() ? "[[" + name + "]]" : name,
                          field.name.empty() ? "table" : "key"));
    else
      read(static_cast<size_t>(key - keys.begin()), {entry.value, std::move(name), entry.at});
  }
}

std::vector<Problem> in_order(Problems &&problems) {
  std::vector<Problem> list = std::move(problems.problems);
  std::ranges::stable_sort(
      list, {}, [](const Problem &problem) { return std::pair(problem.line, problem.column); });
  if (problems.more_problems)
    list.push_back(
        {problems.file, 0, 0,
         fmt::format("found more than {} problems, the rest is not shown", max_problems)});
  return list;
}

const std::string *read_string(Problems &checker, const Field &field, std::string_view what) {
  if (field.value.kind == Kind::string)
    return &field.value.string;
  expected(checker, field, what);
  return nullptr;
}

std::optional<bool> read_boolean(Problems &checker, const Field &field) {
  if (field.value.kind == Kind::boolean)
    return field.value.boolean;
  expected(checker, field, "true or false");
  return std::nullopt;
}

std::optional<int64_t> read_number(Problems &checker, const Field &field, int64_t low,
                                   int64_t high) {
  const Value &value = field.value;
  if (value.kind == Kind::integer && value.integer >= low && value.integer <= high)
    return value.integer;
  expected(checker, field, fmt::format("a number from {} to {}", low, high));
  return std::nullopt;
}

std::optional<size_t> read_word(Problems &checker, const Field &field,
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

std::vector<Field> read_list(Problems &checker, const Field &field, size_t most,
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
std::optional<Prefix> read_prefix(Problems &checker, const Field &field, std::string_view what,
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

std::optional<Prefix6> read_prefix6(Problems &checker, const Field &field, std::string_view what) {
  return read_prefix<Prefix6, Ipv6>(checker, field, what, "::");
}

std::optional<Prefix4> read_prefix4(Problems &checker, const Field &field, std::string_view what) {
  return read_prefix<Prefix4, Ipv4>(checker, field, what, "0.0.0.0");
}

// --- [control] -----------------------------------------------------------------------------------

std::optional<std::string> read_socket_path(Problems &checker, const Field &field,
                                            std::string_view example) {
  constexpr size_t longest = sizeof(sockaddr_un::sun_path) - 1;
  auto what = fmt::format("an absolute path of at most {} bytes, such as \"{}\"", longest, example);
  const std::string *path = read_string(checker, field, what);
  if (path == nullptr)
    return std::nullopt;
  bool control = std::ranges::any_of(*path, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (!path->starts_with('/') || path->ends_with('/') || path->size() > longest || control) {
    expected(checker, field, what);
    return std::nullopt;
  }
  return *path;
}

namespace {

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

} // namespace

std::optional<Listen> read_listen(Problems &checker, const Field &field, uint16_t example) {
  auto what = fmt::format("an address of this host and a port, such as \"127.0.0.1:{}\" or "
                          "\"[::1]:{}\"",
                          example, example);
  const std::string *text = read_string(checker, field, what);
  if (text == nullptr)
    return std::nullopt;
  auto listen = parse_listen(*text);
  if (!listen)
    expected(checker, field, what);
  return listen;
}

} // namespace viaduct::config
