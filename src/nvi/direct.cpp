// SPDX-License-Identifier: MIT
#include "nvi/direct.h"

#include "base/fd.h"

#include <algorithm>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <span>

namespace viaduct::nvi {

namespace {

constexpr uint32_t PRIORITY = 64; // behind programs of others that say none
constexpr std::string_view PROGRAM = "direct_tc", XDP_PROGRAM = "direct_xdp";

bpf_tc_hook hook_of(int index, bpf_tc_attach_point where) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = index, .attach_point = where);
  return hook;
}

uint32_t id_of(int program) {
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  return bpf_obj_get_info_by_fd(program, &info, &size) < 0 ? 0 : info.id;
}

// Empty where this process may not look (which takes CAP_SYS_ADMIN).
std::string name_of(uint32_t id) {
  const Fd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &size) < 0)
    return {};
  return info.name;
}

// libbpf names a filter after its program: "direct_tc:[4711]".
bool is_direct(const Filter &filter) {
  return filter.name.starts_with(PROGRAM);
}

// What a port's XDP place holds, driver's or generic; 0: nothing.
struct XdpPlace {
  uint32_t native = 0, generic = 0;
};

XdpPlace xdp_at(int index) {
  LIBBPF_OPTS(bpf_xdp_query_opts, options);
  if (bpf_xdp_query(index, 0, &options) < 0)
    return {};
  return {options.drv_prog_id, options.skb_prog_id};
}

uint32_t xdp_flags(bool generic) {
  return generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
}

// The interface for which a program of ours stands on this port; 0 where it does not say.
uint32_t nvi_of(uint32_t program, int index) {
  constexpr uint32_t most = 64;
  const Fd opened(bpf_prog_get_fd_by_id(program));
  if (!opened)
    return 0;
  std::array<uint32_t, most> maps{};
  bpf_prog_info info{};
  info.nr_map_ids = most;
  info.map_ids = reinterpret_cast<uintptr_t>(maps.data());
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(opened.get(), &info, &size) < 0)
    return 0;
  for (uint32_t id : std::span(maps).first(std::min(info.nr_map_ids, most))) {
    const Fd map(bpf_map_get_fd_by_id(id));
    bpf_map_info about{};
    size = sizeof about;
    dp::direct_port port{};
    if (map && bpf_obj_get_info_by_fd(map.get(), &about, &size) == 0 &&
        std::string_view(about.name) == "direct_ports" && about.value_size == sizeof port &&
        bpf_map_lookup_elem(map.get(), &index, &port) == 0)
      return port.nvi;
  }
  return 0;
}

} // namespace

Result<DirectPorts> DirectPorts::make(int nvi) {
  auto netlink = Netlink::open();
  if (!netlink)
    return netlink.failure();
  return DirectPorts(nvi, std::move(*netlink));
}

void DirectPorts::apply(const std::vector<std::string> &names, config::DirectMode mode,
                        Programs programs) {
  const auto tell_before = programs_.tell;
  names_ = names;
  mode_ = mode;
  programs_ = std::move(programs);
  if (!programs_.tell)
    programs_.tell = tell_before;
  refresh();
}

void DirectPorts::refresh() {
  ports_.clear();
  if (names_.empty() && searched_ && attached_.empty() && attached_xdp_.empty())
    return;
  const auto links = netlink_.links();
  if (!links) {
    for (const std::string &name : names_)
      ports_.push_back({name, {}, links.failure().message});
    return;
  }
  for (const std::string &name : names_)
    ports_.push_back(look_after(name, *links));
  detach_others(*links);
}

DirectPorts::Port DirectPorts::look_after(const std::string &name, const std::vector<Link> &links) {
  const auto link = std::ranges::find(links, name, &Link::name);
  if (link == links.end())
    return {name, {}, "there is no interface of this name"};
  if (link->type != ARPHRD_ETHER)
    return {name, {}, "it is not an Ethernet port"};
  if (programs_.tc < 0)
    return {name, {}, programs_.why};
  Port port{name, {}, {}};
  if (mode_ == config::DirectMode::xdp || mode_ == config::DirectMode::xdp_generic)
    port = look_after_xdp(*link);
  if (!port.mode.empty())
    return port;
  if (auto done = attach(link->index); !done)
    return {name, {}, done.failure().message};
  port.mode = "tc";
  return port;
}

// Without a mode: the port has to be content with tc, and the detail says why.
DirectPorts::Port DirectPorts::look_after_xdp(const Link &link) {
  const bool generic = mode_ == config::DirectMode::xdp_generic;
  if (auto done = attach_xdp(link, generic); !done)
    return {link.name, {}, "not by XDP: " + done.failure().message};
  return {link.name, generic ? "xdp-generic" : "xdp", {}};
}

// The one at our place on a port's ingress; without a handle: none.
Result<Filter> DirectPorts::filter_at(int index) {
  const auto filters = netlink_.filters(index, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS));
  if (!filters)
    return filters.failure();
  for (const Filter &filter : *filters)
    if (filter.priority == PRIORITY && filter.handle == static_cast<uint32_t>(nvi_))
      return filter;
  return Filter{};
}

bool DirectPorts::is_ours(uint32_t program, int index) const {
  return program != 0 && name_of(program) == XDP_PROGRAM &&
         nvi_of(program, index) == static_cast<uint32_t>(nvi_);
}

// Takes ours off every port that is not to have it, also those that a predecessor left.
void DirectPorts::detach_others(const std::vector<Link> &links) {
  for (const Link &link : links) {
    const auto port = std::ranges::find(ports_, link.name, &Port::name);
    const std::string mode = port == ports_.end() ? std::string() : port->mode;
    const bool search = !searched_ && link.type == ARPHRD_ETHER;
    const auto filter = search ? filter_at(link.index) : Result<Filter>(Filter{});
    const bool has_tc = attached_.contains(link.index) || (filter && is_direct(*filter));
    const XdpPlace place = search ? xdp_at(link.index) : XdpPlace{};
    const bool has_xdp = attached_xdp_.contains(link.index) || is_ours(place.native, link.index) ||
                         is_ours(place.generic, link.index);
    std::string problem = port == ports_.end() ? std::string() : port->detail;
    const auto add = [&](const Result<void> &done) {
      if (!done)
        problem += (problem.empty() ? "" : "; ") + done.failure().message;
    };
    if (has_tc && mode != "tc")
      add(detach(link.index));
    if (has_xdp && !mode.starts_with("xdp"))
      add(detach_xdp(link.index));
    if (port != ports_.end())
      port->detail = problem;
  }
  searched_ = true;
  const auto gone = [&](int index) { // with what has gone, its program went
    return std::ranges::find(links, index, &Link::index) == links.end();
  };
  std::erase_if(attached_, [&](const auto &entry) { return gone(entry.first); });
  std::erase_if(attached_xdp_, [&](const auto &entry) { return gone(entry.first); });
}

Result<void> DirectPorts::attach_xdp(const Link &link, bool generic) {
  const XdpPlace place = xdp_at(link.index);
  const uint32_t own = id_of(programs_.xdp), there = generic ? place.generic : place.native,
                 other = generic ? place.native : place.generic;
  for (uint32_t present : {there, other}) {
    if (present == 0 || present == own)
      continue;
    const std::string name_there = name_of(present);
    if (name_there.empty())
      return error("an XDP program is there, and whose it is only CAP_SYS_ADMIN could see: take it "
                   "off with ip link set dev {} xdp off",
                   link.name);
    if (name_there != XDP_PROGRAM)
      return error("another XDP program ({}) is there", name_there);
    char name[IF_NAMESIZE];
    const uint32_t owner = nvi_of(present, link.index);
    if (owner != static_cast<uint32_t>(nvi_) && if_indextoname(owner, name) != nullptr)
      return error("the XDP program of another viaductd ({}) is there", name);
  }
  // A port gets its entry first: the program is to know it from its first packet on.
  dp::direct_port port{};
  if (link.hardware_address.size() != sizeof port.address)
    return error("it has no Ethernet address");
  std::ranges::copy(link.hardware_address, std::begin(port.address));
  port.native = generic ? 0 : 1;
  port.nvi = static_cast<uint32_t>(nvi_);
  if (auto done = programs_.tell(static_cast<uint32_t>(link.index), &port); !done)
    return done;
  if (other != 0)
    if (int code = bpf_xdp_detach(link.index, xdp_flags(!generic), nullptr); code < 0)
      return system_error("cannot take the XDP program off that was there", -code);
  if (there != own)
    if (int code = bpf_xdp_attach(link.index, programs_.xdp, xdp_flags(generic), nullptr);
        code < 0) {
      (void)programs_.tell(static_cast<uint32_t>(link.index), nullptr);
      return system_error(generic ? "the kernel refused the program"
                                  : "the port's driver refused the program",
                          -code);
    }
  attached_xdp_[link.index] = own;
  return {};
}

Result<void> DirectPorts::detach_xdp(int index) {
  const auto known = attached_xdp_.find(index);
  const uint32_t own = known == attached_xdp_.end() ? 0 : known->second;
  if (known != attached_xdp_.end())
    attached_xdp_.erase(known);
  const XdpPlace place = xdp_at(index);
  for (bool generic : {false, true}) {
    const uint32_t program = generic ? place.generic : place.native;
    if (program == 0 || (program != own && !is_ours(program, index)))
      continue;
    if (int code = bpf_xdp_detach(index, xdp_flags(generic), nullptr); code < 0 && code != -ENODEV)
      return system_error("cannot take the XDP program off the port", -code);
  }
  if (programs_.tell)
    return programs_.tell(static_cast<uint32_t>(index), nullptr);
  return {};
}

Result<void> DirectPorts::attach(int index) {
  const auto present = filter_at(index);
  if (!present)
    return present.failure();
  if (present->handle != 0 && present->program == id_of(programs_.tc))
    return {};
  if (present->handle != 0 && !is_direct(*present))
    return error("another filter ({}) sits where ours would", present->name);
  bpf_tc_hook hook = hook_of(index, BPF_TC_INGRESS);
  const int made = bpf_tc_hook_create(&hook);
  if (made < 0 && made != -EEXIST)
    return system_error("cannot make the clsact qdisc of the port", -made);
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = programs_.tc,
              .flags = present->handle != 0 ? static_cast<uint32_t>(BPF_TC_F_REPLACE) : 0U,
              .handle = static_cast<uint32_t>(nvi_), .priority = PRIORITY);
  if (int code = bpf_tc_attach(&hook, &options); code < 0)
    return system_error("cannot attach the BPF program to the port", -code);
  attached_[index] = made == 0 || present->handle != 0; // a predecessor's was his
  return {};
}

// The qdisc goes with it where it is ours and nobody else has anything in it.
Result<void> DirectPorts::detach(int index) {
  bpf_tc_hook hook = hook_of(index, BPF_TC_INGRESS);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = static_cast<uint32_t>(nvi_), .priority = PRIORITY);
  if (int code = bpf_tc_detach(&hook, &options);
      code < 0 && code != -ENOENT && code != -EINVAL && code != -ENODEV)
    return system_error("cannot take the BPF program off the port", -code);
  const auto known = attached_.find(index);
  const bool ours = known == attached_.end() || known->second;
  if (known != attached_.end())
    attached_.erase(known);
  for (uint32_t point : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS}) {
    const auto others = netlink_.filters(index, TC_H_MAKE(TC_H_CLSACT, point));
    if (!ours || !others || !others->empty())
      return {};
  }
  bpf_tc_hook both =
      hook_of(index, static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
  if (int code = bpf_tc_hook_destroy(&both); code < 0 && code != -ENODEV && code != -EINVAL)
    return system_error("cannot remove the clsact qdisc of the port", -code);
  return {};
}

} // namespace viaduct::nvi
