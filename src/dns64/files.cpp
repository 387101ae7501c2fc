// SPDX-License-Identifier: MIT
#include "dns64/files.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace viaduct::dns64 {

namespace {

Result<void> write_all(int fd, std::string_view text, const std::string &name) {
  size_t done = 0;
  while (done < text.size()) {
    ssize_t count = pwrite(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno != EINTR)
      return system_error("cannot write " + name, errno);
    done += count > 0 ? static_cast<size_t>(count) : 0;
  }
  return {};
}

std::string temporary(const std::string &directory, const std::string &name) {
  return directory + "/." + name + ".new";
}

} // namespace

Result<MemoryFile> MemoryFile::make(const char *name, std::string_view text) {
  MemoryFile file;
  file.writer_ = Fd(memfd_create(name, MFD_CLOEXEC));
  if (!file.writer_)
    return system_error("cannot make a file in memory", errno);
  // The other process may be another user, and opens it anew through /proc/self/fd.
  if (fchmod(file.writer_.get(), 0444) < 0)
    return system_error("cannot set the mode of a file in memory", errno);
  auto path = fmt::format("/proc/self/fd/{}", file.writer_.get());
  file.reader_ = Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.reader_)
    return system_error("cannot open " + path, errno);
  if (auto done = file.replace(text); !done)
    return done.failure();
  return file;
}

Result<void> MemoryFile::replace(std::string_view text) {
  if (ftruncate(writer_.get(), 0) < 0)
    return system_error("cannot empty a file in memory", errno);
  return write_all(writer_.get(), text, "a file in memory");
}

Result<void> make_directory(const std::string &path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    auto part = path.substr(0, slash);
    if (mkdir(part.c_str(), 0755) < 0 && errno != EEXIST)
      return system_error("cannot make the directory " + part, errno);
    if (slash == std::string::npos)
      break;
  }
  struct stat status {};
  if (lstat(path.c_str(), &status) < 0)
    return system_error("cannot look at " + path, errno);
  if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() ||
      (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return error("{} is not a directory that only this user can write; remove it", path);
  return {};
}

Result<void> write_file(const std::string &directory, const std::string &name,
                        std::string_view text) {
  auto path = directory + "/" + name;
  auto draft = temporary(directory, name);
  unlink(draft.c_str()); // left by a process that was killed
  Fd file(open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file)
    return system_error("cannot make " + draft, errno);
  auto written = write_all(file.get(), text, draft);
  if (written && fchmod(file.get(), 0644) < 0)
    written = system_error("cannot set the mode of " + draft, errno);
  if (written && rename(draft.c_str(), path.c_str()) < 0)
    written = system_error("cannot make " + path, errno);
  if (!written)
    unlink(draft.c_str());
  return written;
}

void remove_files(const std::string &directory) {
  for (const char *name : {CONFIG_FILE, ZONE_FILE}) {
    unlink((directory + "/" + name).c_str());
    unlink(temporary(directory, name).c_str());
  }
  rmdir(directory.c_str());
}

} // namespace viaduct::dns64
