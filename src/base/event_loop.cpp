// SPDX-License-Identifier: MIT
#include "base/event_loop.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

namespace viaduct {

namespace {

timespec to_timespec(std::chrono::milliseconds span) {
  timespec value{};
  value.tv_sec = span.count() / 1000;
  value.tv_nsec = (span.count() % 1000) * 1'000'000;
  return value;
}

} // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::make() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  loop->epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!loop->epoll_)
    return system_error("cannot make an epoll instance", errno);
  loop->wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!loop->wake_)
    return system_error("cannot make an eventfd", errno);
  auto drain = [wake = loop->wake_.get()](uint32_t) {
    uint64_t times = 0;
    if (read(wake, &times, sizeof times) < 0)
      return; // nothing is left in it, which is what was wanted
  };
  if (auto done = loop->watch(loop->wake_.get(), EPOLLIN, drain); !done)
    return done.failure();
  return loop;
}

Result<void> EventLoop::watch(int fd, uint32_t events, Ready ready) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0)
    return system_error("cannot watch a descriptor", errno);
  watches_[fd] = std::make_shared<Watch>(Watch{std::move(ready)});
  return {};
}

Result<void> EventLoop::change(int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) < 0)
    return system_error("cannot change what is watched of a descriptor", errno);
  return {};
}

void EventLoop::unwatch(int fd) {
  if (watches_.erase(fd) > 0)
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Result<EventLoop::TimerId> EventLoop::timer(std::chrono::milliseconds delay,
                                            std::chrono::milliseconds period,
                                            std::function<void()> fire) {
  Fd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer)
    return system_error("cannot make a timer", errno);
  itimerspec when{};
  // A zero would disarm the timer instead of firing at once.
  when.it_value = to_timespec(std::max(delay, std::chrono::milliseconds(1)));
  when.it_interval = to_timespec(period);
  if (timerfd_settime(timer.get(), 0, &when, nullptr) < 0)
    return system_error("cannot set a timer", errno);
  TimerId id = timer.get();
  bool once = period.count() == 0;
  auto ready = [this, id, once, fire = std::move(fire)](uint32_t) {
    uint64_t times = 0;
    if (read(id, &times, sizeof times) < 0)
      return;
    if (!once)
      return fire();
    auto keep = fire; // cancel() destroys the closure that holds `fire`
    cancel(id);
    keep();
  };
  if (auto done = watch(id, EPOLLIN, std::move(ready)); !done)
    return done.failure();
  timers_[id] = std::move(timer);
  return id;
}

void EventLoop::cancel(TimerId id) {
  if (timers_.count(id) == 0)
    return;
  unwatch(id);
  timers_.erase(id);
}

Result<void> EventLoop::signals(std::initializer_list<int> numbers, std::function<void(int)> fire) {
  sigset_t set;
  sigemptyset(&set);
  for (int number : numbers)
    sigaddset(&set, number);
  if (int code = pthread_sigmask(SIG_BLOCK, &set, nullptr); code != 0)
    return system_error("cannot block signals", code);
  signal_ = Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signal_)
    return system_error("cannot make a signalfd", errno);
  return watch(signal_.get(), EPOLLIN, [this, fire = std::move(fire)](uint32_t) {
    signalfd_siginfo info{};
    while (read(signal_.get(), &info, sizeof info) == sizeof info)
      fire(static_cast<int>(info.ssi_signo));
  });
}

void EventLoop::dispatch(int fd, uint32_t events) {
  auto found = watches_.find(fd);
  if (found == watches_.end()) // removed by an earlier callback of this round
    return;
  auto keep = found->second; // the callback may remove itself
  keep->ready(events);
}

Result<void> EventLoop::run() {
  std::array<epoll_event, 64> events;
  while (!stopping_) {
    int count = epoll_wait(epoll_.get(), events.data(), events.size(), -1);
    if (count < 0 && errno != EINTR)
      return system_error("cannot wait for events", errno);
    for (int i = 0; i < count && !stopping_; i++)
      dispatch(events[static_cast<size_t>(i)].data.fd, events[static_cast<size_t>(i)].events);
  }
  stopping_ = false;
  return {};
}

void EventLoop::stop() {
  stopping_ = true;
  uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof one) < 0)
    return; // the counter is full: the loop is awake already
}

} // namespace viaduct
