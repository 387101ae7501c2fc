// SPDX-License-Identifier: MIT
#include "metrics/census.h"

#include <vector>

namespace viaduct::metrics {

namespace {

// What one call of the tables is asked for; a slice makes as many calls as fit.
constexpr size_t rows_per_call = 512;

size_t protocol_index(uint8_t protocol) {
  if (protocol == dp::PROTOCOL_TCP)
    return 0;
  return protocol == dp::PROTOCOL_UDP ? 1 : 2;
}

uint64_t &of_protocol(control::PoolUse &use, uint8_t protocol) {
  if (protocol == dp::PROTOCOL_TCP)
    return use.tcp;
  return protocol == dp::PROTOCOL_UDP ? use.udp : use.icmp;
}

} // namespace

bool Walk::step() {
  if (!sessions_done_) {
    sessions_done_ = !step_sessions();
    return true;
  }
  return step_bindings();
}

bool Walk::step_sessions() {
  std::vector<tables::SessionRow> rows;
  cursor_ = tables_.sessions(cursor_, rows_per_call, rows);
  for (const auto &row : rows)
    if (row.value.expires != SESSION_DEAD && row.value.state < dp::STATE_COUNT)
      counts_.sessions[protocol_index(row.key.protocol)][row.value.state]++;
  return cursor_ != 0;
}

bool Walk::step_bindings() {
  std::vector<tables::BindingRow> rows;
  cursor_ = tables_.bindings(cursor_, rows_per_call, rows);
  for (const auto &row : rows)
    if ((row.value.sessions & BINDING_DEAD) == 0)
      of_protocol(counts_.pool[row.value.pool_address], row.key.protocol)++;
  return cursor_ != 0;
}

Result<std::unique_ptr<Census>> Census::start(EventLoop &loop, const tables::Tables &tables,
                                              const CensusPace &pace) {
  std::unique_ptr<Census> census(new Census(loop, tables, pace));
  Census *self = census.get();
  auto timer = loop.timer(std::chrono::milliseconds(0), pace.period, [self] { self->begin(); });
  if (!timer)
    return timer.failure();
  self->period_ = *timer;
  return census;
}

Census::~Census() {
  for (auto timer : {period_, pause_})
    if (timer >= 0)
      loop_.cancel(timer);
}

// One that takes longer than the period goes on; the next begins a period later.
void Census::begin() {
  if (walk_)
    return;
  walk_ = std::make_unique<Walk>(tables_);
  work_ = {};
  auto timer = loop_.timer(std::chrono::milliseconds(0), pace_.pause, [this] { slice(); });
  if (!timer) { // no descriptor is left: perhaps at the next period
    walk_.reset();
    return;
  }
  pause_ = *timer;
}

void Census::slice() {
  auto start = Clock::now();
  bool more = true;
  while (more && Clock::now() - start < pace_.slice)
    more = walk_->step();
  work_ += Clock::now() - start;
  if (!more)
    finish();
}

void Census::finish() {
  loop_.cancel(pause_);
  pause_ = -1;
  last_.counts = walk_->counts();
  walk_.reset();
  last_.taken++;
  last_.work_seconds = std::chrono::duration<double>(work_).count();
  finished_ = Clock::now();
}

Census::Report Census::report() const {
  Report report = last_;
  if (report.taken > 0)
    report.age_seconds = std::chrono::duration<double>(Clock::now() - finished_).count();
  return report;
}

} // namespace viaduct::metrics
