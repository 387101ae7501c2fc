// SPDX-License-Identifier: MIT
#include "tables/pins.h"

#include "base/fd.h"
#include "datapath/keeper.h"

#include <cctype>
#include <cerrno>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace viaduct::tables {

namespace {

namespace fs = std::filesystem;

constexpr const char *bpf_file_system = "/sys/fs/bpf";
constexpr const char *our_folder = "/sys/fs/bpf/viaduct";
constexpr std::string_view counters = "counters";
constexpr std::string_view links_folder = "links";

// A number that no other network namespace has had since the machine started.
Result<uint64_t> network_namespace() {
  Fd any(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (!any || getsockopt(any.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
    return system_error("the kernel does not name its network namespaces", errno);
  return cookie;
}

// The BPF file system refuses dots in names.
std::string file_name(const std::string &interface) {
  std::string name;
  for (char c : interface)
    name += std::isalnum(static_cast<unsigned char>(c)) != 0
                ? std::string(1, c)
                : fmt::format("_{:02x}", static_cast<unsigned char>(c));
  return name;
}

bool has_bpf_file_system() {
  struct statfs facts {};
  return statfs(bpf_file_system, &facts) == 0 &&
         static_cast<unsigned long>(facts.f_type) == BPF_FS_MAGIC;
}

// FNV-1a over the names of all reasons, in their order: by it we know what a counter counts.
constexpr uint64_t list_of_reasons() {
  constexpr std::string_view names =
#define REASON(name, kind, rfc, help) #name " "
#include "datapath/reasons.def"
#undef REASON
      ;
  uint64_t hash = 0xcbf29ce484222325U;
  for (char c : names)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

// Some mount the BPF file system so that everybody may make folders there.
Result<void> check_owner(const fs::path &folder) {
  struct stat facts {};
  if (lstat(folder.c_str(), &facts) != 0)
    return system_error(fmt::format("cannot look at {}", folder.string()), errno);
  if (!S_ISDIR(facts.st_mode) || facts.st_uid != geteuid() ||
      (facts.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return error("{} is not a folder that only viaductd can write to: remove it", folder.string());
  return {};
}

Result<void> make_folder(const fs::path &folder) {
  if (mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST)
    return system_error(fmt::format("cannot make {}", folder.string()), errno);
  return check_owner(folder);
}

} // namespace

Result<Pins> Pins::of(const std::string &interface) {
  if (!has_bpf_file_system())
    return error("no BPF file system is mounted at {} (mount -t bpf bpf {})", bpf_file_system,
                 bpf_file_system);
  auto cookie = network_namespace();
  if (!cookie)
    return cookie.failure();
  if (fs::path ours = our_folder; fs::symlink_status(ours).type() != fs::file_type::not_found)
    if (auto good = check_owner(ours); !good)
      return good.failure();
  std::string owner = fmt::format("-{}-{}", *cookie, file_name(interface));
  return Pins(fs::path(our_folder) / fmt::format("{}{}", int{dp::MAP_LAYOUT}, owner), owner);
}

fs::path Pins::links() const {
  return fs::path(our_folder) / fmt::format("{}{}", links_folder, owner_);
}

std::vector<fs::path> Pins::all_layouts() const {
  std::error_code ignored;
  std::vector<fs::path> folders;
  for (const auto &entry : fs::directory_iterator(our_folder, ignored))
    if (entry.path().filename().string().ends_with(owner_) && entry.path() != links())
      folders.push_back(entry.path());
  return folders;
}

Result<bool> Pins::look() const {
  bool here = false;
  for (const fs::path &folder : all_layouts()) {
    if (folder != folder_) {
      const std::string name = folder.filename().string();
      return error("their layout is {}, and that of this viaductd {}",
                   name.substr(0, name.size() - owner_.size()), int{dp::MAP_LAYOUT});
    }
    here = true;
  }
  return here;
}

Result<void> Pins::make() const {
  if (auto made = make_folder(our_folder); !made)
    return made;
  return make_folder(folder_);
}

std::string Pins::path(std::string_view map) const {
  if (map == counters)
    return (folder_ / fmt::format("{}_{:016x}", counters, list_of_reasons())).string();
  return (folder_ / map).string();
}

void Pins::remove() const {
  std::error_code ignored;
  for (const fs::path &folder : all_layouts())
    fs::remove_all(folder, ignored);
  fs::remove(our_folder, ignored); // if it was the last one
}

void Pins::remove_other_counters() const {
  std::error_code ignored;
  std::vector<fs::path> others;
  for (const auto &entry : fs::directory_iterator(folder_, ignored))
    if (entry.path().filename().string().starts_with(counters) && entry.path() != path(counters))
      others.push_back(entry.path());
  for (const fs::path &other : others)
    fs::remove(other, ignored);
}

} // namespace viaduct::tables
