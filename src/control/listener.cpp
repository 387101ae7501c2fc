// SPDX-License-Identifier: MIT
//
// Whether a socket file is alive is asked by connecting to it. Two daemons that start at the same
// moment would both find a dead file and the second would remove the first one's: so look, remove
// and bind happen under a lock on the directory, which needs no lock file that could stay behind.
#include "control/listener.h"

#include "control/answer.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace viaduct::control {

namespace {

constexpr mode_t socket_mode = 0660;
constexpr mode_t directory_mode = 0755;
constexpr int backlog = 64;

Result<sockaddr_un> address_of(const std::string &path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.find('\0') != std::string::npos)
    return error("the path of the control socket is empty or holds a NUL byte");
  if (path.size() >= sizeof address.sun_path)
    return error("the path of the control socket is longer than {} bytes: {}",
                 sizeof address.sun_path - 1, path);
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Whether it was missing. The last component only: a whole missing path is more likely a typing
// error.
Result<bool> make_directory(const std::string &directory) {
  if (mkdir(directory.c_str(), directory_mode) == 0) {
    if (chmod(directory.c_str(), directory_mode) < 0) // the umask took some of it
      return system_error("cannot set the mode of " + directory, errno);
    return true;
  }
  if (errno != EEXIST)
    return system_error("cannot make the directory of the control socket, " + directory, errno);
  return false;
}

// Waits a little for another daemon that is starting, not for ever for somebody's lock.
Result<Fd> lock_directory(const std::string &directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd)
    return system_error("cannot open " + directory, errno);
  for (int tries = 0; flock(fd.get(), LOCK_EX | LOCK_NB) < 0; tries++) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return system_error("cannot lock " + directory, errno);
    if (tries == 100)
      return error("another program holds a lock on {}: is another {} starting?", directory,
                   daemon_name());
    usleep(10'000);
  }
  return fd;
}

// Success when nothing is at `path` any more.
Result<void> clear_path(const std::string &path, const sockaddr_un &address) {
  struct stat status {};
  if (lstat(path.c_str(), &status) < 0)
    return errno == ENOENT ? Result<void>() : system_error("cannot look at " + path, errno);
  if (!S_ISSOCK(status.st_mode))
    return error("{} exists and is not a socket: remove it, or set [control] socket", path);
  Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe)
    return system_error("cannot make a socket", errno);
  if (connect(probe.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0 ||
      errno == EAGAIN) // its queue is full: alive and busy
    return error("another {} listens on {}: stop it, or set [control] socket", daemon_name(), path);
  if (errno == EPROTOTYPE)
    return error("another program listens on {}: set [control] socket to another path", path);
  if (errno != ECONNREFUSED)
    return system_error("cannot tell whether somebody listens on " + path, errno);
  if (unlink(path.c_str()) < 0)
    return system_error(
        fmt::format("cannot remove the socket that a dead {} left, {}", daemon_name(), path),
        errno);
  return {};
}

} // namespace

Result<Listener> Listener::open(const std::string &path) {
  auto address = address_of(path);
  if (!address)
    return address.failure();
  Listener listener;
  listener.path_ = path;
  std::error_code ignored; // an empty directory is refused right below
  auto directory = std::filesystem::absolute(path, ignored).parent_path().string();
  auto made = make_directory(directory);
  if (!made)
    return made.failure();
  if (*made)
    listener.made_directory_ = directory;
  auto lock = lock_directory(directory);
  if (!lock)
    return lock.failure();
  if (auto clear = clear_path(path, *address); !clear)
    return clear.failure();
  if (auto done = listener.bind_and_listen(); !done)
    return done.failure();
  return listener;
}

Result<void> Listener::bind_and_listen() {
  auto address = address_of(path_);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd)
    return system_error("cannot make the control socket", errno);
  // The file gets this mode less the umask, so it is at no moment wider; chmod adds what the umask
  // took. The umask itself belongs to the whole process and is left alone.
  if (fchmod(fd.get(), socket_mode) < 0)
    return system_error("cannot set the mode of the control socket", errno);
  if (bind(fd.get(), reinterpret_cast<const sockaddr *>(&*address), sizeof *address) < 0)
    return system_error("cannot make the control socket " + path_, errno);
  fd_ = std::move(fd);
  struct stat status {};
  if (lstat(path_.c_str(), &status) < 0)
    return system_error("cannot look at " + path_, errno);
  device_ = status.st_dev;
  inode_ = status.st_ino;
  if (chmod(path_.c_str(), socket_mode) < 0)
    return system_error("cannot set the mode of " + path_, errno);
  if (listen(fd_.get(), backlog) < 0)
    return system_error("cannot listen on " + path_, errno);
  return {};
}

Listener::~Listener() {
  struct stat status {};
  if (fd_ && inode_ != 0 && lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
      status.st_ino == inode_)
    unlink(path_.c_str());
  if (!made_directory_.empty())
    rmdir(made_directory_.c_str()); // stays if others put something into it
}

} // namespace viaduct::control
