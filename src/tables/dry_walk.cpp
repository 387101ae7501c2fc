// SPDX-License-Identifier: MIT
#include "tables/dry_walk.h"

#include "datapath/native/trace.h"

#include <algorithm>
#include <iterator>
#include <memory>

namespace viaduct::tables {

namespace {

static_assert(longest_traced == dp::LONGEST_TRACED);

// The packet, or the fragments that it would be cut into.
std::vector<std::vector<uint8_t>> packets_of(const dp::frame &frame) {
  if (frame.longest_piece == 0)
    return {{frame.data, frame.data + frame.length}};
  std::vector<std::vector<uint8_t>> packets;
  dp::fragment fragment{};
  while (dp::frame_cut(&frame, &fragment)) {
    auto &packet = packets.emplace_back(fragment.header, std::end(fragment.header));
    packet.insert(packet.end(), fragment.data, fragment.data + fragment.length);
  }
  return packets;
}

} // namespace

Result<Trace> dry_walk(dp::engine *engine, std::span<const uint8_t> packet, uint32_t now) {
  if (packet.empty() || packet.size() > longest_traced)
    return error("a packet has 1 to {} bytes", longest_traced);
  dp::frame frame{};
  frame.data = const_cast<uint8_t *>(packet.data()); // only read
  frame.length = static_cast<uint32_t>(packet.size());
  frame.segments = 1;
  auto walk = std::make_unique<dp::trace>();
  if (dp::engine_trace(engine, &frame, now, nullptr, walk.get()) != 0 || walk->lost != 0)
    return error("not enough memory to trace a packet");
  Trace trace;
  trace.verdict = static_cast<dp::verdict>(walk->verdict);
  trace.reason = static_cast<dp::reason>(walk->reason);
  trace.notes.assign(walk->note, walk->note + walk->note_count);
  std::copy(std::begin(walk->counted), std::end(walk->counted), trace.counted.begin());
  if (trace.verdict == dp::VERDICT_FORWARD)
    trace.leaves = packets_of(walk->frame);
  trace.answer.assign(walk->answer.data, walk->answer.data + walk->answer.length);
  return trace;
}

} // namespace viaduct::tables
