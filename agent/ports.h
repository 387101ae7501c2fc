// SPDX-License-Identifier: MIT
//
// The ports ([agent] udp_ports) whose packets of protocol 248 become UDP as they come in, by a
// program on tc's ingress: a pinned link (tcx, Linux 6.6), or before that a filter of the clsact
// qdisc. Either outlives the agent, and a successor replaces it without a moment between. A port that
// is not there, or goes and comes back, is looked for again and again.
#pragma once

#include "agent/pins.h"
#include "base/fd.h"
#include "base/result.h"

#include <string>
#include <vector>

namespace viaduct::agent {

struct PortState {
  std::string name;
  bool attached = false;
  std::string why_not;
};
using PortChange = PortState;

class Ports {
public:
  Ports(const Pins &pins, int program) : pins_(pins), program_(program) {}

  void set(std::vector<std::string> names);
  std::vector<PortChange> look();
  std::vector<PortState> states() const;
  // Takes the program off all ports.
  void remove();
  // Takes away what a predecessor has left, on whatever port.
  static void forget(const Pins &pins);

private:
  struct Port {
    PortState state;
    int index = 0; // where it is attached; 0: nowhere
    Fd link;       // tcx
  };

  Result<void> attach(Port &port, int index);
  Result<void> attach_link(Port &port, int index);
  void detach(Port &port);

  const Pins &pins_;
  int program_;
  std::vector<Port> ports_;
  bool first_ = true;
};

} // namespace viaduct::agent
