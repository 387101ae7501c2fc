// SPDX-License-Identifier: MIT
//
// The text format that Prometheus reads (version 0.0.4): families of samples, each with its help
// and type once. Values are escaped as the format asks.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace viaduct::metrics {

constexpr const char *content_type = "text/plain; version=0.0.4; charset=utf-8";

enum class Type { counter, gauge };

class Exposition {
public:
  using Label = std::pair<std::string_view, std::string_view>;

  // What follows belongs to this family. A counter's name ends in _total.
  void family(std::string_view name, Type type, std::string_view help);
  void sample(std::initializer_list<Label> labels, uint64_t value);
  void sample(std::initializer_list<Label> labels, double value);

  const std::string &text() const { return text_; }

private:
  void begin_sample(std::initializer_list<Label> labels);

  std::string name_;
  std::string text_;
};

} // namespace viaduct::metrics
