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

// What direct ports do before and after the steps a test run has no routing table for: netns/direct.
TEST_P(Bpf, VectorAtDirectPortTc) {
  BpfTarget target(Hook::direct_tc);
  expect_vector(GetParam(), target);
}

TEST_P(Bpf, VectorAtDirectPortXdp) {
  BpfTarget target(Hook::direct_xdp);
  expect_vector(GetParam(), target);
}

INSTANTIATE_TEST_SUITE_P(Vectors, Bpf, testing::ValuesIn(all_vectors()),
                         [](const auto &test) { return test_name(test.param.name); });

TEST(BpfProgram, LoadsAsItGoesLive) {
  auto object = tables::BpfObject::load({});
  ASSERT_TRUE(object) << object.failure().message;
  std::cout << "verified instructions: " << (*object)->verified_instructions() << '\n';
  auto direct = tables::DirectObject::load(**object, {.nvi = 1});
  ASSERT_TRUE(direct) << direct.failure().message;
}

} // namespace
} // namespace viaduct::test
