// SPDX-License-Identifier: MIT
#include "nvi/egress.h"

#include "nvi/netlink.h"
#include "nvi/xdp_links.h"

#include <bpf/libbpf.h>
#include <cerrno>
#include <linux/pkt_sched.h>

namespace viaduct::nvi {

namespace {

// By these we know what is ours.
constexpr uint32_t HANDLE = 1;
constexpr uint32_t PRIORITY = 1;

bpf_tc_hook egress_of(int ifindex) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_EGRESS);
  return hook;
}

} // namespace

Result<void> attach_egress(int ifindex, int program) {
  bpf_tc_hook hook = egress_of(ifindex);
  if (int code = bpf_tc_hook_create(&hook); code < 0 && code != -EEXIST)
    return system_error("cannot make the clsact qdisc of the interface", -code);
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .flags = BPF_TC_F_REPLACE, .handle = HANDLE,
              .priority = PRIORITY);
  if (int code = bpf_tc_attach(&hook, &options); code < 0)
    return system_error("cannot attach the BPF program to the interface", -code);
  return {};
}

Result<bool> keep_egress(int ifindex, int program) {
  auto netlink = Netlink::open();
  if (!netlink)
    return netlink.failure();
  const auto present =
      netlink->filter(ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), PRIORITY, HANDLE);
  if (!present)
    return present.failure();
  if (present->handle != 0 && present->program == id_of(program))
    return false;
  auto done = attach_egress(ifindex, program);
  return done ? Result<bool>(true) : Result<bool>(done.failure());
}

Result<void> detach_egress(int ifindex) {
  bpf_tc_hook hook = egress_of(ifindex);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = HANDLE, .priority = PRIORITY);
  if (int code = bpf_tc_detach(&hook, &options);
      code < 0 && code != -ENOENT && code != -EINVAL && code != -ENODEV)
    return system_error("cannot take the BPF program off the interface", -code);
  return {};
}

} // namespace viaduct::nvi
