// SPDX-License-Identifier: MIT
#include "dns64/health_check.h"

#include "dns64/dns_message.h"
#include "dns64/unbound_config.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

namespace viaduct::dns64 {

namespace {

constexpr Ipv4 FIRST{{192, 0, 0, 170}}; // RFC 7050 section 2.2
constexpr Ipv4 SECOND{{192, 0, 0, 171}};
constexpr int MAX_FOREIGN = 16; // messages read at once that are not the answer

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

SocketAddress socket_address(const std::string &address, uint16_t port) {
  SocketAddress result;
  if (auto six = Ipv6::parse(address)) {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    std::memcpy(&in6.sin6_addr, six->bytes.data(), sizeof in6.sin6_addr);
    std::memcpy(&result.storage, &in6, sizeof in6);
    result.length = sizeof in6;
  } else if (auto four = Ipv4::parse(address)) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, four->bytes.data(), sizeof in.sin_addr);
    std::memcpy(&result.storage, &in, sizeof in);
    result.length = sizeof in;
  }
  return result;
}

} // namespace

Result<void> judge_answer(std::span<const uint8_t> message, uint16_t id, const Prefix6 &prefix) {
  auto answer = parse_answer(message, id, HEALTH_NAME);
  if (!answer)
    return answer.failure();
  if (answer->rcode == RCODE_REFUSED)
    return error(
        "the resolver refuses questions of the gateway itself: something else answers there");
  if (answer->rcode != RCODE_NO_ERROR)
    return error("the resolver answers {} with error code {}", HEALTH_NAME, answer->rcode);
  const auto &found = answer->addresses;
  for (const auto &expected : {embed(prefix, FIRST), embed(prefix, SECOND)})
    if (std::find(found.begin(), found.end(), expected) != found.end())
      return {};
  if (found.empty())
    return error("the resolver synthesizes no address for {}", HEALTH_NAME);
  return error("the resolver's address for {} is {}, not within {}", HEALTH_NAME,
               found.front().text(), prefix.text());
}

void HealthCheck::ask(const std::string &address, uint16_t port, const Prefix6 &prefix,
                      std::chrono::milliseconds limit, Done done) {
  cancel();
  prefix_ = prefix;
  done_ = std::move(done);
  Result<void> sent = send(address, port);
  // Also a failure comes later, never from within this call.
  auto delay = sent ? limit : std::chrono::milliseconds(1);
  Error outcome =
      sent ? error("no answer from {} port {} within {} ms", address, port, limit.count())
           : sent.failure();
  auto timer = loop_.timer(delay, std::chrono::milliseconds(0), [this, outcome] {
    timer_.reset();
    finish(outcome);
  });
  if (!timer)
    return finish(timer.failure());
  timer_ = *timer;
}

Result<void> HealthCheck::send(const std::string &address, uint16_t port) {
  auto target = socket_address(address, port);
  socket_ = Fd(socket(target.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_)
    return system_error("cannot make a socket for the health check", errno);
  // Connected: only that address and port can answer, and a closed port is told at once.
  if (connect(socket_.get(), reinterpret_cast<sockaddr *>(&target.storage), target.length) < 0)
    return system_error(fmt::format("cannot reach {} port {}", address, port), errno);
  if (getrandom(&id_, sizeof id_, 0) != sizeof id_)
    return system_error("cannot get a random number", errno);
  auto query = aaaa_query(id_, HEALTH_NAME);
  if (::send(socket_.get(), query.data(), query.size(), 0) < 0)
    return system_error(fmt::format("cannot ask {} port {}", address, port), errno);
  return loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t) { read_answers(); });
}

void HealthCheck::read_answers() {
  std::array<uint8_t, MAX_DNS_MESSAGE + 1> buffer; // one more, so that too long shows
  for (int i = 0; i < MAX_FOREIGN; i++) {
    ssize_t length = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
      return;
    if (length < 0)
      return finish(system_error("nothing answers", errno));
    auto message = std::span(buffer).first(static_cast<size_t>(length));
    if (has_id(message, id_))
      return finish(judge_answer(message, id_, prefix_));
  }
}

void HealthCheck::finish(Result<void> outcome) {
  auto done = std::move(done_);
  cancel();
  if (done)
    done(std::move(outcome));
}

void HealthCheck::cancel() {
  if (timer_)
    loop_.cancel(*timer_);
  timer_.reset();
  if (socket_)
    loop_.unwatch(socket_.get());
  socket_.reset();
  done_ = nullptr;
}

} // namespace viaduct::dns64
