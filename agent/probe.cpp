// SPDX-License-Identifier: MIT
#include "agent/probe.h"

#include "agent/cgroup.h"
#include "base/fd.h"
#include "tables/libbpf_words.h"

#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstring>
#include <toa_getsockopt.skel.h>
#include <toa_hooks.skel.h>
#include <toa_view.skel.h>
#include <uoa_getsockopt.skel.h>
#include <uoa_hooks.skel.h>

namespace viaduct::agent {

namespace {

using tables::LibbpfWords;

template <typename Skeleton>
Result<void> load(Skeleton *(*open)(), int (*load_it)(Skeleton *), void (*destroy)(Skeleton *)) {
  LibbpfWords words;
  Skeleton *skeleton = open();
  if (skeleton == nullptr)
    return words.failure("cannot open the BPF object", -errno);
  int code = load_it(skeleton);
  Result<void> done = code < 0 ? words.failure("the kernel refuses it", code) : Result<void>();
  destroy(skeleton);
  return done;
}

struct Hook {
  bpf_attach_type type;
  const char *name;
};

constexpr Hook hooks[] = {{BPF_CGROUP_SOCK_OPS, "sock_ops"},
                          {BPF_CGROUP_INET4_GETPEERNAME, "getpeername4"},
                          {BPF_CGROUP_INET6_GETPEERNAME, "getpeername6"},
                          {BPF_CGROUP_INET4_GETSOCKNAME, "getsockname4"},
                          {BPF_CGROUP_INET6_GETSOCKNAME, "getsockname6"},
                          {BPF_CGROUP_GETSOCKOPT, "getsockopt"},
                          {BPF_CGROUP_INET_INGRESS, "ingress"},
                          {BPF_CGROUP_UDP4_RECVMSG, "recvmsg4"},
                          {BPF_CGROUP_UDP6_RECVMSG, "recvmsg6"},
                          {BPF_CGROUP_UDP4_SENDMSG, "sendmsg4"},
                          {BPF_CGROUP_UDP6_SENDMSG, "sendmsg6"},
                          {BPF_CGROUP_INET4_CONNECT, "connect4"},
                          {BPF_CGROUP_INET6_CONNECT, "connect6"}};

bool is_ours(uint32_t id) {
  Fd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  return program && bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 &&
         strncmp(info.name, "agent_", 6) == 0;
}

} // namespace

Result<void> probe_hooks() {
  return load(toa_hooks__open, toa_hooks__load, toa_hooks__destroy);
}
Result<void> probe_getsockopt() {
  return load(toa_getsockopt__open, toa_getsockopt__load, toa_getsockopt__destroy);
}
Result<void> probe_view() {
  return load(toa_view__open, toa_view__load, toa_view__destroy);
}
Result<void> probe_udp() {
  return load(uoa_hooks__open, uoa_hooks__load, uoa_hooks__destroy);
}
Result<void> probe_uoa_getsockopt() {
  return load(uoa_getsockopt__open, uoa_getsockopt__load, uoa_getsockopt__destroy);
}

Result<Others> programs_beside_ours() {
  auto cgroup = Cgroup::open_if_mounted();
  if (!cgroup)
    return cgroup.failure();
  Others others;
  for (const Hook &hook : hooks) {
    std::array<uint32_t, 64> ids{};
    uint32_t flags = 0, count = ids.size();
    int code = bpf_prog_query(cgroup->fd(), hook.type, 0, &flags, ids.data(), &count);
    if (code == -EINVAL)
      continue; // a kernel without this hook
    if (code < 0)
      return system_error(fmt::format("cannot ask who is attached to {}", hook.name), -code);
    uint32_t foreign = 0;
    for (uint32_t i = 0; i < count && i < ids.size(); i++)
      foreign += is_ours(ids[i]) ? 0U : 1U;
    if (foreign == 0)
      continue;
    others.text += fmt::format("{}{} {}", others.text.empty() ? "" : ", ", hook.name, foreign);
    if ((flags & BPF_F_ALLOW_MULTI) == 0)
      others.exclusive += fmt::format("{}{}", others.exclusive.empty() ? "" : ", ", hook.name);
  }
  return others;
}

} // namespace viaduct::agent
