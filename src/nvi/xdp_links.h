// SPDX-License-Identifier: MIT
//
// The XDP program on ports, by BPF links: whoever holds a link may change its program or take it
// off, without asking the kernel whose a program is (which takes CAP_SYS_ADMIN). Pinned, they
// outlive the daemon, and a successor finds them; otherwise they end with it.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <vector>

namespace viaduct::nvi {

// The kernel's number for a BPF program, by its descriptor; 0: it is none.
uint32_t id_of(int program);

class XdpLinks {
public:
  // `folder`: of a BPF file system, for us alone; empty: there is none. What a predecessor has pinned
  // there is taken over, until detach(). `lasting`: ours are pinned there, too, if that can be; so it
  // must be asked for only where what the program works with outlives the daemon as well.
  XdpLinks(std::filesystem::path folder, bool lasting);

  // Puts the program on the port, in place of an earlier one of ours, by the port's driver or in its
  // stead (generic). A program of somebody else stays, and is an error.
  Result<void> attach(int port, int program, bool generic);
  // Takes ours off, if it is there.
  void detach(int port);
  // The indexes of the ports that have ours, those that have gone included.
  std::vector<int> ports() const;

private:
  Result<void> make(int port, int program, bool generic);
  void pin(int port, const Fd &link) const;
  std::filesystem::path pin_of(int port) const;

  std::filesystem::path folder_;
  bool lasting_;
  std::map<int, Fd> links_;
};

} // namespace viaduct::nvi
