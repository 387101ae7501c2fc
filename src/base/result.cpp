// SPDX-License-Identifier: MIT
#include "base/result.h"

#include <system_error>

namespace viaduct {

Error system_error(std::string what, int number) {
  return Error{std::move(what) + ": " + std::generic_category().message(number)};
}

} // namespace viaduct
