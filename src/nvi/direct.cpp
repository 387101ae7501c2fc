// SPDX-License-Identifier: MIT
#include "nvi/direct.h"

#include <algorithm>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <net/if_arp.h>

namespace viaduct::nvi {

namespace {

constexpr uint32_t PRIORITY = 64; // behind programs of others that say none
constexpr std::string_view PROGRAM = "direct_tc";

bpf_tc_hook hook_of(int index, bpf_tc_attach_point where) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = index, .attach_point = where);
  return hook;
}

// libbpf names a filter after its program: "direct_tc:[4711]".
bool is_direct(const Filter &filter) {
  return filter.name.starts_with(PROGRAM);
}

} // namespace

Result<DirectPorts> DirectPorts::make(int nvi, XdpLinks links) {
  auto netlink = Netlink::open();
  if (!netlink)
    return netlink.failure();
  return DirectPorts(nvi, std::move(*netlink), std::move(links));
}

void DirectPorts::apply(const std::vector<std::string> &names, config::DirectMode mode,
                        Programs programs) {
  const auto tell_before = programs_.tell;
  names_ = names;
  mode_ = mode;
  programs_ = std::move(programs);
  if (!programs_.tell)
    programs_.tell = tell_before;
  drivers_take_xdp_ = true;
  refresh();
}

void DirectPorts::refresh() {
  if (names_.empty() && searched_ && attached_.empty() && xdp_.ports().empty()) {
    ports_.clear();
    return;
  }
  const auto links = netlink_.links();
  if (!links) {
    ports_.clear();
    for (const std::string &name : names_)
      ports_.push_back({name, {}, links.failure().message});
    return;
  }
  look_after_all(*links);
  detach_others(*links);
  detach_xdp_of_others();
}

// One port sends by XDP only to another that has it: where nobody has asked for XDP, a driver that
// refuses it decides for all of them.
void DirectPorts::look_after_all(const std::vector<Link> &links) {
  const auto look = [&] {
    ports_.clear();
    for (const std::string &name : names_)
      ports_.push_back(look_after(name, links));
  };
  look();
  if (mode_ != config::DirectMode::automatic || !wants_xdp(links) ||
      std::ranges::none_of(ports_, [](const Port &port) { return port.mode == "tc"; }))
    return;
  drivers_take_xdp_ = false;
  look();
}

// Real network cards deliver whole checksums, and so XDP can send on what they bring. A virtual one's
// frames may come from this machine with their checksums left to the hardware.
bool DirectPorts::wants_xdp(const std::vector<Link> &links) const {
  if (mode_ != config::DirectMode::automatic)
    return mode_ != config::DirectMode::tc;
  return drivers_take_xdp_ && std::ranges::all_of(links, [&](const Link &link) {
           const bool is_card = link.kind.empty() && !link.bus.empty() && link.bus != "virtio";
           return is_card || std::ranges::find(names_, link.name) == names_.end();
         });
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
  if (wants_xdp(links)) {
    const bool generic = mode_ == config::DirectMode::xdp_generic;
    const auto done = attach_xdp(*link, generic);
    if (done)
      return {name, generic ? "xdp-generic" : "xdp", {}};
    port.detail = "not by XDP: " + done.failure().message;
  }
  if (auto done = attach(link->index); !done)
    return {name, {}, done.failure().message};
  port.mode = "tc";
  return port;
}

// The one at our place on a port's ingress; without a handle: none.
Result<Filter> DirectPorts::filter_at(int index) {
  return netlink_.filter(index, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), PRIORITY,
                         static_cast<uint32_t>(nvi_));
}

// Takes ours off the tc ingress of every port that is not to have it, also what a predecessor left.
void DirectPorts::detach_others(const std::vector<Link> &links) {
  for (const Link &link : links) {
    const auto port = std::ranges::find(ports_, link.name, &Port::name);
    if (port != ports_.end() && port->mode == "tc")
      continue;
    const bool search = !searched_ && link.type == ARPHRD_ETHER;
    const auto filter = search ? filter_at(link.index) : Result<Filter>(Filter{});
    if (!attached_.contains(link.index) && !(filter && is_direct(*filter)))
      continue;
    const auto done = detach(link.index);
    if (!done && port != ports_.end())
      port->detail += (port->detail.empty() ? "" : "; ") + done.failure().message;
  }
  searched_ = true;
  std::erase_if(attached_, [&](const auto &entry) { // with what has gone, its program went
    return std::ranges::find(links, entry.first, &Link::index) == links.end();
  });
}

void DirectPorts::detach_xdp_of_others() {
  for (int index : xdp_.ports()) {
    char name[IF_NAMESIZE] = {};
    if_indextoname(static_cast<unsigned>(index), name);
    const auto port = std::ranges::find(ports_, name, &Port::name);
    if (port != ports_.end() && port->mode.starts_with("xdp"))
      continue;
    xdp_.detach(index);
    if (programs_.tell)
      (void)programs_.tell(static_cast<uint32_t>(index), nullptr);
  }
}

Result<void> DirectPorts::attach_xdp(const Link &link, bool generic) {
  // A port gets its entry first: the program is to know it from its first packet on.
  dp::direct_port port{};
  port.index = static_cast<uint32_t>(link.index);
  if (link.hardware_address.size() != sizeof port.address)
    return error("it has no Ethernet address");
  std::ranges::copy(link.hardware_address, std::begin(port.address));
  port.native = generic ? 0 : 1;
  if (auto done = programs_.tell(port.index, &port); !done)
    return done;
  auto done = xdp_.attach(link.index, programs_.xdp, generic);
  if (!done)
    (void)programs_.tell(port.index, nullptr);
  return done;
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
