// SPDX-License-Identifier: MIT
#include "agent/cgroup.h"

#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <linux/magic.h>
#include <sstream>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <vector>

namespace viaduct::agent {

namespace {

constexpr const char *our_folder = "/run/viaduct-agent";
constexpr const char *our_mount = "/run/viaduct-agent/cgroup2";

// proc(5): blanks and backslashes in names are written as \ooo.
std::string unescaped(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      result += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                  (text[i + 3] - '0'));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

Result<std::string> mount_own() {
  for (const char *folder : {our_folder, our_mount})
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
      return system_error(fmt::format("cannot make {} to mount cgroup v2", folder), errno);
  if (mount("viaduct-agent", our_mount, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) < 0)
    return system_error(fmt::format("cgroup v2 is mounted nowhere, and cannot be at {}", our_mount),
                        errno);
  return std::string(our_mount);
}

std::string found_mount() {
  std::ifstream file("/proc/self/mountinfo");
  std::stringstream text;
  text << file.rdbuf();
  return cgroup2_in(text.str());
}

Result<std::string> found_or_made() {
  std::string found = found_mount();
  return found.empty() ? mount_own() : Result<std::string>(found);
}

} // namespace

// "36 35 98:0 / /sys/fs/cgroup rw,... shared:4 - cgroup2 cgroup2 rw": our own mount comes last.
std::string cgroup2_in(std::string_view mountinfo) {
  std::istringstream lines{std::string(mountinfo)};
  std::string line, own;
  while (std::getline(lines, line)) {
    size_t dash = line.find(" - ");
    if (dash == std::string::npos || line.compare(dash, 11, " - cgroup2 ") != 0)
      continue;
    std::istringstream words(line);
    std::string id, parent, device, root, place;
    if (!(words >> id >> parent >> device >> root >> place) || root != "/")
      continue;
    place = unescaped(place);
    if (place != our_mount)
      return place;
    own = place;
  }
  return own;
}

Result<Cgroup> Cgroup::open(const std::string &path) {
  Cgroup cgroup;
  cgroup.path_ = path;
  if (path.empty()) {
    auto found = found_or_made();
    if (!found)
      return found.failure();
    cgroup.path_ = *found;
  }
  cgroup.fd_ = Fd(::open(cgroup.path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.fd_)
    return system_error("cannot open the cgroup " + cgroup.path_, errno);
  struct statfs facts {};
  struct stat status {};
  if (fstatfs(cgroup.fd_.get(), &facts) < 0 || fstat(cgroup.fd_.get(), &status) < 0)
    return system_error("cannot look at the cgroup " + cgroup.path_, errno);
  if (static_cast<unsigned long>(facts.f_type) != CGROUP2_SUPER_MAGIC)
    return error("{} is not a folder of cgroup v2", cgroup.path_);
  cgroup.id_ = status.st_ino;
  return cgroup;
}

Result<Cgroup> Cgroup::open_if_mounted() {
  std::string path = found_mount();
  if (path.empty())
    return error("cgroup v2 is mounted nowhere");
  return open(path);
}

void Cgroup::unmount() {
  if (umount2(our_mount, MNT_DETACH) == 0)
    rmdir(our_mount);
}

} // namespace viaduct::agent
