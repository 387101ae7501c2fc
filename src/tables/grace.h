// SPDX-License-Identifier: MIT
//
// Until nobody can look any more at what was taken away.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <utility>

namespace viaduct::tables {

// Waits until every BPF program of packets that runs now has ended. That is what the kernel waits for before an
// update of a map of maps returns (maybe_wait_bpf_programs in kernel/bpf/syscall.c, since 4.20), so nothing is asked
// for that a daemon with BPF does not have anyway. membarrier(2) says the same of threads, but not on processors
// without ticks (nohz_full), nor behind a system-call filter that does not know it.
class Grace {
public:
  static Result<Grace> make();

  // False: it was not waited for, and who could look then still may.
  bool wait() const;

private:
  Grace(Fd outer, Fd inner) : outer_(std::move(outer)), inner_(std::move(inner)) {}

  Fd outer_, inner_; // a map of one map, and that map
};

} // namespace viaduct::tables
