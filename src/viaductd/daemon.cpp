// SPDX-License-Identifier: MIT
#include "viaductd/daemon.h"

#include "base/clock.h"
#include "base/version.h"
#include "log/log.h"
#include "nvi/egress.h"
#include "nvi/plan.h"
#include "tables/steering.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <iterator>
#include <net/if.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <thread>

namespace viaduct {

namespace {

using namespace std::chrono_literals;

// More queues than this gain nothing that the machines we know can use.
constexpr unsigned MAX_WORKERS = 16;

// Address changes come in bursts; one look at the end of each is enough.
constexpr auto SETTLE = 100ms;
constexpr auto SWEEP_PERIOD = 1s;
constexpr auto PORTS_QUIET = 60s;

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

// The first few pool addresses that have no port left, or hardly one: the tables' number may be a
// few less than there are in use.
std::vector<std::string> full_ports(const tables::Tables &tables, const dp::policy &policy) {
  constexpr size_t enough = 8;
  constexpr std::array<const char *, dp::PORT_PROTOCOLS> protocols = {"tcp", "udp", "icmp"};
  std::vector<std::string> full;
  for (uint32_t at = 0; at < policy.pool_count && full.size() < enough; at++) {
    const dp::pool_address &pool = policy.pool[at];
    const dp::pool_use use = tables.pool_use(pool);
    const uint32_t ports = pool.port_high - pool.port_low + 1U;
    for (size_t i = 0; i < protocols.size(); i++)
      if (use.used[i] + ports / 64 >= ports)
        full.push_back(
            fmt::format("{}/{}", Ipv4::from_network_order(pool.address).text(), protocols[i]));
  }
  return full;
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
                      {"offloads", joined(tun_->offloads().given)},
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
  warn_of_missing_offloads();
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
  counted_before_ = tables_->counters();
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

// Without it the workers take every packet, over the same tables, and only slower.
void Daemon::keep_engine() {
  if (engine_.program < 0)
    return;
  auto back = nvi::keep_egress(tun_->ifindex(), engine_.program);
  if (!back)
    log::warning("program", {{"interface", config_.nvi.name}, {"error", back.failure().message}});
  else if (*back)
    log::warning("program", {{"interface", config_.nvi.name},
                             {"detail", "somebody has taken the BPF program off its egress: it is "
                                        "there again"}});
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
  const auto &offloads = tun_->offloads().given;
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
  ports_refused_ = tables_->counters()[dp::REASON_no_port]; // a predecessor's
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
    warn_of_ports();
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

uint64_t Daemon::sweep(const tables::Cause &cause) {
  return tables_->sweep(monotonic_seconds(), cause,
                        [this](std::span<const uint8_t> packet) { return tun_->send(packet); });
}

// Of routes only the loss of our own matters: there may be a million others, changing all day.
void Daemon::on_network_event() {
  auto changes = monitor_->drain();
  if (!changes) {
    log::warning("network_events", {{"error", changes.failure().message}});
    return;
  }
  if (change_pending_ ||
      !(changes->addresses || changes->links || changes->ours || changes->filters || changes->lost))
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
  keep_engine();
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

// UDP super-packets came with Linux 6.2; everything before them every kernel has that we run on.
void Daemon::warn_of_missing_offloads() {
  const nvi::Offloads &offloads = tun_->offloads();
  if (std::ranges::find(offloads.given, "tso_ecn") != offloads.given.end())
    return;
  log::warning("offloads_missing",
               {{"offloads", joined(offloads.missing)},
                {"why", offloads.why_missing},
                {"detail", "the kernel does not give them: packets pass, more slowly"}});
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

// RFC 6888 REQ-11: who runs the gateway hears that ports have run out. How full each address is the
// tables tell at a price, so it is asked only then.
void Daemon::warn_of_ports() {
  const uint64_t refused = tables_->counters()[dp::REASON_no_port];
  if (refused == ports_refused_ || monotonic_ns() < ports_quiet_until_ns_)
    return;
  log::warning("no_port",
               {{"refused", refused - ports_refused_},
                {"full", joined(full_ports(*tables_, policy_))},
                {"detail", "new flows found no free port of the pool (viaduct explain no_port, "
                           "viaduct show pools); said at most once a minute"}});
  ports_refused_ = refused;
  ports_quiet_until_ns_ = monotonic_ns() + std::chrono::nanoseconds(PORTS_QUIET).count();
}

} // namespace viaduct
