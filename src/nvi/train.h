// SPDX-License-Identifier: MIT
//
// Datagrams of one flow that leave one behind the other, written as one super-packet (USO): most of
// what a small datagram costs is its way through the kernel behind the tun, and a train takes it
// once. The kernel, or the port's hardware, makes the same datagrams of it again.
//
// Only neighbours of one batch are joined, so nothing waits and nothing changes its place. They have
// all in common but their payload: addresses, ports, traffic class, hop limit, DF; and their length,
// but for the last, which may be shorter. A checksum that is wrong must stay wrong, so a datagram
// whose checksum is whole is verified before it is joined. IPv4 identifications count up from the
// first one's.
#pragma once

#include "nvi/vnet.h"

#include <cstdint>

namespace viaduct::nvi {

class Train {
public:
  static constexpr uint32_t LONGEST = 64; // datagrams; the kernel's own limit was so for long

  // Whether a packet may be the first: a whole UDP datagram with a checksum.
  static bool may_begin(const VnetHeader &header, const dp::frame &frame);

  bool empty() const { return count_ == 0; }
  uint32_t count() const { return count_; }

  // The first one; its memory is used until finish(), and must have room for 64 KiB.
  void begin(const VnetHeader &header, const dp::frame &frame);
  // False: it does not belong to the train, which stays as it was.
  bool join(const VnetHeader &header, const dp::frame &frame);
  // What is to be written; the train is empty again.
  void finish(VnetHeader &header, dp::frame &frame);

private:
  bool fits(const dp::frame &frame) const;

  VnetHeader header_{};
  dp::frame frame_{};
  uint32_t count_ = 0;
  uint32_t size_ = 0;    // payload of each
  bool closed_ = false;  // a shorter one was the last
  bool checked_ = false; // the first one's checksum
};

} // namespace viaduct::nvi
