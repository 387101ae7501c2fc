// SPDX-License-Identifier: MIT
//
// Tun: the device file's side of the NAT virtual interface. One descriptor per queue; each packet
// on it has a struct virtio_net_hdr (10 bytes) in front, so that super-packets and partial
// checksums cross whole.
//
// The interface is persistent: it and its routes stay when the daemon dies, and the next one adopts
// it. remove() ends that, and the interface vanishes when the last descriptor is closed.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace viaduct::nvi {

// Of "csum", "tso4", "tso6", "tso_ecn", "uso4", "uso6".
struct Offloads {
  std::vector<std::string> given;   // what the kernel may leave to us
  std::vector<std::string> missing; // what it did not take
  std::string why_missing;
};

class Tun {
public:
  // Makes the interface or adopts the one a predecessor left. Refuses an interface of that name
  // which is something else, or which another program reads.
  static Result<Tun> open(const std::string &name, unsigned queues);

  const std::string &name() const { return name_; }
  int ifindex() const { return ifindex_; }
  bool adopted() const { return adopted_; } // it was there before open()

  // Non-blocking descriptors, one per queue, owned by the Tun.
  std::vector<int> queues() const;

  // A whole IP packet, from the daemon itself, by each queue in turn: where nothing steers, the kernel
  // leaves a flow to the queue it was last written to, and a sweep may write thousands. False: it was
  // not taken.
  bool send(std::span<const uint8_t> packet);

  // Has the kernel ask this BPF program (a socket filter) which queue a packet waits in.
  Result<void> steer(int program);

  const Offloads &offloads() const { return offloads_; }

  // The interface goes away when this Tun is destroyed (at once: the descriptors close then).
  Result<void> remove();

private:
  Tun() = default;

  std::string name_;
  int ifindex_ = 0;
  bool adopted_ = false;
  std::vector<Fd> queues_;
  size_t next_ = 0; // the queue that send() takes
  Offloads offloads_;
};

} // namespace viaduct::nvi
