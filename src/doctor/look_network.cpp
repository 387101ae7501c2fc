// SPDX-License-Identifier: MIT
#include "doctor/look.h"

#include "base/fd.h"
#include "nvi/plan.h"

#include <algorithm>
#include <cstring>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace viaduct::doctor {

namespace {

constexpr size_t most_detours = 16; // named; somebody who has more means it

std::string name_of(const std::vector<nvi::Link> &links, int index) {
  const auto found = std::ranges::find(links, index, &nvi::Link::index);
  return found == links.end() ? std::string() : found->name;
}

// An address of each destination that nobody has: only its way is looked up.
std::vector<std::pair<nvi::IpPrefix, nvi::IpAddress>> destinations_of(const nvi::Plan &plan) {
  constexpr Ipv4 ipv4only{{192, 0, 0, 170}}; // RFC 7050
  std::vector<std::pair<nvi::IpPrefix, nvi::IpAddress>> all;
  for (const Prefix6 &prefix : plan.prefixes)
    all.emplace_back(prefix, embed(prefix, ipv4only));
  for (const Ipv4 &address : plan.pool)
    all.emplace_back(Prefix4{address, 32}, address);
  for (const Prefix4 &mapped : plan.mapped)
    all.emplace_back(mapped, mapped.address);
  return all;
}

bool inside(const nvi::IpPrefix &inner, const nvi::IpPrefix &outer) {
  if (inner.index() != outer.index())
    return false;
  return std::visit(
      [&](const auto &in) {
        const auto &out = std::get<std::decay_t<decltype(in)>>(outer);
        return in.length > out.length && out.contains(in.address);
      },
      inner);
}

Result<void> look_up(nvi::Netlink &netlink, const nvi::Plan &plan, Network &network) {
  const auto wanted = destinations_of(plan);
  for (const auto &[prefix, address] : wanted) {
    auto route = netlink.route_to(address);
    if (!route)
      return route.failure();
    network.destinations.push_back(
        {nvi::text(prefix), nvi::text(address),
         route->type == RTN_UNICAST ? name_of(network.links, route->interface) : std::string()});
  }
  const auto is_detour = [&](const nvi::Route &route) {
    return std::ranges::any_of(
        wanted, [&](const auto &one) { return inside(route.destination, one.first); });
  };
  for (const int family : {AF_INET, AF_INET6}) {
    auto routes = netlink.routes({.family = family,
                                  .protocol = 0,
                                  .type = 0,
                                  .table = RT_TABLE_MAIN,
                                  .interface = 0,
                                  .keep = is_detour});
    if (!routes)
      return routes.failure();
    for (const nvi::Route &route : *routes) {
      std::string interface = name_of(network.links, route.interface);
      if (interface != plan.interface && network.detours.size() < most_detours)
        network.detours.push_back(
            {nvi::text(route.destination), interface.empty() ? "nowhere" : interface});
    }
  }
  return {};
}

Result<void> look_at_defaults(nvi::Netlink &netlink, Network &network) {
  auto routes = netlink.routes({.family = AF_INET,
                                .protocol = 0,
                                .type = RTN_UNICAST,
                                .table = RT_TABLE_MAIN,
                                .interface = 0,
                                .keep = [](const nvi::Route &route) {
                                  return std::get<Prefix4>(route.destination).length == 0;
                                }});
  if (!routes)
    return routes.failure();
  for (const nvi::Route &route : *routes) {
    std::string name = name_of(network.links, route.interface);
    if (!name.empty() &&
        std::ranges::find(network.default_routes, name) == network.default_routes.end())
      network.default_routes.push_back(name);
  }
  return {};
}

// A setting of a port by ethtool; nothing where it has no such thing.
std::optional<uint32_t> ethtool(int socket, const std::string &port, uint32_t command) {
  ethtool_value value{.cmd = command, .data = 0};
  ifreq request{};
  std::memcpy(request.ifr_name, port.data(), std::min(port.size(), sizeof request.ifr_name - 1));
  request.ifr_data = reinterpret_cast<char *>(&value);
  if (ioctl(socket, SIOCETHTOOL, &request) < 0)
    return std::nullopt;
  return value.data;
}

// Only of hardware: virtual links hand super-packets on as they are.
void look_at_offloads(Network &network) {
  const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd)
    return;
  for (const nvi::Link &link : network.links) {
    if (!link.kind.empty() || (link.flags & IFF_UP) == 0 || (link.flags & IFF_LOOPBACK) != 0)
      continue;
    const auto gro = ethtool(fd.get(), link.name, ETHTOOL_GGRO);
    const auto flags = ethtool(fd.get(), link.name, ETHTOOL_GFLAGS);
    network.offloads.push_back(
        {link.name, gro.value_or(1) != 0, (flags.value_or(0) & ETH_FLAG_LRO) != 0});
  }
}

Result<Network> look_around(const Facts &facts) {
  Network network;
  auto netlink = nvi::Netlink::open();
  if (!netlink)
    return netlink.failure();
  auto links = netlink->links();
  if (!links)
    return links.failure();
  network.links = std::move(*links);
  if (auto done = look_at_defaults(*netlink, network); !done)
    return done.failure();
  look_at_offloads(network);
  auto around = nvi::Network::open();
  if (!around)
    return around.failure();
  auto ports = around->ports_with_advertised_default();
  if (!ports)
    return ports.failure();
  network.advertised_defaults = std::move(*ports);
  if (!facts.config)
    return network;
  nvi::Plan plan = nvi::plan_of(*facts.config);
  auto parts = around->check_parts(plan);
  if (!parts)
    return parts.failure();
  network.parts = std::move(*parts);
  auto connected = around->connected_prefixes(plan.interface);
  if (!connected)
    return connected.failure();
  network.connected = std::move(*connected);
  if (auto done = look_up(*netlink, plan, network); !done)
    return done.failure();
  return network;
}

} // namespace

void look_at_network(Facts &facts) {
  facts.network = look_around(facts);
}

} // namespace viaduct::doctor
