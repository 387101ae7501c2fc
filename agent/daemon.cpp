// SPDX-License-Identifier: MIT
#include "agent/daemon.h"

#include "agent/connections.h"
#include "agent/pinned.h"
#include "agent/view.h"
#include "base/clock.h"
#include "base/version.h"
#include "log/log.h"

#include <csignal>
#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace viaduct::agent {

namespace {

using nlohmann::json;

template <typename List> void append_texts(json &texts, const List &items) {
  for (const auto &item : items)
    texts.push_back(item.text());
}

json sender_texts(const Config &config) {
  json texts = json::array();
  if (config.any_sender) {
    texts.push_back("any");
    return texts;
  }
  append_texts(texts, config.senders4);
  append_texts(texts, config.senders6);
  return texts;
}

json kind_texts(const Config &config) {
  json texts = json::array();
  append_texts(texts, config.kinds);
  return texts;
}

// Whose they are.
json kind_descriptions(const Config &config) {
  json texts = json::array();
  for (const Kind &kind : config.kinds)
    texts.push_back(described(kind));
  return texts;
}

json port_items(const std::vector<PortState> &ports) {
  json items = json::array();
  for (const PortState &port : ports)
    items.push_back({{"name", port.name}, {"taken", port.attached}, {"why_not", port.why_not}});
  return items;
}

} // namespace

Daemon::Daemon(std::string config_path, Config config)
    : config_path_(std::move(config_path)), config_(std::move(config)),
      started_ns_(monotonic_ns()) {}

// What a predecessor has left goes on without one that could not start.
Daemon::~Daemon() {
  metrics_.reset();
  if (!ready_ && hooks_ != nullptr && hooks_->adopted())
    hooks_->leave();
  hooks_.reset();
  control_.reset();
}

double Daemon::uptime() const {
  return static_cast<double>(monotonic_ns() - started_ns_) / 1e9;
}

Result<void> Daemon::start() {
  using Step = Result<void> (Daemon::*)();
  for (Step step : {&Daemon::start_loop,
                    &Daemon::start_control, // refuses a second agent before anything is touched
                    &Daemon::start_hooks,   // from here on addresses are told
                    &Daemon::start_ports, &Daemon::start_metrics})
    if (auto done = (this->*step)(); !done)
      return done;
  warn();
  log::info("ready", {{"version", program_version},
                      {"cgroup", hooks_->cgroup()},
                      {"connections", hooks_->adopted() ? "kept" : "new"}});
  sd_notify(0, "READY=1");
  ready_ = true;
  return {};
}

Result<void> Daemon::start_loop() {
  auto loop = EventLoop::make();
  if (!loop)
    return loop.failure();
  loop_ = std::move(*loop);
  return loop_->signals({SIGTERM, SIGINT, SIGHUP, SIGUSR1},
                        [this](int number) { on_signal(number); });
}

Result<void> Daemon::start_control() {
  auto server = control::Server::start(
      *loop_, config_.socket,
      [this](const std::string &command, const json &) { return answer(command); });
  if (!server)
    return server.failure();
  control_ = std::move(*server);
  return {};
}

Result<void> Daemon::start_hooks() {
  Listeners before = listeners_now();
  auto hooks = Hooks::start(config_);
  if (!hooks)
    return hooks.failure();
  hooks_ = std::move(*hooks);
  if (!hooks_->adopted())
    older_ = std::move(before);
  return {};
}

// Ports come and go; those that are there are taken before we say that we are ready.
Result<void> Daemon::start_ports() {
  look_at_ports();
  constexpr std::chrono::milliseconds each(1000);
  if (auto timer = loop_->timer(each, each, [this] { look_at_ports(); }); !timer)
    return timer.failure();
  return {};
}

void Daemon::look_at_ports() {
  for (const PortChange &change : hooks_->look_at_ports())
    if (change.attached)
      log::info("udp_port_taken", {{"port", change.name}});
    else
      log::warning("udp_port_missing",
                   {{"port", change.name},
                    {"error", change.why_not},
                    {"detail", "its protocol 248 is not understood; it is looked for again"}});
}

Result<void> Daemon::start_metrics() {
  auto server = metrics_of(config_);
  if (!server)
    return server.failure();
  metrics_ = std::move(*server);
  return {};
}

Result<std::unique_ptr<metrics::HttpServer>> Daemon::metrics_of(const Config &config) {
  if (!config.metrics)
    return std::unique_ptr<metrics::HttpServer>();
  return metrics::HttpServer::start(*loop_, config.metrics->address, config.metrics->port, [this] {
    return exposition(
        {.uptime_seconds = uptime(),
         .counters = hooks_->counters(),
         .by_kind = hooks_->by_kind(),
         .getsockopt = config_.nat64_getsockopt && hooks_->why_no_getsockopt().empty(),
         .udp = config_.udp && hooks_->why_no_udp().empty(),
         .ports = hooks_->ports()});
  });
}

void Daemon::warn_of_what_is_missing() const {
  if (!hooks_->why_no_getsockname().empty())
    log::warning("no_getsockname", {{"error", hooks_->why_no_getsockname()}});
  if (!hooks_->why_no_getsockopt().empty())
    log::warning("no_getsockopt", {{"error", hooks_->why_no_getsockopt()}});
  if (!hooks_->why_no_udp().empty())
    log::warning("no_udp", {{"error", hooks_->why_no_udp()}});
  if (!hooks_->why_no_uoa_getsockopt().empty())
    log::warning("no_uoa_getsockopt", {{"error", hooks_->why_no_uoa_getsockopt()}});
}

void Daemon::warn() const {
  for (const std::string &sentence : warnings(config_))
    log::warning("configuration", {{"detail", sentence}});
  warn_of_what_is_missing();
  if (hooks_->lost_layout())
    log::warning("connections_lost",
                 {{"detail", "a predecessor of another version had connections that this one "
                             "cannot read: those that are open show the sender's address"}});
}

Result<void> Daemon::run() {
  auto done = loop_->run();
  sd_notify(0, "STOPPING=1");
  log::info("stopping");
  return done;
}

// SIGUSR1: a successor comes, and everything stays for it.
void Daemon::on_signal(int number) {
  if (number == SIGHUP) {
    if (auto done = reload(); !done)
      log::failure("reload_refused", {{"error", done.failure().message}});
    return;
  }
  if (number == SIGUSR1)
    hooks_->leave();
  loop_->stop();
}

Result<void> Daemon::reload() {
  auto outcome = load(config_path_);
  if (!outcome.config) {
    std::string lines;
    for (const auto &problem : outcome.problems)
      lines += (lines.empty() ? "" : "; ") + problem.text();
    return error("{}", lines);
  }
  const Config &next = *outcome.config;
  if (next.cgroup != config_.cgroup)
    return error("[agent] cgroup cannot change by reload: restart viaduct-agent");
  if (next.socket != config_.socket)
    return error("[control] socket cannot change by reload: restart viaduct-agent");
  if (next.metrics != config_.metrics) {
    auto server = metrics_of(next);
    if (!server)
      return server.failure();
    metrics_ = std::move(*server);
    config_.metrics = next.metrics;
  }
  if (auto done = hooks_->apply(next); !done) {
    (void)hooks_->apply(config_); // as far as it goes
    return done;
  }
  config_ = next;
  warn_of_what_is_missing();
  look_at_ports();
  for (const std::string &sentence : warnings(config_))
    log::warning("configuration", {{"detail", sentence}});
  log::info("reloaded", {{"configuration", config_path_}});
  return {};
}

// By what the kernel says of each; where it cannot, by what was there before us.
void Daemon::tell_listeners(json &item) const {
  auto without = hooks_->listeners_without_syns();
  if (without)
    item["older_listeners"] = *without;
  else if (hooks_->adopted())
    item["why_no_older_listeners"] = without.failure().message;
  else
    item["older_listeners"] = still_there(older_, listeners_now(), config_.ports);
}

json Daemon::status() const {
  json item = {{"version", program_version},
               {"pid", getpid()},
               {"uptime_seconds", static_cast<uint64_t>(uptime())},
               {"configuration", config_path_},
               {"cgroup", hooks_->cgroup()},
               {"senders", sender_texts(config_)},
               {"kinds", kind_texts(config_)},
               {"kinds_described", kind_descriptions(config_)},
               {"getsockname", config_.getsockname && hooks_->why_no_getsockname().empty()},
               {"why_no_getsockname", hooks_->why_no_getsockname()},
               {"ports", config_.ports},
               {"network_namespace", config_.own_network_namespace ? "own" : "any"},
               {"getsockopt", config_.nat64_getsockopt && hooks_->why_no_getsockopt().empty()},
               {"why_no_getsockopt", hooks_->why_no_getsockopt()},
               {"udp", config_.udp && hooks_->why_no_udp().empty()},
               {"why_no_udp", hooks_->why_no_udp()},
               {"uoa_getsockopt", config_.udp && config_.uoa_getsockopt &&
                                      hooks_->why_no_udp().empty() &&
                                      hooks_->why_no_uoa_getsockopt().empty()},
               {"why_no_uoa_getsockopt", hooks_->why_no_uoa_getsockopt()},
               {"udp_ports", port_items(hooks_->ports())},
               {"adopted", hooks_->adopted()},
               {"programs", pinned_programs()}};
  tell_listeners(item);
  return item;
}

Result<std::unique_ptr<control::Answer>> Daemon::answer(const std::string &command) {
  if (hooks_ == nullptr)
    return error("viaduct-agent is starting: try again");
  if (command == "status")
    return control::one_item(status());
  if (command == "counters")
    return counters_answer(hooks_->counters(), hooks_->by_kind());
  if (command == "connections") {
    auto connections = connections_answer(hooks_->connections());
    if (!connections)
      return connections.failure();
    return with_flows(std::move(*connections), hooks_->flows());
  }
  if (command == "version")
    return control::one_item({{"version", program_version}});
  if (command == "reload") {
    if (auto done = reload(); !done)
      return done.failure();
    return control::no_items();
  }
  return control::unknown_command(command, "status, counters, connections, reload and version");
}

} // namespace viaduct::agent
