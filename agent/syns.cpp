// SPDX-License-Identifier: MIT
#include "agent/syns.h"

#include "agent/pinned.h"
#include "agent/record.h"
#include "base/address.h"
#include "tables/libbpf_words.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <functional>
#include <set>
#include <sys/socket.h>
#include <sys/stat.h>
#include <toa_listeners.skel.h>
#include <unistd.h>

namespace viaduct::agent {

namespace {

using tables::LibbpfWords;

// Runs an iterator to its end and hands out what it writes, row by row.
Result<void> walk(const bpf_program *program,
                  const std::function<void(const dp::agent_listener &row)> &on_row) {
  LibbpfWords words;
  bpf_link *link = bpf_program__attach_iter(program, nullptr);
  Fd rows(link == nullptr ? -1 : bpf_iter_create(bpf_link__fd(link)));
  int code = errno;
  bpf_link__destroy(link);
  if (!rows)
    return words.failure("the kernel cannot walk the listeners", -code);
  dp::agent_listener row{};
  size_t have = 0;
  for (;;) {
    ssize_t count = read(rows.get(), reinterpret_cast<char *>(&row) + have, sizeof row - have);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
      continue; // it has walked far and found nothing yet
    if (count < 0)
      return system_error("cannot walk the listeners", errno);
    if (count == 0)
      return {};
    have += static_cast<size_t>(count);
    if (have < sizeof row)
      continue;
    on_row(row);
    have = 0;
  }
}

std::string text_of(const dp::agent_listener &row) {
  std::string end = row.family == AF_INET
                        ? endpoint_text(Ipv4::from_network_order(row.local.word[0]), row.port_host)
                        : endpoint_text(Ipv6::from_bytes(row.local.byte), row.port_host);
  struct stat own {};
  if (stat("/proc/self/ns/net", &own) == 0 && own.st_ino != row.network_namespace)
    end += fmt::format(" (network namespace {})", row.network_namespace);
  return end;
}

} // namespace

Result<std::unique_ptr<Syns>> Syns::start(const Pins &pins, const Cgroup &cgroup) {
  std::unique_ptr<Syns> syns(new Syns(true));
  auto loaded = syns->load(pins, cgroup);
  if (!loaded) {
    syns.reset(new Syns(false));
    loaded = syns->load(pins, cgroup);
  }
  if (!loaded)
    return loaded.failure();
  return syns;
}

Result<void> Syns::load(const Pins &pins, const Cgroup &cgroup) {
  LibbpfWords words;
  skeleton_ = toa_listeners__open();
  if (skeleton_ == nullptr)
    return words.failure("cannot open the BPF object for listeners", -errno);
  if (auto done = adopt_maps(pins, skeleton_->obj); !done)
    return done;
  skeleton_->rodata->our_cgroup = cgroup.id();
  if (!may_set_)
    bpf_program__set_autoload(skeleton_->progs.agent_keep_syns, false);
  if (int code = toa_listeners__load(skeleton_); code < 0)
    return words.failure("the kernel cannot show listeners (it needs BTF and BPF iterators)", code);
  return {};
}

Syns::~Syns() {
  toa_listeners__destroy(skeleton_);
}

void Syns::keep() {
  if (may_set_)
    (void)walk(skeleton_->progs.agent_keep_syns, [](const dp::agent_listener &) {});
}

Result<std::vector<std::string>> Syns::missing() const {
  std::set<std::string> ends; // processes share a listener, and listeners a port
  if (auto done = walk(skeleton_->progs.agent_listeners,
                       [&](const dp::agent_listener &row) { ends.insert(text_of(row)); });
      !done)
    return done.failure();
  return std::vector<std::string>(ends.begin(), ends.end());
}

} // namespace viaduct::agent
