// SPDX-License-Identifier: MIT
//
// Every vector on the native build.
#include "native_target.h"
#include "suite.h"

namespace viaduct::test {
namespace {

class Native : public testing::TestWithParam<Vector> {};

TEST_P(Native, Vector) {
  NativeTarget target;
  expect_vector(GetParam(), target);
}

INSTANTIATE_TEST_SUITE_P(Vectors, Native, testing::ValuesIn(all_vectors()),
                         [](const auto &test) { return test_name(test.param.name); });

} // namespace
} // namespace viaduct::test
