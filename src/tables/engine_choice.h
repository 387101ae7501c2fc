// SPDX-License-Identifier: MIT
//
// Which engine there is: the session tables that go with it, and the program for the kernel.
#pragma once

#include "tables/direct_programs.h"
#include "tables/tables.h"

#include <filesystem>
#include <memory>
#include <string>

namespace viaduct::tables {

struct Chosen {
  std::unique_ptr<Tables> tables;
  const char *engine = "tun"; // or "bpf"
  int program = -1;           // for tc on the interface's egress; the tables'
  std::string why_not_bpf;    // what the kernel said, where BPF was wanted and did not load
  std::string not_adopted;    // why the tables that a predecessor has left were not taken over
  std::string why_mortal = "the tun engine keeps them in viaductd"; // why sessions end with the
                                                                    // daemon; empty: they do not
};

enum class Wish { tun, bpf, bpf_if_it_loads };

// `interface`: whose sessions outlive the daemon, and whose predecessor's are taken over, where the
// engine can; empty: they end with it. REQUIRES: nobody else runs on that interface. On failure the
// error says what the kernel or the machine lacks, and what a predecessor has left stays.
Result<Chosen> choose_engine(Wish wish, uint32_t max_sessions, const std::string &interface = {});

// Whether a predecessor on that interface has left its tables, whether they fit or not.
bool is_left_behind(const std::string &interface);

// Where the links of that interface's programs are pinned; empty where they cannot be.
std::filesystem::path links_of(const std::string &interface);

// Only with the bpf engine, whose tables they use: the programs of direct ports. `nvi` is the
// index of the interface.
Result<std::unique_ptr<DirectPrograms>> load_direct(const Chosen &engine, int nvi);

} // namespace viaduct::tables
