// SPDX-License-Identifier: MIT
//
// Spans of time as they stand in a configuration: "90s", "5m", "2h", "7d", "2h4m".
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace viaduct::config {

// Whole numbers with the units d, h, m and s, each at most once and the larger one first.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);
std::string duration_text(std::chrono::seconds span);

} // namespace viaduct::config
