// SPDX-License-Identifier: MIT
#include "agent/pins.h"

#include "agent/record.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <vector>

namespace viaduct::agent {

namespace {

namespace fs = std::filesystem;

constexpr const char *bpf_file_system = "/sys/fs/bpf";
constexpr const char *our_folder = Pins::every_folder;
constexpr std::string_view counters = "counters";

Result<void> need_bpf_file_system() {
  struct statfs facts {};
  if (statfs(bpf_file_system, &facts) == 0 &&
      static_cast<unsigned long>(facts.f_type) == BPF_FS_MAGIC)
    return {};
  if (mount("bpf", bpf_file_system, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
    return system_error(
        fmt::format("no BPF file system is mounted at {}, and it cannot be", bpf_file_system),
        errno);
  return {};
}

// Some mount the BPF file system so that everybody may make folders there.
Result<void> make_folder(const fs::path &folder) {
  if (mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST)
    return system_error(fmt::format("cannot make {}", folder.string()), errno);
  struct stat facts {};
  if (lstat(folder.c_str(), &facts) != 0)
    return system_error(fmt::format("cannot look at {}", folder.string()), errno);
  if (!S_ISDIR(facts.st_mode) || facts.st_uid != geteuid() ||
      (facts.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return error("{} is not a folder that only viaduct-agent can write to: remove it",
                 folder.string());
  return {};
}

// FNV-1a over the names of all counters, in their order: by it we know what a number counts.
constexpr uint64_t list_of_counters() {
  constexpr std::string_view names =
#define COUNTER(name, help) #name " "
#include "agent/counters.def"
#undef COUNTER
      ;
  uint64_t hash = 0xcbf29ce484222325U;
  for (char c : names)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

} // namespace

Result<Pins> Pins::take(uint64_t cgroup) {
  if (auto there = need_bpf_file_system(); !there)
    return there.failure();
  std::string owner = fmt::format("-{}", cgroup);
  fs::path folder = fs::path(our_folder) / fmt::format("{}{}", int{dp::AGENT_LAYOUT}, owner);
  for (const fs::path &each : {fs::path(our_folder), folder})
    if (auto made = make_folder(each); !made)
      return made.failure();
  Fd lock(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock)
    return system_error("cannot open " + folder.string(), errno);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) < 0)
    return error("another viaduct-agent runs for the same cgroup (it holds {})", folder.string());
  return Pins(folder, owner, std::move(lock));
}

std::string Pins::path(std::string_view name) const {
  if (name == counters)
    return (folder_ / fmt::format("{}_{:016x}", counters, list_of_counters())).string();
  return (folder_ / name).string();
}

bool Pins::has(std::string_view name) const {
  std::error_code ignored;
  return fs::exists(path(name), ignored);
}

std::vector<std::string> Pins::names(std::string_view begin) const {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto &entry : fs::directory_iterator(folder_, ignored))
    if (entry.path().filename().string().starts_with(begin))
      names.push_back(entry.path().filename().string());
  return names;
}

bool Pins::remove_other_layouts() const {
  std::error_code ignored;
  std::vector<fs::path> others;
  for (const auto &entry : fs::directory_iterator(our_folder, ignored))
    if (entry.path() != folder_ && entry.path().filename().string().ends_with(owner_))
      others.push_back(entry.path());
  for (const fs::path &other : others)
    fs::remove_all(other, ignored);
  return !others.empty();
}

void Pins::remove() const {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
  fs::remove(our_folder, ignored); // if it was the last one
}

void Pins::forget(std::string_view name) const {
  std::error_code ignored;
  fs::remove(path(name), ignored);
}

} // namespace viaduct::agent
