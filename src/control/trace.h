// SPDX-License-Identifier: MIT
//
// {"command":"trace"}: what would become of one packet, decision by decision, as items. What the
// client sends is bounded; docs/control-protocol.md has the fields.
#pragma once

#include "base/clock.h"
#include "control/answer.h"
#include "control/views.h"
#include "tables/tables.h"

#include <cstddef>
#include <span>

namespace viaduct::control {

// Of the packet: a request is one line. What follows them is taken as zeros.
constexpr size_t most_traced_bytes = 2000;

// {"command":"trace","packet":HEX,"length":BYTES}
Result<std::unique_ptr<Answer>> trace_request(const tables::Tables &tables,
                                              const nlohmann::json &request,
                                              const Now &now = monotonic_seconds);

nlohmann::json note_item(const dp::note &note);
nlohmann::json outcome_item(const tables::Trace &trace);
// What a whole IP packet is, for a person; of anything else only its length.
nlohmann::json packet_item(std::span<const uint8_t> packet);

} // namespace viaduct::control
