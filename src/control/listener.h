// SPDX-License-Identifier: MIT
//
// The control socket as a file: made with its final mode, never taken from a living daemon, removed
// only by the one that made it.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>
#include <sys/types.h>

namespace viaduct::control {

class Listener {
public:
  // Makes the directory (0755) if it is missing, replaces the file a dead daemon left.
  static Result<Listener> open(const std::string &path);

  Listener(Listener &&) = default;
  Listener &operator=(Listener &&) = delete;
  ~Listener();

  int get() const { return fd_.get(); }

private:
  Listener() = default;
  Result<void> bind_and_listen();

  Fd fd_;
  std::string path_;
  std::string made_directory_; // set if it was missing
  dev_t device_ = 0;           // of the file, to know it again
  ino_t inode_ = 0;
};

} // namespace viaduct::control
