// SPDX-License-Identifier: MIT
//
// The control socket's server: moves bytes between clients and their conversations on the daemon's
// event loop. No client can hold up the loop: every turn is bounded, sends and receives never
// block, and whoever is silent or does not read is dropped.
#pragma once

#include "base/event_loop.h"
#include "base/fd.h"
#include "control/conversation.h"
#include "control/listener.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

namespace viaduct::control {

// docs/control-protocol.md; only tests choose others.
struct Limits {
  size_t line = 4096; // bytes
  size_t connections = 32;
  std::chrono::milliseconds patience{10'000};
  size_t steps_per_turn = 100;
};

class Server {
public:
  // Listens from here on. The loop must outlive the server, and so must all that answers look at.
  // The handler runs on the loop; it must not destroy the server.
  static Result<std::unique_ptr<Server>> start(EventLoop &loop, const std::string &path,
                                               Handler handler, const Limits &limits = {});
  ~Server(); // closes all connections and removes the socket file
  Server(const Server &) = delete;
  Server &operator=(const Server &) = delete;

  size_t connections() const { return clients_.size(); }

  // Answers that wait (Answer::Step::wait) are asked again.
  void resume();

private:
  using Time = std::chrono::steady_clock::time_point;
  struct Client {
    Client(Fd socket, const Handler &handler, const Limits &limits)
        : fd(std::move(socket)), talk(handler, limits.line) {}
    Fd fd;
    Conversation talk;
    Time deadline;
    uint32_t events = 0; // what the loop watches for
  };

  Server(EventLoop &loop, Listener listener, Handler handler, const Limits &limits)
      : loop_(loop), listener_(std::move(listener)), handler_(std::move(handler)), limits_(limits) {
  }

  void accept_some();
  void admit(Fd socket);
  void pause_accepting(bool pause);
  void serve(int fd);
  bool receive(Client &client);
  bool send_output(Client &client);
  void drop(int fd);
  void tick();

  EventLoop &loop_;
  Listener listener_;
  Handler handler_;
  Limits limits_;
  std::unordered_map<int, std::unique_ptr<Client>> clients_;
  EventLoop::TimerId tick_ = -1;
  bool paused_ = false;
};

} // namespace viaduct::control
