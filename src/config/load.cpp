// SPDX-License-Identifier: MIT
//
// A configuration file's bytes, read with care: what is not a readable, regular file of sane size
// is refused before anything is parsed.
#include "base/fd.h"
#include "config/tree.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>

namespace viaduct::config {

namespace {

// What a path names that is not a regular file.
const char *file_type(mode_t mode) {
  if (S_ISDIR(mode))
    return "a directory";
  if (S_ISFIFO(mode))
    return "a pipe";
  if (S_ISSOCK(mode))
    return "a socket";
  return "a device";
}

} // namespace

Result<std::string> read_file(const std::string &path) {
  // O_NONBLOCK: opening a pipe that nobody writes to must not hang.
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd)
    return system_error("cannot open the configuration", errno);
  struct stat status {};
  if (fstat(fd.get(), &status) < 0)
    return system_error("cannot look at the configuration", errno);
  if (!S_ISREG(status.st_mode))
    return error("found {}, expected a regular file", file_type(status.st_mode));
  std::string text;
  char block[16384];
  // One byte past the limit is enough for check_bounds to refuse it.
  while (text.size() <= max_file_bytes) {
    ssize_t count = read(fd.get(), block, sizeof block);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return system_error("cannot read the configuration", errno);
    if (count == 0)
      break;
    text.append(block, static_cast<size_t>(count));
  }
  return text;
}

Outcome load(const std::string &path) {
  auto text = read_file(path);
  if (!text)
    return Outcome{std::nullopt, {Problem{path, 0, 0, text.failure().message}}};
  return parse(*text, path);
}

std::string Problem::text() const {
  if (line == 0)
    return fmt::format("{}: {}", file, message);
  return fmt::format("{}:{}:{}: {}", file, line, column, message);
}

} // namespace viaduct::config
