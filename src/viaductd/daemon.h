// SPDX-License-Identifier: MIT
//
// The daemon: its parts, started in order and stopped in reverse. It owns them all; what they share
// (the event loop, the tables) is declared before those who use it.
#pragma once

#include "base/event_loop.h"
#include "base/result.h"
#include "config/config.h"
#include "control/monitor.h"
#include "control/server.h"
#include "control/views.h"
#include "datapath/types.h"
#include "dns64/supervisor.h"
#include "metrics/census.h"
#include "metrics/http_server.h"
#include "nvi/direct.h"
#include "nvi/network.h"
#include "nvi/tun.h"
#include "nvi/worker.h"
#include "tables/engine_choice.h"
#include "viaductd/policy.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace viaduct {

class Daemon {
public:
  Daemon(std::string config_path, config::Config config);
  ~Daemon(); // takes away whatever start() made

  Daemon(const Daemon &) = delete;
  Daemon &operator=(const Daemon &) = delete;

  // On failure nothing is left behind, but for sessions of a predecessor.
  Result<void> start();
  // Until SIGTERM or SIGINT; until SIGUSR1, after which all that outlives a daemon is left to the
  // next one. An error where it cannot go on: then, too.
  Result<void> run();

private:
  // What [control] metrics asks for; both empty where it is not given.
  struct Metrics {
    std::unique_ptr<metrics::Census> census;
    std::unique_ptr<metrics::HttpServer> server;
  };

  Result<void> start_loop();
  Result<void> start_control();
  Result<void> start_interface();
  Result<void> start_engine();
  Result<void> start_network();
  Result<void> start_workers();
  Result<void> attach_engine();
  void keep_engine();
  void adopt_sessions();
  bool leaves() const;
  Result<void> start_direct();
  Result<void> start_dns64();
  Result<void> start_metrics();
  Result<void> start_timers();

  void on_signal(int number);
  void on_network_event();
  void network_changed();
  void set_direct();
  void tell_direct();
  bool interface_is_gone() const;
  void give_up();
  void warn_once();
  void warn_of_missing_offloads();
  void warn_of_offloads();
  void warn_of_ports();
  uint64_t sweep(const tables::Cause &cause); // how many sessions ended
  uint64_t take_over_bindings();              // likewise

  // A configuration is taken over whole, or the old one stays as it was.
  Result<void> reload();
  Result<void> check_reloadable(const config::Config &next) const;
  Result<void> take_over(const config::Config &next);
  Result<void> reload_dns64(const config::Config &next, const std::vector<Prefix6> &connected);
  void set_sizes(dp::policy &policy, const config::Config &config) const;
  Result<void> follow_mtu();
  Result<void> apply_policy(const config::Config &next, const std::vector<Prefix6> &connected);

  Result<std::unique_ptr<control::Answer>> answer(const std::string &command,
                                                  const nlohmann::json &request);
  Result<std::unique_ptr<control::Answer>> monitor(const nlohmann::json &request);
  void monitors_turn();
  void steer();
  Result<Metrics> make_metrics(const config::Config &config);
  std::string metrics_text() const;
  nvi::Workers::Settings worker_settings(const config::Config &config) const;
  control::Status status() const;
  dns64::Settings dns64_settings(const config::Config &config,
                                 const std::vector<Prefix6> &connected) const;

  std::string config_path_;
  config::Config config_;
  uint64_t started_ns_ = 0;

  std::unique_ptr<EventLoop> loop_;
  tables::Chosen engine_;
  tables::Tables *tables_ = nullptr;  // engine_'s
  tables::Counters counted_before_{}; // what their counters began with: a predecessor's
  std::unique_ptr<control::Monitors> monitors_;
  std::unique_ptr<control::Server> control_;
  std::optional<nvi::Network> network_;
  std::optional<nvi::Tun> tun_;
  std::unique_ptr<nvi::Workers> workers_;
  std::unique_ptr<tables::DirectPrograms> direct_programs_; // where they are wanted and load
  std::optional<nvi::DirectPorts> direct_;
  std::optional<nvi::Monitor> monitor_;
  std::unique_ptr<dns64::Supervisor> dns64_;
  Metrics metrics_;

  StaticBindings bindings_;
  dp::policy policy_{};
  std::vector<Prefix6> connected_;  // what stands in for `allow` where none is given
  std::vector<std::string> warned_; // said already
  std::vector<nvi::DirectPorts::Port> direct_told_;
  size_t refused_offloads_ = 0; // how many of them
  uint64_t ports_refused_ = 0;  // no_port as it was said last
  uint64_t ports_quiet_until_ns_ = 0;
  bool change_pending_ = false;
  bool ready_ = false;
  bool leaving_ = false;                             // to a successor
  std::string given_up_;                             // why
  std::optional<EventLoop::TimerId> monitors_timer_; // while somebody watches
};

} // namespace viaduct
