// SPDX-License-Identifier: MIT
//
// Looks over a configuration's text before the TOML parser does. The parser recurses once per part
// of a dotted key ([a.a.a.a ...]) and its trees are destroyed recursively, so a file well under the
// size limit could exhaust the stack. Dots outside of strings and comments are therefore counted
// per line, and a key cannot span lines. That needs only enough of TOML's grammar to know what a
// string and a comment is; where this scanner and the parser could disagree, the text is not TOML
// and the parser stops there.
#include "config/tree.h"

namespace viaduct::config {

namespace {

constexpr unsigned max_dots_per_line = 16;

// Bytes of the UTF-8 character at the start of `text`; 0 if it is none (RFC 3629: no surrogates, no
// overlong forms, nothing beyond U+10FFFF).
size_t utf8_length(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0U; };
  auto follows = [&](size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return byte(i) >= low && byte(i) <= high;
  };
  unsigned first = byte(0);
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    bool second = follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    bool second = follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// Where in TOML's text the scanner is.
enum class In { plain, comment, basic, literal, long_basic, long_literal };

// How many bytes at the start of `rest` belong together, and where the text is behind them.
struct Step {
  size_t bytes;
  In next;
};

Step step(In now, std::string_view rest) {
  char c = rest.front();
  switch (now) {
  case In::plain:
    if (rest.starts_with("\"\"\""))
      return {3, In::long_basic};
    if (rest.starts_with("'''"))
      return {3, In::long_literal};
    if (c == '"')
      return {1, In::basic};
    if (c == '\'')
      return {1, In::literal};
    return {1, c == '#' ? In::comment : In::plain};
  case In::comment:
    return {1, c == '\n' ? In::plain : In::comment};
  case In::basic:
    if (c == '\\' && rest.size() > 1 && (rest[1] == '"' || rest[1] == '\\'))
      return {2, In::basic};
    return {1, c == '"' || c == '\n' ? In::plain : In::basic};
  case In::literal:
    return {1, c == '\'' || c == '\n' ? In::plain : In::literal};
  case In::long_basic:
    if (c == '\\' && rest.size() > 1 && (rest[1] == '"' || rest[1] == '\\'))
      return {2, In::long_basic};
    [[fallthrough]];
  case In::long_literal: {
    // Up to two quotes may stand right before the three that close.
    size_t quotes = rest.find_first_not_of(now == In::long_basic ? '"' : '\'');
    if (quotes == std::string_view::npos)
      quotes = rest.size();
    if (quotes >= 3)
      return {quotes, In::plain};
    return {1, now};
  }
  }
  return {1, now};
}

} // namespace

std::optional<Problem> check_bounds(std::string_view text, const std::string &file) {
  if (text.size() > max_file_bytes)
    return Problem{file, 0, 0,
                   fmt::format("found {} bytes, expected at most {}", text.size(), max_file_bytes)};
  unsigned line = 1;
  unsigned column = 1;
  unsigned dots = 0;
  In where = In::plain;
  size_t same = 0; // bytes ahead that belong to the step already taken
  for (size_t at = 0; at < text.size();) {
    size_t bytes = utf8_length(text.substr(at));
    if (bytes == 0)
      return Problem{file, line, column,
                     fmt::format("found the byte 0x{:02x}, which is not part of a UTF-8 character, "
                                 "expected UTF-8 text",
                                 static_cast<uint8_t>(text[at]))};
    if (same == 0) {
      if (where == In::plain && text[at] == '.' && ++dots > max_dots_per_line)
        return Problem{
            file, line, column,
            fmt::format("found more than {} dots outside of quotes on one line, expected "
                        "a key or table name such as nat64.timeouts",
                        max_dots_per_line)};
      Step taken = step(where, text.substr(at));
      where = taken.next;
      same = taken.bytes;
    }
    same--;
    column++;
    if (text[at] == '\n') {
      line++;
      column = 1;
      dots = 0;
    }
    at += bytes;
  }
  return std::nullopt;
}

} // namespace viaduct::config
