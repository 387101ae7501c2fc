// SPDX-License-Identifier: MIT
//
// Listeners that the hooks have not seen begin (agent/bpf/listeners.bpf.c): told to keep SYNs where
// the agent runs, and named where they keep none, in whatever network namespace.
#pragma once

#include "agent/cgroup.h"
#include "agent/pins.h"
#include "base/result.h"

#include <memory>
#include <string>
#include <vector>

struct toa_listeners;

namespace viaduct::agent {

class Syns {
public:
  // The maps that it shares with the hooks of TCP are pinned already.
  static Result<std::unique_ptr<Syns>> start(const Pins &pins, const Cgroup &cgroup);
  ~Syns();
  Syns(const Syns &) = delete;
  Syns &operator=(const Syns &) = delete;

  // As far as it goes: missing() says what is left.
  void keep();
  // Ours that keep no SYN: "0.0.0.0:80", and which network namespace if it is another than ours.
  Result<std::vector<std::string>> missing() const;

private:
  explicit Syns(bool may_set) : may_set_(may_set) {}
  Result<void> load(const Pins &pins, const Cgroup &cgroup);

  toa_listeners *skeleton_ = nullptr;
  bool may_set_; // a kernel may let us look and not set
};

} // namespace viaduct::agent
