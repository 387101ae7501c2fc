// SPDX-License-Identifier: MIT
//
// Which engine there is: the session tables that go with it, and the program for the kernel.
#pragma once

#include "tables/tables.h"

#include <memory>
#include <string>

namespace viaduct::tables {

struct Chosen {
  std::unique_ptr<Tables> tables;
  const char *engine = "tun"; // or "bpf"
  int program = -1;           // for tc on the interface's egress; the tables'
  std::string why_not_bpf;    // what the kernel said, where BPF was wanted and did not load
};

enum class Wish { tun, bpf, bpf_if_it_loads };

// On failure the error says what the kernel or the machine lacks.
Result<Chosen> choose_engine(Wish wish, uint32_t max_sessions);

} // namespace viaduct::tables
