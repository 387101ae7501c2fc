// SPDX-License-Identifier: MIT
//
// What golden files cannot hold: files that are no files, sizes and depths at their limits, and the
// defaults that other parts rely on.
#include "config/config.h"
#include "config/duration.h"

#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace viaduct::config {
namespace {

using namespace std::chrono_literals;

constexpr const char *smallest_config =
    "[nat64]\nprefix = \"64:ff9b::/96\"\npool4 = [\"203.0.113.10\"]\n";
constexpr size_t mebibyte = 1U << 20;

std::string first_problem(const Outcome &outcome) {
  return outcome.problems.empty() ? "no problem" : outcome.problems.front().text();
}

std::string repeated(std::string_view text, size_t times) {
  std::string result;
  result.reserve(text.size() * times);
  for (size_t i = 0; i < times; i++)
    result += text;
  return result;
}

// A folder of its own for each test, gone afterwards.
class Load : public testing::Test {
protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "viaduct-config-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string &name) const { return folder_ / name; }
  std::string write(const std::string &name, std::string_view text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

private:
  std::filesystem::path folder_;
};

TEST_F(Load, reads_a_file) {
  Outcome outcome = load(write("good.toml", smallest_config));
  ASSERT_TRUE(outcome.config) << first_problem(outcome);
  EXPECT_EQ(outcome.config->nat64.prefixes.front().text(), "64:ff9b::/96");
}

TEST_F(Load, names_the_file_as_it_was_given) {
  std::string file = write("bad.toml", "x = 1\n");
  Outcome outcome = load(file);
  ASSERT_EQ(outcome.problems.size(), 2U);
  EXPECT_EQ(outcome.problems[1].text(),
            file + ":1:1: found the unknown key \"x\", expected one of nvi, nat64, dns64, control, "
                   "static");
}

TEST_F(Load, refuses_what_is_not_there) {
  EXPECT_EQ(first_problem(load(path("none.toml"))),
            path("none.toml") + ": cannot open the configuration: No such file or directory");
}

TEST_F(Load, refuses_a_directory) {
  ASSERT_TRUE(std::filesystem::create_directory(path("folder")));
  EXPECT_EQ(first_problem(load(path("folder"))),
            path("folder") + ": found a directory, expected a regular file");
}

TEST_F(Load, refuses_a_pipe_without_waiting_for_a_writer) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(first_problem(load(path("pipe"))),
            path("pipe") + ": found a pipe, expected a regular file");
}

TEST_F(Load, refuses_a_device) {
  EXPECT_EQ(first_problem(load("/dev/zero")), "/dev/zero: found a device, expected a regular file");
}

TEST_F(Load, refuses_what_it_may_not_read) {
  std::string file = write("secret.toml", smallest_config);
  ASSERT_EQ(chmod(file.c_str(), 0), 0);
  constexpr uid_t nobody = 65534;
  bool root = geteuid() == 0; // to whom every file is readable
  ASSERT_EQ(seteuid(root ? nobody : geteuid()), 0);
  Outcome outcome = load(file);
  ASSERT_EQ(seteuid(root ? 0 : geteuid()), 0);
  EXPECT_EQ(first_problem(outcome), file + ": cannot open the configuration: Permission denied");
}

TEST_F(Load, takes_a_mebibyte_and_not_a_byte_more) {
  std::string text = smallest_config;
  text += "#" + std::string(mebibyte - text.size() - 1, 'x');
  ASSERT_EQ(text.size(), mebibyte);
  Outcome outcome = load(write("large.toml", text));
  EXPECT_TRUE(outcome.config) << first_problem(outcome);
  std::string file = write("larger.toml", text + "x");
  EXPECT_EQ(load(file).problems.size(), 1U);
  EXPECT_EQ(load(file).problems.front().line, 0U);
}

TEST(Parse, has_the_documented_defaults) {
  Outcome outcome = parse(smallest_config, "x");
  ASSERT_TRUE(outcome.config) << first_problem(outcome);
  const Config &config = *outcome.config;
  EXPECT_EQ(config.nvi, Nvi{});
  EXPECT_EQ(config.nat64.timeouts, Timeouts{});
  EXPECT_EQ(config.nat64.pool4.front().port_low, 1024);
  EXPECT_EQ(config.nat64.pool4.front().port_high, 65535);
  EXPECT_FALSE(config.nat64.allow);
  EXPECT_FALSE(config.dns64);
  EXPECT_EQ(config.control.socket, "/run/viaduct/control.sock");
}

TEST(Parse, listens_everywhere_if_dns64_does_not_say) {
  Outcome outcome = parse(std::string(smallest_config) + "[dns64]\n", "x");
  ASSERT_TRUE(outcome.config) << first_problem(outcome);
  ASSERT_TRUE(outcome.config->dns64);
  EXPECT_EQ(outcome.config->dns64->listen, std::vector<std::string>{"::"});
  EXPECT_TRUE(outcome.config->dns64->upstream.empty());
}

// A result is a whole configuration or none: nothing half-read comes out.
TEST(Parse, gives_no_configuration_when_there_is_a_problem) {
  Outcome outcome = parse(std::string(smallest_config) + "accounting = 1\n", "x");
  EXPECT_FALSE(outcome.config);
  EXPECT_EQ(outcome.problems.size(), 1U);
}

TEST(Parse, problems_stand_in_file_order) {
  Outcome outcome =
      parse("[nvi]\nname = 1\n[nat64]\nzzz = 1\naccounting = 2\nallow = [1, 2]\n", "x");
  ASSERT_GT(outcome.problems.size(), 5U);
  for (size_t i = 1; i < outcome.problems.size(); i++) {
    const Problem &before = outcome.problems[i - 1];
    const Problem &after = outcome.problems[i];
    EXPECT_LE(std::pair(before.line, before.column), std::pair(after.line, after.column));
  }
}

TEST(Parse, a_file_of_nonsense_has_a_bounded_answer) {
  std::string text;
  for (int i = 0; i < 5000; i++)
    text += "k" + std::to_string(i) + " = 1\n";
  Outcome outcome = parse(text, "x");
  ASSERT_EQ(outcome.problems.size(), 1001U);
  EXPECT_EQ(outcome.problems.back().text(),
            "x: found more than 1000 problems, the rest is not shown");
}

struct Hostile {
  const char *name;
  std::string text;
};

// Each as large as a file may be. toml++ recurses per part of a dotted key and per nested value, so
// the first ones would end the process if nobody looked before.
std::vector<Hostile> hostile_texts() {
  return {
      {"table name", "[" + repeated("a.", mebibyte / 2 - 4) + "a]\n"},
      {"key", repeated("a.", mebibyte / 2 - 4) + "a=1\n"},
      {"key with spaces", repeated("a . ", mebibyte / 4 - 4) + "a=1\n"},
      {"quoted key", repeated("\"\".", mebibyte / 3 - 4) + "a=1\n"},
      {"literal key", repeated("'\"'.", mebibyte / 4 - 4) + "a=1\n"},
      {"key after a string", "x=\"\\\"\"\n'''\n" + repeated("a.", mebibyte / 2 - 32) + "a=1\n"},
      {"key after a long string",
       "x=\"\"\"a\\\"\"\"\"\"\n" + repeated("a.", mebibyte / 2 - 32) + "a=1\n"},
      {"key inside an inline table", "x={" + repeated("a.", mebibyte / 2 - 8) + "a=1}\n"},
      {"lists", "x=" + std::string(mebibyte - 4, '[')},
      {"inline tables", repeated("x={", mebibyte / 3)},
      {"quotes", "x=" + std::string(mebibyte - 4, '"')},
      {"long pool",
       "[nat64]\nprefix=\"64:ff9b::/96\"\npool4=[" + repeated("\"1.2.3.4\",\n", 90000) + "]\n"},
      {"long numbers", "x=[" + repeated("1,", mebibyte / 2 - 8) + "]\n"},
      {"long key", std::string(mebibyte - 8, 'a') + "=1\n"},
      {"long value", "nvi.name=\"" + std::string(mebibyte - 16, 'a') + "\"\n"},
      {"tables of one list", repeated("[[a]]\n", mebibyte / 6)},
  };
}

TEST(Parse, hostile_text_is_refused_quickly) {
  for (const Hostile &hostile : hostile_texts()) {
    SCOPED_TRACE(hostile.name);
    ASSERT_LE(hostile.text.size(), mebibyte);
    auto start = std::chrono::steady_clock::now();
    Outcome outcome = parse(hostile.text, "x");
    auto took = std::chrono::steady_clock::now() - start;
    EXPECT_FALSE(outcome.config);
    EXPECT_FALSE(outcome.problems.empty());
    EXPECT_LT(took, 5s); // generous: sanitizers and a busy machine
    for (const Problem &problem : outcome.problems)
      EXPECT_LT(problem.message.size(), 1000U);
  }
}

// As deep as is allowed: in every way that nests, at once.
TEST(Parse, the_deepest_text_that_is_looked_at_is_parsed) {
  std::string dots = repeated("a.", 16);
  std::string text = "[" + dots + "a]\n";
  for (int i = 0; i < 14; i++)
    text += (i % 2 == 0 ? dots + "b = [\n" : "{ " + dots + "c = [\n");
  EXPECT_FALSE(parse(text, "x").problems.empty());
}

TEST(Duration, reads_units_once_and_large_to_small) {
  EXPECT_EQ(parse_duration("90s"), 90s);
  EXPECT_EQ(parse_duration("5m"), 5min);
  EXPECT_EQ(parse_duration("2h4m"), 2h + 4min);
  EXPECT_EQ(parse_duration("1d1h1m1s"), 90061s);
  EXPECT_EQ(parse_duration("0s"), 0s);
  for (const char *bad : {"", "5", "m", "5m5m", "4m2h", "5 m", "-5m", "+5m", "5.5m", "5M", "5ms",
                          "1000000000s", "99999999999999999999s", "5m ", "5w"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Duration, text_reads_back) {
  for (int64_t seconds = 0; seconds < 604800 + 100; seconds += seconds < 4000 ? 1 : 997)
    EXPECT_EQ(parse_duration(duration_text(std::chrono::seconds(seconds))),
              std::chrono::seconds(seconds));
  EXPECT_EQ(duration_text(90s), "1m30s");
  EXPECT_EQ(duration_text(2h), "2h");
}

} // namespace
} // namespace viaduct::config
