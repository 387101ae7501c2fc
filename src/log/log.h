// SPDX-License-Identifier: MIT
//
// The log: one event per line on standard error, as `event key=value key="two words"`. Under
// systemd a line starts with its journal priority and has no time of its own.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace viaduct::log {

struct Field {
  template <typename Value>
  Field(std::string_view name_, const Value &value_)
      : name(name_), value(fmt::format("{}", value_)) {}
  std::string_view name;
  std::string value;
};

void setup(const char *program);
void info(std::string_view event, std::initializer_list<Field> fields = {});
void warning(std::string_view event, std::initializer_list<Field> fields = {});
void failure(std::string_view event, std::initializer_list<Field> fields = {});

// Exposed for its test: what one line says.
std::string line(std::string_view event, std::initializer_list<Field> fields);

} // namespace viaduct::log
