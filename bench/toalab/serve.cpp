// SPDX-License-Identifier: MIT
//
// The server: what a program asks about its clients, asked of each, and the answers sent to the client, who
// knows what they should be.
#include "toalab.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <vector>

namespace viaduct::toalab {

namespace {

constexpr int backlog = 4096;
constexpr int lookup_nat64 = 4096; // TOA_SO_GET_LOOKUP
constexpr int check_end_ms = 100;

volatile sig_atomic_t ended = 0;

void end(int /*signal*/) {
  ended = 1;
}

// As programs of NAT64 clouds have it.
struct Nat64Peer {
  std::array<uint8_t, 16> address;
  uint16_t port;
  uint16_t pad;
};
static_assert(sizeof(Nat64Peer) == 20);

void ask_nat64(int connection, Told &told) {
  Nat64Peer peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(connection, IPPROTO_IP, lookup_nat64, &peer, &length) < 0) {
    told.nat64_error = errno;
    return;
  }
  told.nat64.family = 6;
  told.nat64.address = peer.address;
  told.nat64.port = peer.port;
}

class Server {
public:
  Server(const Options &options, int listener, int events)
      : options_(options), listener_(listener), events_(events) {}

  Result<void> run() {
    watch(listener_.get());
    std::array<epoll_event, 256> ready{};
    while (ended == 0) {
      int count =
          epoll_wait(events_.get(), ready.data(), ready.size(), options_.spin ? 0 : check_end_ms);
      if (count < 0 && errno != EINTR)
        return system_error("cannot wait for connections", errno);
      for (int i = 0; i < count; i++) {
        int fd = ready[static_cast<size_t>(i)].data.fd;
        if (fd == listener_.get())
          accept_all();
        else
          answer(fd);
      }
    }
    printf("{\"accepted\": %llu, \"names\": %llu, \"nat64\": %llu}\n", accepted_, names_, nat64_);
    return {};
  }

private:
  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd, &event);
  }

  void accept_all() {
    for (;;) {
      sockaddr_storage address{};
      socklen_t length = sizeof address;
      int fd = accept4(listener_.get(), reinterpret_cast<sockaddr *>(&address), &length,
                       SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0)
        return;
      accepted_++;
      names_++;
      if (options_.close_at_once) {
        linger now{.l_onoff = 1, .l_linger = 0}; // a reset, and nothing is left
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(fd);
        continue;
      }
      if (static_cast<size_t>(fd) >= told_.size())
        told_.resize(static_cast<size_t>(fd) + 1);
      told_[static_cast<size_t>(fd)] = name_of(address);
      watch(fd);
    }
  }

  void answer(int fd) {
    std::array<char, 2048> question{};
    ssize_t count = read(fd, question.data(), question.size());
    if (count < 0 && errno == EAGAIN)
      return;
    if (count <= 0) {
      close(fd);
      return;
    }
    Told told{
        .accepted = told_[static_cast<size_t>(fd)], .peer = {}, .nat64 = {}, .nat64_error = 0};
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (getpeername(fd, reinterpret_cast<sockaddr *>(&address), &length) == 0)
      names_++;
    told.peer = name_of(address);
    ask_nat64(fd, told);
    nat64_++;
    // Who has gone meanwhile does not read it.
    [[maybe_unused]] ssize_t written = write(fd, &told, sizeof told);
  }

  const Options &options_;
  Fd listener_, events_;
  std::vector<Name> told_; // accept's addresses, by file descriptor
  unsigned long long accepted_ = 0, names_ = 0, nat64_ = 0;
};

} // namespace

Name name_of(const sockaddr_storage &address) {
  Name name;
  if (address.ss_family == AF_INET) {
    const auto &four = reinterpret_cast<const sockaddr_in &>(address);
    name.family = 4;
    name.port = four.sin_port;
    memcpy(name.address.data(), &four.sin_addr, sizeof four.sin_addr);
  } else if (address.ss_family == AF_INET6) {
    const auto &six = reinterpret_cast<const sockaddr_in6 &>(address);
    name.family = 6;
    name.port = six.sin6_port;
    memcpy(name.address.data(), &six.sin6_addr, sizeof six.sin6_addr);
  }
  return name;
}

std::string Name::text() const {
  std::array<char, INET6_ADDRSTRLEN> words{};
  if (family != 4 && family != 6)
    return "nobody";
  inet_ntop(family == 4 ? AF_INET : AF_INET6, address.data(), words.data(), words.size());
  return fmt::format("[{}]:{}", words.data(), ntohs(port));
}

Result<int> listener(const std::string &address, uint16_t port) {
  sockaddr_storage where{};
  socklen_t length = sizeof(sockaddr_in);
  auto *four = reinterpret_cast<sockaddr_in *>(&where);
  auto *six = reinterpret_cast<sockaddr_in6 *>(&where);
  if (inet_pton(AF_INET, address.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
  } else if (inet_pton(AF_INET6, address.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    length = sizeof *six;
  } else {
    return error("{} is no address", address);
  }
  Fd socket(::socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int one = 1, zero = 0;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (where.ss_family == AF_INET6)
    setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
  if (!socket || bind(socket.get(), reinterpret_cast<sockaddr *>(&where), length) < 0 ||
      listen(socket.get(), backlog) < 0)
    return system_error(fmt::format("cannot listen on {} port {}", address, port), errno);
  return socket.release();
}

Result<void> serve(const Options &options) {
  struct sigaction action {};
  action.sa_handler = end;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  auto socket = listener(options.address, options.port);
  if (!socket)
    return socket.failure();
  Server server(options, *socket, epoll_create1(EPOLL_CLOEXEC));
  printf("listens\n");
  fflush(stdout);
  return server.run();
}

} // namespace viaduct::toalab
