// SPDX-License-Identifier: MIT
//
// Where the maps of the BPF engine are pinned, so that they outlive the daemon: a folder of the BPF
// file system for each network namespace and interface. What lies in it is of one layout
// (dp::MAP_LAYOUT); of any other there is nothing to be had.
//
// The counters alone may be of another version's list of reasons: their file is named after it.
#pragma once

#include "base/result.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace viaduct::tables {

class Pins {
public:
  // Does not touch anything yet. Fails where there is no BPF file system at /sys/fs/bpf, or the
  // kernel does not name its network namespaces (before 5.14).
  static Result<Pins> of(const std::string &interface);

  // Whether a predecessor has left maps of this layout there. An error says what else is there.
  Result<bool> look() const;
  // Makes the folder.
  Result<void> make() const;
  // The path of the map with that name.
  std::string path(std::string_view map) const;
  // A folder beside it for what has no layout: the links of programs (nvi/xdp_links.h). Not made.
  std::filesystem::path links() const;
  // Takes away the folder, and those of other layouts.
  void remove() const;
  // Takes away the counters of other lists of reasons.
  void remove_other_counters() const;

private:
  Pins(std::filesystem::path folder, std::string owner)
      : folder_(std::move(folder)), owner_(std::move(owner)) {}
  std::vector<std::filesystem::path> all_layouts() const;

  std::filesystem::path folder_;
  std::string owner_; // how the folders of every layout end
};

} // namespace viaduct::tables
