// SPDX-License-Identifier: MIT
//
// The BPF program that says which queue of the tun a packet waits in (datapath/bpf/steer.bpf.c).
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace viaduct::tables {

// Loads it, with chance of its own; the descriptor is for Tun::steer(). Once that has it, the
// descriptor may be closed.
Result<Fd> load_steering();

} // namespace viaduct::tables
