// SPDX-License-Identifier: MIT
//
// How long an empty queue is asked again.
#include "nvi/spin.h"

#include <gtest/gtest.h>

namespace viaduct::nvi {
namespace {

constexpr int64_t LIMIT = 20000;

TEST(Spin, BeginsWithNothing) {
  EXPECT_EQ(Spin().budget(LIMIT), 0);
}

TEST(Spin, AShortSleepWouldHaveBeenWorthIt) {
  Spin spin;
  spin.slept(LIMIT, LIMIT);
  EXPECT_EQ(spin.budget(LIMIT), 0);
  spin.slept(LIMIT - 1, LIMIT);
  EXPECT_EQ(spin.budget(LIMIT), LIMIT);
}

TEST(Spin, HalvesWhileItDoesNotPay) {
  Spin spin;
  spin.paid(LIMIT);
  spin.did_not_pay();
  EXPECT_EQ(spin.budget(LIMIT), LIMIT / 2);
  for (int i = 0; i < 20; i++)
    spin.did_not_pay();
  EXPECT_EQ(spin.budget(LIMIT), 0);
  spin.paid(LIMIT);
  EXPECT_EQ(spin.budget(LIMIT), LIMIT);
}

TEST(Spin, ANewLimitHoldsAtOnce) {
  Spin spin;
  spin.paid(LIMIT);
  EXPECT_EQ(spin.budget(0), 0);
  EXPECT_EQ(spin.budget(LIMIT / 4), LIMIT / 4);
}

} // namespace
} // namespace viaduct::nvi
