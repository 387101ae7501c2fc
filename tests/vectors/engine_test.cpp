// SPDX-License-Identifier: MIT
//
// Every vector on the whole BPF engine, as on the native build: in the kernel this runs on.
#include "engine_target.h"
#include "suite.h"

namespace viaduct::test {
namespace {

class Engine : public testing::TestWithParam<Vector> {};

TEST_P(Engine, Vector) {
  EngineTarget target;
  expect_vector(GetParam(), target);
}

INSTANTIATE_TEST_SUITE_P(Vectors, Engine, testing::ValuesIn(all_vectors()),
                         [](const auto &test) { return test_name(test.param.name); });

} // namespace
} // namespace viaduct::test
