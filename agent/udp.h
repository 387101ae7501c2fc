// SPDX-License-Identifier: MIT
//
// The BPF programs for UDP (agent/bpf/uoa.bpf.c) on the cgroup, and on the ports whose packets of
// protocol 248 they make UDP. An object of its own: where a kernel refuses it, TOA goes on.
#pragma once

#include "agent/cgroup.h"
#include "agent/pins.h"
#include "agent/ports.h"
#include "base/result.h"

#include <array>
#include <memory>
#include <string>
#include <vector>

struct bpf_link;
struct uoa_getsockopt;
struct uoa_hooks;

namespace viaduct::agent {

class Udp {
public:
  // The maps that it shares with the hooks of TCP are pinned already.
  static Result<std::unique_ptr<Udp>> start(const Pins &pins, const Cgroup &cgroup);
  // Takes the programs off the ports, unless leave() was called; what is pinned stays.
  ~Udp();
  Udp(const Udp &) = delete;
  Udp &operator=(const Udp &) = delete;

  // Takes away what a predecessor has pinned for UDP alone.
  static void forget(const Pins &pins);

  // getsockopt 2048; what it needs, not every kernel gives.
  Result<void> serve_getsockopt(bool wanted);
  void leave() { leaving_ = true; }
  void set_ports(std::vector<std::string> names) { ports_->set(std::move(names)); }
  std::vector<PortChange> look_at_ports() { return ports_->look(); }
  std::vector<PortState> ports() const { return ports_->states(); }
  int flows() const; // the map

private:
  Udp(const Pins &pins, const Cgroup &cgroup) : pins_(pins), cgroup_(cgroup) {}
  Result<void> load();
  Result<void> attach();

  const Pins &pins_;
  const Cgroup &cgroup_;
  uoa_hooks *skeleton_ = nullptr;
  uoa_getsockopt *getsockopt_ = nullptr;
  bpf_link *getsockopt_link_ = nullptr;
  std::array<bpf_link *, 9> links_{};
  std::unique_ptr<Ports> ports_;
  bool leaving_ = false;
};

} // namespace viaduct::agent
