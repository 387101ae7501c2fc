// SPDX-License-Identifier: MIT
//
// What `show` gets to see: items of JSON, as docs/control-protocol.md has answers.
#pragma once

#include "agent/config.h"
#include "agent/hooks.h"
#include "control/answer.h"

#include <memory>
#include <string>

namespace viaduct::agent {

// Behind the connections an item for each flow of UDP that is remembered; flows_map < 0: there are none.
std::unique_ptr<control::Answer> with_flows(std::unique_ptr<control::Answer> connections,
                                            int flows_map);
nlohmann::json flow_item(const dp::agent_udp_key &key, const dp::agent_udp_flow &flow,
                         uint64_t now);

// One item for each counter: name, value, what it counts, and its parts by processor.
std::unique_ptr<control::Answer> counters_answer(const PerCpu &counts,
                                                 const std::map<uint8_t, uint64_t> &by_kind);

// The metrics of Prometheus.
struct Facts {
  double uptime_seconds = 0;
  PerCpu counters;
  std::map<uint8_t, uint64_t> by_kind;
  bool getsockopt = false;
  bool udp = false;
  std::vector<PortState> ports;
};
std::string exposition(const Facts &facts);

} // namespace viaduct::agent
