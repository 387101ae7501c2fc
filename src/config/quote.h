// SPDX-License-Identifier: MIT
//
// Text from a file made fit for a message: nothing in it steers a terminal, and it ends.
#pragma once

#include <string>
#include <string_view>

namespace viaduct::config {

// Control characters written as \uXXXX; cut behind `most` characters.
std::string printable(std::string_view text, size_t most);

// The same in double quotes, those inside marked with a backslash, and cut to what one looks at.
std::string quoted(std::string_view text);

} // namespace viaduct::config
