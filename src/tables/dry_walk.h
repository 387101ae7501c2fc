// SPDX-License-Identifier: MIT
//
// A dry walk of one packet through the native build, whichever tables it stands on.
#pragma once

#include "datapath/native/native.h"
#include "tables/tables.h"

namespace viaduct::tables {

Result<Trace> dry_walk(dp::engine *engine, std::span<const uint8_t> packet, uint32_t now);

} // namespace viaduct::tables
