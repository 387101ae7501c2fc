// SPDX-License-Identifier: MIT
//
// Which super-packets the tun takes back. That the kernel hands them to us does not mean that it
// takes them: some kernels refuse a write with segments (since 6.11, and in the stable kernels of
// its time, headers of super-packets are checked more strictly, at first too strictly). Such a
// packet is cut in software; what has been refused again and again, and only as a whole, is not
// tried any more.
#pragma once

#include "nvi/vnet.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace viaduct::nvi {

// Of what is written: named as the offload that it needs.
enum class Super : uint8_t { tso4, tso6, uso4, uso6 };

Super uso_of(const dp::frame &frame);                            // a train of this one's family
Super kind_of(const VnetHeader &header, const dp::frame &frame); // which is a super-packet

// Shared by all workers.
class Refusals {
public:
  // One after the other, without one that was taken, and each one's segments were taken.
  static constexpr uint32_t LIMIT = 16;

  bool off(Super kind) const { return count(kind).load(std::memory_order_relaxed) >= LIMIT; }
  void taken(Super kind);   // a whole one
  void refused(Super kind); // and its segments were not
  std::vector<std::string> off() const;

private:
  const std::atomic<uint32_t> &count(Super kind) const {
    return in_a_row_[static_cast<size_t>(kind)];
  }
  std::array<std::atomic<uint32_t>, 4> in_a_row_{};
};

} // namespace viaduct::nvi
