// SPDX-License-Identifier: MIT
//
// Network: everything outside the interface that makes packets arrive in it: the link's state,
// routes for the prefixes, pool addresses and mapped prefixes, ARP answers and announcements for
// pool addresses and single mapped ones that lie in a port's subnet, kernel settings.
//
// The kernel is the authority, not our memory: every apply() looks at what is there and changes
// only what differs, adding before removing, so that it is also right after a crash of a
// predecessor, and heals what somebody else took away. If a step fails, the steps before it are
// undone.
//
// Pool addresses are never assigned: see design: an address that is routed to the interface is
// translated, an address that is local is not.
#pragma once

#include "base/address.h"
#include "base/result.h"
#include "nvi/netlink.h"
#include "nvi/sysctl.h"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace viaduct::nvi {

struct Plan {
  std::string interface;            // an existing tun, see Tun
  std::vector<Prefix6> prefixes;    // routed to it
  std::vector<Ipv4> pool;           // routed to it; also that of routers
  std::vector<Prefix4> mapped = {}; // routed to it
  // Of the IPv6 path; IPv4 routes get 20 less (RFC 7915 1.4). 0: that of the largest Ethernet
  // port that is up, at least 1500, and again whenever the ports change.
  unsigned mtu = 0;
  bool operator==(const Plan &) const = default;
};

class Network {
public:
  static Result<Network> open();

  // Whether apply() would be right; touches nothing. The interface need not exist yet.
  Result<void> check(const Plan &plan);

  // The parts of check(), each by itself, for who wants to hear of all of them.
  struct Part {
    std::string name; // "interface", "pool", "mapped", "prefixes", "routes"
    Result<void> good;
    std::vector<std::string> warnings;
  };
  Result<std::vector<Part>> check_parts(const Plan &plan);

  // The ports whose IPv6 default route comes from router advertisements that they will not listen
  // to any more once the machine forwards (accept_ra is 1).
  Result<std::vector<std::string>> ports_with_advertised_default();

  // Makes the machine match. A second call with another plan changes only the differences; the
  // interface's name must stay.
  Result<void> apply(const Plan &plan);

  // Looks again after addresses, links or routes changed (Monitor). Without a plan: nothing.
  Result<void> refresh();

  // The interface's, as the last apply() or refresh() has set it; 0 before the first.
  unsigned mtu() const { return mtu_; }

  // The most payload of a TCP segment that every port carries which is up and has addresses: its
  // MTU less 60 where it has IPv6 addresses, less 40 where it has IPv4 addresses. At least 536;
  // 0 before the first apply().
  unsigned largest_segment() const { return largest_segment_; }

  // Takes away everything apply() made and puts settings back; goes on after errors and returns the
  // first. Call it before the Tun goes.
  Result<void> remove();

  // The IPv6 prefixes directly connected to this machine, without link-local, multicast, loopback
  // and `interface`; sorted, none inside another.
  Result<std::vector<Prefix6>> connected_prefixes(const std::string &interface);

  // What the last check(), apply() or refresh() wants the operator to know; sentences.
  const std::vector<std::string> &warnings() const { return warnings_; }

private:
  explicit Network(Netlink netlink) : netlink_(std::move(netlink)) {}

  struct Surroundings; // one look at the machine
  class Undo;
  using Proxy = std::pair<int, Ipv4>; // port, pool address
  enum class Settings { set, leave };

  Result<Surroundings> look(const std::string &interface);
  Result<void> check_around(const Plan &plan, Surroundings &around);
  struct PartOfCheck;
  static const std::vector<PartOfCheck> &parts_of_check();
  Result<void> check_interface(const Plan &plan, Surroundings &around);
  Result<void> check_pool(const Plan &plan, Surroundings &around);
  Result<void> check_mapped(const Plan &plan, Surroundings &around);
  Result<void> check_prefixes(const Plan &plan, Surroundings &around);
  Result<void> check_routes(const Plan &plan, Surroundings &around);
  Result<void> apply(const Plan &wish, Settings settings);
  Result<void> apply_settings(const std::string &interface, Undo &undo);
  Result<void> set_flag(const Link &link, unsigned flag, bool on, Undo &undo);
  Result<void> apply_link(const Plan &plan, const Link &link, Undo &undo);
  Result<void> apply_routes(const Plan &plan, const Surroundings &around, Undo &undo);
  Result<std::vector<Proxy>> apply_proxies(const std::set<Proxy> &wanted,
                                           const Surroundings &around, Undo &undo);
  Result<void> remove_stale(const Plan &plan, const std::set<Proxy> &wanted,
                            const Surroundings &around, Undo &undo);
  Result<void> set(const std::string &name, const std::string &value, bool needed, Undo &undo);
  bool ours(const ProxyNeighbour &entry, const Surroundings &around) const;
  Result<std::vector<std::string>> advertised_defaults(const Surroundings &around);
  void warn_about_router_advertisements(const Surroundings &around);
  void announce(const std::vector<Proxy> &entries, const Surroundings &around);
  void warn(Error failure) { warnings_.push_back(std::move(failure.message)); }

  Netlink netlink_;
  Sysctl sysctl_;
  std::optional<Plan> plan_;
  unsigned mtu_ = 0;
  unsigned largest_segment_ = 0;
  std::optional<Link> link_before_; // as it was before the first apply()
  std::set<Proxy> proxies_;         // entries that we made or adopted
  std::vector<std::string> warnings_;
};

// Tells everybody on the port's link that `address` is at its hardware address (RFC 5227 3, an ARP
// announcement).
Result<void> announce_arp(const Link &port, const Ipv4 &address);

} // namespace viaduct::nvi
