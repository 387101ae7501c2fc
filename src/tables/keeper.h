// SPDX-License-Identifier: MIT
//
// The keeper's programs, loaded over the maps of a BpfObject, and the memory through which they are
// called (datapath/keeper.h). session() is for any thread, the rest for the one that sweeps.
#pragma once

#include "base/result.h"
#include "datapath/keeper.h"
#include "tables/bpf_object.h"

#include <memory>

struct keeper;

namespace viaduct::tables {

class Keeper {
public:
  // The object must outlive it.
  static Result<std::unique_ptr<Keeper>> load(const BpfObject &object, bool testing);
  ~Keeper();

  Keeper(const Keeper &) = delete;
  Keeper &operator=(const Keeper &) = delete;

  // The calls for the session step, one slot each, and how far they lie apart.
  void *session_calls() const { return session_calls_.data; }
  uint32_t session_call_size() const { return session_calls_.entry; }
  bool session(uint32_t slot) const;

  // Fill in, run, read.
  dp::expiries &expiries() const { return *static_cast<dp::expiries *>(expiries_.data); }
  dp::bind_call &binding() const { return *static_cast<dp::bind_call *>(bindings_.data); }
  dp::burials &burials() const { return *static_cast<dp::burials *>(burials_.data); }
  bool run_expiries() const;
  bool run_binding() const;
  bool run_burials() const;

private:
  // A map that lies in our memory, too.
  struct Shared {
    void *data = nullptr;
    size_t size = 0;
    uint32_t entry = 0; // bytes from one to the next
  };

  explicit Keeper(keeper *skeleton) : skeleton_(skeleton) {}
  Result<void> share(Shared &shared, const char *name);

  keeper *skeleton_;
  Shared session_calls_, expiries_, bindings_, burials_;
};

} // namespace viaduct::tables
