// SPDX-License-Identifier: MIT
//
// The parts of look(), one for each neighbourhood: they fill in their own facts and leave the
// others alone.
#pragma once

#include "doctor/facts.h"

namespace viaduct::doctor {

// Whether a daemon answers on `socket`, and what it says.
void look_at_daemon(const std::string &socket, Facts &facts);

// After the configuration is known, and the daemon.
void look_at_machine(Facts &facts);
void look_at_network(Facts &facts);
void look_at_firewall(Facts &facts);
void look_at_programs(Facts &facts);
void look_at_resolver(Facts &facts);

// What full tables of the bpf engine take of the kernel, all maps together.
uint64_t kernel_memory(uint32_t max_sessions);

// A file of /proc or /sys, at most 64 KiB of it.
Result<std::string> read_small(const std::string &path);

} // namespace viaduct::doctor
