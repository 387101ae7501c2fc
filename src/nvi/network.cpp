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
#include "nvi/surroundings.h"

#include <array>
#include <functional>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/socket.h>

namespace viaduct::nvi {

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
  largest_segment_ = around->largest_segment(plan.mtu);
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
Result<std::vector<std::string>> Network::advertised_defaults(const Surroundings &around) {
  const auto defaults = netlink_.routes({.family = AF_INET6,
                                         .protocol = RTPROT_RA,
                                         .type = 0,
                                         .table = 0,
                                         .interface = 0,
                                         .keep = [](const Route &route) {
                                           return std::get<Prefix6>(route.destination).length == 0;
                                         }});
  if (!defaults)
    return defaults.failure();
  std::vector<std::string> ports;
  for (const Route &route : *defaults) {
    const Link *port = around.link(route.interface);
    if (port == nullptr)
      continue;
    const auto accepted = Sysctl::read("net/ipv6/conf/" + port->name + "/accept_ra");
    if (accepted && *accepted == "1")
      ports.push_back(port->name);
  }
  return ports;
}

Result<std::vector<std::string>> Network::ports_with_advertised_default() {
  auto around = look({});
  return around ? advertised_defaults(*around) : around.failure();
}

void Network::warn_about_router_advertisements(const Surroundings &around) {
  if (const auto forwarding = Sysctl::read("net/ipv6/conf/all/forwarding");
      !forwarding || *forwarding != "0")
    return;
  const auto ports = advertised_defaults(around);
  if (!ports)
    return warn(ports.failure());
  for (const std::string &port : *ports)
    warn(error("{0} has its IPv6 default route from router advertisements, which Linux ignores "
               "on a router: set net.ipv6.conf.{0}.accept_ra=2, or give it a static route",
               port));
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

} // namespace viaduct::nvi
