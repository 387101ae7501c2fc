// SPDX-License-Identifier: MIT
//
// packetlab: the programs of the packet lab (bench/lab.py) in one: what sends, what forwards in
// XDP, what counts. Each acts in the network namespace it is started in, and only there.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>

namespace viaduct::packetlab {

struct Options {
  std::string device;
  std::string other_device;
  std::string to;     // the next hop's MAC address
  std::string target; // IPv6 or IPv4
  uint32_t flows = 1;
  uint64_t first = 0;
  uint64_t frames = 0;
  double seconds = 0;
  uint32_t batch = 64;
  uint64_t rate = 0;
  bool stamp = false;
  bool verify = false;
};

Result<void> generate(const Options &options);
Result<void> sink(const Options &options);
Result<void> forward(const Options &options);
Result<void> time_steps(const Options &options);

Result<int> interface_index(const std::string &device);

// What a BPF skeleton's load or attach function returned, as an error sentence.
Result<void> good(const char *what, int code);

} // namespace viaduct::packetlab
