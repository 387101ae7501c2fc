// SPDX-License-Identifier: MIT
//
// Links, addresses, routes and proxy neighbours over rtnetlink: one socket, one request at a time,
// answered before the call returns. The kernel's own words (extended acks) are part of the errors.
//
// Dumps that the kernel marks as interrupted, or that lost messages, are taken again, so that a
// list is one consistent state. Buffers are fixed; lists hold only what the caller's `keep` wants,
// so a gateway with a full routing table costs time and no memory.
#pragma once

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

struct nlmsghdr;

namespace viaduct::nvi {

// Marks routes and proxy entries as ours (rtm_protocol, NDA_PROTOCOL): not used by any routing
// daemon in iproute2's list.
constexpr uint8_t route_protocol = 86;

using IpAddress = std::variant<Ipv4, Ipv6>;
using IpPrefix = std::variant<Prefix4, Prefix6>;

std::string text(const IpAddress &address);
std::string text(const IpPrefix &prefix);

// The part of a tun interface's description that says whose it is (IFLA_TUN_*).
struct TunDetails {
  bool tap = false;
  bool multi_queue = false;
  bool vnet_hdr = false;
  bool persistent = false;
  unsigned queues = 0; // attached now, the disabled ones included
};

struct Link {
  int index = 0;
  std::string name;
  std::string kind;   // "tun", "veth", ...; empty for hardware
  std::string bus;    // "pci", "virtio", ...; empty where it sits on none
  unsigned type = 0;  // ARPHRD_*
  unsigned flags = 0; // IFF_*
  unsigned mtu = 0;
  std::vector<uint8_t> hardware_address;
  std::optional<TunDetails> tun;
};

struct Address {
  int interface = 0;
  IpAddress address;  // our own
  IpPrefix subnet;    // what it says is on the link (the peer's, on point-to-point links)
  uint32_t flags = 0; // IFA_F_*
};

struct Route {
  IpPrefix destination;
  int interface = 0; // 0: several next hops, or none
  bool gateway = false;
  uint32_t mtu = 0; // 0: the interface's
  uint8_t type = 1; // RTN_UNICAST
  uint8_t protocol = route_protocol;
  uint32_t table = 254; // RT_TABLE_MAIN
  uint32_t metric = 0;  // 0 when adding: the kernel's default
};

struct ProxyNeighbour {
  int interface = 0;
  IpAddress address;
  uint8_t protocol = route_protocol;
};

struct Filter {
  uint32_t handle = 0; // 0: of all filters of this priority
  uint32_t priority = 0;
  uint32_t program = 0; // of a BPF filter: its number
  std::string name;     // and what it was given as its name
};

class Netlink {
public:
  static Result<Netlink> open();

  // No such interface: a Link with index 0.
  Result<Link> link(const std::string &name);
  Result<Link> link(int index);
  Result<std::vector<Link>> links();
  Result<void> set_mtu(int index, unsigned mtu);
  Result<void> set_flag(int index, unsigned flag, bool on); // one of IFF_*

  Result<std::vector<Address>> addresses(); // both families

  // What the kernel is asked for; zero: all. `keep` sees the rest and decides what is returned.
  struct RouteFilter {
    int family = 0; // AF_INET, AF_INET6
    uint8_t protocol = 0;
    uint8_t type = 0;
    uint32_t table = 0;
    int interface = 0;
    std::function<bool(const Route &)> keep;
  };
  Result<std::vector<Route>> routes(const RouteFilter &filter);

  // Where a packet of this machine's own would go; type says RTN_UNREACHABLE and so on where it
  // would go nowhere.
  Result<Route> route_to(const IpAddress &destination);

  // add refuses a route that is there already, replace takes its place.
  Result<void> add(const Route &route);
  Result<void> replace(const Route &route);
  Result<void> remove(const Route &route); // not there: success

  // The traffic control filters at this parent (of a clsact qdisc: TC_H_MAKE(TC_H_CLSACT,
  // TC_H_MIN_INGRESS) or ..._EGRESS). None where there is no such qdisc.
  Result<std::vector<Filter>> filters(int index, uint32_t parent);
  // One of them; without a handle: it is not there.
  Result<Filter> filter(int index, uint32_t parent, uint32_t priority, uint32_t handle);

  Result<std::vector<ProxyNeighbour>> proxies(int family);
  Result<void> add(const ProxyNeighbour &entry);
  Result<void> remove(const ProxyNeighbour &entry); // not there: success

private:
  using Visitor = std::function<void(const nlmsghdr *)>;
  struct Outcome {
    int number = 0; // errno, 0 for success
    std::string detail;
  };
  // EINTR and ENOBUFS in a dump ask for another try.
  Outcome exchange(nlmsghdr *request, const Visitor &visit);
  Result<void> acknowledged(nlmsghdr *request, const std::string &what,
                            std::initializer_list<int> tolerated = {});
  template <typename Item>
  Result<std::vector<Item>> dump(nlmsghdr *request, const std::string &what,
                                 const std::function<std::optional<Item>(const nlmsghdr *)> &parse,
                                 bool *not_there = nullptr);
  Result<Link> link_by(const std::function<void(nlmsghdr *)> &selector, const std::string &what);
  Result<void> change_route(const Route &route, uint16_t type, uint16_t flags,
                            const std::string &what);
  Result<void> change_proxy(const ProxyNeighbour &entry, uint16_t type, uint16_t flags,
                            const std::string &what);

  Fd socket_;
  uint32_t sequence_ = 0;
};

// What a Monitor saw.
struct Changes {
  bool links = false;
  bool addresses = false;
  bool routes = false;
  bool ours = false;    // a route of ours was deleted, by ourselves or by somebody else
  bool filters = false; // a filter or queueing discipline of traffic control was taken away
  bool lost = false;    // messages were lost: everything may have changed (the others are set, too)
  bool any() const { return links || addresses || routes || filters; }
};

// Says when links, addresses, routes or traffic control changed, ours included.
class Monitor {
public:
  static Result<Monitor> open();

  int fd() const { return socket_.get(); } // readable: drain() has something to say

  // Reads what is there, never blocks. After a bounded number of messages the rest waits (the
  // descriptor stays readable).
  Result<Changes> drain();

private:
  Fd socket_;
};

} // namespace viaduct::nvi
