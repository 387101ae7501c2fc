// SPDX-License-Identifier: MIT
//
// A client is watched for input or for output, never for both: while an answer is under way its
// next request stays in the kernel's buffer. What an event says is not trusted (the number of a
// closed descriptor may belong to a new client within one round of the loop): receive and send tell
// the truth.
#include "control/server.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <vector>

namespace viaduct::control {

namespace {

constexpr int accepts_per_turn = 16;

bool would_block(int number) {
  return number == EAGAIN || number == EWOULDBLOCK || number == EINTR;
}

// Both directions are closed: nobody will read an answer.
bool has_left(int fd) {
  pollfd watched{fd, 0, 0};
  return poll(&watched, 1, 0) > 0 && (watched.revents & (POLLHUP | POLLERR)) != 0;
}

} // namespace

Result<std::unique_ptr<Server>> Server::start(EventLoop &loop, const std::string &path,
                                              Handler handler, const Limits &limits) {
  auto listener = Listener::open(path);
  if (!listener)
    return listener.failure();
  std::unique_ptr<Server> server(
      new Server(loop, std::move(*listener), std::move(handler), limits));
  Server *self = server.get();
  if (auto done =
          loop.watch(self->listener_.get(), EPOLLIN, [self](uint32_t) { self->accept_some(); });
      !done)
    return done.failure();
  // Made now and not when it is needed: then there may be no descriptor left for it.
  auto period = std::clamp(limits.patience / 4, std::chrono::milliseconds(10),
                           std::chrono::milliseconds(1000));
  auto timer = loop.timer(period, period, [self] { self->tick(); });
  if (!timer)
    return timer.failure();
  self->tick_ = *timer;
  return server;
}

Server::~Server() {
  while (!clients_.empty())
    drop(clients_.begin()->first);
  if (tick_ >= 0)
    loop_.cancel(tick_);
  loop_.unwatch(listener_.get());
}

void Server::accept_some() {
  for (int i = 0; i < accepts_per_turn; i++) {
    Fd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      admit(std::move(socket));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The listener stays readable, and the loop would spin on it: look again at the next tick.
      return pause_accepting(true);
    } else if (errno != ECONNABORTED && errno != EINTR) {
      return;
    }
  }
}

void Server::admit(Fd socket) {
  int fd = socket.get();
  if (clients_.size() >= limits_.connections) {
    std::string refusal =
        fmt::format("{{\"error\":\"{} has {} control connections already: try again\"}}\n",
                    daemon_name(), limits_.connections);
    // A new socket's buffer takes a line; if not, the client sees the end without a reason.
    (void)send(fd, refusal.data(), refusal.size(), MSG_NOSIGNAL);
    return;
  }
  if (!loop_.watch(fd, EPOLLIN, [this, fd](uint32_t) { serve(fd); }))
    return;
  auto client = std::make_unique<Client>(std::move(socket), handler_, limits_);
  client->events = EPOLLIN;
  client->deadline = std::chrono::steady_clock::now() + limits_.patience;
  clients_[fd] = std::move(client);
}

void Server::resume() {
  std::vector<int> waiting;
  for (const auto &[fd, client] : clients_)
    if (client->talk.waiting()) {
      client->talk.resume();
      waiting.push_back(fd);
    }
  for (int fd : waiting)
    serve(fd);
}

void Server::pause_accepting(bool pause) {
  if (loop_.change(listener_.get(), pause ? 0U : uint32_t{EPOLLIN}))
    paused_ = pause;
}

void Server::serve(int fd) {
  auto found = clients_.find(fd);
  if (found == clients_.end())
    return;
  Client &client = *found->second;
  if (client.talk.waiting() && has_left(fd))
    return drop(fd);
  if (client.talk.wants_input() && !receive(client))
    return drop(fd);
  client.talk.advance(limits_.steps_per_turn);
  if (!send_output(client) || client.talk.finished())
    return drop(fd);
  uint32_t events = client.talk.has_work() ? uint32_t{EPOLLOUT} : uint32_t{EPOLLIN};
  if (client.talk.waiting())
    events = 0; // but its end is told all the same
  if (events == client.events)
    return;
  if (!loop_.change(fd, events))
    return drop(fd);
  client.events = events;
}

// False when the connection is broken.
bool Server::receive(Client &client) {
  std::array<char, 4096> buffer;
  ssize_t length = recv(client.fd.get(), buffer.data(), buffer.size(), 0);
  if (length > 0)
    client.talk.receive(std::string_view(buffer.data(), static_cast<size_t>(length)));
  else if (length == 0)
    client.talk.receive_end();
  else
    return would_block(errno);
  return true;
}

// False when the connection is broken. Only bytes that the client takes, and our own work, give it
// more time: half a request does not.
bool Server::send_output(Client &client) {
  auto output = client.talk.output();
  bool progress = client.talk.working();
  if (!output.empty()) {
    ssize_t length = send(client.fd.get(), output.data(), output.size(), MSG_NOSIGNAL);
    if (length < 0 && !would_block(errno))
      return false;
    if (length > 0) {
      client.talk.sent(static_cast<size_t>(length));
      progress = true;
    }
  }
  if (progress)
    client.deadline = std::chrono::steady_clock::now() + limits_.patience;
  return true;
}

void Server::drop(int fd) {
  loop_.unwatch(fd);
  clients_.erase(fd); // closes it
}

void Server::tick() {
  auto now = std::chrono::steady_clock::now();
  std::vector<int> late;
  for (const auto &[fd, client] : clients_)
    if (client->deadline <= now && !client->talk.endless())
      late.push_back(fd);
  for (int fd : late)
    drop(fd);
  if (paused_)
    pause_accepting(false);
}

} // namespace viaduct::control
