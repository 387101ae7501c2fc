// SPDX-License-Identifier: MIT
#include "toalab.h"

#include "base/fd.h"

#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <toalab_sockets.skel.h>
#include <unistd.h>

namespace viaduct::toalab {

namespace {

struct Destroy {
  void operator()(toalab_sockets *skeleton) const { toalab_sockets__destroy(skeleton); }
  void operator()(bpf_link *link) const { bpf_link__destroy(link); }
};

Result<uint64_t> bytes_of(int iterator) {
  std::array<char, 4096> bytes{};
  uint64_t sum = 0;
  for (;;) {
    ssize_t count = read(iterator, bytes.data(), bytes.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
      continue;
    if (count < 0)
      return system_error("cannot read the sockets", errno);
    if (count == 0)
      return sum;
    sum += static_cast<uint64_t>(count);
  }
}

} // namespace

Result<void> count_sockets(const Options &options) {
  Fd map(bpf_obj_get(options.map.c_str()));
  if (!map)
    return system_error("cannot open " + options.map, errno);
  std::unique_ptr<toalab_sockets, Destroy> program(toalab_sockets__open_and_load());
  if (!program)
    return system_error("the kernel refused the iterator", errno);
  bpf_iter_link_info info{};
  info.map.map_fd = static_cast<uint32_t>(map.get());
  bpf_iter_attach_opts opts{};
  opts.sz = sizeof opts;
  opts.link_info = &info;
  opts.link_info_len = sizeof info;
  std::unique_ptr<bpf_link, Destroy> link(
      bpf_program__attach_iter(program->progs.tell_socket, &opts));
  if (!link)
    return system_error("cannot look into " + options.map, errno);
  Fd iterator(bpf_iter_create(bpf_link__fd(link.get())));
  if (!iterator)
    return system_error("cannot look into " + options.map, errno);
  auto count = bytes_of(iterator.get());
  if (!count)
    return count.failure();
  printf("%llu\n", static_cast<unsigned long long>(*count));
  return {};
}

} // namespace viaduct::toalab
