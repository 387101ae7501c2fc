// SPDX-License-Identifier: MIT
//
// What unbound writes to its standard error, as lines for a log: bounded in length and number (a
// resolver under attack can write without end), printable, without unbound's own time and process
// id.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace viaduct::dns64 {

enum class Severity { info, warning, error };

class LogLines {
public:
  using Take = std::function<void(Severity, const std::string &line)>;
  explicit LogLines(Take take) : take_(std::move(take)) {}

  // Any part of the output; `second` is the clock by which lines are counted.
  void add(std::string_view bytes, uint32_t second);
  // The last line may lack its end.
  void finish(uint32_t second);

  static constexpr size_t MAX_LINE = 512;
  static constexpr unsigned MAX_PER_SECOND = 20;

private:
  void line_done(uint32_t second);

  Take take_;
  std::string line_;
  uint32_t second_ = 0;
  unsigned this_second_ = 0, left_out_ = 0;
};

} // namespace viaduct::dns64
