// SPDX-License-Identifier: MIT
#include "nvi/surroundings.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/socket.h>

namespace viaduct::nvi {
namespace {

constexpr unsigned ethernet_mtu = 1500;
constexpr unsigned header_difference = 20; // IPv6 header minus IPv4 header
constexpr unsigned headers4 = 40;          // IPv4 and TCP, without options
constexpr unsigned headers6 = headers4 + header_difference;
constexpr unsigned least_segment = 536; // RFC 9293 3.7.1: what every host takes

bool answers_arp(const Link &link) {
  return (link.flags & IFF_UP) != 0 &&
         (link.flags & (IFF_LOOPBACK | IFF_NOARP | IFF_POINTOPOINT)) == 0;
}

} // namespace

unsigned Network::Surroundings::largest_port_mtu() const {
  unsigned largest = ethernet_mtu;
  for (const Link &port : links)
    if (port.type == ARPHRD_ETHER && (port.flags & IFF_UP) != 0)
      largest = std::max(largest, port.mtu);
  return std::min(largest, max_mtu);
}

// A port carries a family that it has an address of; link-local ones are enough to route by.
unsigned Network::Surroundings::largest_segment(unsigned interface_mtu) const {
  unsigned largest = interface_mtu - headers6;
  for (const Address &address : addresses) {
    const Link *port = link(address.interface);
    const unsigned headers = std::holds_alternative<Prefix6>(address.subnet) ? headers6 : headers4;
    if (port == nullptr || (port->flags & IFF_UP) == 0 || (port->flags & IFF_LOOPBACK) != 0 ||
        port->index == interface.index)
      continue;
    largest = std::min(largest, std::max(port->mtu, headers + least_segment) - headers);
  }
  return largest;
}

std::set<Network::Proxy> Network::Surroundings::wanted_proxies(const Plan &plan) const {
  std::set<Proxy> wanted;
  for (const Address &address : addresses) {
    const Prefix4 *subnet = std::get_if<Prefix4>(&address.subnet);
    const Link *port = link(address.interface);
    if (subnet == nullptr || subnet->length >= 32 || port == nullptr || !answers_arp(*port) ||
        port->index == interface.index)
      continue;
    for (const Ipv4 &pool : plan.pool)
      if (subnet->contains(pool))
        wanted.emplace(port->index, pool);
    for (const Prefix4 &mapped : plan.mapped)
      if (mapped.length == 32 && subnet->contains(mapped.address))
        wanted.emplace(port->index, mapped.address);
  }
  return wanted;
}

std::vector<Route> wanted_routes(const Plan &plan, int interface) {
  std::vector<Route> routes;
  for (const Prefix6 &prefix : plan.prefixes)
    routes.push_back({.destination = prefix, .interface = interface});
  const auto add4 = [&](const Prefix4 &destination) {
    routes.push_back(
        {.destination = destination, .interface = interface, .mtu = plan.mtu - header_difference});
  };
  for (const Ipv4 &address : plan.pool)
    add4(Prefix4{address, 32});
  for (const Prefix4 &mapped : plan.mapped)
    add4(mapped);
  return routes;
}

Result<Network::Surroundings> Network::look(const std::string &interface) {
  Surroundings around;
  auto links = netlink_.links();
  if (!links)
    return links.failure();
  around.links = std::move(*links);
  auto addresses = netlink_.addresses();
  if (!addresses)
    return addresses.failure();
  around.addresses = std::move(*addresses);
  auto proxies = netlink_.proxies(AF_INET);
  if (!proxies)
    return proxies.failure();
  around.proxies = std::move(*proxies);

  const auto found = std::ranges::find(around.links, interface, &Link::name);
  if (found == around.links.end())
    return around;
  around.interface = *found;
  for (const int family : {AF_INET, AF_INET6}) {
    auto routes = netlink_.routes({.family = family,
                                   .protocol = route_protocol,
                                   .type = RTN_UNICAST,
                                   .table = RT_TABLE_MAIN,
                                   .interface = found->index,
                                   .keep = {}});
    if (!routes)
      return routes.failure();
    std::ranges::move(*routes, std::back_inserter(around.routes));
  }
  return around;
}

Result<std::vector<Prefix6>> Network::connected_prefixes(const std::string &interface) {
  auto around = look(interface);
  if (!around)
    return around.failure();
  std::vector<Prefix6> prefixes;
  for (const Address &address : around->addresses) {
    const Prefix6 *subnet = std::get_if<Prefix6>(&address.subnet);
    const Link *port = around->link(address.interface);
    if (subnet == nullptr || subnet->length == 0 || port == nullptr ||
        port->index == around->interface.index || (port->flags & IFF_UP) == 0 ||
        (port->flags & IFF_LOOPBACK) != 0 || (address.flags & IFA_F_DADFAILED) != 0 ||
        is_link_local(subnet->address) || subnet->address.bytes[0] == 0xff)
      continue;
    if ((address.flags & IFA_F_NOPREFIXROUTE) != 0) {
      // A network manager makes this prefix's route itself, or the prefix is not on the link.
      auto routes =
          netlink_.routes({.family = AF_INET6,
                           .protocol = 0,
                           .type = RTN_UNICAST,
                           .table = 0,
                           .interface = port->index,
                           .keep = [&](const Route &route) {
                             return !route.gateway && route.destination == IpPrefix(*subnet);
                           }});
      if (!routes)
        return routes.failure();
      if (routes->empty())
        continue;
    }
    prefixes.push_back(*subnet);
  }
  std::ranges::sort(prefixes);
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  const auto all = prefixes;
  std::erase_if(prefixes, [&](const Prefix6 &inner) {
    return std::ranges::any_of(
        all, [&](const Prefix6 &outer) { return outer != inner && covers(outer, inner); });
  });
  return prefixes;
}

} // namespace viaduct::nvi
