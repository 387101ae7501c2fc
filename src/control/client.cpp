// SPDX-License-Identifier: MIT
#include "control/client.h"

#include "control/answer.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace viaduct::control {

namespace {

using nlohmann::json;

constexpr size_t max_reply_line = size_t{1} << 20;

// Who may use the socket, as the end of a sentence.
std::string who_may(const std::string &path) {
  struct stat status {};
  if (stat(path.c_str(), &status) < 0 || status.st_gid == 0)
    return "only root may use it (sudo)";
  std::array<char, 4096> memory;
  group entry{};
  group *found = nullptr;
  getgrgid_r(status.st_gid, &entry, memory.data(), memory.size(), &found);
  return found != nullptr
             ? fmt::format("root and the members of group {} may use it", found->gr_name)
             : fmt::format("root and the members of group {} may use it", status.st_gid);
}

Error connect_error(const std::string &path, int number) {
  switch (number) {
  case ENOENT:
  case ECONNREFUSED:
  case ENOTDIR:
    return error("nothing listens on {}: {} is not running, or listens elsewhere (--socket)", path,
                 daemon_name());
  case EACCES:
  case EPERM:
    return error("no permission for {}: {}", path, who_may(path));
  case EAGAIN:
    return error("{} does not take connections on {}: it is overloaded or stuck", daemon_name(),
                 path);
  default:
    return system_error("cannot connect to " + path, number);
  }
}

Error malformed() {
  return error("the answer is not what docs/control-protocol.md says: is it {} that listens "
               "there, and of this version?",
               daemon_name());
}

} // namespace

Result<Client> Client::connect(const std::string &path, std::chrono::milliseconds patience,
                               int *number) {
  int ignored = 0;
  int &failed = number != nullptr ? *number : ignored;
  failed = EINVAL;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return error("the path of the control socket is empty or longer than {} bytes: {}",
                 sizeof address.sun_path - 1, path);
  memcpy(address.sun_path, path.data(), path.size());
  // Not blocking: connect to a full queue would wait without end.
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd)
    return system_error("cannot make a socket", errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) < 0) {
    failed = errno;
    return connect_error(path, failed);
  }
  return Client(std::move(fd), patience);
}

Result<void> Client::wait(short events) {
  pollfd watched{fd_.get(), events, 0};
  int count = poll(&watched, 1, static_cast<int>(patience_.count()));
  if (count == 0)
    return error("{} did not answer within {} seconds", daemon_name(),
                 std::chrono::duration_cast<std::chrono::seconds>(patience_).count());
  if (count < 0 && errno != EINTR)
    return system_error(fmt::format("cannot wait for {}", daemon_name()), errno);
  return {};
}

Result<void> Client::ask(const std::string &command, json more) {
  more["command"] = command;
  std::string request = more.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  for (size_t sent = 0; sent < request.size();) {
    ssize_t length = send(fd_.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (length > 0) {
      sent += static_cast<size_t>(length);
    } else if (errno == EAGAIN) {
      if (auto ready = wait(POLLOUT); !ready)
        return ready;
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return {}; // refused at the door: the reason can still be read
    } else if (errno != EINTR) {
      return system_error(fmt::format("cannot send to {}", daemon_name()), errno);
    }
  }
  return {};
}

Result<std::string> Client::line() {
  size_t searched = at_;
  for (;;) {
    size_t end = input_.find('\n', searched);
    if (end != std::string::npos) {
      std::string found = input_.substr(at_, end - at_);
      at_ = end + 1;
      return found;
    }
    input_.erase(0, at_);
    at_ = 0;
    searched = input_.size();
    if (input_.size() > max_reply_line)
      return malformed();
    std::array<char, 65536> buffer;
    ssize_t length = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (length > 0) {
      input_.append(buffer.data(), static_cast<size_t>(length));
    } else if (length == 0 || errno == ECONNRESET) {
      return error("{} closed the connection before the answer was whole: see its log",
                   daemon_name());
    } else if (errno == EAGAIN) {
      if (auto ready = wait(POLLIN); !ready)
        return ready.failure();
    } else if (errno != EINTR) {
      return system_error(fmt::format("cannot read from {}", daemon_name()), errno);
    }
  }
}

Result<std::optional<json>> Client::next() {
  auto text = line();
  if (!text)
    return text.failure();
  json reply = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!reply.is_object())
    return malformed();
  if (auto item = reply.find("item"); item != reply.end() && item->is_object())
    return std::optional<json>(std::move(*item));
  if (auto failed = reply.find("error"); failed != reply.end() && failed->is_string())
    return error("{}", failed->get_ref<const std::string &>());
  if (auto end = reply.find("end"); end != reply.end() && *end == true)
    return std::optional<json>();
  return malformed();
}

} // namespace viaduct::control
