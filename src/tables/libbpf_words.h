// SPDX-License-Identifier: MIT
//
// What libbpf and the verifier say while one object is opened and loaded: the end of it goes into
// the error, since the cause stands last.
#pragma once

#include "base/result.h"

namespace viaduct::tables {

class LibbpfWords {
public:
  LibbpfWords(); // begins to listen, in this thread

  // `code`: a negative error number.
  Error failure(const char *what, int code) const;
};

} // namespace viaduct::tables
