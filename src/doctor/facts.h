// SPDX-License-Identifier: MIT
//
// What the doctor has seen of the machine, the configuration and the running daemon: all that its
// checks read. look() fills it in (look.cpp and look_*.cpp), tests fill it in by hand. What could
// not be seen holds the sentence that says why.
#pragma once

#include "base/result.h"
#include "config/config.h"
#include "nvi/network.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace viaduct::doctor {

// One pool address, as the daemon shows it.
struct PoolUse {
  std::string address;
  uint64_t ports = 0;                     // in its range
  std::map<std::string, uint64_t> in_use; // by protocol
  std::map<std::string, uint64_t> most;   // that were at once
};

// Of the daemon that answers on the control socket.
struct Running {
  std::string version, interface, configuration;
  int64_t pid = 0;
  std::string engine, why_not_bpf; // why_not_bpf: where "auto" had to take the other one
  std::string why_mortal;          // why sessions end with it; empty: they do not
  double handed_up = 0;            // of all packets, by the programs in the kernel: 0 to 1
  std::vector<std::string> offloads,
      offloads_refused; // refused: what was given, but not taken back
  uint64_t sessions = 0, sessions_limit = 0;
  struct Direct {
    std::string port, mode, detail; // mode empty: it is not direct
  };
  std::vector<Direct> direct; // of the ports that [nvi] direct names
  std::string dns64_state, dns64_detail;
  std::vector<PoolUse> pools;
  struct Files {
    uint64_t open = 0, limit = 0;
  };
  Result<Files> files = error("not looked at");
};

enum class Presence { running, absent, unreachable };

struct TunDevice {
  bool may_open = true; // false: it is there, and the rest is not known
  bool multi_queue = false;
  bool vnet_hdr = false;
};

// Where the routing table sends what is to be translated.
struct Destination {
  std::string what;      // "64:ff9b::/96"
  std::string probe;     // the address that was looked up
  std::string interface; // empty: nowhere
};

// A more specific route inside a destination, to somewhere else.
struct Detour {
  std::string route, interface;
};

// A port as a link: what it leaves to the hardware, or puts together on reception.
struct PortOffloads {
  std::string name;
  bool gro = false;
  bool lro = false;
};

struct Network {
  std::vector<nvi::Link> links;
  std::vector<nvi::Network::Part> parts; // of a check of the plan
  std::vector<Prefix6> connected;
  std::vector<Destination> destinations;
  std::vector<Detour> detours;
  std::vector<std::string> advertised_defaults; // ports, see Network
  std::vector<std::string> default_routes;      // of IPv4: interfaces
  std::vector<PortOffloads> offloads;           // of the ports that are up
};

struct Firewall {
  struct Chain {
    std::string name;      // "inet filter forward"
    bool names_us = false; // a rule of its table names the interface
  };
  std::vector<Chain> forward_drop; // base chains at FORWARD whose policy is drop
  std::vector<Chain> source_nat;   // base chains at POSTROUTING with a rule that changes sources
  bool legacy = false;             // tables of iptables-legacy are loaded, which we cannot read
};

// Something that sees the interface's packets in the kernel.
struct Program {
  std::string name;
  bool egress = true; // or ingress
  bool ours = false;  // the bpf engine's
};

struct Conntrack {
  uint64_t count = 0, max = 0; // max 0: the kernel tracks nothing here
};

struct Memory {
  uint64_t total = 0;     // of the machine, or of the control group where that is less
  uint64_t tables = 0;    // ours, when they are full
  bool in_kernel = false; // they are maps of BPF: most of it is taken at the start
};

struct Clock {
  int64_t now = 0;     // seconds since 1970, by the wall clock
  int64_t program = 0; // when this program was made, by its file
};

struct Resolver {
  std::vector<std::string> occupied; // addresses with something at port 53, "0.0.0.0" and "::" too
  bool installed = false;            // unbound
  struct Answer {
    std::string address;
    Result<void> good;
  };
  std::vector<Answer> answers; // only where the daemon runs
};

struct Facts {
  std::string path; // of the configuration
  std::optional<config::Config> config;
  std::vector<std::string> problems; // with the configuration

  std::string socket;
  Presence presence = Presence::absent;
  std::string why_no_daemon;
  Running daemon; // where presence is running

  std::string program_version;
  std::string kernel;
  Result<TunDevice> tun = error("not looked at");
  Result<void> bpf = error("not looked at");                      // whether a program loads
  bool bpf_unknown = true;                                        // who looked may not load any
  std::function<Result<std::string>(const std::string &)> sysctl; // below /proc/sys
  bool socket_folder = false; // the folder of the control socket is there
  Result<Network> network = error("not looked at");
  Result<Firewall> firewall = error("not looked at");
  Result<std::vector<Program>> programs = error("not looked at");
  Result<Conntrack> conntrack = error("not looked at");
  Result<Memory> memory = error("not looked at");
  Result<Resolver> resolver = error("not looked at");
  Clock clock;
};

struct Where {
  std::string socket;
  std::string file; // empty: the running daemon's, or else the usual one
};

// Looks at everything; bounded in time, changes nothing.
Facts look(const Where &where);

} // namespace viaduct::doctor
