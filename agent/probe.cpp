// SPDX-License-Identifier: MIT
#include "agent/probe.h"

#include "agent/cgroup.h"
#include "agent/pinned.h"
#include "base/fd.h"
#include "tables/libbpf_words.h"

#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <toa_getsockopt.skel.h>
#include <toa_hooks.skel.h>
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

using Ids = std::set<uint32_t>;

struct Attached {
  Ids foreign;
  uint32_t flags = 0;
};

Result<Attached> attached_to(int cgroup, const Hook &hook, const Ids &ours) {
  std::array<uint32_t, 64> ids{};
  Attached attached;
  uint32_t count = ids.size();
  int code = bpf_prog_query(cgroup, hook.type, 0, &attached.flags, ids.data(), &count);
  if (code == -EINVAL)
    return attached; // a kernel without this hook
  if (code < 0)
    return system_error(fmt::format("cannot ask who is attached to {}", hook.name), -code);
  for (uint32_t i = 0; i < count && i < ids.size(); i++)
    if (!ours.contains(ids[i]))
      attached.foreign.insert(ids[i]);
  return attached;
}

// The agent's, those above, whose programs run for it, and below, as far as it is cheap.
struct Folder {
  std::filesystem::path path;
  bool is_below = false;
};

std::vector<Folder> folders_around(const std::filesystem::path &root,
                                   const std::filesystem::path &cgroup) {
  constexpr size_t most = 512;
  std::vector<Folder> folders = {{cgroup, false}};
  if (cgroup.string().starts_with(root.string() + "/"))
    for (auto above = cgroup.parent_path(); above.string().size() >= root.string().size();
         above = above.parent_path())
      folders.push_back({above, false});
  std::error_code ignored;
  auto options = std::filesystem::directory_options::skip_permission_denied;
  for (const auto &entry :
       std::filesystem::recursive_directory_iterator(cgroup, options, ignored)) {
    if (folders.size() >= most)
      break;
    if (entry.is_directory(ignored))
      folders.push_back({entry.path(), true});
  }
  return folders;
}

std::string name_of(uint32_t id) {
  Fd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0 || info.name[0] == 0)
    return fmt::format("program {}", id);
  return info.name;
}

void append(std::string &list, const std::string &item) {
  list += (list.empty() ? "" : ", ") + item;
}

} // namespace

Result<void> probe_hooks() {
  return load(toa_hooks__open, toa_hooks__load, toa_hooks__destroy);
}
Result<void> probe_getsockopt() {
  return load(toa_getsockopt__open, toa_getsockopt__load, toa_getsockopt__destroy);
}
Result<void> probe_udp() {
  return load(uoa_hooks__open, uoa_hooks__load, uoa_hooks__destroy);
}
Result<void> probe_uoa_getsockopt() {
  return load(uoa_getsockopt__open, uoa_getsockopt__load, uoa_getsockopt__destroy);
}

Result<Others> programs_beside_ours(const std::string &agents_cgroup,
                                    const std::set<uint32_t> &agents_programs) {
  auto root = Cgroup::open_if_mounted();
  if (!root)
    return root.failure();
  Ids ours = pinned_programs();
  ours.insert(agents_programs.begin(), agents_programs.end());
  const auto folders =
      folders_around(root->path(), agents_cgroup.empty() ? root->path() : agents_cgroup);
  Others others;
  for (const Hook &hook : hooks) {
    Ids here;
    bool exclusive = false;
    for (const Folder &folder : folders) {
      Fd cgroup(open(folder.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!cgroup)
        continue; // gone, by now
      auto attached = attached_to(cgroup.get(), hook, ours);
      if (!attached)
        return attached.failure();
      here.insert(attached->foreign.begin(), attached->foreign.end());
      // One below stands in nobody's way but its own.
      exclusive = exclusive || (!folder.is_below && !attached->foreign.empty() &&
                                (attached->flags & BPF_F_ALLOW_MULTI) == 0);
    }
    std::string names;
    for (uint32_t id : here)
      names += " " + name_of(id);
    if (!here.empty())
      append(others.text, hook.name + names);
    if (exclusive)
      append(others.exclusive, hook.name + names);
  }
  return others;
}

} // namespace viaduct::agent
