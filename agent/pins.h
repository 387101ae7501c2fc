// SPDX-License-Identifier: MIT
//
// Where the agent's maps and links are pinned, so that they outlive it: a folder of the BPF file
// system for each cgroup, and of one layout (dp::AGENT_LAYOUT). One agent at a time holds it.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace viaduct::agent {

class Pins {
public:
  static constexpr const char *every_folder = "/sys/fs/bpf/viaduct-agent";

  // Makes the folder, and takes it: an error if another agent has it. Mounts the BPF file system at
  // /sys/fs/bpf where it is missing.
  static Result<Pins> take(uint64_t cgroup);

  // Of a map or link. The counters' name holds what they count, since that differs by version.
  std::string path(std::string_view name) const;
  bool has(std::string_view name) const;
  // Folders of other layouts for the same cgroup are taken away: whether there were any.
  bool remove_other_layouts() const;
  void remove() const;
  // Of what is pinned, the names that begin so.
  std::vector<std::string> names(std::string_view begin) const;
  // Takes away a file.
  void forget(std::string_view name) const;

private:
  Pins(std::filesystem::path folder, std::string owner, Fd lock)
      : folder_(std::move(folder)), owner_(std::move(owner)), lock_(std::move(lock)) {}

  std::filesystem::path folder_;
  std::string owner_; // how the folders of every layout end
  Fd lock_;
};

} // namespace viaduct::agent
