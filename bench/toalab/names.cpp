// SPDX-License-Identifier: MIT
//
// What asking costs: getpeername and getsockopt of one connection, called again and again.
#include "toalab.h"

#include "base/fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <netinet/in.h>
#include <poll.h>

namespace viaduct::toalab {

namespace {

constexpr uint32_t batches = 100;

// Nanoseconds of a call: the median of many batches, so that what else runs on the processor has no say in it.
template <typename Call> double timed(uint32_t calls, Call call) {
  std::array<double, batches> figures{};
  uint32_t each = calls / batches;
  for (double &figure : figures) {
    auto start = std::chrono::steady_clock::now();
    for (uint32_t i = 0; i < each; i++)
      call();
    std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    figure = took.count() / each;
  }
  std::nth_element(figures.begin(), figures.begin() + batches / 2, figures.end());
  return figures[batches / 2];
}

Result<void> wait_for_client(int fd) {
  pollfd wanted{.fd = fd, .events = POLLIN, .revents = 0};
  int ready = poll(&wanted, 1, 60'000);
  if (ready == 0)
    return error("nobody came within a minute");
  if (ready < 0)
    return system_error("cannot wait", errno);
  return {};
}

} // namespace

Result<void> time_names(const Options &options) {
  auto opened = listener(options.address, options.port);
  if (!opened)
    return opened.failure();
  Fd socket(*opened);
  printf("listens\n");
  fflush(stdout);
  if (auto ready = wait_for_client(socket.get()); !ready)
    return ready;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  Fd connection(accept4(socket.get(), reinterpret_cast<sockaddr *>(&address), &length, 0));
  if (!connection)
    return system_error("cannot accept", errno);
  double getpeername_ns = timed(options.calls, [&] {
    length = sizeof address;
    getpeername(connection.get(), reinterpret_cast<sockaddr *>(&address), &length);
  });
  double getsockopt_ns = timed(options.calls, [&] {
    int type = 0;
    socklen_t size = sizeof type;
    getsockopt(connection.get(), SOL_SOCKET, SO_TYPE, &type, &size);
  });
  linger now{.l_onoff = 1, .l_linger = 0}; // the client waits for a reset
  setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  printf("{\"peer\": \"%s\", \"getpeername\": %.3f, \"getsockopt\": %.3f}\n",
         name_of(address).text().c_str(), getpeername_ns, getsockopt_ns);
  return {};
}

} // namespace viaduct::toalab
