// SPDX-License-Identifier: MIT
#include "agent/ports.h"

#include "tables/libbpf_words.h"

#include <algorithm>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstring>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace viaduct::agent {

namespace {

constexpr auto tcx_ingress = static_cast<bpf_attach_type>(46); // newer than Debian 12's headers
constexpr uint32_t priority = 31248;                           // ours among tc's filters
constexpr uint32_t beside_others = 1, made_the_qdisc = 2;      // our filter's handle tells
constexpr std::string_view pin_of_ports = "link_port_";

std::string pin_of(int index) {
  return fmt::format("{}{}", pin_of_ports, index);
}

// --- kernels without tcx -------------------------------------------------------------------------

bpf_tc_hook ingress_of(int index) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = index, .attach_point = BPF_TC_INGRESS);
  return hook;
}

// Whether anybody has a filter there; in doubt, yes.
bool has_filters(int index, uint32_t point) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr header;
    tcmsg body;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETTFILTER;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.tcm_ifindex = index;
  request.body.tcm_parent = TC_H_MAKE(TC_H_CLSACT, point);
  if (!socket || send(socket.get(), &request, sizeof request, 0) < 0)
    return true;
  alignas(nlmsghdr) std::array<char, 32768> answer{};
  ssize_t size = recv(socket.get(), answer.data(), answer.size(), 0);
  const auto *first = reinterpret_cast<const nlmsghdr *>(answer.data());
  return size < static_cast<ssize_t>(sizeof *first) || first->nlmsg_type != NLMSG_DONE;
}

bool has_filter(int index, uint32_t handle) {
  if (!has_filters(index, TC_H_MIN_INGRESS))
    return false; // and no qdisc, perhaps, of which libbpf would complain
  bpf_tc_hook hook = ingress_of(index);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = handle, .priority = priority);
  if (bpf_tc_query(&hook, &options) != 0)
    return false;
  Fd program(bpf_prog_get_fd_by_id(options.prog_id));
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  return program && bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 &&
         std::string_view(info.name).starts_with("agent_udp_");
}

// The qdisc goes with it if we had made it and nobody else has anything in it.
void remove_filter(int index, uint32_t handle) {
  bpf_tc_hook hook = ingress_of(index);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = handle, .priority = priority);
  bpf_tc_detach(&hook, &options);
  if (handle != made_the_qdisc || has_filters(index, TC_H_MIN_INGRESS) ||
      has_filters(index, TC_H_MIN_EGRESS))
    return;
  LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = index,
              .attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
  bpf_tc_hook_destroy(&both);
}

void remove_filters(int index) {
  for (uint32_t handle : {beside_others, made_the_qdisc})
    if (has_filter(index, handle))
      remove_filter(index, handle);
}

Result<void> attach_filter(int program, int index) {
  tables::LibbpfWords words;
  bpf_tc_hook hook = ingress_of(index);
  int made = bpf_tc_hook_create(&hook);
  if (made < 0 && made != -EEXIST)
    return words.failure("cannot make the port's clsact qdisc", made);
  bool ours = made == 0 || has_filter(index, made_the_qdisc);
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .flags = BPF_TC_F_REPLACE,
              .handle = ours ? made_the_qdisc : beside_others, .priority = priority);
  if (int code = bpf_tc_attach(&hook, &options); code < 0)
    return words.failure("cannot attach the program to the port", code);
  return {};
}

// --- ports ---------------------------------------------------------------------------------------

// Where the program expects the IP header: behind an Ethernet header.
Result<void> has_ethernet(const std::string &name) {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  memcpy(request.ifr_name, name.c_str(), std::min(name.size(), sizeof request.ifr_name - 1));
  if (!socket || ioctl(socket.get(), SIOCGIFHWADDR, &request) < 0)
    return system_error("cannot ask what kind of port it is", errno);
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER &&
      request.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK)
    return error("it has no Ethernet headers");
  return {};
}

std::vector<int> all_interfaces() {
  std::vector<int> indexes;
  struct if_nameindex *list = if_nameindex();
  for (auto *each = list; each != nullptr && each->if_index != 0; each++)
    indexes.push_back(static_cast<int>(each->if_index));
  if_freenameindex(list);
  return indexes;
}

} // namespace

void Ports::set(std::vector<std::string> names) {
  std::vector<Port> next;
  for (std::string &name : names) {
    auto known = std::ranges::find(ports_, name, [](const Port &p) { return p.state.name; });
    if (known != ports_.end()) {
      next.push_back(std::move(*known));
      ports_.erase(known);
    } else {
      Port port;
      port.state.name = std::move(name);
      next.push_back(std::move(port));
    }
  }
  for (Port &port : ports_)
    detach(port);
  ports_ = std::move(next);
}

std::vector<PortChange> Ports::look() {
  std::vector<PortChange> changes;
  for (Port &port : ports_) {
    int index = static_cast<int>(if_nametoindex(port.state.name.c_str()));
    if (index != 0 && index == port.index)
      continue;
    PortState before = port.state;
    if (port.index != 0)
      detach(port);
    Result<void> done =
        index == 0 ? Result<void>(error("there is no such port")) : attach(port, index);
    port.state.attached = static_cast<bool>(done);
    port.state.why_not = done ? "" : done.failure().message;
    if (port.state.attached != before.attached || port.state.why_not != before.why_not)
      changes.push_back(port.state);
  }
  if (first_) { // what a predecessor had on others
    for (const std::string &name : pins_.names(pin_of_ports))
      if (std::ranges::none_of(ports_, [&](const Port &p) { return pin_of(p.index) == name; }))
        pins_.forget(name);
    for (int index : all_interfaces())
      if (std::ranges::find(ports_, index, &Port::index) == ports_.end())
        remove_filters(index);
    first_ = false;
  }
  return changes;
}

std::vector<PortState> Ports::states() const {
  std::vector<PortState> states;
  for (const Port &port : ports_)
    states.push_back(port.state);
  return states;
}

Result<void> Ports::attach(Port &port, int index) {
  if (auto there = has_ethernet(port.state.name); !there)
    return there;
  auto done = attach_link(port, index);
  if (!done)
    return done;
  port.index = index;
  return {};
}

// The new one is there before a predecessor's goes: what one has made UDP the other lets pass.
Result<void> Ports::attach_link(Port &port, int index) {
  int link = bpf_link_create(program_, index, tcx_ingress, nullptr);
  if (link == -EINVAL)
    return attach_filter(program_, index);
  if (link < 0)
    return system_error("cannot attach the program to the port", -link);
  port.link = Fd(link);
  pins_.forget(pin_of(index));
  if (int code = bpf_obj_pin(link, pins_.path(pin_of(index)).c_str()); code < 0) {
    port.link.reset();
    return system_error("cannot pin the port's link", -code);
  }
  return {};
}

void Ports::detach(Port &port) {
  if (port.index == 0)
    return;
  if (port.link)
    pins_.forget(pin_of(port.index));
  else
    remove_filters(port.index);
  port.link.reset();
  port.index = 0;
}

void Ports::remove() {
  for (Port &port : ports_)
    detach(port);
}

void Ports::forget(const Pins &pins) {
  for (const std::string &name : pins.names(pin_of_ports))
    pins.forget(name);
  for (int index : all_interfaces())
    remove_filters(index);
}

} // namespace viaduct::agent
