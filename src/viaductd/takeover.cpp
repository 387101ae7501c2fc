// SPDX-License-Identifier: MIT
//
// The daemon's way to a new configuration.
#include "base/clock.h"
#include "log/log.h"
#include "nvi/plan.h"
#include "viaductd/daemon.h"
#include "viaductd/policy.h"

#include <arpa/inet.h>
#include <filesystem>
#include <systemd/sd-daemon.h>

namespace viaduct {

Result<void> Daemon::reload() {
  sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
             static_cast<unsigned long long>(monotonic_ns() / 1000));
  auto outcome = config::load(config_path_);
  Result<void> done;
  if (!outcome.config) {
    std::vector<std::string> lines;
    for (const auto &problem : outcome.problems)
      lines.push_back(problem.text());
    done = error("{}", fmt::join(lines, "; "));
  } else {
    done = check_reloadable(*outcome.config);
    if (done)
      done = take_over(*outcome.config);
  }
  sd_notify(0, "READY=1");
  if (done)
    log::info("reloaded", {{"configuration", config_path_}});
  return done;
}

// What is fixed while the daemon runs.
Result<void> Daemon::check_reloadable(const config::Config &next) const {
  if (next.nvi.name != config_.nvi.name)
    return error("[nvi] name cannot change by reload (\"{}\" to \"{}\"): restart viaductd",
                 config_.nvi.name, next.nvi.name);
  if (next.nvi.engine != config_.nvi.engine)
    return error("[nvi] engine cannot change by reload: restart viaductd");
  if (next.nat64.max_sessions != config_.nat64.max_sessions)
    return error("[nat64] max_sessions cannot change by reload ({} to {}): restart viaductd",
                 config_.nat64.max_sessions, next.nat64.max_sessions);
  if (next.control.socket != config_.control.socket)
    return error("[control] socket cannot change by reload (\"{}\" to \"{}\"): restart viaductd",
                 config_.control.socket, next.control.socket);
  return {};
}

Result<void> Daemon::take_over(const config::Config &next) {
  auto connected = network_->connected_prefixes(next.nvi.name);
  if (!connected)
    return connected.failure();
  if (auto done = network_->check(nvi::plan_of(next)); !done)
    return done;
  // A new port is opened before anything changes, since it may be taken.
  bool new_metrics = next.control.metrics != config_.control.metrics;
  auto metrics = new_metrics ? make_metrics(next) : Result<Metrics>(Metrics{});
  if (!metrics)
    return metrics.failure();
  if (auto done = reload_dns64(next, *connected); !done)
    return done;
  auto done = network_->apply(nvi::plan_of(next));
  if (done)
    done = apply_policy(next, *connected);
  if (!done) { // back to where we were; what fails now is only logged
    if (auto undone = network_->apply(nvi::plan_of(config_)); !undone)
      log::failure("reload_undo", {{"error", undone.failure().message}});
    if (auto undone = reload_dns64(config_, connected_); !undone)
      log::failure("reload_undo", {{"error", undone.failure().message}});
    return done;
  }
  config_ = next;
  connected_ = *connected;
  workers_->set(worker_settings(config_));
  set_direct();
  if (new_metrics)
    metrics_ = std::move(*metrics);
  warn_once();
  uint64_t ended = take_over_bindings();
  if (ended > 0)
    log::info("sessions_ended", {{"count", ended}, {"why", "the new configuration"}});
  return {};
}

// Static bindings follow the configuration, and sessions that it does not allow any more end. Who
// has one of a new binding's ends by chance makes room; a few times, since he may come again.
uint64_t Daemon::take_over_bindings() {
  StaticBindings next(config_.bindings);
  for (const tables::BindingEnds &ends : bindings_.all())
    if (!next.has(ends))
      tables_->unbind(ends);
  auto cause = [&](const dp::session_key &key, const dp::session &value) {
    return still_allowed(policy_, key, value, next) ? dp::WHY_NONE : dp::WHY_DISALLOWED;
  };
  uint64_t ended = sweep(cause);
  for (const tables::BindingEnds &ends : next.all()) {
    bool bound = bindings_.has(ends);
    for (int i = 0; i < 3 && !bound; i++) {
      bound = tables_->bind(ends);
      if (!bound)
        ended += sweep(cause);
    }
    if (!bound)
      log::failure("static_binding",
                   {{"port", ntohs(ends.outside.pool_port)},
                    {"error", "its ends are taken, or the table is full: reload again"}});
  }
  bindings_ = std::move(next);
  return ended;
}

Result<void> Daemon::apply_policy(const config::Config &next,
                                  const std::vector<Prefix6> &connected) {
  dp::policy policy = make_policy(next, connected, policy_.generation + 1);
  keep_slots(policy_, policy);
  set_sizes(policy, next);
  if (policy.allow_count == 0)
    log::warning("allow", {{"detail", "no IPv6 prefix is connected and [nat64] allow is not given: "
                                      "nobody may use the gateway yet"}});
  if (auto done = tables_->set_policy(policy); !done)
    return done;
  policy_ = policy;
  return {};
}

void Daemon::set_sizes(dp::policy &policy, const config::Config &config) const {
  policy.mtu = network_->mtu();
  policy.largest_segment =
      config.nat64.mss_clamp ? static_cast<uint16_t>(network_->largest_segment()) : 0;
  if (policy.largest_segment != policy_.largest_segment)
    log::info("mss_clamp", {{"largest_segment", policy.largest_segment}});
}

// The ports, and with them the interface, may have other MTUs than before.
Result<void> Daemon::follow_mtu() {
  dp::policy policy = policy_;
  set_sizes(policy, config_);
  if (policy.mtu == policy_.mtu && policy.largest_segment == policy_.largest_segment)
    return {};
  if (auto done = tables_->set_policy(policy); !done)
    return done;
  policy_ = policy;
  return {};
}

Result<void> Daemon::reload_dns64(const config::Config &next,
                                  const std::vector<Prefix6> &connected) {
  if (!next.dns64) {
    dns64_.reset();
    return {};
  }
  dns64::Settings settings = dns64_settings(next, connected);
  if (dns64_)
    return dns64_->reload(std::move(settings));
  auto log_line = [](dns64::Severity severity, const std::string &text) {
    if (severity == dns64::Severity::info)
      log::info("dns64", {{"detail", text}});
    else
      log::warning("dns64", {{"detail", text}});
  };
  auto supervisor = std::make_unique<dns64::Supervisor>(*loop_, std::move(settings), log_line);
  if (auto done = supervisor->start(); !done)
    return done;
  dns64_ = std::move(supervisor);
  return {};
}

dns64::Settings Daemon::dns64_settings(const config::Config &config,
                                       const std::vector<Prefix6> &connected) const {
  dns64::Settings settings;
  settings.listen = config.dns64->listen;
  settings.upstream = config.dns64->upstream;
  settings.synthesize_always = config.dns64->synthesize == config::Synthesize::always;
  settings.prefix = config.nat64.prefixes.front();
  if (config.dns64->allow)
    settings.allow = *config.dns64->allow;
  else
    settings.allow = config.nat64.allow ? *config.nat64.allow : connected;
  settings.directory =
      (std::filesystem::path(config.control.socket).parent_path() / "dns64").string();
  return settings;
}

} // namespace viaduct
