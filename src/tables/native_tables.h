// SPDX-License-Identifier: MIT
//
// The session tables of the tun engine: the native build's, in this process.
#pragma once

#include "datapath/native/native.h"
#include "tables/tables.h"

#include <memory>

namespace viaduct::tables {

class NativeTables final : public Tables {
public:
  // max_sessions is the ceiling of every table; memory is taken as they fill.
  static Result<std::unique_ptr<NativeTables>> make(uint32_t max_sessions);
  ~NativeTables() override; // after the engine's workers are freed

  NativeTables(const NativeTables &) = delete;
  NativeTables &operator=(const NativeTables &) = delete;

  dp::engine *engine() const override { return engine_; }

  // One thread calls these.
  uint64_t sessions(uint64_t cursor, size_t limit, std::vector<SessionRow> &rows) const override;
  uint64_t bindings(uint64_t cursor, size_t limit, std::vector<BindingRow> &rows) const override;
  uint64_t ports(uint64_t cursor, size_t limit, std::vector<PortRow> &rows) const override;
  Counters counters() const override;
  Usage usage() const override;
  dp::pool_use pool_use(const dp::pool_address &pool) const override;
  Result<Trace> trace(std::span<const uint8_t> packet, uint32_t now) const override;
  void watch(bool watched) override;
  uint64_t events(size_t limit, std::vector<dp::event> &events) override;
  Result<void> set_policy(const dp::policy &policy) override;
  bool bind(const BindingEnds &ends) override;
  void unbind(const BindingEnds &ends) override;
  uint64_t sweep(uint32_t now, const Cause &cause = {}, const Send &send = {}) override;

private:
  NativeTables(dp::engine *engine, uint32_t max_sessions)
      : engine_(engine), max_sessions_(max_sessions) {}

  dp::engine *engine_;
  uint32_t max_sessions_;
};

} // namespace viaduct::tables
