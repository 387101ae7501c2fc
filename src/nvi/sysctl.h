// SPDX-License-Identifier: MIT
//
// Kernel settings below /proc/sys: set, remember, put back. A value that is right already is not
// written; a value that somebody changed after us is not put back.
//
// The two forwarding switches write into every interface's settings, too (and into
// accept_redirects); what stood there is remembered with them and put back with them.
#pragma once

#include "base/result.h"

#include <map>
#include <string>
#include <vector>

namespace viaduct::nvi {

class Sysctl {
public:
  // `name` is a path below /proc/sys: "net/ipv4/ip_forward" (interface names may hold dots).
  static Result<std::string> read(const std::string &name);

  // Whether the file is there (a kernel without IPv6, an interface that is gone).
  static bool exists(const std::string &name);

  Result<void> set(const std::string &name, const std::string &value);

  // Puts one back. Nothing happens if we did not set it, or if it is no longer what we set.
  Result<void> restore(const std::string &name);

  // Leaves it as it is, for good.
  void forget(const std::string &name);

  // In the opposite order of the settings; goes on after an error and returns the first one.
  Result<void> restore_all();

  std::vector<std::string> changed() const; // names, in the order they were set

private:
  using Values = std::map<std::string, std::string>;
  struct Setting {
    std::string name, before, ours;
    Values followers_before, followers_after; // what the kernel changed along with it
  };
  static Values followers(const std::string &name);
  static Result<void> write(const std::string &name, const std::string &value);
  static Result<void> put_back(const Setting &setting);

  std::vector<Setting> settings_;
};

} // namespace viaduct::nvi
