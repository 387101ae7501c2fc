// SPDX-License-Identifier: MIT
//
// The BPF build of the data path as a target for vectors: BPF_PROG_TEST_RUN in the running kernel.
// Packets get an Ethernet header (a tc test run takes the first 14 bytes for one) and lose it
// again; new room is poisoned by the program itself. Whether a checksum is partial cannot be said
// to a test run: full ones only.
#pragma once

#include "lib/runner.h"
#include "tables/bpf_object.h"
#include "tables/direct_object.h"

#include <map>
#include <memory>

namespace viaduct::test {

// Which of the programs: that of the interface, or of direct ports.
enum class Hook { nvi, direct_tc, direct_xdp };

// Why a test run of the program cannot be given such a packet; empty if it can.
std::string cannot_test_run(const Arrival &arrival, Hook hook = Hook::nvi);

// One packet through the interface's program, loaded for testing.
Result<Departure> test_run(tables::BpfObject &object, const Arrival &arrival);

// The same through a direct port's program, loaded for testing.
Result<Departure> test_run(tables::DirectObject &object, Hook hook, const Arrival &arrival);

// The maps empty but for this; the policy is not written.
Result<void> fill(tables::BpfObject &object, const Tables &given);

std::optional<dp::session> find(const tables::BpfObject &object, const dp::session_key &key);
std::optional<dp::binding> find(const tables::BpfObject &object, const dp::binding_key &key);

class BpfTarget : public Target {
public:
  explicit BpfTarget(Hook hook = Hook::nvi) : hook_(hook) {}

  std::string name() const override;
  bool is_bpf() const override { return true; }
  bool takes_partial_checksums() const override { return false; }

  std::string cannot_carry(const Arrival &arrival) const override;
  Result<void> reset(const Tables &given) override;
  Result<Departure> run(const Arrival &arrival) override;

  std::vector<Bytes> sweep(uint32_t, dp::event_why) override { return {}; }
  Counters counters() const override;
  std::optional<dp::session> find(const dp::session_key &key) const override {
    return test::find(*object_, key);
  }
  std::optional<dp::binding> find(const dp::binding_key &key) const override {
    return test::find(*object_, key);
  }

  // By the table size that a vector wants; loading takes much longer than a vector.
  struct Loaded {
    std::unique_ptr<tables::BpfObject> object;
    std::unique_ptr<tables::DirectObject> direct; // where a direct hook was wanted
  };
  using Objects = std::map<uint32_t, Loaded>;

private:
  Result<void> load(uint32_t max_sessions);

  Hook hook_;
  tables::BpfObject *object_ = nullptr;
  tables::DirectObject *direct_ = nullptr;
};

} // namespace viaduct::test
