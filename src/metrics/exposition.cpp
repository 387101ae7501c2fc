// SPDX-License-Identifier: MIT
#include "metrics/exposition.h"

#include <fmt/format.h>

namespace viaduct::metrics {

namespace {

// Backslash and newline are escaped everywhere, the quote only where quotes are around it.
void append_escaped(std::string &text, std::string_view value, bool quoted) {
  for (char c : value) {
    if (c == '\\' || (quoted && c == '"'))
      text.append({'\\', c});
    else if (c == '\n')
      text.append("\\n");
    else
      text.push_back(c);
  }
}

} // namespace

void Exposition::family(std::string_view name, Type type, std::string_view help) {
  name_ = name;
  text_.append("# HELP ").append(name).append(" ");
  append_escaped(text_, help, false);
  text_.append("\n# TYPE ").append(name);
  text_.append(type == Type::counter ? " counter\n" : " gauge\n");
}

void Exposition::begin_sample(std::initializer_list<Label> labels) {
  text_.append(name_);
  char before = '{';
  for (const auto &[name, value] : labels) {
    text_.push_back(before);
    text_.append(name).append("=\"");
    append_escaped(text_, value, true);
    text_.push_back('"');
    before = ',';
  }
  text_.append(labels.size() > 0 ? "} " : " ");
}

void Exposition::sample(std::initializer_list<Label> labels, uint64_t value) {
  begin_sample(labels);
  text_.append(fmt::format("{}\n", value));
}

void Exposition::sample(std::initializer_list<Label> labels, double value) {
  begin_sample(labels);
  text_.append(fmt::format("{}\n", value));
}

} // namespace viaduct::metrics
