// SPDX-License-Identifier: MIT
//
// Golden files of the configuration. ok/NAME.toml parses, and what canonical() writes of it is
// ok/NAME.expected; fail/NAME.toml does not, and its problems are fail/NAME.expected, one a line.
// Compared exactly: a message is part of what we promise.
//
// After a change that is meant, write the expectations anew and read the difference:
//
//     VIADUCT_UPDATE_GOLDEN=1 build/dev/bin/config_golden && git diff tests/config
#include "config/config.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>

namespace {

namespace fs = std::filesystem;
using namespace viaduct::config;

std::vector<fs::path> inputs(const char *folder) {
  std::vector<fs::path> paths;
  for (const auto &entry : fs::directory_iterator(fs::path(GOLDEN_DIRECTORY) / folder))
    if (entry.path().extension() == ".toml")
      paths.push_back(entry.path());
  std::ranges::sort(paths);
  return paths;
}

std::string read_whole(const fs::path &path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << "cannot read " << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string problems_text(const Outcome &outcome) {
  std::string text;
  for (const Problem &problem : outcome.problems)
    text += problem.text() + "\n";
  return text;
}

void compare(const fs::path &input, const std::string &actual) {
  fs::path expectation = fs::path(input).replace_extension(".expected");
  if (std::getenv("VIADUCT_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(expectation, std::ios::binary) << actual;
    return;
  }
  EXPECT_EQ(actual, read_whole(expectation));
}

class Good : public testing::TestWithParam<fs::path> {};
class Bad : public testing::TestWithParam<fs::path> {};

TEST_P(Good, comes_out_with_every_default) {
  Outcome outcome = parse(read_whole(GetParam()), GetParam().filename());
  ASSERT_TRUE(outcome.config) << problems_text(outcome);
  EXPECT_TRUE(outcome.problems.empty());
  std::string text = canonical(*outcome.config);
  compare(GetParam(), text);
  Outcome again = parse(text, "canonical");
  ASSERT_TRUE(again.config) << problems_text(again);
  EXPECT_EQ(*again.config, *outcome.config);
}

TEST_P(Bad, is_refused_with_every_problem) {
  Outcome outcome = parse(read_whole(GetParam()), GetParam().filename());
  EXPECT_FALSE(outcome.config);
  ASSERT_FALSE(outcome.problems.empty());
  compare(GetParam(), problems_text(outcome));
}

// Every expectation belongs to an input: one that was renamed must not leave the old text behind.
TEST(Golden, no_expectation_is_left_over) {
  for (const char *folder : {"ok", "fail"})
    for (const auto &entry : fs::directory_iterator(fs::path(GOLDEN_DIRECTORY) / folder))
      EXPECT_TRUE(fs::exists(fs::path(entry.path()).replace_extension(".toml"))) << entry.path();
}

std::string file_stem(const testing::TestParamInfo<fs::path> &info) {
  return info.param.stem().string();
}

INSTANTIATE_TEST_SUITE_P(ok, Good, testing::ValuesIn(inputs("ok")), file_stem);
INSTANTIATE_TEST_SUITE_P(fail, Bad, testing::ValuesIn(inputs("fail")), file_stem);

} // namespace
