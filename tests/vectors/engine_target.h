// SPDX-License-Identifier: MIT
//
// The BPF engine as a whole, as a target for vectors: a packet goes to the program in the kernel, by
// BPF_PROG_TEST_RUN; what that hands up goes through the native build, whose session step runs in the
// kernel again (the keeper). So it must do all that the native target does. In front of that there may
// be a direct port's program, which sees the packet one hop earlier, and leaves to nvi0 what it does not
// take.
#pragma once

#include "bpf_target.h"
#include "lib/runner.h"
#include "tables/bpf_tables.h"

#include <map>
#include <memory>

namespace viaduct::test {

class EngineTarget : public Target {
public:
  explicit EngineTarget(Hook hook = Hook::nvi) : hook_(hook) {}

  std::string name() const override { return "engine"; }
  bool is_bpf() const override { return false; } // nothing is left to somebody else
  bool takes_partial_checksums() const override { return false; }

  Result<void> reset(const Tables &given) override;
  Result<Departure> run(const Arrival &arrival) override;

  std::vector<Bytes> sweep(uint32_t now, dp::event_why cause) override;
  // The sum of all builds'; that a packet was handed up is none of the history.
  Counters counters() const override;
  std::optional<dp::session> find(const dp::session_key &key) const override;
  std::optional<dp::binding> find(const dp::binding_key &key) const override;

  // After reset.
  tables::BpfTables &tables() const { return *engine_->tables; }

  // Of the last packet: REASON_none where the program in the kernel took it.
  dp::reason handed_up() const { return handed_up_; }
  // Whether a direct port's program took it.
  bool by_port() const { return by_port_; }

private:
  // By the table size that a vector wants; loading takes much longer than a vector.
  struct Loaded {
    std::unique_ptr<tables::BpfTables> tables;
    std::unique_ptr<tables::DirectObject> direct; // where a direct hook was wanted
    dp::worker *worker = nullptr;                 // the tables'
    Counters before{};                            // of all vectors before this one
    ~Loaded() { dp::worker_free(worker); }
  };
  static std::map<uint32_t, Loaded> &loaded();
  Result<Departure> run_nvi(const Arrival &arrival);
  Result<Departure> hand_up(const Arrival &arrival, dp::reason reason);

  Hook hook_;
  Loaded *engine_ = nullptr;
  dp::reason handed_up_ = dp::REASON_none;
  bool by_port_ = false;
  uint32_t now_ = 0;
};

bool is_punt(dp::reason reason);

} // namespace viaduct::test
