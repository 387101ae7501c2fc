// SPDX-License-Identifier: MIT
//
// One look at the machine: what Network checks a plan against, and what it changes. Only for the
// files of Network: network.cpp (apply, remove), network_check.cpp, surroundings.cpp.
#pragma once

#include "nvi/network.h"

#include <algorithm>

namespace viaduct::nvi {

struct Network::Surroundings {
  std::vector<Link> links;
  std::vector<Address> addresses;
  Link interface;                      // index 0: not there
  std::vector<Route> routes;           // ours, to the interface
  std::vector<Route> foreign;          // somebody else's to the interface, for what the plan names
  std::vector<ProxyNeighbour> proxies; // all for IPv4

  // No packet that a port can carry is too large for the interface; what is too large for another
  // port, that port's route answers.
  unsigned largest_port_mtu() const;
  // The most TCP payload that no link of ours is too small for, in neither family: see
  // Network::largest_segment().
  unsigned largest_segment(unsigned interface_mtu) const;

  const Link *link(int index) const {
    const auto found = std::ranges::find(links, index, &Link::index);
    return found == links.end() ? nullptr : &*found;
  }
  std::string name(int index) const {
    const Link *found = link(index);
    return found != nullptr ? found->name : fmt::format("interface number {}", index);
  }
  // (port, address) for every pool address, and every one that is mapped alone, in the subnet of a
  // port.
  std::set<Proxy> wanted_proxies(const Plan &plan) const;
};

inline constexpr unsigned max_mtu = 65535;

template <typename Range, typename Value> bool has(const Range &range, const Value &value) {
  return std::ranges::find(range, value) != std::ranges::end(range);
}

inline bool is_link_local(const Ipv6 &address) {
  return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

inline bool covers(const Prefix6 &outer, const Prefix6 &inner) {
  return outer.length <= inner.length && outer.contains(inner.address);
}

// The routes that a plan means.
std::vector<Route> wanted_routes(const Plan &plan, int interface);

} // namespace viaduct::nvi
