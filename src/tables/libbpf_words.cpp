// SPDX-License-Identifier: MIT
#include "tables/libbpf_words.h"

#include <bpf/libbpf.h>
#include <cstdarg>
#include <cstdio>
#include <string>

namespace viaduct::tables {

namespace {

constexpr size_t LAST_WORDS = 2000;
thread_local std::string said;

int listen(enum libbpf_print_level level, const char *format, va_list arguments) {
  if (level == LIBBPF_DEBUG)
    return 0;
  char line[1024];
  int length = vsnprintf(line, sizeof line, format, arguments);
  said += line;
  if (said.size() > LAST_WORDS)
    said.erase(0, said.size() - LAST_WORDS);
  return length;
}

} // namespace

LibbpfWords::LibbpfWords() {
  said.clear();
  libbpf_set_print(listen);
}

Error LibbpfWords::failure(const char *what, int code) const {
  Error failure = system_error(what, -code);
  if (!said.empty())
    failure.message += ": " + said;
  return failure;
}

} // namespace viaduct::tables
