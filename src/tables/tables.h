// SPDX-License-Identifier: MIT
//
// What the rest of the daemon may see of the session tables, whichever engine holds them: dumps,
// counters, the sweep, a new policy. Nothing here is on a packet's way.
#pragma once

#include "base/result.h"
#include "datapath/event.h"
#include "datapath/note.h"
#include "datapath/types.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace viaduct::dp {
struct engine;
}

namespace viaduct::tables {

// The two ends of a binding.
struct BindingEnds {
  dp::binding_key inside;
  dp::port_key outside;
};

struct SessionRow {
  dp::session_key key;
  dp::session value;
};

struct BindingRow {
  dp::binding_key key;
  dp::binding value;
};

struct PortRow {
  dp::port_key key;
  dp::port value;
};

using Counters = std::array<uint64_t, dp::REASON_COUNT>;

struct Usage {
  uint64_t sessions = 0;
  uint64_t sessions_limit = 0;
  uint64_t bindings = 0;
  // Of the bpf engine's tables: entries that nobody can have any more, until new tables are made (struct
  // table_pool).
  uint64_t entries_lost = 0;
};

// Why a session is to end at once; WHY_NONE: only where its timer has run out.
using Cause = std::function<dp::event_why(const dp::session_key &, const dp::session &)>;

// Sends a whole IP packet that the sweep has made: a probe, or an ICMP error.
using Send = std::function<bool(std::span<const uint8_t>)>;

// What would become of one packet, and why.
struct Trace {
  dp::verdict verdict = dp::VERDICT_NEXT;
  dp::reason reason = dp::REASON_none;
  std::vector<dp::note> notes;              // the decisions, in order
  Counters counted{};                       // what the counters would be raised by
  std::vector<std::vector<uint8_t>> leaves; // IP packets: none, one, or fragments
  std::vector<uint8_t> answer;              // the ICMP error to its sender; empty: none
};

constexpr size_t longest_traced = 65575; // bytes of a packet

class Tables {
public:
  virtual ~Tables() = default;

  // The native build over these tables, for the workers; stays ours.
  virtual dp::engine *engine() const = 0;

  // The policy under which a predecessor has left its sessions in these tables; NULL: they are new.
  virtual const dp::policy *adopted() const { return nullptr; }
  // What outlives the daemon is not taken away when the tables are destroyed.
  virtual void leave() {}

  // Dumps piece by piece. `cursor` is 0 to start and then what the last call returned; 0 comes back
  // when there is no more. Appends at most `limit` rows (64 where it is less: what one step of the
  // cursor needs). Entries made or ended meanwhile may be missed.
  virtual uint64_t sessions(uint64_t cursor, size_t limit, std::vector<SessionRow> &rows) const = 0;
  virtual uint64_t bindings(uint64_t cursor, size_t limit, std::vector<BindingRow> &rows) const = 0;

  virtual uint64_t ports(uint64_t cursor, size_t limit, std::vector<PortRow> &rows) const = 0;

  virtual Counters counters() const = 0; // summed over workers, by enum reason
  virtual Usage usage() const = 0;
  virtual dp::pool_use pool_use(const dp::pool_address &pool) const = 0;

  // A dry walk of one IP packet through the data path and the tables as they are: it sends nothing
  // and changes nothing. 1 to longest_traced bytes.
  virtual Result<Trace> trace(std::span<const uint8_t> packet, uint32_t now) const = 0;

  // Events of sessions and bindings, noted from watch(true) to watch(false) and taken in pieces. Who
  // does not take them in time loses some: how many is what comes back.
  virtual void watch(bool watched) = 0;
  virtual uint64_t events(size_t limit, std::vector<dp::event> &events) = 0;

  // Every packet after the call sees the new policy whole; packets under way finish with the old
  // one.
  virtual Result<void> set_policy(const dp::policy &policy) = 0;

  // A binding that stays without sessions; false where somebody has one of its ends.
  virtual bool bind(const BindingEnds &ends) = 0;
  virtual void unbind(const BindingEnds &ends) = 0;

  // Ends what has expired at `now` (seconds of CLOCK_MONOTONIC), and all that has a
  // `cause` to, if given. Returns how many sessions ended. What is to be sent because of it goes to
  // `send`.
  virtual uint64_t sweep(uint32_t now, const Cause &cause = {}, const Send &send = {}) = 0;
};

} // namespace viaduct::tables
