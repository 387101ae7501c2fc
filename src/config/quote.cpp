// SPDX-License-Identifier: MIT
#include "config/quote.h"

#include <fmt/format.h>

namespace viaduct::config {

namespace {

constexpr size_t longest_quote = 64;

std::string escaped(std::string_view text, size_t most, std::string_view with_backslash) {
  std::string result;
  size_t shown = 0;
  for (size_t i = 0; i < text.size(); i++) {
    auto byte = static_cast<unsigned char>(text[i]);
    bool starts_character = (byte & 0xc0) != 0x80;
    if (starts_character && ++shown > most)
      return result + "...";
    unsigned next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\u{:04x}", byte);
    } else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) { // U+0080 to U+009F: C1 controls
      result += fmt::format("\\u{:04x}", next);
      i++;
    } else {
      if (with_backslash.find(text[i]) != std::string_view::npos)
        result += '\\';
      result += text[i];
    }
  }
  return result;
}

} // namespace

std::string printable(std::string_view text, size_t most) {
  return escaped(text, most, "");
}

std::string quoted(std::string_view text) {
  return '"' + escaped(text, longest_quote, "\"\\") + '"';
}

} // namespace viaduct::config
