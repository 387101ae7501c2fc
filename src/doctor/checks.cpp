// SPDX-License-Identifier: MIT
#include "doctor/checks.h"

#include <array>

namespace viaduct::doctor {

std::span<const Check> checks() {
  static constexpr auto table = std::to_array<Check>({
      {"configuration", check_configuration},
      {"daemon", check_daemon},
      {"engine", check_engine},
      // the machine
      {"kernel", check_kernel},
      {"tun", check_tun},
      {"bpf", check_bpf},
      {"memory", check_memory},
      {"files", check_files},
      {"clock", check_clock},
      // a packet's way
      {"forwarding", check_forwarding},
      {"router advertisements", check_router_advertisements},
      {"rp_filter", check_rp_filter},
      {"interface", check_interface},
      {"mtu", check_mtu},
      {"programs", check_programs},
      {"link down", check_linkdown},
      {"prefixes", check_prefixes},
      {"pool addresses", check_pool_addresses},
      {"mapped addresses", check_mapped},
      {"routes", check_routes},
      {"detours", check_detours},
      {"forward chain", check_forward_chain},
      {"source nat", check_source_nat},
      {"conntrack", check_conntrack},
      {"offloads", check_offloads},
      {"direct ports", check_direct},
      // who uses it, and how much is left
      {"allow", check_allow},
      {"sessions", check_sessions},
      {"ports", check_ports},
      // names
      {"resolver", check_resolver},
      {"dns64", check_synthesis},
  });
  return table;
}

const char *level_name(Level level) {
  switch (level) {
  case Level::ok:
    return "ok";
  case Level::skip:
    return "skip";
  case Level::warn:
    return "warn";
  case Level::fail:
    break;
  }
  return "fail";
}

} // namespace viaduct::doctor
