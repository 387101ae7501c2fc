// SPDX-License-Identifier: MIT
//
// Every vector on the native build, each packet dry first: the dry walk must foretell verdict,
// reason, bytes, answer and counters, and leave every table and counter as it was.
#include "datapath/native/trace.h"
#include "lib/decode.h"
#include "lib/pieces.h"
#include "native_target.h"
#include "suite.h"

#include <algorithm>
#include <fmt/format.h>

namespace viaduct::test {
namespace {

template <typename Key, typename Value, typename Dump> Bytes dumped(dp::engine *engine, Dump dump) {
  constexpr uint32_t limit = 256;
  std::vector<Key> keys(limit);
  std::vector<Value> values(limit);
  Bytes all;
  uint64_t cursor = 0;
  do {
    uint32_t count = 0;
    cursor = dump(engine, cursor, keys.data(), values.data(), limit, &count);
    for (uint32_t i = 0; i < count; i++) {
      const auto *key = reinterpret_cast<const uint8_t *>(&keys[i]);
      const auto *value = reinterpret_cast<const uint8_t *>(&values[i]);
      all.insert(all.end(), key, key + sizeof(Key));
      all.insert(all.end(), value, value + sizeof(Value));
    }
  } while (cursor != 0);
  return all;
}

class TraceTarget : public NativeTarget {
public:
  std::string name() const override { return "trace"; }

  Result<Departure> run(const Arrival &arrival) override {
    Bytes before = everything();
    Counters counters_before = counters();
    Bytes packet = arrival.packet;
    dp::frame frame{};
    frame.data = packet.data();
    frame.length = static_cast<uint32_t>(packet.size());
    frame.partial_checksum = arrival.partial_checksum;
    frame.segments = arrival.segments;
    frame.segment_size = arrival.segment_size;
    auto trace = std::make_unique<dp::trace>();
    if (dp::engine_trace(engine(), &frame, arrival.now, &arrival.random, trace.get()) != 0)
      return error("the dry walk found no memory");
    std::string wrong;
    if (packet != arrival.packet)
      wrong += "  the dry walk has written into the packet\n";
    if (everything() != before || counters() != counters_before)
      wrong += "  the dry walk has changed a table or a counter\n";
    auto departure = NativeTarget::run(arrival);
    if (!departure)
      return departure;
    wrong += compare(*trace, *departure, counters_before);
    if (!wrong.empty())
      return error("dry and wet differ:\n{}", wrong);
    return departure;
  }

private:
  Bytes everything() const {
    Bytes all = dumped<dp::session_key, dp::session>(engine(), dp::engine_dump_sessions);
    for (const Bytes &more :
         {dumped<dp::binding_key, dp::binding>(engine(), dp::engine_dump_bindings),
          dumped<dp::port_key, dp::port>(engine(), dp::engine_dump_ports)})
      all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  std::string compare(const dp::trace &trace, const Departure &departure,
                      const Counters &counters_before) const {
    std::string wrong;
    // What goes on has been read, found ours and been rewritten; a drop may be the first decision.
    uint32_t least = departure.verdict == dp::VERDICT_FORWARD ? 4 : 0;
    if (trace.lost != 0 || trace.note_count < least)
      wrong += fmt::format("  {} notes, lost: {}\n", trace.note_count, trace.lost);
    if (trace.verdict != departure.verdict || trace.reason != departure.reason)
      wrong += fmt::format("  foretold {} {}, is {} {}\n",
                           verdict_name(static_cast<dp::verdict>(trace.verdict)),
                           reason_name(static_cast<dp::reason>(trace.reason)),
                           verdict_name(departure.verdict), reason_name(departure.reason));
    if (departure.verdict == dp::VERDICT_FORWARD) {
      wrong += difference(departure.packet,
                          Bytes(trace.frame.data, trace.frame.data + trace.frame.length));
      if (pieces_of(trace.frame) != departure.pieces)
        wrong += "  the fragments differ\n";
      if (trace.frame.segment_size != departure.segment_size ||
          (trace.frame.partial_checksum != 0) != departure.partial_checksum)
        wrong += "  the offloads differ\n";
    }
    Counters after = counters();
    // How much of its rate a worker has left is not foretold.
    bool limited = trace.counted[dp::REASON_answer_sent] != 0 &&
                   after[dp::REASON_answer_limited] != counters_before[dp::REASON_answer_limited];
    if (!limited)
      wrong += difference(departure.answer,
                          Bytes(trace.answer.data, trace.answer.data + trace.answer.length));
    for (size_t i = 0; i < after.size(); i++) {
      bool of_answers = i == dp::REASON_answer_sent || i == dp::REASON_answer_limited;
      if (after[i] - counters_before[i] != trace.counted[i] && !(limited && of_answers))
        wrong += fmt::format("  counter {}: foretold +{}, is +{}\n",
                             reason_name(static_cast<dp::reason>(i)), trace.counted[i],
                             after[i] - counters_before[i]);
    }
    return wrong;
  }
};

class Trace : public testing::TestWithParam<Vector> {};

TEST_P(Trace, Vector) {
  TraceTarget target;
  expect_vector(GetParam(), target);
}

INSTANTIATE_TEST_SUITE_P(Vectors, Trace, testing::ValuesIn(all_vectors()),
                         [](const auto &test) { return test_name(test.param.name); });

} // namespace
} // namespace viaduct::test
