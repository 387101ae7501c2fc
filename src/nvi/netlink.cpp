// SPDX-License-Identifier: MIT
#include "nvi/netlink.h"

#include "nvi/netlink_messages.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace viaduct::nvi {
namespace {

constexpr size_t request_size = 1024;
constexpr size_t answer_size = 32 * 1024; // what the kernel fills at most per dump message
constexpr int dump_attempts = 16;
constexpr int drain_messages = 256;
constexpr timeval answer_timeout{.tv_sec = 5, .tv_usec = 0};

// A request being written: zeroed, aligned, and large enough for everything below.
struct Request {
  alignas(nlmsghdr) std::array<char, request_size> bytes{};
  nlmsghdr *header;

  Request(uint16_t type, uint16_t flags) : header(mnl_nlmsg_put_header(bytes.data())) {
    header->nlmsg_type = type;
    header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  }
  template <typename Body> Body *body() {
    return static_cast<Body *>(mnl_nlmsg_put_extra_header(header, sizeof(Body)));
  }
};

Result<Fd> open_socket(int extra_flags) {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | extra_flags, NETLINK_ROUTE));
  if (!fd)
    return system_error("cannot open a netlink socket", errno);
  sockaddr_nl own{};
  own.nl_family = AF_NETLINK;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr *>(&own), sizeof(own)) != 0)
    return system_error("cannot bind a netlink socket", errno);
  return fd;
}

Result<Fd> open_request_socket() {
  auto fd = open_socket(0);
  if (!fd)
    return fd;
  // Wishes: an older kernel that does not know one says less or filters less, and we filter again.
  const int on = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK})
    (void)::setsockopt(fd->get(), SOL_NETLINK, option, &on, sizeof(on));
  if (::setsockopt(fd->get(), SOL_SOCKET, SO_RCVTIMEO, &answer_timeout, sizeof(answer_timeout)) !=
      0)
    return system_error("cannot set a netlink socket's time limit", errno);
  return fd;
}

struct Received {
  int length = 0; // 0: nothing for us in it
  int number = 0; // errno
};

// One datagram; one that is not from the kernel counts as nothing.
Received receive(int fd, std::span<char> buffer) {
  sockaddr_nl sender{};
  socklen_t size = sizeof(sender);
  ssize_t length = 0;
  do
    length = ::recvfrom(fd, buffer.data(), buffer.size(), MSG_TRUNC,
                        reinterpret_cast<sockaddr *>(&sender), &size);
  while (length < 0 && errno == EINTR);
  if (length < 0)
    return {.length = 0, .number = errno};
  if (static_cast<size_t>(length) > buffer.size())
    return {.length = 0, .number = EMSGSIZE};
  return {.length = sender.nl_pid == 0 ? static_cast<int>(length) : 0, .number = 0};
}

Error failure_of(const std::string &what, int number, const std::string &detail) {
  Error result = system_error("cannot " + what, number);
  if (!detail.empty())
    result.message += " (" + detail + ")";
  if (number == EPERM)
    result.message += "; it needs CAP_NET_ADMIN: run as root, or grant it";
  if (number == EAGAIN)
    result.message += "; the kernel gave no answer in 5 s";
  return result;
}

} // namespace

std::string text(const IpAddress &address) {
  return std::visit([](const auto &value) { return value.text(); }, address);
}

std::string text(const IpPrefix &prefix) {
  return std::visit([](const auto &value) { return value.text(); }, prefix);
}

Result<Netlink> Netlink::open() {
  auto fd = open_request_socket();
  if (!fd)
    return fd.failure();
  Netlink netlink;
  netlink.socket_ = std::move(*fd);
  return netlink;
}

// Sends one request and reads until its end: an acknowledgement or error, or the dump's last
// message. Answers to earlier requests (given up after a lost message) are passed over by their
// number.
Netlink::Outcome Netlink::exchange(nlmsghdr *request, const Visitor &visit) {
  request->nlmsg_seq = ++sequence_;
  if (::send(socket_.get(), request, request->nlmsg_len, 0) < 0)
    return {.number = errno, .detail = {}};
  alignas(nlmsghdr) std::array<char, answer_size> buffer;
  bool interrupted = false;
  for (;;) {
    const Received received = receive(socket_.get(), buffer);
    if (received.number != 0)
      return {.number = received.number, .detail = {}};
    int left = received.length;
    const auto *message = reinterpret_cast<const nlmsghdr *>(buffer.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence_)
        continue;
      interrupted |= (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (message->nlmsg_type == NLMSG_ERROR) {
        const auto *failure = body_of<nlmsgerr>(message);
        if (failure == nullptr)
          return {.number = EBADMSG, .detail = {}};
        return {.number = -failure->error, .detail = extended_ack(message, failure)};
      }
      if (message->nlmsg_type == NLMSG_DONE) {
        const auto *status = body_of<int>(message);
        const int number = status != nullptr && *status < 0 ? -*status : 0;
        return {.number = number == 0 && interrupted ? EINTR : number, .detail = {}};
      }
      if (visit)
        visit(message);
    }
  }
}

Result<void> Netlink::acknowledged(nlmsghdr *request, const std::string &what,
                                   std::initializer_list<int> tolerated) {
  request->nlmsg_flags |= NLM_F_ACK;
  const Outcome outcome = exchange(request, {});
  if (outcome.number == 0 || std::ranges::find(tolerated, outcome.number) != tolerated.end())
    return {};
  return failure_of(what, outcome.number, outcome.detail);
}

template <typename Item>
Result<std::vector<Item>>
Netlink::dump(nlmsghdr *request, const std::string &what,
              const std::function<std::optional<Item>(const nlmsghdr *)> &parse, bool *not_there) {
  request->nlmsg_flags |= NLM_F_DUMP;
  Outcome outcome;
  for (int attempt = 0; attempt < dump_attempts; ++attempt) {
    std::vector<Item> items;
    outcome = exchange(request, [&](const nlmsghdr *message) {
      if (auto item = parse(message))
        items.push_back(std::move(*item));
    });
    if (outcome.number == 0)
      return items;
    if (outcome.number == EINTR)
      continue;
    if (outcome.number != ENOBUFS && outcome.number != EBUSY)
      break;
    auto fresh = open_request_socket(); // the old one's dump is still under way
    if (!fresh)
      return fresh.failure();
    socket_ = std::move(*fresh);
  }
  if (not_there != nullptr)
    *not_there = outcome.number == ENOENT;
  if (outcome.number == EINTR)
    return error("cannot {}: it kept changing, in {} attempts", what, dump_attempts);
  return failure_of(what, outcome.number, outcome.detail);
}

Result<Link> Netlink::link_by(const std::function<void(nlmsghdr *)> &selector,
                              const std::string &what) {
  Request request(RTM_GETLINK, NLM_F_ACK);
  request.body<ifinfomsg>()->ifi_family = AF_UNSPEC;
  selector(request.header);
  Link found;
  const Outcome outcome = exchange(request.header, [&](const nlmsghdr *message) {
    if (auto link = parse_link(message))
      found = std::move(*link);
  });
  if (outcome.number == ENODEV)
    return Link{};
  if (outcome.number != 0)
    return failure_of("look up interface " + what, outcome.number, outcome.detail);
  return found;
}

Result<Link> Netlink::link(const std::string &name) {
  if (name.empty() || name.size() >= IFNAMSIZ)
    return error("\"{}\" is no interface name: 1 to {} characters", name, IFNAMSIZ - 1);
  return link_by([&](nlmsghdr *to) { mnl_attr_put_strz(to, IFLA_IFNAME, name.c_str()); }, name);
}

Result<Link> Netlink::link(int index) {
  return link_by(
      [&](nlmsghdr *to) { static_cast<ifinfomsg *>(mnl_nlmsg_get_payload(to))->ifi_index = index; },
      fmt::format("number {}", index));
}

Result<std::vector<Link>> Netlink::links() {
  Request request(RTM_GETLINK, 0);
  request.body<ifinfomsg>()->ifi_family = AF_UNSPEC;
  return dump<Link>(request.header, "list the interfaces", parse_link);
}

Result<void> Netlink::set_mtu(int index, unsigned mtu) {
  Request request(RTM_NEWLINK, 0);
  request.body<ifinfomsg>()->ifi_index = index;
  mnl_attr_put_u32(request.header, IFLA_MTU, mtu);
  return acknowledged(request.header, fmt::format("set the interface's MTU to {}", mtu));
}

Result<void> Netlink::set_flag(int index, unsigned flag, bool on) {
  Request request(RTM_NEWLINK, 0);
  auto *body = request.body<ifinfomsg>();
  body->ifi_index = index;
  body->ifi_flags = on ? flag : 0;
  body->ifi_change = flag;
  const std::string name = flag == IFF_UP          ? "up"
                           : flag == IFF_MULTICAST ? "multicast"
                                                   : fmt::format("0x{:x}", flag);
  return acknowledged(request.header,
                      fmt::format("switch the interface's flag {} {}", name, on ? "on" : "off"));
}

Result<std::vector<Address>> Netlink::addresses() {
  Request request(RTM_GETADDR, 0);
  request.body<ifaddrmsg>()->ifa_family = AF_UNSPEC;
  return dump<Address>(request.header, "list the addresses", parse_address);
}

Result<Route> Netlink::route_to(const IpAddress &destination) {
  Request request(RTM_GETROUTE, NLM_F_ACK);
  auto *body = request.body<rtmsg>();
  std::visit(
      [&](const auto &address) {
        const size_t size = address.bytes.size();
        body->rtm_family = size == 4 ? AF_INET : AF_INET6;
        body->rtm_dst_len = static_cast<unsigned char>(8 * size);
        mnl_attr_put(request.header, RTA_DST, size, address.bytes.data());
      },
      destination);
  Route found;
  found.type = RTN_UNREACHABLE;
  const Outcome outcome = exchange(request.header, [&](const nlmsghdr *message) {
    if (auto route = parse_route(message, true))
      found = *route;
  });
  if (outcome.number == ENETUNREACH || outcome.number == EHOSTUNREACH || outcome.number == EACCES)
    return found; // IPv4 says it so
  if (outcome.number != 0)
    return failure_of("look up the route to " + text(destination), outcome.number, outcome.detail);
  return found;
}

Result<std::vector<Route>> Netlink::routes(const RouteFilter &filter) {
  Request request(RTM_GETROUTE, 0);
  auto *body = request.body<rtmsg>();
  body->rtm_family = static_cast<unsigned char>(filter.family);
  body->rtm_protocol = filter.protocol;
  body->rtm_type = filter.type;
  if (filter.table != 0)
    mnl_attr_put_u32(request.header, RTA_TABLE, filter.table);
  if (filter.interface != 0)
    mnl_attr_put_u32(request.header, RTA_OIF, static_cast<uint32_t>(filter.interface));
  auto wanted = [&](const nlmsghdr *message) -> std::optional<Route> {
    auto route = parse_route(message);
    if (!route || (filter.protocol != 0 && route->protocol != filter.protocol) ||
        (filter.type != 0 && route->type != filter.type) ||
        (filter.table != 0 && route->table != filter.table) ||
        (filter.interface != 0 && route->interface != filter.interface) ||
        (filter.keep && !filter.keep(*route)))
      return std::nullopt;
    return route;
  };
  bool no_table = false;
  auto routes = dump<Route>(request.header, "list the routes", wanted, &no_table);
  if (!routes && no_table) // a table that never had a route is not there, and so has none
    return std::vector<Route>{};
  return routes;
}

Result<void> Netlink::change_route(const Route &route, uint16_t type, uint16_t flags,
                                   const std::string &what) {
  Request request(type, flags);
  auto *body = request.body<rtmsg>();
  const bool four = std::holds_alternative<Prefix4>(route.destination);
  body->rtm_family = four ? AF_INET : AF_INET6;
  body->rtm_scope = four ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  body->rtm_protocol = route.protocol;
  body->rtm_type = route.type;
  std::visit(
      [&](const auto &prefix) {
        body->rtm_dst_len = prefix.length;
        put_address(request.header, RTA_DST, prefix.address);
      },
      route.destination);
  mnl_attr_put_u32(request.header, RTA_TABLE, route.table);
  mnl_attr_put_u32(request.header, RTA_OIF, static_cast<uint32_t>(route.interface));
  if (route.metric != 0)
    mnl_attr_put_u32(request.header, RTA_PRIORITY, route.metric);
  if (route.mtu != 0 && type == RTM_NEWROUTE) {
    nlattr *nest = mnl_attr_nest_start(request.header, RTA_METRICS);
    mnl_attr_put_u32(request.header, RTAX_MTU, route.mtu);
    mnl_attr_nest_end(request.header, nest);
  }
  const std::string sentence = fmt::format("{} the route {}", what, text(route.destination));
  if (type == RTM_DELROUTE)
    return acknowledged(request.header, sentence, {ESRCH, ENODEV});
  return acknowledged(request.header, sentence);
}

Result<void> Netlink::add(const Route &route) {
  return change_route(route, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "add");
}

Result<void> Netlink::replace(const Route &route) {
  return change_route(route, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, "replace");
}

Result<void> Netlink::remove(const Route &route) {
  return change_route(route, RTM_DELROUTE, 0, "remove");
}

Result<std::vector<Filter>> Netlink::filters(int index, uint32_t parent) {
  Request request(RTM_GETTFILTER, 0);
  auto *body = request.body<tcmsg>();
  body->tcm_family = AF_UNSPEC;
  body->tcm_ifindex = index;
  body->tcm_parent = parent;
  return dump<Filter>(request.header, "list the traffic control filters", parse_filter);
}

Result<Filter> Netlink::filter(int index, uint32_t parent, uint32_t priority, uint32_t handle) {
  const auto all = filters(index, parent);
  if (!all)
    return all.failure();
  for (const Filter &filter : *all)
    if (filter.priority == priority && filter.handle == handle)
      return filter;
  return Filter{};
}

Result<std::vector<ProxyNeighbour>> Netlink::proxies(int family) {
  Request request(RTM_GETNEIGH, 0);
  auto *body = request.body<ndmsg>();
  body->ndm_family = static_cast<uint8_t>(family);
  body->ndm_flags = NTF_PROXY;
  return dump<ProxyNeighbour>(request.header, "list the proxy neighbour entries", parse_proxy);
}

Result<void> Netlink::change_proxy(const ProxyNeighbour &entry, uint16_t type, uint16_t flags,
                                   const std::string &what) {
  Request request(type, flags);
  auto *body = request.body<ndmsg>();
  body->ndm_family = family_of(entry.address);
  body->ndm_ifindex = entry.interface;
  body->ndm_state = NUD_PERMANENT;
  body->ndm_flags = NTF_PROXY;
  put_address(request.header, NDA_DST, entry.address);
  if (type == RTM_NEWNEIGH)
    mnl_attr_put_u8(request.header, NDA_PROTOCOL, entry.protocol);
  const std::string sentence = fmt::format("{} the proxy entry for {}", what, text(entry.address));
  if (type == RTM_DELNEIGH)
    return acknowledged(request.header, sentence, {ENOENT, ENODEV, ENXIO});
  return acknowledged(request.header, sentence);
}

Result<void> Netlink::add(const ProxyNeighbour &entry) {
  return change_proxy(entry, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, "add");
}

Result<void> Netlink::remove(const ProxyNeighbour &entry) {
  return change_proxy(entry, RTM_DELNEIGH, 0, "remove");
}

Result<Monitor> Monitor::open() {
  auto fd = open_socket(SOCK_NONBLOCK);
  if (!fd)
    return fd.failure();
  for (const int group : {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                          RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_TC})
    if (::setsockopt(fd->get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0)
      return system_error("cannot subscribe to changes of links, addresses and routes", errno);
  Monitor monitor;
  monitor.socket_ = std::move(*fd);
  return monitor;
}

Result<Changes> Monitor::drain() {
  alignas(nlmsghdr) std::array<char, answer_size> buffer;
  Changes changes;
  for (int count = 0; count < drain_messages; ++count) {
    const Received received = receive(socket_.get(), buffer);
    if (received.number == EAGAIN)
      break;
    if (received.number == ENOBUFS || received.number == EMSGSIZE) {
      changes = {.links = true,
                 .addresses = true,
                 .routes = true,
                 .ours = true,
                 .filters = true,
                 .lost = true};
      continue;
    }
    if (received.number != 0)
      return system_error("cannot read changes of links, addresses and routes", received.number);
    int left = received.length;
    const auto *message = reinterpret_cast<const nlmsghdr *>(buffer.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      const uint16_t type = message->nlmsg_type;
      changes.links |= type == RTM_NEWLINK || type == RTM_DELLINK;
      changes.addresses |= type == RTM_NEWADDR || type == RTM_DELADDR;
      changes.routes |= type == RTM_NEWROUTE || type == RTM_DELROUTE;
      changes.filters |= type == RTM_DELTFILTER || type == RTM_DELQDISC;
      if (type == RTM_DELROUTE && mnl_nlmsg_get_payload_len(message) >= sizeof(rtmsg))
        changes.ours |= static_cast<const rtmsg *>(mnl_nlmsg_get_payload(message))->rtm_protocol ==
                        route_protocol;
    }
  }
  return changes;
}

} // namespace viaduct::nvi
