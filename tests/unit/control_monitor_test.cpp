// SPDX-License-Identifier: MIT
//
// Monitors: who hears what, and that nobody can make a queue grow.
#include "control/monitor.h"
#include "tests/cli/fake_tables.h"

#include <gtest/gtest.h>

namespace viaduct::control {
namespace {

using nlohmann::json;

dp::event event_of(uint64_t row, dp::event_kind kind = dp::EVENT_SESSION_MADE) {
  auto session = test::FakeTables::session_row(row);
  dp::event event{};
  event.kind = kind;
  event.key = session.key;
  event.session = session.value;
  return event;
}

// All that can be said now.
std::vector<json> heard(Answer &answer) {
  std::vector<json> items;
  json item;
  while (answer.next(item) == Answer::Step::item)
    items.push_back(item);
  return items;
}

class MonitorsTest : public testing::Test {
protected:
  std::unique_ptr<Answer> begin(const char *filter = nullptr) {
    json request = json::object();
    if (filter != nullptr)
      request["filter"] = filter;
    auto answer = monitors_.request(request);
    EXPECT_TRUE(answer) << (answer ? "" : answer.failure().message);
    if (!answer)
      return nullptr;
    auto first = heard(**answer);
    EXPECT_EQ(first.size(), 1U);
    EXPECT_EQ(first.at(0)["event"], "begun");
    return std::move(*answer);
  }
  void happens(std::vector<dp::event> events, uint64_t lost = 0) {
    tables_.happened = std::move(events);
    tables_.lost_events = lost;
    while (!tables_.happened.empty() || tables_.lost_events != 0)
      monitors_.turn();
  }

  test::FakeTables tables_{0};
  Monitors monitors_{tables_};
};

TEST_F(MonitorsTest, each_hears_what_its_filter_lets_through) {
  auto all = begin(), tcp = begin("protocol=tcp"), remote = begin("remote=192.0.2.80 port=1025");
  dp::event binding = event_of(1, dp::EVENT_BINDING_MADE);
  happens({binding, event_of(0), event_of(1), event_of(2)});
  EXPECT_EQ(heard(*all).size(), 4U);
  auto of_tcp = heard(*tcp), of_remote = heard(*remote);
  ASSERT_EQ(of_tcp.size(), 1U);
  EXPECT_EQ(of_tcp[0]["event"], "session_made");
  ASSERT_EQ(of_remote.size(), 1U) << "a binding has no remote end";
  EXPECT_EQ(of_remote[0]["protocol"], "udp");
  EXPECT_TRUE(heard(*all).empty());
}

TEST_F(MonitorsTest, events_have_their_fields) {
  auto all = begin();
  dp::event moved = event_of(0, dp::EVENT_SESSION_MOVED),
            ended = event_of(0, dp::EVENT_SESSION_ENDED);
  moved.old_state = dp::STATE_V6_INIT;
  ended.why = dp::WHY_CLEARED;
  happens({event_of(0, dp::EVENT_BINDING_MADE), moved, ended, event_of(0, dp::EVENT_BINDING_ENDED)},
          3);
  auto items = heard(*all);
  ASSERT_EQ(items.size(), 5U);
  EXPECT_EQ(items[0]["event"], "binding_made");
  EXPECT_EQ(items[0]["inside"], "[2001:db8:1::64]:1024");
  EXPECT_EQ(items[0]["outside"], "203.0.113.10:1024");
  EXPECT_FALSE(items[0].contains("sessions"));
  EXPECT_EQ(items[1]["event"], "session_moved");
  EXPECT_EQ(items[1]["from"], "v6_init");
  EXPECT_EQ(items[1]["state"], "established");
  EXPECT_EQ(items[2]["why"], "cleared");
  EXPECT_FALSE(items[2].contains("expires_seconds"));
  EXPECT_EQ(items[3]["event"], "binding_ended");
  EXPECT_EQ(items[4]["event"], "lost");
  EXPECT_EQ(items[4]["count"], 3);
  for (const json &item : items)
    EXPECT_EQ(item["time"].get<std::string>().size(),
              std::string("2026-11-21T11:40:05.123Z").size());
}

TEST_F(MonitorsTest, each_end_has_its_reason) {
  auto all = begin();
  std::vector<dp::event> ends;
  for (uint8_t why = dp::WHY_EXPIRED; why < dp::WHYS; why++) {
    ends.push_back(event_of(0, dp::EVENT_SESSION_ENDED));
    ends.back().why = why;
  }
  happens(ends);
  std::vector<std::string> said;
  for (const json &item : heard(*all))
    said.push_back(item["why"]);
  EXPECT_EQ(said,
            (std::vector<std::string>{"expired", "closed", "unanswered", "cleared", "disallowed"}));
}

TEST_F(MonitorsTest, a_slow_one_loses_what_does_not_fit_and_is_told_where) {
  auto slow = begin(), quick = begin();
  happens(std::vector<dp::event>(Monitors::queue_limit + 10, event_of(0)));
  EXPECT_EQ(heard(*quick).size(), Monitors::queue_limit + 1); // 10 lost: both were asked too late
  auto quick_again = begin();
  happens({event_of(1)});
  EXPECT_EQ(heard(*quick_again).size(), 1U);
  auto items = heard(*slow);
  ASSERT_EQ(items.size(), Monitors::queue_limit + 1);
  EXPECT_EQ(items.back()["event"], "lost");
  EXPECT_EQ(items.back()["count"], 11);
  happens({event_of(2)});
  EXPECT_EQ(heard(*slow).size(), 1U);
}

TEST_F(MonitorsTest, there_are_only_so_many) {
  std::vector<std::unique_ptr<Answer>> running;
  for (size_t i = 0; i < Monitors::most; i++)
    running.push_back(begin());
  EXPECT_FALSE(monitors_.request(json::object()));
  running.pop_back();
  EXPECT_TRUE(monitors_.request(json::object()));
}

TEST_F(MonitorsTest, tables_are_watched_as_long_as_somebody_listens) {
  EXPECT_FALSE(tables_.is_watched);
  auto one = begin(), other = begin();
  EXPECT_TRUE(tables_.is_watched);
  one.reset();
  monitors_.turn();
  EXPECT_TRUE(tables_.is_watched);
  other.reset();
  EXPECT_EQ(monitors_.count(), 0U);
  monitors_.turn();
  EXPECT_FALSE(tables_.is_watched);
}

TEST_F(MonitorsTest, wrong_filters_are_refused) {
  for (const json &request :
       {json{{"filter", 7}}, json{{"filter", ""}}, json{{"filter", "colour=red"}}})
    EXPECT_FALSE(monitors_.request(request));
  EXPECT_EQ(monitors_.count(), 0U);
  EXPECT_FALSE(tables_.is_watched);
}

} // namespace
} // namespace viaduct::control
