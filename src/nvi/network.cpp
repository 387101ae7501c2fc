// SPDX-License-Identifier: MIT
//
// On rp_filter: translated IPv4 packets leave the interface with a pool address or a mapped one as
// their source, and the route to that address points back at the interface: strict filtering (1) on "all" lets
// them through, loose (2) does too. So a value of "all" above the interface's own 0 is nothing to
// warn of. IPv6 has no such filter.
//
// On proxy ARP: the kernel answers for an entry when forwarding is on and the route to the address
// leads to another device than the one that asked, which the route to the interface sees to. It
// delays answers to broadcasts by up to neigh.PORT.proxy_delay (0.8 s), which every host's first
// packet would wait for: we set it to 0 on ports with entries.
#include "nvi/network.h"

#include "base/fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <linux/if_addr.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace viaduct::nvi {
namespace {

constexpr unsigned min_mtu = 1280; // RFC 8200 5
constexpr unsigned max_mtu = 65535;
constexpr unsigned ethernet_mtu = 1500;
constexpr unsigned header_difference = 20; // IPv6 header minus IPv4 header

template <typename Range, typename Value> bool has(const Range &range, const Value &value) {
  return std::ranges::find(range, value) != std::ranges::end(range);
}

bool is_link_local(const Ipv6 &address) {
  return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

bool covers(const Prefix6 &outer, const Prefix6 &inner) {
  return outer.length <= inner.length && outer.contains(inner.address);
}

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

Result<void> check_numbers(const Plan &plan) {
  if (plan.interface.empty() || plan.interface.size() >= IFNAMSIZ)
    return error("\"{}\" is no interface name: 1 to {} characters", plan.interface, IFNAMSIZ - 1);
  if (plan.mtu != 0 && (plan.mtu < min_mtu || plan.mtu > max_mtu))
    return error("an MTU of {} is not possible for {}: IPv6 needs {} to {}", plan.mtu,
                 plan.interface, min_mtu, max_mtu);
  return {};
}

bool answers_arp(const Link &link) {
  return (link.flags & IFF_UP) != 0 &&
         (link.flags & (IFF_LOOPBACK | IFF_NOARP | IFF_POINTOPOINT)) == 0;
}

} // namespace

struct Network::Surroundings {
  std::vector<Link> links;
  std::vector<Address> addresses;
  Link interface;                      // index 0: not there
  std::vector<Route> routes;           // ours, to the interface
  std::vector<Route> foreign;          // somebody else's to the interface, for what the plan names
  std::vector<ProxyNeighbour> proxies; // all for IPv4

  // No packet that a port can carry is too large for the interface; what is too large for another
  // port, that port's route answers.
  unsigned largest_port_mtu() const {
    unsigned largest = ethernet_mtu;
    for (const Link &port : links)
      if (port.type == ARPHRD_ETHER && (port.flags & IFF_UP) != 0)
        largest = std::max(largest, port.mtu);
    return std::min(largest, max_mtu);
  }
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
  std::set<Proxy> wanted_proxies(const Plan &plan) const {
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
};

// What takes back the steps of an apply() that does not reach its end, last step first.
class Network::Undo {
public:
  explicit Undo(std::vector<std::string> &warnings) : warnings_(warnings) {}
  Undo(const Undo &) = delete;
  Undo &operator=(const Undo &) = delete;
  ~Undo() {
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step)
      if (auto done = (*step)(); !done)
        warnings_.push_back("while undoing: " + done.failure().message);
  }
  void add(std::function<Result<void>()> step) { steps_.push_back(std::move(step)); }
  void keep() { steps_.clear(); }

private:
  std::vector<std::function<Result<void>()>> steps_;
  std::vector<std::string> &warnings_;
};

Result<Network> Network::open() {
  auto netlink = Netlink::open();
  if (!netlink)
    return netlink.failure();
  return Network(std::move(*netlink));
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

// --- check ---------------------------------------------------------------------------------------

Result<void> Network::check(const Plan &plan) {
  warnings_.clear();
  auto around = look(plan.interface);
  if (!around)
    return around.failure();
  return check_around(plan, *around);
}

Result<void> Network::check_around(const Plan &plan, Surroundings &around) {
  if (auto good = check_numbers(plan); !good)
    return good;
  if (around.interface.index != 0 && around.interface.kind != "tun")
    return error("interface {} exists and is not a tun: remove it or set another [nvi] name",
                 plan.interface);
  if (auto good = check_pool(plan, around); !good)
    return good;
  if (auto good = check_mapped(plan, around); !good)
    return good;
  if (auto good = check_prefixes(plan, around); !good)
    return good;
  return check_routes(plan, around);
}

// No pool address may be one that this machine answers for itself.
Result<void> Network::check_pool(const Plan &plan, const Surroundings &around) {
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
Result<void> Network::check_mapped(const Plan &plan, const Surroundings &around) {
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

Result<void> Network::check_prefixes(const Plan &plan, const Surroundings &around) {
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

// --- apply ---------------------------------------------------------------------------------------

Result<void> Network::apply(const Plan &plan) {
  return apply(plan, Settings::set);
}

Result<void> Network::refresh() {
  if (!plan_)
    return {};
  return apply(Plan(*plan_), Settings::leave);
}

Result<void> Network::apply(const Plan &wish, Settings settings) {
  warnings_.clear();
  if (plan_ && plan_->interface != wish.interface)
    return error("the interface is {} and cannot become {} while running: restart viaductd",
                 plan_->interface, wish.interface);
  auto around = look(wish.interface);
  if (!around)
    return around.failure();
  Plan plan = wish;
  if (plan.mtu == 0)
    plan.mtu = around->largest_port_mtu();
  if (auto good = check_around(plan, *around); !good)
    return good;
  if (around->interface.index == 0)
    return error("interface {} is not there", plan.interface);

  const auto wanted = around->wanted_proxies(plan);
  Undo undo(warnings_);
  // Before forwarding is on: it would join the routers' groups and send MLD reports into the tun.
  if (auto done = set_flag(around->interface, IFF_MULTICAST, false, undo); !done)
    return done;
  if (settings == Settings::set) {
    warn_about_router_advertisements(*around);
    if (auto done = apply_settings(plan.interface, undo); !done)
      return done;
  }
  if (auto done = apply_link(plan, around->interface, undo); !done)
    return done;
  if (auto done = apply_routes(plan, *around, undo); !done)
    return done;
  auto added = apply_proxies(wanted, *around, undo);
  if (!added)
    return added.failure();
  if (auto done = remove_stale(plan, wanted, *around, undo); !done)
    return done;

  // From here on the machine matches the plan.
  undo.keep();
  if (!plan_)
    link_before_ = around->interface;
  plan_ = wish;
  mtu_ = plan.mtu;
  for (const ProxyNeighbour &entry : around->proxies) {
    const Proxy known{entry.interface, std::get<Ipv4>(entry.address)};
    if (entry.protocol == route_protocol && wanted.contains(known))
      proxies_.insert(known); // a predecessor's
  }
  std::erase_if(proxies_, [&](const Proxy &entry) { return !wanted.contains(entry); });
  proxies_.insert(added->begin(), added->end());
  announce(*added, *around);
  return {};
}

// A setting that translation works without is tried, and a failure is told.
Result<void> Network::set(const std::string &name, const std::string &value, bool needed,
                          Undo &undo) {
  const bool known = has(sysctl_.changed(), name);
  if (auto done = sysctl_.set(name, value); !done) {
    if (needed)
      return done;
    warn(done.failure());
    return {};
  }
  if (!known)
    undo.add([this, name] { return sysctl_.restore(name); });
  return {};
}

Result<void> Network::apply_settings(const std::string &interface, Undo &undo) {
  if (!Sysctl::exists("net/ipv6/conf/all/forwarding"))
    return error("there is no {}: IPv6 is switched off in this kernel (ipv6.disable=1?), or "
                 "/proc/sys is not mounted",
                 "/proc/sys/net/ipv6");
  const std::string four = "net/ipv4/conf/" + interface, six = "net/ipv6/conf/" + interface;
  // The interface first, while it is down: it speaks for nobody, so no addresses and no
  // solicitations. This one is not put back: that would make the kernel look for an address.
  if (auto done = sysctl_.set(six + "/addr_gen_mode", "1"); !done)
    warn(done.failure());
  sysctl_.forget(six + "/addr_gen_mode");

  struct Setting {
    std::string name, value;
    bool needed;
  };
  const std::array settings = {
      // The interface first, while it is down: it speaks for nobody, so no address, no
      // solicitations.
      Setting{six + "/accept_ra", "0", false},
      Setting{six + "/autoconf", "0", false},
      Setting{six + "/router_solicitations", "0", false},
      Setting{six + "/disable_ipv6", "0", true}, // some systems set conf.default.disable_ipv6
      Setting{four + "/rp_filter", "0", false},
      // A hairpin comes out of the interface and goes in again. "all" and the interface are or-ed;
      // other ports keep their own.
      Setting{"net/ipv4/conf/all/send_redirects", "0", false},
      Setting{four + "/send_redirects", "0", false},
      Setting{"net/ipv4/ip_forward", "1", true},
      Setting{four + "/forwarding", "1", true},
      Setting{"net/ipv6/conf/all/forwarding", "1", true},
      Setting{six + "/forwarding", "1", true},
  };
  for (const Setting &setting : settings)
    if (auto done = set(setting.name, setting.value, setting.needed, undo); !done)
      return done;
  return {};
}

Result<void> Network::apply_link(const Plan &plan, const Link &link, Undo &undo) {
  if (link.mtu != plan.mtu) {
    if (auto done = netlink_.set_mtu(link.index, plan.mtu); !done)
      return done;
    undo.add([this, link] { return netlink_.set_mtu(link.index, link.mtu); });
  }
  return set_flag(link, IFF_UP, true, undo);
}

Result<void> Network::set_flag(const Link &link, unsigned flag, bool on, Undo &undo) {
  if (((link.flags & flag) != 0) == on)
    return {};
  if (auto done = netlink_.set_flag(link.index, flag, on); !done)
    return done;
  undo.add([this, index = link.index, flag, on] { return netlink_.set_flag(index, flag, !on); });
  return {};
}

Result<void> Network::apply_routes(const Plan &plan, const Surroundings &around, Undo &undo) {
  for (const Route &route : wanted_routes(plan, around.interface.index)) {
    const auto present = std::ranges::find(around.routes, route.destination, &Route::destination);
    if (present != around.routes.end()) {
      if (present->mtu == route.mtu)
        continue;
      if (auto done = netlink_.replace(route); !done)
        return done;
      undo.add([this, old = *present] { return netlink_.replace(old); });
      continue;
    }
    if (std::ranges::find(around.foreign, route.destination, &Route::destination) !=
        around.foreign.end()) {
      warn(error("the route {} to {} was made by somebody else: it is used, and it stays",
                 text(route.destination), plan.interface));
      continue;
    }
    if (auto done = netlink_.add(route); !done)
      return done;
    undo.add([this, route] { return netlink_.remove(route); });
  }
  return {};
}

// Returns what was not there before.
Result<std::vector<Network::Proxy>> Network::apply_proxies(const std::set<Proxy> &wanted,
                                                           const Surroundings &around, Undo &undo) {
  std::vector<Proxy> added;
  for (const Proxy &proxy : wanted) {
    const auto &[port, address] = proxy;
    const std::string delay = fmt::format("net/ipv4/neigh/{}/proxy_delay", around.name(port));
    if (auto done = set(delay, "0", false, undo); !done)
      return done.failure();
    const bool present = std::ranges::any_of(around.proxies, [&](const ProxyNeighbour &entry) {
      return entry.interface == proxy.first && entry.address == IpAddress(proxy.second);
    });
    if (present)
      continue;
    const ProxyNeighbour entry{.interface = port, .address = address};
    if (auto done = netlink_.add(entry); !done)
      return done.failure();
    undo.add([this, entry] { return netlink_.remove(entry); });
    added.push_back(proxy);
  }
  return added;
}

// An entry with our mark may belong to another instance: ours are those that we made, and those of
// a predecessor, whose addresses are routed to our interface.
bool Network::ours(const ProxyNeighbour &entry, const Surroundings &around) const {
  if (entry.protocol != route_protocol)
    return false;
  const Ipv4 &address = std::get<Ipv4>(entry.address);
  return proxies_.contains({entry.interface, address}) ||
         std::ranges::find(around.routes, IpPrefix(Prefix4{address, 32}), &Route::destination) !=
             around.routes.end();
}

Result<void> Network::remove_stale(const Plan &plan, const std::set<Proxy> &wanted,
                                   const Surroundings &around, Undo &undo) {
  for (const ProxyNeighbour &entry : around.proxies) {
    if (!ours(entry, around) || wanted.contains({entry.interface, std::get<Ipv4>(entry.address)}))
      continue;
    if (auto done = netlink_.remove(entry); !done)
      return done;
    undo.add([this, entry] { return netlink_.add(entry); });
  }
  const auto routes = wanted_routes(plan, around.interface.index);
  for (const Route &route : around.routes) {
    if (std::ranges::find(routes, route.destination, &Route::destination) != routes.end())
      continue;
    if (auto done = netlink_.remove(route); !done)
      return done;
    undo.add([this, route] { return netlink_.add(route); });
  }
  // A port without entries gets its delay back.
  for (const auto &[port, address] : proxies_) {
    const auto first = wanted.lower_bound({port, Ipv4{}});
    if (first == wanted.end() || first->first != port)
      if (auto done =
              sysctl_.restore(fmt::format("net/ipv4/neigh/{}/proxy_delay", around.name(port)));
          !done)
        warn(done.failure());
  }
  return {};
}

// Linux stops listening to router advertisements on an interface that forwards (unless accept_ra is
// 2) and drops the default route they gave. Whether the machine is to keep one is not ours to say.
void Network::warn_about_router_advertisements(const Surroundings &around) {
  if (const auto forwarding = Sysctl::read("net/ipv6/conf/all/forwarding");
      !forwarding || *forwarding != "0")
    return;
  const auto defaults = netlink_.routes({.family = AF_INET6,
                                         .protocol = RTPROT_RA,
                                         .type = 0,
                                         .table = 0,
                                         .interface = 0,
                                         .keep = [](const Route &route) {
                                           return std::get<Prefix6>(route.destination).length == 0;
                                         }});
  if (!defaults)
    return warn(defaults.failure());
  for (const Route &route : *defaults) {
    const Link *port = around.link(route.interface);
    if (port == nullptr)
      continue;
    const auto accepted = Sysctl::read("net/ipv6/conf/" + port->name + "/accept_ra");
    if (accepted && *accepted == "1")
      warn(error("{0} has its IPv6 default route from router advertisements, which Linux ignores "
                 "on a router: set net.ipv6.conf.{0}.accept_ra=2, or give it a static route",
                 port->name));
  }
}

void Network::announce(const std::vector<Proxy> &entries, const Surroundings &around) {
  for (const auto &[port, address] : entries) {
    const Link *link = around.link(port);
    if (link == nullptr || link->type != ARPHRD_ETHER)
      continue;
    if (auto done = announce_arp(*link, address); !done)
      warn(done.failure());
  }
}

// --- remove --------------------------------------------------------------------------------------

Result<void> Network::remove() {
  if (!plan_)
    return {};
  warnings_.clear();
  Result<void> first;
  auto note = [&](Result<void> done) {
    if (!done && first)
      first = std::move(done);
  };
  auto around = look(plan_->interface);
  if (!around)
    note(around.failure());
  else {
    for (const ProxyNeighbour &entry : around->proxies)
      if (ours(entry, *around))
        note(netlink_.remove(entry));
    for (const Route &route : around->routes)
      note(netlink_.remove(route));
    // Down before its settings go back: they would make it take an address.
    const int index = around->interface.index;
    if (index != 0 && link_before_ && index == link_before_->index) {
      if ((link_before_->flags & IFF_UP) == 0)
        note(netlink_.set_flag(index, IFF_UP, false));
      if ((link_before_->flags & IFF_MULTICAST) != 0)
        note(netlink_.set_flag(index, IFF_MULTICAST, true));
      if (link_before_->mtu != around->interface.mtu)
        note(netlink_.set_mtu(index, link_before_->mtu));
    }
  }
  note(sysctl_.restore_all());
  plan_.reset();
  link_before_.reset();
  proxies_.clear();
  return first;
}

// --- questions -----------------------------------------------------------------------------------

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

Result<void> announce_arp(const Link &port, const Ipv4 &address) {
  struct Frame {
    ether_header ethernet;
    ether_arp arp;
  };
  static_assert(sizeof(Frame) == 42);
  const std::string what = fmt::format("cannot announce {} on {}", address.text(), port.name);
  if (port.type != ARPHRD_ETHER || port.hardware_address.size() != ETH_ALEN)
    return error("{}: it is no Ethernet", what);

  Frame frame{};
  std::memset(frame.ethernet.ether_dhost, 0xff, ETH_ALEN);
  std::memcpy(frame.ethernet.ether_shost, port.hardware_address.data(), ETH_ALEN);
  frame.ethernet.ether_type = htons(ETHERTYPE_ARP);
  frame.arp.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                      .ar_pro = htons(ETHERTYPE_IP),
                      .ar_hln = ETH_ALEN,
                      .ar_pln = 4,
                      .ar_op = htons(ARPOP_REQUEST)};
  std::memcpy(frame.arp.arp_sha, port.hardware_address.data(), ETH_ALEN);
  std::memcpy(frame.arp.arp_spa, address.bytes.data(), 4);
  std::memcpy(frame.arp.arp_tpa, address.bytes.data(), 4);

  const Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)); // protocol 0: receives nothing
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = port.index;
  if (!fd || ::sendto(fd.get(), &frame, sizeof(frame), 0, reinterpret_cast<sockaddr *>(&to),
                      sizeof(to)) < 0)
    return system_error(what, errno);
  return {};
}

} // namespace viaduct::nvi
