// SPDX-License-Identifier: MIT
//
// Every vector on the BPF build, in the kernel this runs on.
#include "bpf_target.h"
#include "suite.h"

#include <iostream>

namespace viaduct::test {
namespace {

class Bpf : public testing::TestWithParam<Vector> {};

TEST_P(Bpf, Vector) {
  BpfTarget target;
  expect_vector(GetParam(), target);
}

INSTANTIATE_TEST_SUITE_P(Vectors, Bpf, testing::ValuesIn(all_vectors()),
                         [](const auto &test) { return test_name(test.param.name); });

TEST(BpfProgram, LoadsAsItGoesLive) {
  auto object = tables::BpfObject::load({});
  ASSERT_TRUE(object) << object.failure().message;
  std::cout << "verified instructions: " << (*object)->verified_instructions() << '\n';
}

} // namespace
} // namespace viaduct::test
