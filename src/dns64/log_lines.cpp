// SPDX-License-Identifier: MIT
#include "dns64/log_lines.h"

#include <fmt/format.h>

namespace viaduct::dns64 {

namespace {

// "[1700000000] unbound[4711:0] error: words" -> "error: words"
std::string_view without_stamp(std::string_view line) {
  if (!line.starts_with('['))
    return line;
  auto program = line.find("] ");
  if (program == std::string_view::npos)
    return line;
  auto end = line.find("] ", program + 2);
  return end == std::string_view::npos ? line : line.substr(end + 2);
}

Severity severity_of(std::string_view line) {
  if (line.starts_with("error:") || line.starts_with("fatal error:"))
    return Severity::error;
  return line.starts_with("warning:") ? Severity::warning : Severity::info;
}

} // namespace

void LogLines::add(std::string_view bytes, uint32_t second) {
  for (char byte : bytes) {
    if (byte == '\n')
      line_done(second);
    else if (line_.size() < MAX_LINE)
      line_ += byte >= ' ' && byte < 0x7f ? byte : '?';
  }
}

void LogLines::finish(uint32_t second) {
  line_done(second);
  if (left_out_ > 0)
    take_(Severity::warning, fmt::format("{} lines of unbound were left out", left_out_));
  left_out_ = 0;
}

void LogLines::line_done(uint32_t second) {
  std::string line;
  line.swap(line_);
  if (second != second_) {
    second_ = second;
    this_second_ = 0;
    if (left_out_ > 0)
      take_(Severity::warning, fmt::format("{} lines of unbound were left out", left_out_));
    left_out_ = 0;
  }
  auto text = without_stamp(line);
  if (text.empty())
    return;
  if (++this_second_ > MAX_PER_SECOND) {
    left_out_++;
    return;
  }
  take_(severity_of(text), std::string(text));
}

} // namespace viaduct::dns64
