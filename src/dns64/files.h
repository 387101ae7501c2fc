// SPDX-License-Identifier: MIT
//
// Where the configuration lies: twice. As files in our directory for people to read, written
// atomically; and in memory (memfd) for unbound, which inherits it (see CONFIG_DESCRIPTOR).
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>
#include <string_view>

namespace viaduct::dns64 {

// A text in memory that another process can be handed and that we can change later.
class MemoryFile {
public:
  static Result<MemoryFile> make(const char *name, std::string_view text);
  Result<void> replace(std::string_view text);
  int reader() const { return reader_.get(); } // can only be read

private:
  Fd writer_, reader_;
};

// The directory (0755) and its missing parents. One that is there must be ours alone to write.
Result<void> make_directory(const std::string &path);
// Another process sees the old file or the whole new one (0644).
Result<void> write_file(const std::string &directory, const std::string &name,
                        std::string_view text);
// The files we write, and the directory unless somebody else has put something into it.
void remove_files(const std::string &directory);

constexpr const char *CONFIG_FILE = "unbound.conf";
constexpr const char *ZONE_FILE = "ipv4only.arpa.zone";

} // namespace viaduct::dns64
