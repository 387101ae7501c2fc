// SPDX-License-Identifier: MIT
#include "config/duration.h"

#include <array>
#include <charconv>
#include <cstdint>

#include <fmt/format.h>

namespace viaduct::config {

namespace {

struct Unit {
  char letter;
  int64_t seconds;
};

constexpr std::array<Unit, 4> units{{{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}}};
constexpr size_t max_digits = 9; // keeps every sum far from overflowing

} // namespace

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  int64_t sum = 0;
  size_t unit = 0;
  if (text.empty())
    return std::nullopt;
  while (!text.empty()) {
    size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0 || digits > max_digits || digits == text.size())
      return std::nullopt;
    int64_t number = 0;
    std::from_chars(text.data(), text.data() + digits, number);
    while (unit < units.size() && units[unit].letter != text[digits])
      unit++;
    if (unit == units.size())
      return std::nullopt;
    sum += number * units[unit++].seconds;
    text.remove_prefix(digits + 1);
  }
  return std::chrono::seconds(sum);
}

std::string duration_text(std::chrono::seconds span) {
  int64_t rest = span.count();
  if (rest == 0)
    return "0s";
  std::string text;
  for (const Unit &unit : units) {
    if (rest >= unit.seconds)
      text += fmt::format("{}{}", rest / unit.seconds, unit.letter);
    rest %= unit.seconds;
  }
  return text;
}

} // namespace viaduct::config
