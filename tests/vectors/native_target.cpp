// SPDX-License-Identifier: MIT
#include "native_target.h"

#include "lib/pieces.h"
#include "lib/poisoned.h"

#include <algorithm>
#include <cstring>

namespace viaduct::test {

namespace {

// Reads one table piece by piece until the key turns up.
template <typename Key, typename Value, typename Dump>
std::optional<Value> look_up(dp::engine *engine, Dump dump, const Key &wanted) {
  constexpr uint32_t limit = 256;
  std::vector<Key> keys(limit);
  std::vector<Value> values(limit);
  uint64_t cursor = 0;
  do {
    uint32_t count = 0;
    cursor = dump(engine, cursor, keys.data(), values.data(), limit, &count);
    for (uint32_t i = 0; i < count; i++)
      if (std::memcmp(&keys[i], &wanted, sizeof wanted) == 0)
        return values[i];
  } while (cursor != 0);
  return std::nullopt;
}

template <typename Entries, typename Put> bool put_all(const Entries &entries, Put put) {
  return std::all_of(entries.begin(), entries.end(),
                     [&](const auto &entry) { return put(&entry.first, &entry.second) == 0; });
}

} // namespace

Departure carry(dp::worker *worker, const Arrival &arrival) {
  PoisonedBuffer buffer(arrival.packet, dp::FRAME_HEADROOM, 0xff);
  dp::frame frame{};
  frame.data = buffer.packet();
  frame.length = static_cast<uint32_t>(arrival.packet.size());
  frame.partial_checksum = arrival.partial_checksum;
  frame.segments = arrival.segments;
  frame.segment_size = arrival.segment_size;
  dp::worker_set_now(worker, arrival.now);
  dp::worker_fix_random(worker, arrival.random);

  Departure departure;
  dp::worker_enter(worker);
  departure.verdict = dp::translate_frame(worker, &frame, &departure.reason);
  dp::worker_leave(worker);
  // What was reassembled lies elsewhere.
  bool &whole = departure.reassembled;
  whole = departure.verdict == dp::VERDICT_FORWARD && frame.data != nullptr &&
          !buffer.holds(frame.data);
  departure.trespass = whole ? buffer.trespass({buffer.packet(), arrival.packet.size()})
                             : buffer.trespass({frame.data, frame.length});
  if (!departure.trespass.empty())
    return departure;
  departure.packet.assign(frame.data, frame.data + frame.length);
  if (const dp::frame *answer = dp::worker_answer(worker))
    departure.answer.assign(answer->data, answer->data + answer->length);
  departure.segment_size = frame.segment_size;
  departure.pieces = pieces_of(frame);
  departure.partial_checksum = frame.partial_checksum != 0;
  if (departure.verdict == dp::VERDICT_FORWARD)
    departure.transport = frame.transport;
  else if (frame.data != buffer.packet())
    departure.trespass = "not forwarded, and yet the frame has moved";
  return departure;
}

Result<void> NativeTarget::reset(const Tables &given) {
  worker_.reset();
  engine_.reset(dp::engine_new(given.max_sessions));
  if (!engine_ || dp::engine_set_policy(engine_.get(), &given.policy) != 0)
    return error("no memory for an engine");
  worker_.reset(dp::worker_new(engine_.get()));
  if (!worker_)
    return error("no memory for a worker");
  dp::engine *e = engine_.get();
  bool all =
      put_all(given.sessions, [=](auto *k, auto *v) { return dp::engine_put_session(e, k, v); }) &&
      put_all(given.bindings, [=](auto *k, auto *v) { return dp::engine_put_binding(e, k, v); }) &&
      put_all(given.ports, [=](auto *k, auto *v) { return dp::engine_put_port(e, k, v); }) &&
      put_all(given.subscribers,
              [=](auto *k, auto *v) { return dp::engine_put_subscriber(e, k, v); }) &&
      put_all(given.peers, [=](auto *k, auto *v) { return dp::engine_put_peer(e, k, v); });
  if (!all)
    return error("the given state does not fit into the tables");
  return {};
}

std::vector<Bytes> NativeTarget::sweep(uint32_t now, dp::event_why cause) {
  struct Calls {
    dp::event_why cause;
    std::vector<Bytes> sent;
  } here{cause, {}};
  dp::sweep_calls calls{};
  calls.context = &here;
  calls.cause = [](void *context, const dp::session_key *, const dp::session *) {
    return static_cast<Calls *>(context)->cause;
  };
  calls.send = [](void *context, const dp::frame *frame) {
    static_cast<Calls *>(context)->sent.emplace_back(frame->data, frame->data + frame->length);
    return 0;
  };
  dp::engine_sweep(engine_.get(), now, &calls);
  return here.sent;
}

Counters NativeTarget::counters() const {
  Counters counters{};
  __u64 raw[dp::REASON_COUNT];
  dp::engine_counters(engine_.get(), raw);
  std::copy(std::begin(raw), std::end(raw), counters.begin());
  return counters;
}

std::optional<dp::session> NativeTarget::find(const dp::session_key &key) const {
  return look_up<dp::session_key, dp::session>(engine_.get(), dp::engine_dump_sessions, key);
}

std::optional<dp::binding> NativeTarget::find(const dp::binding_key &key) const {
  return look_up<dp::binding_key, dp::binding>(engine_.get(), dp::engine_dump_bindings, key);
}

} // namespace viaduct::test
