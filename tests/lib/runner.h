// SPDX-License-Identifier: MIT
//
// Runs vectors on a target: one build of the data path behind a small interface. The runner knows
// what a vector means, the target how its build is fed; neither knows the test framework.
#pragma once

#include "base/result.h"
#include "datapath/types.h"
#include "lib/vector.h"

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace viaduct::test {

using Counters = std::array<uint64_t, dp::REASON_COUNT>;

// `Given` as table entries.
struct Tables {
  dp::policy policy{};
  uint32_t max_sessions = 0;
  std::vector<std::pair<dp::session_key, dp::session>> sessions;
  std::vector<std::pair<dp::binding_key, dp::binding>> bindings;
  std::vector<std::pair<dp::port_key, dp::port>> ports;
  std::vector<std::pair<dp::subscriber_key, dp::subscriber>> subscribers;
  std::vector<std::pair<dp::peer_key, dp::peer>> peers;
};

struct Arrival {
  Bytes packet;
  bool partial_checksum = false;
  uint32_t segments = 1;
  uint32_t segment_size = 0;
  uint32_t now = 0;
  uint32_t random = 0; // every random number is this one
};

struct Departure {
  dp::verdict verdict = dp::VERDICT_NEXT;
  dp::reason reason = dp::REASON_none;
  Bytes packet;              // also when it was not forwarded
  std::vector<Bytes> pieces; // where it leaves in fragments
  bool reassembled = false;  // it is more than the packet that came in
  uint32_t segment_size = 0;
  bool partial_checksum = false;
  std::optional<size_t> transport; // offset, where the target says it
  Bytes answer;                    // the ICMP error that is sent back; empty: none
  std::string trespass;            // what else was written, if anything: one sentence
};

class Target {
public:
  virtual ~Target() = default;

  virtual std::string name() const = 0;
  virtual bool is_bpf() const = 0;                  // Vector::bpf holds
  virtual bool takes_partial_checksums() const = 0; // Arrival::partial_checksum has a meaning

  // Why this build cannot be given such a packet here; empty if it can.
  virtual std::string cannot_carry(const Arrival &) const { return {}; }

  // Empty tables and counters, then this.
  virtual Result<void> reset(const Tables &given) = 0;
  virtual Result<Departure> run(const Arrival &arrival) = 0;

  // What it sends. All sessions end where there is a cause to. Never on the BPF build.
  virtual std::vector<Bytes> sweep(uint32_t now, dp::event_why cause) = 0;

  virtual Counters counters() const = 0;
  virtual std::optional<dp::session> find(const dp::session_key &key) const = 0;
  virtual std::optional<dp::binding> find(const dp::binding_key &key) const = 0;
};

enum class Checksums : uint8_t {
  full,
  partial, // TCP and UDP that is forwarded comes in and goes out with the pseudo-header sum only
};

// Whether `checksums` makes any difference to the vector.
bool concerns(const Vector &vector, Checksums checksums);

// Why one of the vector's packets cannot be given to the target; empty if all can.
std::string cannot_carry(const Vector &vector, const Target &target);

// What went wrong, for a person; empty if nothing did. After a step that the BPF build hands up the
// rest of a vector is left out there: the state it needs is made by the native build.
std::vector<std::string> run(const Vector &vector, Target &target, Checksums checksums);

Tables tables_of(const Given &given, uint32_t now);

const char *verdict_name(dp::verdict verdict);
const char *reason_name(dp::reason reason);

} // namespace viaduct::test
