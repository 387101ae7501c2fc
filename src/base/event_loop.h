// SPDX-License-Identifier: MIT
//
// The daemon's event loop: epoll for descriptors, timerfd for timers, signalfd for signals.
// One thread runs it; nothing here is thread-safe except stop(). A callback may add and remove
// watches and timers, its own included.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <unordered_map>

namespace viaduct {

class EventLoop {
public:
  using Ready = std::function<void(uint32_t events)>; // EPOLLIN, EPOLLOUT, EPOLLHUP, ...
  using TimerId = int;

  static Result<std::unique_ptr<EventLoop>> make();

  // The descriptor stays the caller's; unwatch before it is closed.
  Result<void> watch(int fd, uint32_t events, Ready ready);
  Result<void> change(int fd, uint32_t events);
  void unwatch(int fd);

  // Calls `fire` after `delay`, and again every `period` if that is not zero.
  Result<TimerId> timer(std::chrono::milliseconds delay, std::chrono::milliseconds period,
                        std::function<void()> fire);
  void cancel(TimerId id);

  // Blocks the signals in this process (call before threads start) and delivers them here.
  Result<void> signals(std::initializer_list<int> numbers, std::function<void(int)> fire);

  // Runs until stop(); a stop() before it makes it return at once. May be run again afterwards.
  Result<void> run();
  void stop();

private:
  EventLoop() = default;
  struct Watch {
    Ready ready;
  };
  void dispatch(int fd, uint32_t events);

  Fd epoll_, wake_, signal_;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::unordered_map<int, Fd> timers_;
  std::atomic<bool> stopping_ = false;
};

} // namespace viaduct
