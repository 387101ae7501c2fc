// SPDX-License-Identifier: MIT
//
// The connections that have a record, as the kernel walks them (bpf/view.bpf.c).
#pragma once

#include "agent/record.h"
#include "base/result.h"
#include "control/answer.h"

#include <memory>

namespace viaduct::agent {

// One item for each connection that had a TOA option, pulled from the kernel as the client reads.
Result<std::unique_ptr<control::Answer>> connections_answer(int connections_map);

nlohmann::json row_item(const dp::agent_row &row);

// Whether this kernel takes what that needs.
Result<void> probe_view();

} // namespace viaduct::agent
