// SPDX-License-Identifier: MIT
#include "agent/udp.h"

#include "agent/pinned.h"
#include "tables/libbpf_words.h"

#include <bpf/libbpf.h>
#include <cerrno>
#include <uoa_getsockopt.skel.h>
#include <uoa_hooks.skel.h>

namespace viaduct::agent {

using tables::LibbpfWords;

namespace {
constexpr const char *getsockopt_pin = "link_udp_getsockopt";
} // namespace

Result<std::unique_ptr<Udp>> Udp::start(const Pins &pins, const Cgroup &cgroup) {
  std::unique_ptr<Udp> udp(new Udp(pins, cgroup));
  for (auto step : {&Udp::load, &Udp::attach})
    if (auto done = (udp.get()->*step)(); !done)
      return done.failure();
  udp->ports_ =
      std::make_unique<Ports>(pins, bpf_program__fd(udp->skeleton_->progs.agent_udp_port));
  return udp;
}

Result<void> Udp::load() {
  LibbpfWords words;
  skeleton_ = uoa_hooks__open();
  if (skeleton_ == nullptr)
    return words.failure("cannot open the BPF object for UDP", -errno);
  if (auto done = adopt_maps(pins_, skeleton_->obj); !done)
    return done;
  if (int code = uoa_hooks__load(skeleton_); code < 0)
    return words.failure("the kernel refused the BPF programs for UDP", code);
  return pin_maps(pins_, skeleton_->obj);
}

Udp::~Udp() {
  if (ports_ != nullptr && !leaving_)
    ports_->remove();
  for (bpf_link *link : links_)
    bpf_link__destroy(link); // a pinned one goes on
  bpf_link__destroy(getsockopt_link_);
  uoa_getsockopt__destroy(getsockopt_);
  uoa_hooks__destroy(skeleton_);
}

void Udp::forget(const Pins &pins) {
  for (const std::string &name : pins.names("link_udp_"))
    pins.forget(name);
  Ports::forget(pins);
}

int Udp::flows() const {
  return bpf_map__fd(skeleton_->maps.udp_flows);
}

Result<void> Udp::attach() {
  const auto &programs = skeleton_->progs;
  const CgroupProgram all[] = {{programs.agent_udp_sendmsg4, "link_udp_sendmsg4"},
                               {programs.agent_udp_sendmsg6, "link_udp_sendmsg6"},
                               {programs.agent_udp_connect4, "link_udp_connect4"},
                               {programs.agent_udp_connect6, "link_udp_connect6"},
                               {programs.agent_udp_getpeername4, "link_udp_getpeername4"},
                               {programs.agent_udp_getpeername6, "link_udp_getpeername6"},
                               {programs.agent_udp_recvmsg4, "link_udp_recvmsg4"},
                               {programs.agent_udp_recvmsg6, "link_udp_recvmsg6"},
                               {programs.agent_udp_ingress, "link_udp_ingress"}};
  static_assert(std::size(all) == std::tuple_size_v<decltype(links_)>);
  for (size_t i = 0; i < links_.size(); i++)
    if (auto done = attach_to_cgroup(pins_, cgroup_, all[i].program, all[i].pin, links_[i]); !done)
      return done;
  return {};
}

Result<void> Udp::serve_getsockopt(bool wanted) {
  if (!wanted) {
    bpf_link__destroy(getsockopt_link_);
    getsockopt_link_ = nullptr;
    pins_.forget(getsockopt_pin);
    return {};
  }
  if (getsockopt_link_ != nullptr)
    return {};
  LibbpfWords words;
  uoa_getsockopt__destroy(getsockopt_);
  getsockopt_ = uoa_getsockopt__open();
  if (getsockopt_ == nullptr)
    return words.failure("cannot open the BPF object for getsockopt 2048", -errno);
  if (auto done = adopt_maps(pins_, getsockopt_->obj); !done)
    return done;
  if (int code = uoa_getsockopt__load(getsockopt_); code < 0)
    return words.failure("the kernel refused the BPF program for getsockopt 2048, which needs "
                         "x86-64 and leave to read a program's memory",
                         code);
  return attach_to_cgroup(pins_, cgroup_, getsockopt_->progs.agent_udp_getsockopt, getsockopt_pin,
                          getsockopt_link_);
}

} // namespace viaduct::agent
