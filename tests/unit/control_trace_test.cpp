// SPDX-License-Identifier: MIT
//
// The trace request: what a client may send, and the words of every decision.
#include "control/trace.h"
#include "tests/cli/fake_tables.h"

#include <gtest/gtest.h>

namespace viaduct::control {
namespace {

using nlohmann::json;

std::vector<json> items_of(Answer &answer) {
  std::vector<json> items;
  json item;
  for (;;) {
    switch (answer.next(item)) {
    case Answer::Step::item:
      items.push_back(item);
      break;
    case Answer::Step::again:
      break;
    default:
      return items;
    }
  }
}

Result<std::vector<json>> ask(const tables::Tables &tables, const json &request) {
  auto answer = trace_request(tables, request, [] { return test::fake_now; });
  if (!answer)
    return answer.failure();
  return items_of(**answer);
}

TEST(ControlTrace, decisions_come_first_and_the_outcome_last) {
  test::FakeTables tables(0);
  auto items = ask(tables, {{"packet", "60"}, {"length", 3U}});
  ASSERT_TRUE(items) << items.failure().message;
  ASSERT_EQ(items->size(), 2U);
  EXPECT_EQ(tables.traced, (std::vector<uint8_t>{0x60, 0, 0})); // zeros behind what was sent
  EXPECT_EQ((*items)[0], (json{{"step", "session"},
                               {"decision", "session_new"},
                               {"rfc", "RFC 6146 3.5.1, 3.5.2.2, 3.5.3"},
                               {"text", "a session would be made: v6_init, for 240 s"}}));
  const json &outcome = (*items)[1];
  EXPECT_EQ(outcome["verdict"], "forward");
  EXPECT_EQ(outcome["reason"], "translated_6to4");
  EXPECT_EQ(outcome["kind"], "done");
  EXPECT_EQ(outcome["counts"], (json{{"session_made", 2}, {"translated_6to4", 1}}));
  EXPECT_EQ(outcome["answer"], nullptr);
  ASSERT_EQ(outcome["leaves"].size(), 2U);
  EXPECT_EQ(outcome["leaves"][1],
            (json{{"bytes", "4500001c000700003f110000cb00710ac0000250040001bb00080000"},
                  {"destination", "192.0.2.80:443"},
                  {"df", false},
                  {"family", 4},
                  {"hop_limit", 63},
                  {"length", 28},
                  {"protocol", "udp"},
                  {"source", "203.0.113.10:1024"}}));
  EXPECT_EQ(outcome["leaves"][0]["fragment"],
            (json{{"offset", 0}, {"more", true}, {"identification", 7}}));
}

TEST(ControlTrace, a_drop_has_its_answer_and_its_advice) {
  test::FakeTables tables(0);
  auto items = ask(tables, {{"packet", "45"}});
  ASSERT_TRUE(items);
  const json &outcome = items->back();
  EXPECT_EQ(outcome["verdict"], "drop");
  EXPECT_EQ(outcome["reason"], "no_binding");
  EXPECT_TRUE(outcome["leaves"].empty());
  EXPECT_EQ(outcome["answer"]["source"], "203.0.113.10:1024");
  EXPECT_FALSE(outcome["causes"].get<std::string>().empty());
  EXPECT_FALSE(outcome["advice"].get<std::string>().empty());
}

TEST(ControlTrace, what_is_no_packet_is_refused) {
  test::FakeTables tables(0);
  const std::vector<json> requests = {
      json::object(),
      {{"packet", nullptr}},
      {{"packet", 60}},
      {{"packet", ""}},
      {{"packet", "6"}},
      {{"packet", "6g"}},
      {{"packet", "-6"}},
      {{"packet", "0x60"}},
      {{"packet", " 6"}},
      {{"packet", std::string(2 * most_traced_bytes + 2, '6')}},
      {{"packet", "6000"}, {"length", 1U}},
      {{"packet", "60"}, {"length", -1}},
      {{"packet", "60"}, {"length", 0U}},
      {{"packet", "60"}, {"length", 1.5}},
      {{"packet", "60"}, {"length", "1"}},
      {{"packet", "60"}, {"length", 65576U}},
      {{"packet", "60"}, {"length", UINT64_MAX}},
  };
  for (const json &request : requests)
    EXPECT_FALSE(ask(tables, request)) << request;
  EXPECT_TRUE(tables.traced.empty());
  EXPECT_TRUE(ask(tables, {{"packet", "60"}, {"length", 65575U}}));
  EXPECT_TRUE(ask(tables, {{"packet", std::string(2 * most_traced_bytes, '6')}}));
}

TEST(ControlTrace, every_decision_has_its_words) {
  for (uint32_t kind = 0; kind < dp::NOTE_COUNT; kind++)
    for (uint32_t number : {0U, 1U, 6U, UINT32_MAX}) {
      dp::note note{};
      note.kind = kind;
      std::fill(std::begin(note.n), std::end(note.n), number);
      note.a = {test::dp_address("2001:db8::1"), htons(80), 6, dp::END_ENDPOINT, 0, {}};
      note.b.family = 4;
      note.b.kind = dp::END_ENDPOINT;
      note.c = {test::dp_address("64:ff9b::"), 0, 6, dp::END_PREFIX, 96, {}};
      json item = note_item(note);
      auto text = item["text"].get<std::string>();
      EXPECT_FALSE(text.empty());
      EXPECT_EQ(text.find_first_of("{}|"), std::string::npos) << text;
      auto rfc = item["rfc"].get<std::string>();
      EXPECT_TRUE(rfc.empty() || rfc.rfind("RFC ", 0) == 0) << rfc;
    }
}

TEST(ControlTrace, any_bytes_can_be_shown) {
  for (int first = 0; first < 256; first += 5)
    for (size_t size = 0; size < 80; size++) {
      std::vector<uint8_t> packet(size, 44);
      if (size > 0)
        packet[0] = static_cast<uint8_t>(first);
      EXPECT_EQ(packet_item(packet)["length"], size);
      if (size > 9) {
        packet[6] = packet[9] = first % 2 != 0 ? 6 : 1;
        EXPECT_EQ(packet_item(packet)["length"], size);
      }
    }
}

} // namespace
} // namespace viaduct::control
