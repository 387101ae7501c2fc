// SPDX-License-Identifier: MIT
//
// Maps and links of a BPF object that outlive the agent: what each of its objects does with them.
#pragma once

#include "agent/cgroup.h"
#include "agent/pins.h"
#include "base/result.h"

#include <cstdint>
#include <set>

struct bpf_link;
struct bpf_object;
struct bpf_program;

namespace viaduct::agent {

// Before the object is loaded: those of its maps that are pinned take the place of new ones.
Result<void> adopt_maps(const Pins &pins, bpf_object *object);
Result<void> pin_maps(const Pins &pins, bpf_object *object);

struct CgroupProgram {
  const bpf_program *program;
  const char *pin;
};

// A pinned link gets the new program in one step: there is no moment without one. It may be of a
// cgroup that is gone; then it is made again.
Result<void> attach_to_cgroup(const Pins &pins, const Cgroup &cgroup, const bpf_program *program,
                              const char *name, bpf_link *&link);

// What the agents of this machine have attached, each to its cgroup, by the kernel's numbers: a name
// that begins as ours do is anybody's.
std::set<uint32_t> pinned_programs();

} // namespace viaduct::agent
