// SPDX-License-Identifier: MIT
//
// The checks by themselves, for the table in checks.cpp and for their tests, and the words they
// share.
#pragma once

#include "doctor/doctor.h"

namespace viaduct::doctor {

inline Finding ok(std::string text) {
  return {Level::ok, std::move(text), {}};
}
inline Finding skip(std::string text) {
  return {Level::skip, std::move(text), {}};
}
inline Finding warn(std::string text, std::string advice) {
  return {Level::warn, std::move(text), std::move(advice)};
}
inline Finding fail(std::string text, std::string advice) {
  return {Level::fail, std::move(text), std::move(advice)};
}

inline bool runs(const Facts &facts) {
  return facts.presence == Presence::running;
}

// From here on it is time to do something.
inline bool nearly_full(uint64_t part, uint64_t whole) {
  return part >= whole / 10 * 9 + whole % 10 * 9 / 10;
}

constexpr const char *not_running = "not looked at: viaductd does not run, or cannot be asked";
constexpr const char *no_configuration = "not looked at: there is no good configuration";

// checks_machine.cpp
Finding check_kernel(const Facts &facts);
Finding check_tun(const Facts &facts);
Finding check_bpf(const Facts &facts);
Finding check_memory(const Facts &facts);
Finding check_files(const Facts &facts);
Finding check_clock(const Facts &facts);
Finding check_conntrack(const Facts &facts);

// checks_network.cpp
Finding check_forwarding(const Facts &facts);
Finding check_rp_filter(const Facts &facts);
Finding check_router_advertisements(const Facts &facts);
Finding check_programs(const Facts &facts);
Finding check_linkdown(const Facts &facts);
Finding check_interface(const Facts &facts);
Finding check_mtu(const Facts &facts);
Finding check_pool_addresses(const Facts &facts);
Finding check_mapped(const Facts &facts);
Finding check_prefixes(const Facts &facts);
Finding check_routes(const Facts &facts);
Finding check_detours(const Facts &facts);
Finding check_allow(const Facts &facts);
Finding check_offloads(const Facts &facts);
Finding check_forward_chain(const Facts &facts);
Finding check_source_nat(const Facts &facts);

// checks_daemon.cpp
Finding check_configuration(const Facts &facts);
Finding check_daemon(const Facts &facts);
Finding check_engine(const Facts &facts);
Finding check_direct(const Facts &facts);
Finding check_sessions(const Facts &facts);
Finding check_ports(const Facts &facts);
Finding check_resolver(const Facts &facts);
Finding check_synthesis(const Facts &facts);

} // namespace viaduct::doctor
