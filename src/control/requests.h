// SPDX-License-Identifier: MIT
//
// Requests that carry more than a command: what a client may choose, read from its object.
#pragma once

#include "control/answer.h"
#include "control/filter.h"
#include "control/views.h"

namespace viaduct::control {

// {"command":"sessions"} and {"command":"bindings"}, each with an optional "filter".
Result<std::unique_ptr<Answer>> sessions_request(const tables::Tables &tables,
                                                 const nlohmann::json &request,
                                                 Now now = monotonic_seconds);
Result<std::unique_ptr<Answer>> bindings_request(const tables::Tables &tables,
                                                 const nlohmann::json &request);

// {"command":"clear"} with either "filter" or "all":true; `sweep` ends what has a Cause to.
using Sweep = std::function<void(const tables::Cause &cause)>;
Result<std::unique_ptr<Answer>> clear_request(const nlohmann::json &request, const Sweep &sweep);

} // namespace viaduct::control
