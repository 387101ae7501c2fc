// SPDX-License-Identifier: MIT
#include "tables/native_tables.h"

#include "tables/dry_walk.h"

#include <algorithm>

namespace viaduct::tables {

namespace {

// What the data path's dump wants at least, and what is asked of it at once.
constexpr size_t SMALLEST_DUMP = 64;
constexpr size_t LARGEST_DUMP = 1024;

// Both dumps of native.h have this shape; rows are copied as they come.
template <typename Row, typename Key, typename Value, typename Dump>
uint64_t dump(dp::engine *engine, Dump take, uint64_t cursor, size_t limit,
              std::vector<Row> &rows) {
  size_t size = std::clamp(limit, SMALLEST_DUMP, LARGEST_DUMP);
  std::vector<Key> keys(size);
  std::vector<Value> values(size);
  uint32_t count = 0;
  cursor = take(engine, cursor, keys.data(), values.data(), static_cast<uint32_t>(size), &count);
  for (uint32_t i = 0; i < count; i++)
    rows.push_back(Row{keys[i], values[i]});
  return cursor;
}

} // namespace

Result<std::unique_ptr<NativeTables>> NativeTables::make(uint32_t max_sessions) {
  dp::engine *engine = dp::engine_new(max_sessions);
  if (!engine)
    return error("not enough memory for tables of {} sessions: lower [nat64] max_sessions",
                 max_sessions);
  return std::unique_ptr<NativeTables>(new NativeTables(engine, max_sessions));
}

NativeTables::~NativeTables() {
  dp::engine_free(engine_);
}

uint64_t NativeTables::sessions(uint64_t cursor, size_t limit,
                                std::vector<SessionRow> &rows) const {
  return dump<SessionRow, dp::session_key, dp::session>(engine_, dp::engine_dump_sessions, cursor,
                                                        limit, rows);
}

uint64_t NativeTables::bindings(uint64_t cursor, size_t limit,
                                std::vector<BindingRow> &rows) const {
  return dump<BindingRow, dp::binding_key, dp::binding>(engine_, dp::engine_dump_bindings, cursor,
                                                        limit, rows);
}

uint64_t NativeTables::ports(uint64_t cursor, size_t limit, std::vector<PortRow> &rows) const {
  return dump<PortRow, dp::port_key, dp::port>(engine_, dp::engine_dump_ports, cursor, limit, rows);
}

Counters NativeTables::counters() const {
  std::array<__u64, dp::REASON_COUNT> sums;
  dp::engine_counters(engine_, sums.data());
  Counters counters;
  std::copy(sums.begin(), sums.end(), counters.begin());
  return counters;
}

Usage NativeTables::usage() const {
  uint32_t sessions = 0;
  uint32_t bindings = 0;
  dp::engine_usage(engine_, &sessions, &bindings);
  return Usage{sessions, max_sessions_, bindings};
}

dp::pool_use NativeTables::pool_use(const dp::pool_address &pool) const {
  dp::pool_use use{};
  dp::engine_pool_use(engine_, pool.slot, &use);
  return use;
}

Result<Trace> NativeTables::trace(std::span<const uint8_t> packet, uint32_t now) const {
  return dry_walk(engine_, packet, now);
}

void NativeTables::watch(bool watched) {
  dp::engine_watch(engine_, watched ? 1 : 0);
}

uint64_t NativeTables::events(size_t limit, std::vector<dp::event> &events) {
  size_t before = events.size();
  __u64 lost = 0;
  events.resize(before + limit);
  uint32_t count =
      dp::engine_events(engine_, events.data() + before, static_cast<uint32_t>(limit), &lost);
  events.resize(before + count);
  return lost;
}

Result<void> NativeTables::set_policy(const dp::policy &policy) {
  if (dp::engine_set_policy(engine_, &policy) != 0)
    return error("not enough memory for a new policy");
  return {};
}

bool NativeTables::bind(const BindingEnds &ends) {
  return dp::engine_bind(engine_, &ends.inside, &ends.outside) == 0;
}

void NativeTables::unbind(const BindingEnds &ends) {
  dp::engine_unbind(engine_, &ends.inside);
}

uint64_t NativeTables::sweep(uint32_t now, const Cause &cause, const Send &send) {
  struct Calls {
    const Cause &cause;
    const Send &send;
  } both{cause, send};
  dp::sweep_calls calls{};
  calls.context = &both;
  if (cause)
    calls.cause = [](void *context, const dp::session_key *key, const dp::session *value) {
      return static_cast<Calls *>(context)->cause(*key, *value);
    };
  if (send)
    calls.send = [](void *context, const dp::frame *frame) {
      return static_cast<Calls *>(context)->send({frame->data, frame->length}) ? 0 : -1;
    };
  return dp::engine_sweep(engine_, now, &calls);
}

} // namespace viaduct::tables
