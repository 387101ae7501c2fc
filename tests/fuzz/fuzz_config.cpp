// SPDX-License-Identifier: MIT
//
// Any text: parse() says a configuration or at least one problem, never both, never neither; the
// problems stand in file order and their texts are one line each. What comes out must be written
// and read back as the same: parse -> canonical -> parse. Slow inputs are findings too (-timeout).
#include "config/config.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

using namespace viaduct::config;

namespace {

constexpr size_t input_limit = 65536;

void require(bool condition, const char *what, const std::string &detail = {}) {
  if (condition)
    return;
  fprintf(stderr, "broken: %s\n%s\n", what, detail.c_str());
  abort();
}

void check_problems(const Outcome &outcome) {
  std::pair<unsigned, unsigned> before;
  for (const Problem &problem : outcome.problems) {
    std::pair at(problem.line, problem.column);
    // "and more" stands at the end without a place.
    require(at >= before || (problem.line == 0 && &problem == &outcome.problems.back()),
            "the problems are not in file order", problem.text());
    require((problem.line == 0) == (problem.column == 0), "half a place", problem.text());
    require(problem.text().starts_with("input:"), "the file is not named", problem.text());
    for (char c : problem.message)
      require(static_cast<unsigned char>(c) >= 0x20, "a control character in a message",
              problem.text());
    require(problem.message.size() < 1000, "a message without end", problem.text());
    before = at;
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > input_limit)
    return 0;
  std::string text(reinterpret_cast<const char *>(data), size);
  Outcome outcome = parse(text, "input");
  require(outcome.config.has_value() == outcome.problems.empty(), "neither or both");
  check_problems(outcome);
  if (!outcome.config)
    return 0;
  std::string written = canonical(*outcome.config);
  Outcome again = parse(written, "canonical");
  require(again.config.has_value(), "what was written does not parse", written);
  require(*again.config == *outcome.config, "what was written is something else", written);
  require(canonical(*again.config) == written, "written twice, it differs", written);
  return 0;
}
