// SPDX-License-Identifier: MIT
//
// The vectors as a test suite for one target: include from a file that says what the target is.
#pragma once

#include "lib/runner.h"
#include "vectors.h"

#include <cctype>
#include <gtest/gtest.h>
#include <string>

namespace viaduct::test {

// Letters, digits and underscores: what a test name may have.
inline std::string test_name(const std::string &sentence) {
  std::string name;
  for (char c : sentence)
    name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

inline void expect_vector(const Vector &vector, Target &target) {
  SCOPED_TRACE(vector.name + " (" + vector.rfc + ")");
  if (std::string why = cannot_carry(vector, target); !why.empty())
    GTEST_SKIP() << why;
  for (Checksums checksums : {Checksums::full, Checksums::partial}) {
    if (!concerns(vector, checksums))
      continue;
    if (checksums == Checksums::partial && !target.takes_partial_checksums())
      continue;
    for (const std::string &failure : run(vector, target, checksums))
      ADD_FAILURE() << failure;
  }
}

// Keeps gtest from printing a vector's bytes.
inline void PrintTo(const Vector &vector, std::ostream *out) {
  *out << vector.name;
}

} // namespace viaduct::test
