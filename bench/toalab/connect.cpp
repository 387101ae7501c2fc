// SPDX-License-Identifier: MIT
//
// The kernel's own client: so many connections at once, each a connect() that ends with the server's reset and a
// close(), or with the answer to a question (HTTP) and a reset of ours. What `send` makes leaves out the client's half of a
// connection; here it costs what it costs. A BPF program adds the TOA where one is asked for.
#include "toalab.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <netinet/in.h>
#include <string_view>
#include <sys/epoll.h>
#include <toalab_client.skel.h>
#include <unistd.h>
#include <vector>

namespace viaduct::toalab {

namespace {

using Clock = std::chrono::steady_clock;
constexpr int patience_ms = 10'000;
constexpr const char *client_address = "198.51.100.7";
constexpr std::string_view question = "GET / HTTP/1.1\r\nHost: toalab\r\n\r\n";
constexpr std::string_view right_answer = "HTTP/1.1 200 ";

struct Destroy {
  void operator()(toalab_client *skeleton) const { toalab_client__destroy(skeleton); }
};

// What adds TOA to the connections of this process, as long as it lives.
class Toa {
public:
  Result<void> begin(const std::string &cgroup) {
    folder_ = Fd(open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder_)
      return system_error("cannot open " + cgroup, errno);
    Fd members(openat(folder_.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
    if (!members || write(members.get(), "0", 1) != 1)
      return system_error("cannot enter " + cgroup, errno);
    program_.reset(toalab_client__open());
    if (!program_ || inet_pton(AF_INET, client_address, &program_->rodata->client) != 1 ||
        toalab_client__load(program_.get()) != 0)
      return system_error("the kernel refused the program that adds TOA", errno);
    program_->links.add_toa = bpf_program__attach_cgroup(program_->progs.add_toa, folder_.get());
    if (!program_->links.add_toa)
      return system_error("cannot attach to " + cgroup, errno);
    return {};
  }

private:
  Fd folder_;
  std::unique_ptr<toalab_client, Destroy> program_;
};

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
        if (auto done = happened(ready[static_cast<size_t>(i)]); !done)
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
    // Without a question only what is wrong, so that a connection that stands is no event.
    event.events = options_.ask ? EPOLLIN | EPOLLOUT | EPOLLET : EPOLLRDHUP;
    event.data.fd = fd.get();
    if (epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd.get(), &event) < 0)
      return system_error("cannot wait for a connection", errno);
    if (static_cast<size_t>(fd.get()) >= asked_.size())
      asked_.resize(static_cast<size_t>(fd.get()) + 1);
    asked_[static_cast<size_t>(fd.get())] = false;
    fd.release();
    begun_++;
    return {};
  }

  Result<void> happened(const epoll_event &event) {
    int fd = event.data.fd;
    if (!options_.ask)
      return end_by_reset(fd);
    if (event.events & (EPOLLERR | EPOLLHUP))
      return error("the server has ended a connection before it answered");
    if (!asked_[static_cast<size_t>(fd)]) {
      asked_[static_cast<size_t>(fd)] = true;
      if (send(fd, question.data(), question.size(), MSG_NOSIGNAL) != ssize_t{question.size()})
        return system_error("cannot ask", errno);
    }
    return event.events & EPOLLIN ? end_by_answer(fd) : Result<void>();
  }

  // The answer is short: what comes first is all of it.
  Result<void> end_by_answer(int number) {
    Fd fd(number);
    std::array<char, 2048> answer{};
    ssize_t length = read(fd.get(), answer.data(), answer.size());
    if (length < 0)
      return system_error("no answer", errno);
    std::string_view words(answer.data(), static_cast<size_t>(length));
    if (!words.starts_with(right_answer))
      return error("the server answers {}", words.substr(0, words.find('\r')));
    linger now{.l_onoff = 1, .l_linger = 0}; // a reset, and nothing is left
    setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    over_++;
    return begin();
  }

  Result<void> end_by_reset(int number) {
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
  std::vector<bool> asked_; // by file descriptor
  uint64_t begun_ = 0, over_ = 0;
};

} // namespace

Result<void> connect_often(const Options &options) {
  sockaddr_in server{};
  server.sin_family = AF_INET;
  server.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.address.c_str(), &server.sin_addr) != 1)
    return error("{} is no IPv4 address", options.address);
  Toa toa;
  if (!options.toa_cgroup.empty())
    if (auto added = toa.begin(options.toa_cgroup); !added)
      return added;
  return Client(options, server, epoll_create1(EPOLL_CLOEXEC)).run();
}

} // namespace viaduct::toalab
