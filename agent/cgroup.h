// SPDX-License-Identifier: MIT
//
// The folder of cgroup v2 that the hooks are attached to. Where cgroup v2 is mounted differs: at
// /sys/fs/cgroup, beside version 1 at /sys/fs/cgroup/unified, or nowhere; then we mount it.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>
#include <string_view>

namespace viaduct::agent {

// Where all of cgroup v2 is mounted, by the text of /proc/self/mountinfo; empty: nowhere.
std::string cgroup2_in(std::string_view mountinfo);

class Cgroup {
public:
  // `path` empty: the root, mounted if need be.
  static Result<Cgroup> open(const std::string &path);

  // The root where it is mounted; mounts nothing.
  static Result<Cgroup> open_if_mounted();

  int fd() const { return fd_.get(); }
  uint64_t id() const { return id_; } // the kernel's number of it
  const std::string &path() const { return path_; }
  // Takes our own mount away, whoever has made it.
  static void unmount();

private:
  Fd fd_;
  uint64_t id_ = 0;
  std::string path_;
};

} // namespace viaduct::agent
