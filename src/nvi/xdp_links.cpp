// SPDX-License-Identifier: MIT
#include "nvi/xdp_links.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <linux/if_link.h>
#include <optional>
#include <string_view>
#include <sys/stat.h>
#include <system_error>

namespace viaduct::nvi {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view PIN = "xdp";

// The port that a link is on; nothing: it is no link of this kind, or its port has gone.
std::optional<int> port_of(const Fd &link) {
  bpf_link_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(link.get(), &info, &size) < 0 || info.type != BPF_LINK_TYPE_XDP ||
      info.xdp.ifindex == 0)
    return std::nullopt;
  return static_cast<int>(info.xdp.ifindex);
}

// The program that a port has in that place; 0: none.
uint32_t program_at(int port, bool generic) {
  LIBBPF_OPTS(bpf_xdp_query_opts, options);
  if (bpf_xdp_query(port, 0, &options) < 0)
    return 0;
  return generic ? options.skb_prog_id : options.drv_prog_id;
}

} // namespace

uint32_t id_of(int program) {
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  return bpf_obj_get_info_by_fd(program, &info, &size) < 0 ? 0 : info.id;
}

XdpLinks::XdpLinks(fs::path folder, bool lasting)
    : folder_(std::move(folder)), lasting_(lasting && !folder_.empty()) {
  std::error_code ignored;
  std::vector<fs::path> stale;
  if (folder_.empty())
    return;
  for (const auto &entry : fs::directory_iterator(folder_, ignored)) {
    Fd link(bpf_obj_get(entry.path().c_str()));
    const auto port = link ? port_of(link) : std::nullopt;
    if (port && entry.path() == pin_of(*port))
      links_[*port] = std::move(link);
    else
      stale.push_back(entry.path());
  }
  for (const fs::path &path : stale)
    fs::remove(path, ignored);
}

fs::path XdpLinks::pin_of(int port) const {
  return folder_ / fmt::format("{}{}", PIN, port);
}

Result<void> XdpLinks::attach(int port, int program, bool generic) {
  const auto known = links_.find(port);
  if (known == links_.end())
    return make(port, program, generic);
  // In the same place the packets go from one program to the other without a gap.
  const uint32_t wanted = id_of(program);
  if (program_at(port, generic) == wanted)
    return {};
  if (program_at(port, generic) != 0 &&
      bpf_link_update(known->second.get(), program, nullptr) == 0 &&
      program_at(port, generic) == wanted)
    return {};
  detach(port);
  return make(port, program, generic);
}

Result<void> XdpLinks::make(int port, int program, bool generic) {
  LIBBPF_OPTS(bpf_link_create_opts, options,
              .flags = static_cast<uint32_t>(generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE));
  Fd link(bpf_link_create(program, port, BPF_XDP, &options));
  const int code = errno;
  if (!link && (code == EBUSY || code == EEXIST))
    return error("another XDP program is there (ip link show tells which)");
  if (!link)
    return system_error(
        generic ? "the kernel refused the program" : "the port's driver refused the program", code);
  if (lasting_)
    pin(port, link);
  links_[port] = std::move(link);
  return {};
}

// Where it fails the link ends with the daemon, and packets take their way through the interface.
void XdpLinks::pin(int port, const Fd &link) const {
  std::error_code ignored;
  mkdir(folder_.c_str(), S_IRWXU);
  fs::remove(pin_of(port), ignored);
  (void)bpf_obj_pin(link.get(), pin_of(port).c_str());
}

void XdpLinks::detach(int port) {
  const auto known = links_.find(port);
  if (known == links_.end())
    return;
  std::error_code ignored;
  bpf_link_detach(known->second.get());
  links_.erase(known);
  if (folder_.empty())
    return;
  fs::remove(pin_of(port), ignored);
  fs::remove(folder_, ignored); // if it was the last one
  fs::remove(folder_.parent_path(), ignored);
}

std::vector<int> XdpLinks::ports() const {
  std::vector<int> all;
  for (const auto &[port, link] : links_)
    all.push_back(port);
  return all;
}

} // namespace viaduct::nvi
