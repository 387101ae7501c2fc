// SPDX-License-Identifier: MIT
//
// Asks the resolver for the AAAA records of ipv4only.arpa, over UDP as a client would, and looks
// whether an address carries our prefix with 192.0.0.170 or 192.0.0.171 behind it: it answers, and
// it synthesizes, for the right prefix.
#pragma once

#include "base/address.h"
#include "base/event_loop.h"
#include "base/fd.h"
#include "base/result.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

namespace viaduct::dns64 {

// Whether this message is the answer a healthy resolver gives; otherwise what is wrong with it.
Result<void> judge_answer(std::span<const uint8_t> message, uint16_t id, const Prefix6 &prefix);

class HealthCheck {
public:
  using Done = std::function<void(Result<void>)>;

  explicit HealthCheck(EventLoop &loop) : loop_(loop) {}
  ~HealthCheck() { cancel(); }
  HealthCheck(const HealthCheck &) = delete;
  HealthCheck &operator=(const HealthCheck &) = delete;

  // One question from a new socket with a new id; `done` is called once, later. One at a time: an
  // unfinished check is dropped. `address` is a checked IPv4 or IPv6 address.
  void ask(const std::string &address, uint16_t port, const Prefix6 &prefix,
           std::chrono::milliseconds limit, Done done);
  void cancel();

private:
  Result<void> send(const std::string &address, uint16_t port);
  void read_answers();
  void finish(Result<void> outcome);

  EventLoop &loop_;
  Fd socket_;
  std::optional<EventLoop::TimerId> timer_;
  uint16_t id_ = 0;
  Prefix6 prefix_;
  Done done_;
};

} // namespace viaduct::dns64
