// SPDX-License-Identifier: MIT
//
// The session tables of the BPF engine: maps of the kernel, which its programs and the keeper's
// change and this process only reads. The native build that takes what the programs hand up stands
// on the same maps (dp::remote_tables).
#pragma once

#include "datapath/native/native.h"
#include "tables/bpf_object.h"
#include "tables/grace.h"
#include "tables/keeper.h"
#include "tables/tables.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct ring_buffer;

namespace viaduct::tables {

class BpfTables final : public Tables {
public:
  static Result<std::unique_ptr<BpfTables>> make(uint32_t max_sessions) {
    return make({.max_sessions = max_sessions});
  }
  // Also for test runs: what dies is gone at once then, and nobody is waited for.
  // `pins`: where the maps outlive the daemon, and a predecessor's are taken over; none: they end
  // with it. Maps that do not fit (another max_sessions) are taken away and made anew. On failure a
  // predecessor's stay as they are. REQUIRES: the predecessor does not run any more.
  static Result<std::unique_ptr<BpfTables>> make(const BpfOptions &wish,
                                                 const std::optional<Pins> &pins = {});
  ~BpfTables() override; // after the engine's workers are freed; takes the pins away

  BpfTables(const BpfTables &) = delete;
  BpfTables &operator=(const BpfTables &) = delete;

  // The program for tc on the interface's egress; stays ours.
  int program() const { return object_->program(); }
  BpfObject &object() const { return *object_; }

  const dp::policy *adopted() const override { return adopted_ ? &policy_ : nullptr; }
  void leave() override { pins_.reset(); }
  // Why maps that were there were not taken over.
  const std::string &not_adopted() const { return not_adopted_; }
  // Why the maps end with the daemon although `pins` was given.
  const std::string &why_mortal() const { return why_mortal_; }

  dp::engine *engine() const override { return engine_; }
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
  struct Sweep; // one that is under way

  BpfTables(const BpfOptions &options, std::unique_ptr<BpfObject> object,
            std::unique_ptr<Keeper> keeper);
  Result<void> start();
  struct Living {
    uint64_t sessions = 0, bindings = 0;
  };
  Result<void> adopt();
  Living find_dead();
  void begin_counters(const Living &living);
  void pin(const Pins &pins);

  static int settle(void *context, uint32_t slot);
  static int find(void *context, dp::remote_table table, const void *key, void *value);
  static int hints(void *context, uint32_t index, dp::port_hints *copy);
  static void forget(void *context, uint32_t index);

  void sweep_sessions(Sweep &sweep);
  void expire(Sweep &sweep, const std::vector<SessionRow> &rows);
  void expire_some(Sweep &sweep);
  void collect_dead();
  bool bury(bool commit); // all of dead_; false: the keeper did not run
  void bury_dead();
  bool wait_for_everybody() const; // false: they may still look at what is dead
  void write_settings();
  dp::losses losses() const;
  uint64_t entries_lost() const;

  BpfOptions options_;
  std::unique_ptr<BpfObject> object_;
  std::optional<Grace> grace_;
  std::unique_ptr<Keeper> keeper_;
  std::optional<Pins> pins_;
  bool adopted_ = false;
  dp::policy policy_{}; // if so: that of the predecessor
  std::string not_adopted_, why_mortal_;
  dp::remote_tables remote_{};
  dp::engine *engine_ = nullptr;
  ring_buffer *dead_ring_ = nullptr, *event_ring_ = nullptr;
  std::vector<dp::dead_entry> dead_; // that wait for their burial
  dp::settings settings_{};          // as they were written last
  dp::losses told_{};                // that we know of
  struct {
    std::vector<dp::event> *into;
    size_t left;
  } taking_{};            // where the ring buffer's events go
  uint64_t swept_to_ = 0; // where the next sweep goes on
  uint32_t swept_at_ = 0; // seconds, the steps' clock
};

} // namespace viaduct::tables
