// SPDX-License-Identifier: MIT
//
// One process that we started: spawned with nothing inherited but what its plan names, watched
// through a pidfd (so a reused process id can never be hit), and bound to our life: the kernel ends
// it when we die, kill -9 included.
//
// Privileges are given up between fork and exec, not left to the program: a process that changes
// its user id loses its parent-death signal (commit_creds() clears it), one that is born with it
// does not.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace viaduct::dns64 {

// Who the process is to be.
struct Identity {
  uid_t user = 0;
  gid_t group = 0;
};

// The user of that name, or an Error that says it is missing.
Result<Identity> identity_of(const std::string &user);

struct ChildPlan {
  std::vector<std::string> command; // the program's path first
  std::vector<int> descriptors;     // become 3, 4, ... in the process; they stay the caller's
  std::optional<Identity> identity; // absent: as we are
  bool bind_low_ports = false;      // with an identity: keep CAP_NET_BIND_SERVICE, only that
};

class Child {
public:
  static Result<Child> start(const ChildPlan &plan);

  Child(Child &&) = default;
  Child &operator=(Child &&) = delete;
  Child(const Child &) = delete;
  ~Child(); // kills what still runs

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }   // readable when the process has ended
  int output() const { return output_.get(); } // its standard error; does not block
  void signal(int number) const;
  // "exited with status 1", "was ended by signal 9"; nothing while it runs.
  std::optional<std::string> ended();
  // The same after at most `limit`.
  std::optional<std::string> wait(std::chrono::milliseconds limit);
  bool succeeded() const { return succeeded_; } // it has ended with status 0

private:
  Child(pid_t pid, Fd pidfd, Fd output)
      : pid_(pid), pidfd_(std::move(pidfd)), output_(std::move(output)) {}

  pid_t pid_ = -1;
  Fd pidfd_, output_;
  std::optional<std::string> end_;
  bool succeeded_ = false;
};

} // namespace viaduct::dns64
