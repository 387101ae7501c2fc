// SPDX-License-Identifier: MIT
//
// The agent's configuration: text to struct Config, checked as a whole, by the gateway's own means
// (config/checker.h): every problem at once, with file, line and column.
#pragma once

#include "base/address.h"
#include "config/config.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace viaduct::agent {

// One row of the table of options: "254/8".
struct Kind {
  uint8_t kind = 0;
  uint8_t length = 0;
  std::string text() const;
  auto operator<=>(const Kind &) const = default;
};

// Who sends it, as far as known; empty otherwise.
std::string_view vendors_of(const Kind &kind);
std::string described(const Kind &kind); // "254/20 (DPVS IPv6 and NAT64)"

struct Config {
  std::vector<Prefix4> senders4; // whose TOA is believed; "any" is both of all
  std::vector<Prefix6> senders6;
  bool any_sender = false;
  std::vector<Kind> kinds = {{254, 8}, {254, 20}}; // sorted, none twice
  bool nat64_getsockopt = false;
  bool uoa_getsockopt = false;
  bool udp = false; // UOA, as IPv4 option; if not given, whether the two beside it need it
  std::vector<std::string> udp_ports; // and as protocol 248; sorted, none twice
  bool getsockname = false;           // gives the virtual address
  std::string cgroup;                 // empty: of the whole machine
  std::vector<uint16_t> ports;        // of listeners; empty: all; sorted, none twice
  bool own_network_namespace = false; // only listeners of the one that the agent runs in
  std::string socket = "/run/viaduct-agent/control.sock";
  std::optional<config::Listen> metrics;
  bool operator==(const Config &) const = default;
};

struct Outcome {
  std::optional<Config> config; // only when there is no problem
  std::vector<config::Problem> problems;
};

Outcome parse(std::string_view text, const std::string &file);
Outcome load(const std::string &path);

// What is allowed and yet likely a mistake, in sentences.
std::vector<std::string> warnings(const Config &config);

} // namespace viaduct::agent
