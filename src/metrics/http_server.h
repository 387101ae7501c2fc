// SPDX-License-Identifier: MIT
//
// GET /metrics over HTTP, by libmicrohttpd on the daemon's event loop (it brings no thread of its
// own). Whoever reaches the port may be hostile: connections, their memory and their time are
// bounded, a connection carries one request, and bodies are never read.
#pragma once

#include "base/event_loop.h"
#include "base/fd.h"
#include "base/result.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

struct MHD_Daemon;
struct MHD_Connection;

namespace viaduct::metrics {

struct HttpLimits {
  unsigned connections = 32;
  unsigned connections_per_address = 16;
  size_t memory = size_t{16} * 1024;      // bytes a connection's request may take
  std::chrono::milliseconds life{10'000}; // of a connection, all in all
};

class HttpServer {
public:
  using Body = std::function<std::string()>;

  // `address` is numeric. `body` is called on the loop, for each good request.
  static Result<std::unique_ptr<HttpServer>> start(EventLoop &loop, const std::string &address,
                                                   uint16_t port, Body body,
                                                   const HttpLimits &limits = {});
  ~HttpServer();
  HttpServer(const HttpServer &) = delete;
  HttpServer &operator=(const HttpServer &) = delete;

private:
  struct Callbacks; // what libmicrohttpd calls
  using Clock = std::chrono::steady_clock;

  HttpServer(EventLoop &loop, Body body, const HttpLimits &limits)
      : loop_(loop), body_(std::move(body)), limits_(limits) {}
  Result<void> begin(const std::string &address, uint16_t port);
  void turn();
  void tick();

  EventLoop &loop_;
  Body body_;
  HttpLimits limits_;
  int epoll_ = -1; // the library's
  MHD_Daemon *daemon_ = nullptr;
  std::unordered_map<int, Clock::time_point> deadlines_; // by the connection's descriptor
  EventLoop::TimerId tick_ = -1;
};

} // namespace viaduct::metrics
