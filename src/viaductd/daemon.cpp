// SPDX-License-Identifier: MIT
#include "viaductd/daemon.h"

#include "base/clock.h"
#include "base/version.h"
#include "control/requests.h"
#include "control/trace.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "nvi/egress.h"
#include "nvi/plan.h"
#include "tables/steering.h"
#include "viaductd/policy.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <net/if.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <thread>
#include <unistd.h>

namespace viaduct {

namespace {

using namespace std::chrono_literals;

// More queues than this gain nothing that the machines we know can use.
constexpr unsigned MAX_WORKERS = 16;

// Address changes come in bursts; one look at the end of each is enough.
constexpr auto SETTLE = 100ms;
constexpr auto SWEEP_PERIOD = 1s;

unsigned worker_count() {
  return std::clamp(std::thread::hardware_concurrency(), 1U, MAX_WORKERS);
}

std::vector<std::string> texts(const std::vector<Prefix6> &prefixes) {
  std::vector<std::string> result;
  std::transform(prefixes.begin(), prefixes.end(), std::back_inserter(result),
                 [](const Prefix6 &prefix) { return prefix.text(); });
  return result;
}

tables::Wish wish_of(config::Engine engine) {
  switch (engine) {
  case config::Engine::bpf:
    return tables::Wish::bpf;
  case config::Engine::tun:
    return tables::Wish::tun;
  case config::Engine::automatic:
    break;
  }
  return tables::Wish::bpf_if_it_loads;
}

std::string joined(const std::vector<std::string> &words) {
  return fmt::format("{}", fmt::join(words, ","));
}

} // namespace

Daemon::Daemon(std::string config_path, config::Config config)
    : config_path_(std::move(config_path)), config_(std::move(config)),
      started_ns_(monotonic_ns()) {}

// In reverse of start(); a part that was not started is not there.
Daemon::~Daemon() {
  metrics_ = {};
  dns64_.reset();
  monitor_.reset();
  const bool leave = leaves();
  if (direct_ && !leave)
    direct_->remove();
  direct_.reset();
  direct_programs_.reset();
  if (leave && tables_ != nullptr)
    tables_->leave();
  if (network_ && !leave) {
    if (auto done = network_->remove(); !done)
      log::warning("not_removed", {{"error", done.failure().message}});
  }
  workers_.reset();
  if (tun_ && !leave) {
    if (auto done = tun_->remove(); !done)
      log::warning("not_removed", {{"error", done.failure().message}});
  }
  tun_.reset();
  control_.reset();
  monitors_.reset();
  engine_ = {};
}

// Told so; or it could not start, and what a predecessor has left goes on without it.
bool Daemon::leaves() const {
  if (leaving_ || ready_ || !tun_)
    return leaving_;
  return tables_ != nullptr ? tables_->adopted() != nullptr
                            : tables::is_left_behind(config_.nvi.name);
}

// --- start, in order
// ------------------------------------------------------------------------------

Result<void> Daemon::start() {
  using Step = Result<void> (Daemon::*)();
  for (Step step : {&Daemon::start_loop,      // signals, before there are threads
                    &Daemon::start_control,   // refuses a second daemon before anything is touched
                    &Daemon::start_interface, // likewise
                    &Daemon::start_engine,    // the tables
                    &Daemon::start_network,   // the policy, and routes to the interface
                    &Daemon::start_workers,   // from here on packets are translated
                    &Daemon::start_direct,    // and on these ports past the interface
                    &Daemon::start_dns64, &Daemon::start_metrics, &Daemon::start_timers})
    if (auto done = (this->*step)(); !done)
      return done;
  log::info("ready", {{"version", program_version},
                      {"engine", engine_.engine},
                      {"interface", config_.nvi.name},
                      {"workers", workers_->count()},
                      {"offloads", joined(tun_->offloads())},
                      {"prefixes", joined(texts(config_.nat64.prefixes))}});
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
  auto server =
      control::Server::start(*loop_, config_.control.socket,
                             [this](const std::string &command, const nlohmann::json &request) {
                               return answer(command, request);
                             });
  if (!server)
    return server.failure();
  control_ = std::move(*server);
  return {};
}

Result<void> Daemon::start_interface() {
  auto network = nvi::Network::open();
  if (!network)
    return network.failure();
  if (auto done = network->check(nvi::plan_of(config_)); !done)
    return done;
  auto tun = nvi::Tun::open(config_.nvi.name, worker_count());
  if (!tun)
    return tun.failure();
  tun_.emplace(std::move(*tun));
  steer();
  network_.emplace(std::move(*network));
  return {};
}

// The interface has no other reader, so a predecessor that has left tables does not run any more. A
// kernel that loads the program and has no place for it is no reason to do without a gateway.
Result<void> Daemon::start_engine() {
  const tables::Wish wish = wish_of(config_.nvi.engine);
  auto choose = [&](tables::Wish what) -> Result<void> {
    engine_ = {};
    auto engine = tables::choose_engine(what, config_.nat64.max_sessions, config_.nvi.name);
    if (!engine)
      return engine.failure();
    engine_ = std::move(*engine);
    return attach_engine();
  };
  auto done = choose(wish);
  if (!done && wish == tables::Wish::bpf_if_it_loads && engine_.program >= 0) {
    const std::string why = done.failure().message;
    done = choose(tables::Wish::tun);
    engine_.why_not_bpf = why;
  }
  tables_ = engine_.tables.get();
  if (!done)
    return done;
  if (!engine_.why_not_bpf.empty())
    log::warning("engine", {{"engine", engine_.engine}, {"why_not_bpf", engine_.why_not_bpf}});
  if (engine_.program >= 0 && !engine_.why_mortal.empty())
    log::warning("sessions_mortal",
                 {{"detail", "sessions end with this viaductd: " + engine_.why_mortal}});
  monitors_ = std::make_unique<control::Monitors>(*tables_);
  if (!engine_.not_adopted.empty())
    log::warning("sessions_lost",
                 {{"detail", "the tables that a predecessor has left are not taken "
                             "over: " +
                                 engine_.not_adopted}});
  if (tables_->adopted() != nullptr)
    adopt_sessions();
  else if (tun_->adopted())
    log::info("adopted", {{"interface", config_.nvi.name}, {"sessions", "lost"}});
  return {};
}

// Under the policy they were made under, until the configuration's takes its place.
void Daemon::adopt_sessions() {
  policy_ = *tables_->adopted();
  std::vector<tables::BindingRow> rows;
  uint64_t cursor = 0;
  do {
    rows.clear();
    cursor = tables_->bindings(cursor, 1024, rows);
    for (const tables::BindingRow &row : rows)
      if (row.value.is_static != 0)
        bindings_.add(
            {row.key, {row.value.pool_address, row.value.pool_port, row.key.protocol, 0}});
  } while (cursor != 0);
  log::info("adopted", {{"interface", config_.nvi.name},
                        {"sessions", "kept"},
                        {"count", tables_->usage().sessions}});
}

Result<void> Daemon::start_network() {
  auto connected = network_->connected_prefixes(config_.nvi.name);
  if (!connected)
    return connected.failure();
  connected_ = *connected;
  if (auto done = apply_policy(config_, connected_); !done)
    return done;
  take_over_bindings(); // before the first packet
  auto done = network_->apply(nvi::plan_of(config_));
  warn_once();
  return done ? follow_mtu() : done;
}

// Without it the kernel chooses by itself, as docs/limits.md tells.
void Daemon::steer() {
  if (tun_->queues().size() < 2)
    return;
  auto program = tables::load_steering();
  auto done = program ? tun_->steer(program->get()) : program.failure();
  if (!done)
    log::info("steering", {{"by", "the kernel"}, {"detail", done.failure().message}});
}

Result<void> Daemon::start_workers() {
  auto workers = nvi::Workers::start(tables_->engine(), tun_->queues(), worker_settings(config_));
  if (!workers)
    return workers.failure();
  workers_ = std::move(*workers);
  return {};
}

// From here on the kernel takes the packets: without a policy it hands them up, where they wait for
// the workers. A program that a predecessor left would go on with tables that nobody has any more.
Result<void> Daemon::attach_engine() {
  if (engine_.program >= 0)
    return nvi::attach_egress(tun_->ifindex(), engine_.program);
  return tun_->adopted() ? nvi::detach_egress(tun_->ifindex()) : Result<void>();
}

Result<void> Daemon::start_direct() {
  auto direct = nvi::DirectPorts::make(
      tun_->ifindex(), {tables::links_of(config_.nvi.name), engine_.why_mortal.empty()});
  if (!direct)
    return direct.failure();
  direct_.emplace(std::move(*direct));
  set_direct();
  return {};
}

// Also where none are wanted: a predecessor may have left some.
void Daemon::set_direct() {
  const auto &ports = config_.nvi.direct;
  nvi::DirectPorts::Programs to_attach;
  if (!ports.empty() && !direct_programs_) {
    auto programs = tables::load_direct(engine_, tun_->ifindex());
    if (programs)
      direct_programs_ = std::move(*programs);
    else
      to_attach.why = programs.failure().message;
  }
  if (direct_programs_) {
    to_attach.tc = direct_programs_->tc();
    to_attach.xdp = direct_programs_->xdp();
    to_attach.tell = [this](uint32_t index, const dp::direct_port *port) {
      return direct_programs_->set_port(index, port);
    };
  }
  direct_->apply(ports, config_.nvi.direct_mode, std::move(to_attach));
  tell_direct();
}

void Daemon::tell_direct() {
  for (const auto &port : direct_->ports()) {
    if (std::ranges::find(direct_told_, port) != direct_told_.end())
      continue;
    if (port.mode.empty())
      log::warning("direct", {{"port", port.name}, {"why_not", port.detail}});
    else
      log::info("direct", {{"port", port.name}, {"mode", port.mode}});
  }
  direct_told_ = direct_->ports();
}

nvi::Workers::Settings Daemon::worker_settings(const config::Config &config) const {
  const auto &offloads = tun_->offloads();
  return {.spin = std::chrono::microseconds(config.nvi.spin_us),
          .gather_udp =
              config.nvi.gather_udp && std::ranges::find(offloads, "uso6") != offloads.end()};
}

Result<void> Daemon::start_dns64() {
  return reload_dns64(config_, connected_);
}

Result<void> Daemon::start_metrics() {
  auto made = make_metrics(config_);
  if (!made)
    return made.failure();
  metrics_ = std::move(*made);
  return {};
}

Result<void> Daemon::start_timers() {
  auto monitor = nvi::Monitor::open();
  if (!monitor)
    return monitor.failure();
  monitor_.emplace(std::move(*monitor));
  if (auto done = loop_->watch(monitor_->fd(), EPOLLIN, [this](uint32_t) { on_network_event(); });
      !done)
    return done;
  auto timer = loop_->timer(SWEEP_PERIOD, SWEEP_PERIOD, [this] {
    sweep({});
    warn_of_offloads();
  });
  return timer ? Result<void>() : Result<void>(timer.failure());
}

// --- running
// --------------------------------------------------------------------------------------

Result<void> Daemon::run() {
  auto done = loop_->run();
  sd_notify(0, "STOPPING=1");
  log::info("stopping");
  if (done && !given_up_.empty())
    return error("{}", given_up_);
  return done;
}

void Daemon::on_signal(int number) {
  leaving_ = number == SIGUSR1;
  if (number != SIGHUP)
    return loop_->stop();
  if (auto done = reload(); !done)
    log::failure("reload_refused", {{"error", done.failure().message}});
}

uint64_t Daemon::sweep(const tables::Keep &keep) {
  return tables_->sweep(monotonic_seconds(), keep,
                        [this](std::span<const uint8_t> packet) { return tun_->send(packet); });
}

// Of routes only the loss of our own matters: there may be a million others, changing all day.
void Daemon::on_network_event() {
  auto changes = monitor_->drain();
  if (!changes) {
    log::warning("network_events", {{"error", changes.failure().message}});
    return;
  }
  if (change_pending_ || !(changes->addresses || changes->links || changes->ours || changes->lost))
    return;
  auto timer = loop_->timer(SETTLE, 0ms, [this] {
    change_pending_ = false;
    network_changed();
  });
  change_pending_ = static_cast<bool>(timer);
}

// Sessions stay: a port that flaps must not end what runs over it.
void Daemon::network_changed() {
  if (interface_is_gone())
    return give_up();
  if (auto done = network_->refresh(); !done)
    log::warning("network_refresh", {{"error", done.failure().message}});
  warn_once();
  direct_->refresh();
  tell_direct();
  if (auto done = follow_mtu(); !done)
    log::failure("policy", {{"error", done.failure().message}});
  auto connected = network_->connected_prefixes(config_.nvi.name);
  if (!connected || *connected == connected_)
    return;
  connected_ = *connected;
  if (config_.nat64.allow)
    return;
  log::info("allow", {{"prefixes", joined(texts(connected_))}});
  if (auto done = apply_policy(config_, connected_); !done)
    log::failure("policy", {{"error", done.failure().message}});
  if (auto done = reload_dns64(config_, connected_); !done)
    log::failure("dns64", {{"error", done.failure().message}});
}

bool Daemon::interface_is_gone() const {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(static_cast<unsigned>(tun_->ifindex()), name.data()) == nullptr;
}

// Its queues are dead, and the kernel has taken routes and programs along. Whoever starts us again
// makes it anew, and finds the sessions there.
void Daemon::give_up() {
  leaving_ = true;
  given_up_ = fmt::format("interface {} was deleted: start viaductd again (systemd does)",
                          config_.nvi.name);
  loop_->stop();
}

void Daemon::warn_once() {
  for (const std::string &sentence : network_->warnings()) {
    if (std::find(warned_.begin(), warned_.end(), sentence) != warned_.end())
      continue;
    warned_.push_back(sentence);
    log::warning("network", {{"detail", sentence}});
  }
}

// Each offload is refused at most once: it is not tried again.
void Daemon::warn_of_offloads() {
  auto refused = workers_->refused();
  if (refused.size() <= refused_offloads_)
    return;
  refused_offloads_ = refused.size();
  log::warning("offload_refused", {{"offloads", joined(refused)},
                                   {"detail", "the kernel does not take such super-packets: they "
                                              "are cut in software from now on"}});
}

// --- a new configuration
// --------------------------------------------------------------------------

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
  auto keep = [&](const dp::session_key &key, const dp::session &value) {
    return still_allowed(policy_, key, value, next);
  };
  uint64_t ended = sweep(keep);
  for (const tables::BindingEnds &ends : next.all()) {
    bool bound = bindings_.has(ends);
    for (int i = 0; i < 3 && !bound; i++) {
      bound = tables_->bind(ends);
      if (!bound)
        ended += sweep(keep);
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
  policy.mtu = network_->mtu();
  if (policy.allow_count == 0)
    log::warning("allow", {{"detail", "no IPv6 prefix is connected and [nat64] allow is not given: "
                                      "nobody may use the gateway yet"}});
  if (auto done = tables_->set_policy(policy); !done)
    return done;
  policy_ = policy;
  return {};
}

// The interface has the MTU of the largest port, which may have changed.
Result<void> Daemon::follow_mtu() {
  if (policy_.mtu == network_->mtu())
    return {};
  dp::policy policy = policy_;
  policy.mtu = network_->mtu();
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

// --- what others ask
// ------------------------------------------------------------------------------

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
  if (tun_)
    std::ranges::remove_copy_if(
        tun_->offloads(), std::back_inserter(status.offloads), [&](const std::string &name) {
          return std::ranges::find(status.offloads_refused, name) != status.offloads_refused.end();
        });
  status.prefixes = texts(config_.nat64.prefixes);
  status.usage = tables_->usage();
  status.handed_up = control::handed_up_share(tables_->counters());
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
    return control::clear_request(request, [this](const tables::Keep &keep) {
      log::info("cleared", {{"sessions", sweep(keep)}});
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
