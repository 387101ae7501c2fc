// SPDX-License-Identifier: MIT
//
// A packet's way: what sends it into the interface, what lets it out again, and what is in between.
#include "doctor/checks.h"

#include <algorithm>
#include <net/if.h>
#include <net/if_arp.h>

namespace viaduct::doctor {

namespace {

constexpr unsigned least_mtu = 1280; // RFC 8200 5

// A setting below /proc/sys; empty if it is not there.
std::string setting(const Facts &facts, const std::string &name) {
  auto value = facts.sysctl ? facts.sysctl(name) : Result<std::string>(std::string());
  return value ? *value : std::string();
}

// A way packets may come or go: not the loopback interface, and not ours.
std::vector<const nvi::Link *> ports(const Facts &facts) {
  std::vector<const nvi::Link *> found;
  for (const nvi::Link &link : facts.network->links)
    if ((link.flags & IFF_UP) != 0 && (link.flags & IFF_LOOPBACK) == 0 &&
        (!facts.config || link.name != facts.config->nvi.name))
      found.push_back(&link);
  return found;
}

const nvi::Link *our_interface(const Facts &facts) {
  const auto &links = facts.network->links;
  const auto found = std::ranges::find(links, facts.config->nvi.name, &nvi::Link::name);
  return found == links.end() ? nullptr : &*found;
}

// Why a check that needs both the configuration and the network cannot be made.
std::optional<Finding> blind(const Facts &facts) {
  if (!facts.config)
    return skip(no_configuration);
  if (!facts.network)
    return skip(facts.network.failure().message);
  return std::nullopt;
}

// One part of what viaductd itself looks at before it starts or reloads.
Finding part(const Facts &facts, const char *name, const std::string &good) {
  if (auto why = blind(facts))
    return *why;
  const auto &parts = facts.network->parts;
  const auto found = std::ranges::find(parts, name, &nvi::Network::Part::name);
  if (found == parts.end())
    return skip("not looked at");
  const char *advice = runs(facts) ? "then viaduct reload, or restart viaductd"
                                   : "viaductd will not start before that";
  if (!found->good)
    return fail(found->good.failure().message, advice);
  if (!found->warnings.empty())
    return warn(fmt::format("{}", fmt::join(found->warnings, "; ")), "as it says");
  return ok(good);
}

} // namespace

Finding check_forwarding(const Facts &facts) {
  const std::string four = "net/ipv4/ip_forward", six = "net/ipv6/conf/all/forwarding";
  if (setting(facts, six).empty())
    return fail("there is no /proc/sys/net/ipv6",
                "start the kernel without ipv6.disable=1, and mount /proc");
  std::vector<std::string> off;
  for (const std::string &name : {four, six})
    if (setting(facts, name) == "0")
      off.push_back(name);
  if (off.empty())
    return ok("on for IPv4 and IPv6");
  if (!runs(facts))
    return ok("off; viaductd switches it on when it starts");
  return fail(fmt::format("somebody switched off {}", fmt::join(off, " and ")),
              "find out who (sysctl.d, a network manager), set it to 1, or restart viaductd");
}

// Strict filtering lets pass what would be answered through the same port. With one way to the
// world that is everything; on the interface itself routes to the pool see to it.
Finding check_rp_filter(const Facts &facts) {
  if (!facts.network)
    return skip(facts.network.failure().message);
  std::vector<std::string> strict;
  const std::string all = setting(facts, "net/ipv4/conf/all/rp_filter");
  for (const nvi::Link *port : ports(facts)) {
    std::string own = setting(facts, "net/ipv4/conf/" + port->name + "/rp_filter");
    if (std::max(own, all) == "1")
      strict.push_back(port->name);
  }
  if (strict.empty() || facts.network->default_routes.size() < 2)
    return ok(strict.empty() ? "no port filters by the way back"
                             : "strict, with one way to the IPv4 world");
  return warn(
      fmt::format("{} drops what would be answered by another port, and IPv4 has {} default "
                  "routes ({})",
                  fmt::join(strict, ", "), facts.network->default_routes.size(),
                  fmt::join(facts.network->default_routes, ", ")),
      fmt::format("if answers come in by another port than requests leave: sysctl -w "
                  "net.ipv4.conf.{}.rp_filter=2",
                  strict.front()));
}

Finding check_router_advertisements(const Facts &facts) {
  if (!facts.network)
    return skip(facts.network.failure().message);
  const auto &deaf = facts.network->advertised_defaults;
  if (deaf.empty())
    return ok("no default route of IPv6 depends on them");
  return warn(
      fmt::format("{} has its IPv6 default route from router advertisements, which Linux "
                  "ignores on a router: the route will be gone when it expires",
                  fmt::join(deaf, ", ")),
      fmt::format("sysctl -w net.ipv6.conf.{}.accept_ra=2, or a static route", deaf.front()));
}

// The bpf engine's program, and nobody else's: what is taken or passed before it never sees it.
Finding check_programs(const Facts &facts) {
  if (!runs(facts))
    return skip(not_running);
  if (!facts.programs)
    return skip(facts.programs.failure().message);
  const std::string &interface = facts.daemon.interface;
  bool ours = false;
  std::string others;
  for (const Program &program : *facts.programs) {
    ours = ours || program.ours;
    if (!program.ours)
      others += fmt::format("{}{} ({})", others.empty() ? "" : ", ", program.name,
                            program.egress ? "egress" : "ingress");
  }
  if (facts.daemon.engine == "bpf" && !ours)
    return warn(fmt::format("the bpf engine's program is not on {} any more: the workers translate "
                            "every packet",
                            interface),
                "restart viaductd, and see who took it away");
  if (!others.empty())
    return warn(fmt::format("others' programs are attached to {}: {}", interface, others),
                fmt::format("what they take never comes to viaductd, or to its program in the "
                            "kernel: attach them to a port (tc filter show dev {} egress)",
                            interface));
  return ok(ours ? fmt::format("the bpf engine's program is on {}, and no other", interface)
                 : fmt::format("no program is on {}", interface));
}

// With it, routes to an interface whose reader is away vanish instead of dropping what comes.
Finding check_linkdown(const Facts &facts) {
  if (auto why = blind(facts))
    return *why;
  for (const char *family : {"ipv4", "ipv6"})
    for (const std::string &scope : {std::string("all"), facts.config->nvi.name}) {
      std::string name = fmt::format("net/{}/conf/{}/ignore_routes_with_linkdown", family, scope);
      if (setting(facts, name) == "1")
        return warn(fmt::format("{} is set: while viaductd restarts, packets to the prefix follow "
                                "other routes, such as the default route",
                                name),
                    "set it to 0");
    }
  return ok("routes stay while viaductd restarts");
}

// Its own, or one that a predecessor left.
Finding check_interface(const Facts &facts) {
  if (auto why = blind(facts))
    return *why;
  const std::string &name = facts.config->nvi.name;
  if (auto found = part(facts, "interface", ""); found.level != Level::ok)
    return found;
  const nvi::Link *link = our_interface(facts);
  if (link == nullptr)
    return runs(facts)
               ? fail(fmt::format("{} is gone, though viaductd runs", name), "restart viaductd")
               : ok(fmt::format("{} is not there; viaductd makes it", name));
  if (facts.presence == Presence::absent && link->tun && link->tun->queues > 0)
    return fail(fmt::format("another program reads {}: a second viaductd with another socket, or "
                            "something else",
                            name),
                "end it, or give this one another [nvi] name");
  if (!runs(facts))
    return ok(
        fmt::format("{} is there, left by a predecessor or a viaductd that cannot be asked", name));
  if ((link->flags & IFF_UP) == 0)
    return fail(fmt::format("{} is down", name), fmt::format("ip link set {} up", name));
  return ok(fmt::format("{} is up", name));
}

Finding check_mtu(const Facts &facts) {
  if (auto why = blind(facts))
    return *why;
  unsigned largest = 0;
  std::string sizes;
  for (const nvi::Link *port : ports(facts)) {
    if (port->type != ARPHRD_ETHER)
      continue;
    if (port->mtu < least_mtu)
      return warn(fmt::format("{} has an MTU of {}, too little for IPv6", port->name, port->mtu),
                  fmt::format("ip link set {} mtu 1500 (IPv6 needs {})", port->name, least_mtu));
    largest = std::max(largest, port->mtu);
    sizes += fmt::format("{}{} {}", sizes.empty() ? "" : ", ", port->name, port->mtu);
  }
  const nvi::Link *own = our_interface(facts);
  if (own == nullptr || !runs(facts))
    return ok(sizes.empty() ? "no Ethernet port is up" : sizes);
  if (own->mtu < largest)
    return warn(
        fmt::format("{} has an MTU of {}, less than a port ({})", own->name, own->mtu, sizes),
        "somebody changed it: viaduct reload sets it again");
  return ok(fmt::format("{}{}{} {}", sizes, sizes.empty() ? "" : ", ", own->name, own->mtu));
}

Finding check_pool_addresses(const Facts &facts) {
  return part(facts, "pool", "none is an address of this machine");
}

Finding check_mapped(const Facts &facts) {
  return part(facts, "mapped", "none is an address of this machine");
}

Finding check_prefixes(const Facts &facts) {
  return part(facts, "prefixes", "no address of this machine lies in them");
}

Finding check_routes(const Facts &facts) {
  if (auto found = part(facts, "routes", "nothing else has their destinations");
      found.level != Level::ok)
    return found;
  if (!runs(facts))
    return ok("nothing is in their way; viaductd makes them");
  for (const Destination &destination : facts.network->destinations)
    if (destination.interface != facts.config->nvi.name)
      return fail(
          fmt::format("{} leads {}, not to {} (ip route get {})", destination.what,
                      destination.interface.empty() ? "nowhere" : "to " + destination.interface,
                      facts.config->nvi.name, destination.probe),
          "see ip rule and ip route for what goes before it; viaduct reload makes a route "
          "that was deleted again");
  return ok(fmt::format("{} destinations lead to {}", facts.network->destinations.size(),
                        facts.config->nvi.name));
}

Finding check_detours(const Facts &facts) {
  if (auto why = blind(facts))
    return *why;
  const auto &detours = facts.network->detours;
  if (detours.empty())
    return ok("no part of the prefix or the pool is routed elsewhere");
  std::string text;
  for (const Detour &detour : detours)
    text += fmt::format("{}{} to {}", text.empty() ? "" : ", ", detour.route, detour.interface);
  return warn("routed elsewhere, so not translated: " + text,
              "nothing, if that is meant; otherwise ip route del");
}

Finding check_allow(const Facts &facts) {
  if (auto why = blind(facts))
    return *why;
  if (facts.config->nat64.allow)
    return ok(fmt::format("{} prefixes may use the gateway", facts.config->nat64.allow->size()));
  if (facts.network->connected.empty())
    return warn("nobody may use the gateway: no IPv6 prefix is connected",
                "give a port an IPv6 address, or name who may in [nat64] allow");
  std::string text;
  for (const Prefix6 &prefix : facts.network->connected)
    text += (text.empty() ? "" : ", ") + prefix.text();
  return ok(fmt::format("the connected prefixes may use the gateway: {}", text));
}

Finding check_offloads(const Facts &facts) {
  if (!facts.network)
    return skip(facts.network.failure().message);
  if (runs(facts) && !facts.daemon.offloads_refused.empty())
    return warn(fmt::format("the kernel hands out super-packets and does not take them back ({}): "
                            "they are cut in software",
                            fmt::join(facts.daemon.offloads_refused, ", ")),
                "look whether a newer kernel takes them; restarting viaductd tries them again");
  if (runs(facts) &&
      std::ranges::find(facts.daemon.offloads, "tso4") == facts.daemon.offloads.end())
    return warn("the kernel gives the interface no TCP super-packets: each segment is translated "
                "by itself",
                "use a kernel of Debian 12 or newer; viaductd's log says what this one answers "
                "(offloads_missing)");
  std::string single;
  for (const PortOffloads &port : facts.network->offloads) {
    if (port.lro)
      return warn(
          fmt::format("{} has large receive offload on, which a router must not", port.name),
          fmt::format("ethtool -K {} lro off", port.name));
    if (!port.gro)
      single += (single.empty() ? "" : ", ") + port.name;
  }
  if (!single.empty())
    return warn(fmt::format("{} does not put segments together (GRO): bulk TCP is slow", single),
                fmt::format("ethtool -K {} gro on", single.substr(0, single.find(','))));
  return ok("segments of TCP are put together on the ports");
}

namespace {

std::string names(const std::vector<Firewall::Chain> &chains) {
  std::string text;
  for (const Firewall::Chain &chain : chains)
    if (!chain.names_us)
      text += (text.empty() ? "" : ", ") + chain.name;
  return text;
}

} // namespace

Finding check_forward_chain(const Facts &facts) {
  if (!facts.config)
    return skip(no_configuration);
  if (!facts.firewall)
    return skip(facts.firewall.failure().message);
  const std::string &own = facts.config->nvi.name;
  if (std::string text = names(facts.firewall->forward_drop); !text.empty())
    return warn(fmt::format("{} drops by default, and no rule beside it names {}", text, own),
                fmt::format("let what goes into {0} and comes out of it pass, as "
                            "packaging/nftables/viaduct.nft does",
                            own));
  if (facts.firewall->legacy)
    return skip(
        "tables of iptables-legacy are loaded, which only iptables-legacy -S FORWARD shows");
  return ok(facts.firewall->forward_drop.empty()
                ? "no chain of nftables drops forwarded packets by default"
                : fmt::format("rules for {} stand beside the default drop", own));
}

// Ports that were chosen once are chosen again: hosts behind the gateway lose their one outside
// address and port, and the quota of ports says nothing any more.
Finding check_source_nat(const Facts &facts) {
  if (!facts.config)
    return skip(no_configuration);
  if (!facts.firewall)
    return skip(facts.firewall.failure().message);
  const std::string &own = facts.config->nvi.name;
  if (std::string text = names(facts.firewall->source_nat); !text.empty())
    return warn(fmt::format("{} changes sources, perhaps those of translated packets, too", text),
                fmt::format("put iifname \"{}\" accept before its rules", own));
  if (facts.firewall->legacy)
    return skip("tables of iptables-legacy are loaded, which only iptables-legacy -t nat -S shows");
  return ok("no chain of nftables changes sources of translated packets");
}

} // namespace viaduct::doctor
