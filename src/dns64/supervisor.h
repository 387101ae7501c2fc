// SPDX-License-Identifier: MIT
//
// Keeps an unbound running that does DNS64: writes its configuration, starts it, asks it regularly
// (health_check.h), starts it again when it ends or no longer answers right, and ends it with us.
//
//     off --start()--> starting --first right answer--> healthy
//                         |                               |  it ended, or three wrong or no answers
//                         |  it ended, or 10 s without    v
//                         +----------------------------> failing --right answer--> healthy
//
// A start after a failure waits 1 s, 2 s, 4 s .. 60 s; a minute of health makes it 1 s again.
// Everything happens in the event loop's thread, which must be the one that calls start() (the
// kernel ends unbound when the thread that started it ends).
#pragma once

#include "base/event_loop.h"
#include "base/result.h"
#include "dns64/child.h"
#include "dns64/files.h"
#include "dns64/health_check.h"
#include "dns64/log_lines.h"
#include "dns64/unbound_config.h"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace viaduct::dns64 {

enum class State { off, starting, healthy, failing };
std::string_view state_name(State state); // as the control protocol says it

// How long things take; only tests need others.
struct Timing {
  std::chrono::milliseconds first_check{200};     // after a start
  std::chrono::milliseconds check_starting{1000}; // while not healthy
  std::chrono::milliseconds check{5000};
  std::chrono::milliseconds answer{1000};       // what a health check waits for its answer
  std::chrono::milliseconds start_limit{10000}; // to the first right answer
  std::chrono::milliseconds backoff_first{1000};
  std::chrono::milliseconds backoff_last{60000};
  std::chrono::milliseconds steady{60000}; // healthy this long: back-off starts anew
  std::chrono::milliseconds stop{2000};    // from SIGTERM to SIGKILL
};

class Supervisor {
public:
  using Log = std::function<void(Severity, const std::string &)>;

  Supervisor(EventLoop &loop, Settings settings, Log log, Timing timing = {});
  ~Supervisor(); // stop()
  Supervisor(const Supervisor &) = delete;
  Supervisor &operator=(const Supervisor &) = delete;

  // An Error when it cannot work at all (settings, files, no unbound): then nothing runs and
  // nothing is left behind. What goes wrong later shows in state() and is tried again.
  Result<void> start();
  // Ends it (waits up to Timing::stop) and removes its files.
  void stop();
  // Takes other settings over. Where it listens unchanged: unbound reads its configuration anew,
  // keeps its sockets and loses no question, only its cache; otherwise it is started anew. Settings
  // that unbound refuses change nothing and are the Error.
  Result<void> reload(Settings settings);

  State state() const { return state_; }
  unsigned restarts() const { return restarts_; }
  const std::string &detail() const { return detail_; } // one sentence, or empty
  pid_t pid() const { return child_ ? child_->pid() : -1; }

private:
  Result<std::string> checked_config(const Settings &settings) const;
  Result<void> run_checkconf(const Settings &settings, std::string_view config) const;
  void show_files(const std::string &config) const;
  ChildPlan plan() const;
  Result<void> launch();
  void end_child();
  void on_output();
  void on_exit();
  void note_line(Severity severity, const std::string &line);
  std::string explain_exit(const std::string &how) const;
  void fail(const std::string &why);
  void restart_later();
  void schedule_check(std::chrono::milliseconds delay);
  void check();
  void on_checked(const Result<void> &outcome);
  void on_healthy();
  void on_unhealthy(const std::string &why);
  void cancel_timers();

  using Clock = std::chrono::steady_clock;

  EventLoop &loop_;
  Settings settings_;
  Log log_;
  Timing timing_;
  LogLines lines_;
  HealthCheck health_;

  State state_ = State::off;
  unsigned restarts_ = 0;
  std::string detail_;
  std::optional<MemoryFile> config_, zone_;
  std::optional<Child> child_;
  std::string first_error_;  // of unbound since it was started
  std::string kill_reason_;  // why we killed it, if we did
  unsigned bad_answers_ = 0; // in a row
  std::chrono::milliseconds backoff_{};
  Clock::time_point waiting_since_, healthy_since_;
  std::optional<EventLoop::TimerId> check_timer_, restart_timer_;
};

} // namespace viaduct::dns64
