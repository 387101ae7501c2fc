// SPDX-License-Identifier: MIT
//
// Whether a plan can be: what would make the routes useless, or take somebody's away, is an error
// with what to do; what only some hosts would notice is a warning. Nothing is changed here.
#include "nvi/surroundings.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

namespace viaduct::nvi {
namespace {

constexpr unsigned min_mtu = 1280; // RFC 8200 5

const char *type_name(uint8_t type) {
  switch (type) {
  case RTN_BLACKHOLE:
    return "blackhole";
  case RTN_UNREACHABLE:
    return "unreachable";
  case RTN_PROHIBIT:
    return "prohibit";
  default:
    return "a route without one interface";
  }
}

Result<void> check_numbers(const Plan &plan) {
  if (plan.interface.empty() || plan.interface.size() >= IFNAMSIZ)
    return error("\"{}\" is no interface name: 1 to {} characters", plan.interface, IFNAMSIZ - 1);
  if (plan.mtu != 0 && (plan.mtu < min_mtu || plan.mtu > max_mtu))
    return error("an MTU of {} is not possible for {}: IPv6 needs {} to {}", plan.mtu,
                 plan.interface, min_mtu, max_mtu);
  return {};
}

} // namespace

Result<void> Network::check(const Plan &plan) {
  warnings_.clear();
  auto around = look(plan.interface);
  if (!around)
    return around.failure();
  return check_around(plan, *around);
}

// In this order: the first that fails is the one that check() tells of.
struct Network::PartOfCheck {
  const char *name;
  Result<void> (Network::*look)(const Plan &, Surroundings &);
};

const std::vector<Network::PartOfCheck> &Network::parts_of_check() {
  static const std::vector<PartOfCheck> parts = {{"interface", &Network::check_interface},
                                                 {"pool", &Network::check_pool},
                                                 {"mapped", &Network::check_mapped},
                                                 {"prefixes", &Network::check_prefixes},
                                                 {"routes", &Network::check_routes}};
  return parts;
}

Result<void> Network::check_around(const Plan &plan, Surroundings &around) {
  for (const PartOfCheck &part : parts_of_check())
    if (auto good = (this->*part.look)(plan, around); !good)
      return good;
  return {};
}

Result<std::vector<Network::Part>> Network::check_parts(const Plan &plan) {
  auto around = look(plan.interface);
  if (!around)
    return around.failure();
  std::vector<Part> parts;
  for (const PartOfCheck &part : parts_of_check()) {
    warnings_.clear();
    auto good = (this->*part.look)(plan, *around);
    parts.push_back({part.name, std::move(good), warnings_});
  }
  warnings_.clear();
  return parts;
}

Result<void> Network::check_interface(const Plan &plan, Surroundings &around) {
  if (auto good = check_numbers(plan); !good)
    return good;
  if (around.interface.index != 0 && around.interface.kind != "tun")
    return error("interface {} exists and is not a tun: remove it or set another [nvi] name",
                 plan.interface);
  return {};
}

// No pool address may be one that this machine answers for itself.
Result<void> Network::check_pool(const Plan &plan, Surroundings &around) {
  for (const Address &address : around.addresses) {
    const Ipv4 *own = std::get_if<Ipv4>(&address.address);
    if (own != nullptr && has(plan.pool, *own))
      return error("pool address {0} is a local address of {1}, so its packets would never reach "
                   "{2}: remove it there (ip address del {0} dev {1}) or take it out of its pool",
                   own->text(), around.name(address.interface), plan.interface);
  }
  auto local = netlink_.routes({.family = AF_INET,
                                .protocol = 0,
                                .type = 0,
                                .table = RT_TABLE_LOCAL,
                                .interface = 0,
                                .keep = [&](const Route &route) {
                                  const auto &range = std::get<Prefix4>(route.destination);
                                  return std::ranges::any_of(plan.pool, [&](const Ipv4 &address) {
                                    return range.contains(address);
                                  });
                                }});
  if (!local)
    return local.failure();
  if (!local->empty())
    return error("a pool address lies in {}, which is {} {}: take another for the pool",
                 text(local->front().destination),
                 local->front().type == RTN_BROADCAST ? "a broadcast address of" : "local to",
                 around.name(local->front().interface));
  return {};
}

// Nor may a mapped one be. A port's subnet may hold a mapped prefix, but its hosts ask for those
// addresses on the link, where we answer for single ones only.
Result<void> Network::check_mapped(const Plan &plan, Surroundings &around) {
  for (const Address &address : around.addresses) {
    const Ipv4 *own = std::get_if<Ipv4>(&address.address);
    if (own == nullptr)
      continue;
    const auto &subnet = std::get<Prefix4>(address.subnet);
    const std::string port = around.name(address.interface);
    for (const Prefix4 &mapped : plan.mapped) {
      if (mapped.contains(*own))
        return error("{0} of [[static]] map holds {1}, a local address of {2}, so its packets "
                     "would never reach {3}: give {2} another address or map another prefix",
                     mapped.text(), own->text(), port, plan.interface);
      if (mapped.length < 32 && subnet.length < mapped.length && subnet.overlaps(mapped))
        warn(error("{} of [[static]] map lies in {}, the subnet of {}: hosts there look for it on "
                   "the link and find nobody; map single addresses, or give the hosts a route",
                   mapped.text(), subnet.text(), port));
    }
  }
  const auto holds = [&plan](const Route &local) {
    return std::ranges::find_if(plan.mapped, [&local](const Prefix4 &mapped) {
      return std::get<Prefix4>(local.destination).overlaps(mapped);
    });
  };
  auto local = netlink_.routes(
      {.family = AF_INET,
       .protocol = 0,
       .type = 0,
       .table = RT_TABLE_LOCAL,
       .interface = 0,
       .keep = [&](const Route &route) { return holds(route) != plan.mapped.end(); }});
  if (!local)
    return local.failure();
  if (!local->empty())
    return error("{} of [[static]] map holds {}, which is {} {}: map another prefix",
                 holds(local->front())->text(), text(local->front().destination),
                 local->front().type == RTN_BROADCAST ? "a broadcast address of" : "local to",
                 around.name(local->front().interface));
  return {};
}

Result<void> Network::check_prefixes(const Plan &plan, Surroundings &around) {
  for (const Prefix6 &prefix : plan.prefixes)
    for (const Address &address : around.addresses) {
      const Ipv6 *own = std::get_if<Ipv6>(&address.address);
      if (own == nullptr)
        continue;
      if (prefix.contains(*own))
        return error("prefix {0} holds {1}, a local address of {2}: give {2} another address or "
                     "[nat64] another prefix",
                     prefix.text(), own->text(), around.name(address.interface));
      const auto &subnet = std::get<Prefix6>(address.subnet);
      if (covers(subnet, prefix) && !is_link_local(*own))
        warn(error("prefix {0} lies in {1}, the subnet of {2}: hosts there look for it on the "
                   "link and find nobody; take a prefix outside",
                   prefix.text(), subnet.text(), around.name(address.interface)));
    }
  return {};
}

// The routes that the plan wants must not lead elsewhere already. More specific ones may: they are
// somebody's decision to keep a part from being translated.
Result<void> Network::check_routes(const Plan &plan, Surroundings &around) {
  const auto wanted = wanted_routes(plan, around.interface.index);
  for (const int family : {AF_INET, AF_INET6}) {
    auto same = netlink_.routes({.family = family,
                                 .protocol = 0,
                                 .type = 0,
                                 .table = RT_TABLE_MAIN,
                                 .interface = 0,
                                 .keep = [&](const Route &route) {
                                   return std::ranges::find(wanted, route.destination,
                                                            &Route::destination) != wanted.end();
                                 }});
    if (!same)
      return same.failure();
    for (const Route &route : *same) {
      const std::string destination = text(route.destination);
      const bool ours = around.interface.index != 0 && route.interface == around.interface.index;
      if (ours && route.protocol != route_protocol)
        around.foreign.push_back(route);
      else if (!ours && route.interface != 0 && route.type == RTN_UNICAST)
        return error("{0} is already routed through {1}: remove that route (ip route del {0} dev "
                     "{1}) or take it out of the configuration",
                     destination, around.name(route.interface));
      else if (!ours)
        return error("{0} is already routed ({1}): remove that route (ip route del {0}) or take "
                     "it out of the configuration",
                     destination, type_name(route.type));
    }
  }
  return {};
}

} // namespace viaduct::nvi
