// SPDX-License-Identifier: MIT
//
// The BPF programs of agent/bpf: loaded, given the maps and links that a predecessor has left, or
// attached anew, and told the configuration. Programs and maps outlive the agent that leaves them.
#pragma once

#include "agent/cgroup.h"
#include "agent/config.h"
#include "agent/pins.h"
#include "agent/record.h"
#include "agent/syns.h"
#include "agent/udp.h"
#include "base/fd.h"
#include "base/result.h"

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct bpf_link;
struct toa_hooks;
struct toa_getsockopt;

namespace viaduct::agent {

using PerCpu = std::vector<std::array<uint64_t, dp::AGENT_COUNTERS>>;

class Hooks {
public:
  // Attached when it returns, and as the configuration says.
  static Result<std::unique_ptr<Hooks>> start(const Config &config);
  // Detaches all and takes away what is pinned, unless leave() was called.
  ~Hooks();
  Hooks(const Hooks &) = delete;
  Hooks &operator=(const Hooks &) = delete;

  // All of it but the cgroup, which stays.
  Result<void> apply(const Config &config);
  void leave() { leaving_ = true; }

  const std::string &cgroup() const { return cgroup_.path(); }
  bool adopted() const { return adopted_; }         // a predecessor's connections are known
  bool lost_layout() const { return lost_layout_; } // they were of another layout
  // What this kernel does not have; the rest works. Empty: served, or not wanted.
  const std::string &why_no_getsockname() const { return why_no_getsockname_; }
  const std::string &why_no_getsockopt() const { return why_no_getsockopt_; }
  const std::string &why_no_udp() const { return why_no_udp_; }
  const std::string &why_no_uoa_getsockopt() const { return why_no_uoa_getsockopt_; }

  // Listeners that keep no SYN, although they are ours.
  Result<std::vector<std::string>> listeners_without_syns() const;

  // Ports come and go: to be called now and then. What has changed since the last time.
  std::vector<PortChange> look_at_ports();
  std::vector<PortState> ports() const;

  PerCpu counters() const; // in the order of processors, those that can be
  std::map<uint8_t, uint64_t> by_kind() const;
  int connections() const; // the map
  int flows() const;       // that of UDP; -1: there is none

private:
  explicit Hooks(Cgroup cgroup) : cgroup_(std::move(cgroup)) {}
  Result<void> load();
  Result<void> attach_all();
  void serve_what_may_be_missing(const Config &config);
  Result<void> serve_getsockopt(bool wanted);
  void serve_udp(const Config &config);
  void keep_syns();
  Result<void> set_senders(const Config &config);
  Result<void> set_kinds(const Config &config);
  Result<void> set_scope(const Config &config);
  void forget_outside(const dp::agent_scope &scope);
  Result<void> serve_getsockname(bool wanted);

  Cgroup cgroup_;
  std::unique_ptr<Pins> pins_;
  toa_hooks *skeleton_ = nullptr;
  toa_getsockopt *getsockopt_ = nullptr;
  std::array<bpf_link *, 3> links_{};
  bpf_link *getsockopt_link_ = nullptr;
  std::array<bpf_link *, 2> getsockname_links_{};
  std::unique_ptr<Udp> udp_;
  std::unique_ptr<Syns> syns_;
  std::string why_no_syns_;
  std::string why_no_getsockname_;
  std::string why_no_getsockopt_;
  std::string why_no_udp_;
  std::string why_no_uoa_getsockopt_;
  bool adopted_ = false;
  bool lost_layout_ = false;
  bool leaving_ = true; // until all is attached: what a predecessor left stays
};

} // namespace viaduct::agent
