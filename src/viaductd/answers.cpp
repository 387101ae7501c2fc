// SPDX-License-Identifier: MIT
//
// What others ask the daemon: by its socket, and for metrics.
#include "base/clock.h"
#include "control/requests.h"
#include "control/trace.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "viaductd/daemon.h"

#include <algorithm>
#include <iterator>
#include <unistd.h>

namespace viaduct {

Result<Daemon::Metrics> Daemon::make_metrics(const config::Config &config) {
  Metrics made;
  if (!config.control.metrics)
    return made;
  auto census = metrics::Census::start(*loop_, *tables_);
  if (!census)
    return census.failure();
  auto server =
      metrics::HttpServer::start(*loop_, config.control.metrics->address,
                                 config.control.metrics->port, [this] { return metrics_text(); });
  if (!server)
    return server.failure();
  made.census = std::move(*census);
  made.server = std::move(*server);
  return made;
}

std::string Daemon::metrics_text() const {
  metrics::Facts facts;
  facts.status = status();
  facts.counters = tables_->counters();
  facts.pool.assign(policy_.pool, policy_.pool + policy_.pool_count);
  for (const dp::pool_address &pool : facts.pool)
    facts.pool_most.push_back(control::most_used(*tables_, pool));
  if (metrics_.census)
    facts.census = metrics_.census->report();
  return metrics::exposition(facts);
}

control::Status Daemon::status() const {
  control::Status status;
  status.engine = engine_.engine;
  status.interface = config_.nvi.name;
  status.pid = getpid();
  status.uptime_seconds = (monotonic_ns() - started_ns_) / 1'000'000'000U;
  status.configuration = config_path_;
  status.workers = workers_ ? static_cast<unsigned>(workers_->count()) : 0;
  if (workers_)
    status.offloads_refused = workers_->refused();
  if (tun_) {
    status.offloads_missing = tun_->offloads().missing;
    std::ranges::remove_copy_if(
        tun_->offloads().given, std::back_inserter(status.offloads), [&](const std::string &name) {
          return std::ranges::find(status.offloads_refused, name) != status.offloads_refused.end();
        });
  }
  for (const Prefix6 &prefix : config_.nat64.prefixes)
    status.prefixes.push_back(prefix.text());
  status.usage = tables_->usage();
  status.handed_up = control::handed_up_share(tables_->counters(), counted_before_);
  status.why_not_bpf = engine_.why_not_bpf;
  status.why_mortal = engine_.why_mortal;
  if (direct_)
    for (const auto &port : direct_->ports())
      status.direct.push_back({port.name, port.mode, port.detail});
  if (dns64_) {
    status.dns64.state = dns64::state_name(dns64_->state());
    status.dns64.restarts = dns64_->restarts();
    status.dns64.detail = dns64_->detail();
  }
  return status;
}

Result<std::unique_ptr<control::Answer>> Daemon::monitor(const nlohmann::json &request) {
  constexpr auto period = control::Monitors::period;
  if (!monitors_timer_) { // ends itself where the request is refused
    auto timer = loop_->timer(period, period, [this] { monitors_turn(); });
    if (!timer)
      return timer.failure();
    monitors_timer_ = *timer;
  }
  return monitors_->request(request);
}

void Daemon::monitors_turn() {
  monitors_->turn();
  control_->resume();
  if (monitors_->count() != 0 || !monitors_timer_)
    return;
  monitors_->turn(); // nobody is left: the workers need not note anything
  loop_->cancel(*monitors_timer_);
  monitors_timer_.reset();
}

Result<std::unique_ptr<control::Answer>> Daemon::answer(const std::string &command,
                                                        const nlohmann::json &request) {
  if (command == "status")
    return control::one_item(control::status_item(status()));
  if (command == "sessions")
    return control::sessions_request(*tables_, request);
  if (command == "bindings")
    return control::bindings_request(*tables_, request);
  if (command == "pools")
    return control::pools_answer(*tables_,
                                 std::vector(policy_.pool, policy_.pool + policy_.pool_count));
  if (command == "maps")
    return control::maps_answer(
        std::vector(policy_.map_by_inside, policy_.map_by_inside + policy_.map_count));
  if (command == "counters")
    return control::counters_answer(tables_->counters());
  if (command == "clear")
    return control::clear_request(request, [this](const tables::Cause &cause) {
      log::info("cleared", {{"sessions", sweep(cause)}});
    });
  if (command == "monitor")
    return monitor(request);
  if (command == "trace")
    return control::trace_request(*tables_, request);
  if (command == "version")
    return control::one_item(control::version_item());
  if (command == "reload") {
    if (auto done = reload(); !done)
      return done.failure();
    return control::no_items();
  }
  return control::unknown_command(command);
}

} // namespace viaduct
