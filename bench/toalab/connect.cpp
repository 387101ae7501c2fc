// SPDX-License-Identifier: MIT
//
// The kernel's own client: so many connections at once, each a connect() that ends with the server's reset, and a
// close(). What `send` makes leaves out the client's half of a connection; here it costs what it costs.
#include "toalab.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <netinet/in.h>
#include <sys/epoll.h>

namespace viaduct::toalab {

namespace {

using Clock = std::chrono::steady_clock;
constexpr int patience_ms = 10'000;

class Client {
public:
  Client(const Options &options, const sockaddr_in &server, int events)
      : options_(options), server_(server), events_(events) {}

  Result<void> run() {
    start_ = Clock::now();
    for (uint32_t i = 0; i < options_.window; i++)
      if (auto begun = begin(); !begun)
        return begun;
    while (over_ < begun_) {
      std::array<epoll_event, 256> ready{};
      int count = epoll_wait(events_.get(), ready.data(), ready.size(), patience_ms);
      if (count < 0 && errno != EINTR)
        return system_error("cannot wait for connections", errno);
      if (count == 0)
        return error("{} connections have not ended", begun_ - over_);
      for (int i = 0; i < count; i++)
        if (auto done = end(ready[static_cast<size_t>(i)].data.fd); !done)
          return done;
    }
    std::chrono::duration<double> took = Clock::now() - start_;
    fmt::print("{{\"connections\": {}, \"seconds\": {:.6f}}}\n", over_, took.count());
    return {};
  }

private:
  bool is_enough() const {
    if (options_.seconds > 0)
      return Clock::now() - start_ > std::chrono::duration<double>(options_.seconds);
    return begun_ == options_.connections;
  }

  Result<void> begin() {
    if (is_enough())
      return {};
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const auto *server = reinterpret_cast<const sockaddr *>(&server_);
    if (!fd || (connect(fd.get(), server, sizeof server_) < 0 && errno != EINPROGRESS))
      return system_error("cannot connect", errno);
    epoll_event event{};
    event.events = EPOLLRDHUP; // and whatever is wrong: a connection that stands is no event
    event.data.fd = fd.get();
    if (epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd.get(), &event) < 0)
      return system_error("cannot wait for a connection", errno);
    fd.release();
    begun_++;
    return {};
  }

  Result<void> end(int number) {
    Fd fd(number);
    int code = 0;
    socklen_t size = sizeof code;
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &code, &size);
    if (code != ECONNRESET)
      return system_error("a connection has ended otherwise than by a reset", code);
    over_++;
    return begin();
  }

  const Options &options_;
  sockaddr_in server_;
  Fd events_;
  Clock::time_point start_;
  uint64_t begun_ = 0, over_ = 0;
};

} // namespace

Result<void> connect_often(const Options &options) {
  sockaddr_in server{};
  server.sin_family = AF_INET;
  server.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.address.c_str(), &server.sin_addr) != 1)
    return error("{} is no IPv4 address", options.address);
  return Client(options, server, epoll_create1(EPOLL_CLOEXEC)).run();
}

} // namespace viaduct::toalab
