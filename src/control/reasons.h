// SPDX-License-Identifier: MIT
//
// datapath/reasons.def as a table: what the control socket, the metrics and `viaduct explain` say
// about a counter.
#pragma once

#include "datapath/types.h"

#include <array>

namespace viaduct::control {

struct ReasonText {
  const char *name;
  const char *kind; // event, done, pass, drop, punt
  const char *rfc;  // "RFC 6146 3.5", or empty
  const char *help;
  const char *causes;
  const char *advice;
};

// By enum reason; that of REASON_none is empty.
const std::array<ReasonText, dp::REASON_COUNT> &reason_texts();

} // namespace viaduct::control
