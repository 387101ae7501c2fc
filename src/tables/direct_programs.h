// SPDX-License-Identifier: MIT
//
// The programs of direct ports, loaded over the engine's maps.
#pragma once

#include "base/result.h"
#include "datapath/types.h"

#include <cstdint>

namespace viaduct::tables {

class DirectPrograms {
public:
  virtual ~DirectPrograms() = default;

  // Descriptors; stay ours.
  virtual int tc() const = 0;
  virtual int xdp() const = 0;

  // What the XDP program is told about the port it sits on; nullptr: it sits there no more.
  virtual Result<void> set_port(uint32_t index, const dp::direct_port *port) = 0;

protected:
  DirectPrograms() = default;
  DirectPrograms(const DirectPrograms &) = default;
  DirectPrograms &operator=(const DirectPrograms &) = default;
};

} // namespace viaduct::tables
