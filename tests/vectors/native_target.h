// SPDX-License-Identifier: MIT
//
// The native build of the data path as a target for vectors. The packet lies in the middle of
// poisoned memory: 0xFF everywhere around it, out of bounds for the address sanitizer behind it.
#pragma once

#include "datapath/native/native.h"
#include "lib/runner.h"

#include <memory>

namespace viaduct::test {

// One packet through a worker, of this engine or of the BPF engine's.
Departure carry(dp::worker *worker, const Arrival &arrival);

class NativeTarget : public Target {
public:
  std::string name() const override { return "native"; }
  bool is_bpf() const override { return false; }
  bool takes_partial_checksums() const override { return true; }

  Result<void> reset(const Tables &given) override;
  Result<Departure> run(const Arrival &arrival) override { return carry(worker_.get(), arrival); }

  std::vector<Bytes> sweep(uint32_t now, dp::event_why cause) override;
  Counters counters() const override;
  std::optional<dp::session> find(const dp::session_key &key) const override;
  std::optional<dp::binding> find(const dp::binding_key &key) const override;

  // After reset; for dumps.
  dp::engine *engine() const { return engine_.get(); }

private:
  struct Free {
    void operator()(dp::engine *engine) const { dp::engine_free(engine); }
    void operator()(dp::worker *worker) const { dp::worker_free(worker); }
  };
  std::unique_ptr<dp::engine, Free> engine_;
  std::unique_ptr<dp::worker, Free> worker_; // of the engine: destroyed before it
};

} // namespace viaduct::test
