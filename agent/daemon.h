// SPDX-License-Identifier: MIT
//
// The agent's parts, started in order and stopped in reverse. It is not on the way of anything: the
// hooks work without it. It keeps them attached, tells them the configuration, and shows what they
// have seen.
#pragma once

#include "agent/config.h"
#include "agent/hooks.h"
#include "agent/listeners.h"
#include "base/event_loop.h"
#include "control/server.h"
#include "metrics/http_server.h"

#include <memory>
#include <string>

namespace viaduct::agent {

class Daemon {
public:
  Daemon(std::string config_path, Config config);
  ~Daemon();
  Daemon(const Daemon &) = delete;
  Daemon &operator=(const Daemon &) = delete;

  Result<void> start();
  Result<void> run(); // until SIGTERM, SIGINT or SIGUSR1

private:
  Result<void> start_loop();
  Result<void> start_control();
  Result<void> start_hooks();
  Result<void> start_ports();
  void look_at_ports();
  Result<void> start_metrics();
  void on_signal(int number);
  Result<void> reload();
  Result<std::unique_ptr<control::Answer>> answer(const std::string &command);
  nlohmann::json status() const;
  void tell_listeners(nlohmann::json &item) const;
  Result<std::unique_ptr<metrics::HttpServer>> metrics_of(const Config &config);
  void warn() const;
  void warn_of_what_is_missing() const;
  double uptime() const;

  std::string config_path_;
  Config config_;
  uint64_t started_ns_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<control::Server> control_;
  std::unique_ptr<Hooks> hooks_;
  std::unique_ptr<metrics::HttpServer> metrics_;
  Listeners older_; // than the hooks; of a predecessor's nothing is known
  bool ready_ = false;
};

} // namespace viaduct::agent
