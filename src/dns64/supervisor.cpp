// SPDX-License-Identifier: MIT
#include "dns64/supervisor.h"

#include "base/clock.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fmt/ranges.h>
#include <sys/epoll.h>
#include <unistd.h>

namespace viaduct::dns64 {

namespace {

constexpr unsigned MAX_BAD_ANSWERS = 3;
constexpr size_t MAX_REPORT = 2048; // of unbound-checkconf's words
constexpr std::chrono::milliseconds CHECKCONF_LIMIT{5000};
constexpr std::chrono::milliseconds ONCE{0};
constexpr const char *USER = "unbound"; // made by Debian's package

Result<void> check_installed(const Settings &settings) {
  if (access(settings.program.c_str(), X_OK) < 0)
    return error("unbound is not installed: apt install unbound ({}: {})", settings.program,
                 system_error("not executable", errno).message);
  if (settings.upstream.empty() && access(settings.trust_anchor.c_str(), R_OK) < 0)
    return error("the DNSSEC trust anchor {} is missing: apt install dns-root-data, or give "
                 "[dns64] upstream",
                 settings.trust_anchor);
  return {};
}

// unbound need not be root: it reads what it inherits and writes nothing.
Result<std::optional<Identity>> identity() {
  if (geteuid() != 0)
    return std::optional<Identity>();
  auto found = identity_of(USER);
  if (!found)
    return found.failure();
  return std::optional<Identity>(*found);
}

std::string sibling(const std::string &program, const std::string &name) {
  return program.substr(0, program.rfind('/') + 1) + name;
}

std::string descriptor_path(int number) {
  return fmt::format("/proc/self/fd/{}", number);
}

// What the process has written and we have not read, at most `limit` bytes of it.
std::string drain(int fd, size_t limit) {
  std::string text;
  std::array<char, 1024> buffer;
  while (text.size() < limit) {
    ssize_t count = read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      break;
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  return text;
}

// Whether a running unbound can take the new settings over without being started anew.
bool same_process(const Settings &a, const Settings &b) {
  return a.listen == b.listen && a.port == b.port && a.program == b.program &&
         a.directory == b.directory;
}

} // namespace

std::string_view state_name(State state) {
  switch (state) {
  case State::off:
    return "off";
  case State::starting:
    return "starting";
  case State::healthy:
    return "healthy";
  case State::failing:
    return "failing";
  }
  return "off";
}

Supervisor::Supervisor(EventLoop &loop, Settings settings, Log log, Timing timing)
    : loop_(loop), settings_(std::move(settings)), log_(std::move(log)), timing_(timing),
      lines_([this](Severity severity, const std::string &line) { note_line(severity, line); }),
      health_(loop), backoff_(timing.backoff_first) {}

Supervisor::~Supervisor() {
  stop();
}

Result<void> Supervisor::start() {
  if (state_ != State::off)
    return error("dns64 runs already");
  auto config = checked_config(settings_);
  if (!config)
    return config.failure();
  auto config_file = MemoryFile::make("unbound.conf", *config);
  auto zone_file = MemoryFile::make("ipv4only.arpa.zone", ipv4only_zone());
  if (!config_file || !zone_file)
    return !config_file ? config_file.failure() : zone_file.failure();
  config_ = std::move(*config_file);
  zone_ = std::move(*zone_file);
  show_files(*config);
  state_ = State::starting;
  restarts_ = 0;
  backoff_ = timing_.backoff_first;
  detail_.clear();
  auto done = launch();
  if (!done)
    stop();
  return done;
}

void Supervisor::stop() {
  if (state_ == State::off && !config_)
    return;
  cancel_timers();
  end_child();
  remove_files(settings_.directory);
  config_.reset();
  zone_.reset();
  state_ = State::off;
  detail_.clear();
}

Result<void> Supervisor::reload(Settings settings) {
  if (state_ == State::off) {
    settings_ = std::move(settings);
    return start();
  }
  if (settings == settings_)
    return {};
  // Up to here and no further with bad settings: the running one has not been touched.
  auto config = checked_config(settings);
  if (!config)
    return config.failure();
  bool keep = child_ && same_process(settings, settings_);
  bool moved = settings.directory != settings_.directory;
  auto old_directory = settings_.directory;
  settings_ = std::move(settings);
  show_files(*config);
  if (auto replaced = config_->replace(*config); !replaced)
    return replaced.failure();
  if (moved)
    remove_files(old_directory);

  backoff_ = timing_.backoff_first;
  bad_answers_ = 0;
  cancel_timers();
  if (state_ == State::healthy)
    state_ = State::starting;
  waiting_since_ = Clock::now();
  if (keep) {
    child_->signal(SIGHUP);
    schedule_check(timing_.first_check);
    return {};
  }
  end_child();
  if (auto launched = launch(); !launched)
    fail(launched.failure().message);
  return {};
}

// The text for these settings, accepted by unbound itself where its checker is installed.
Result<std::string> Supervisor::checked_config(const Settings &settings) const {
  auto usable = settings;
  if (access(usable.root_hints.c_str(), R_OK) < 0)
    usable.root_hints.clear(); // unbound has a copy compiled in
  auto config = unbound_config(usable);
  if (!config)
    return config;
  if (auto installed = check_installed(settings); !installed)
    return installed.failure();
  if (auto made = make_directory(settings.directory); !made)
    return made.failure();
  auto checked = run_checkconf(settings, *config);
  if (!checked) {
    if (state_ == State::off || settings.directory != settings_.directory)
      remove_files(settings.directory);
    return checked.failure();
  }
  return config;
}

Result<void> Supervisor::run_checkconf(const Settings &settings, std::string_view config) const {
  auto program = sibling(settings.program, "unbound-checkconf");
  if (access(program.c_str(), X_OK) < 0)
    return {}; // then unbound says it itself
  auto config_file = MemoryFile::make("unbound.conf", config);
  auto zone_file = MemoryFile::make("ipv4only.arpa.zone", ipv4only_zone());
  auto user = identity();
  if (!config_file || !zone_file)
    return !config_file ? config_file.failure() : zone_file.failure();
  if (!user)
    return user.failure();
  ChildPlan plan;
  plan.command = {program, descriptor_path(CONFIG_DESCRIPTOR)};
  plan.descriptors = {config_file->reader(), zone_file->reader()};
  plan.identity = *user;
  auto child = Child::start(plan);
  if (!child)
    return child.failure();
  auto end = child->wait(CHECKCONF_LIMIT);
  if (!end)
    return error("{} did not end within {} s", program, CHECKCONF_LIMIT.count() / 1000);
  if (child->succeeded())
    return {};
  auto words = drain(child->output(), MAX_REPORT);
  std::string all;
  LogLines lines(
      [&](Severity, const std::string &line) { all += (all.empty() ? "" : "; ") + line; });
  lines.add(words, 0);
  lines.finish(0);
  return error("unbound refuses the configuration: {}", all.empty() ? *end : all);
}

// For people; unbound reads what is in memory. So a full disk keeps nobody from names.
void Supervisor::show_files(const std::string &config) const {
  auto written = write_file(settings_.directory, ZONE_FILE, ipv4only_zone());
  if (written)
    written = write_file(settings_.directory, CONFIG_FILE, config);
  if (!written)
    log_(Severity::warning, fmt::format("{}; unbound reads its configuration from memory and runs, "
                                        "the files in {} are not what it has",
                                        written.failure().message, settings_.directory));
}

ChildPlan Supervisor::plan() const {
  ChildPlan plan;
  plan.command = {settings_.program, "-d", "-c", descriptor_path(CONFIG_DESCRIPTOR)};
  plan.descriptors = {config_->reader(), zone_->reader()};
  plan.bind_low_ports = settings_.port < 1024;
  return plan;
}

Result<void> Supervisor::launch() {
  auto user = identity();
  if (!user)
    return user.failure();
  auto to_run = plan();
  to_run.identity = *user;
  auto child = Child::start(to_run);
  if (!child)
    return child.failure();
  child_.emplace(std::move(*child));
  first_error_.clear();
  kill_reason_.clear();
  bad_answers_ = 0;
  waiting_since_ = Clock::now();
  auto watched = loop_.watch(child_->output(), EPOLLIN, [this](uint32_t) { on_output(); });
  if (watched)
    watched = loop_.watch(child_->pidfd(), EPOLLIN, [this](uint32_t) { on_exit(); });
  if (!watched) {
    end_child();
    return watched;
  }
  schedule_check(timing_.first_check);
  return {};
}

// Politely, then not; nothing of it is left when this returns.
void Supervisor::end_child() {
  health_.cancel();
  if (!child_)
    return;
  loop_.unwatch(child_->output());
  loop_.unwatch(child_->pidfd());
  child_->signal(SIGTERM);
  child_->signal(SIGCONT); // one that is stopped would not hear it
  if (!child_->wait(timing_.stop)) {
    log_(Severity::warning,
         fmt::format("unbound did not end within {} ms and was killed", timing_.stop.count()));
    child_->signal(SIGKILL);
  }
  child_.reset(); // waits for it
}

void Supervisor::on_output() {
  std::array<char, 4096> buffer;
  ssize_t count = read(child_->output(), buffer.data(), buffer.size());
  if (count > 0)
    lines_.add({buffer.data(), static_cast<size_t>(count)}, monotonic_seconds());
  else if (count == 0) // closed: only its end is still to come
    loop_.unwatch(child_->output());
}

void Supervisor::on_exit() {
  auto how = child_->ended();
  if (!how)
    return;
  lines_.add(drain(child_->output(), LogLines::MAX_LINE * LogLines::MAX_PER_SECOND),
             monotonic_seconds());
  lines_.finish(monotonic_seconds());
  loop_.unwatch(child_->output());
  loop_.unwatch(child_->pidfd());
  child_.reset();
  fail(kill_reason_.empty() ? explain_exit(*how) : kill_reason_);
}

void Supervisor::note_line(Severity severity, const std::string &line) {
  if (severity == Severity::error && first_error_.empty())
    first_error_ = line;
  log_(severity, "unbound: " + line);
}

// The usual reasons in words that say what to do. unbound names the address for TCP only, so where
// it does not, all that we listen on are named; and it does not always write the reason with a
// capital.
std::string Supervisor::explain_exit(const std::string &how) const {
  auto has = [&](std::string_view words) { return first_error_.find(words) != std::string::npos; };
  auto where = first_error_.find(" for ");
  std::string address =
      where == std::string::npos
          ? fmt::format("port {} of {}", settings_.port, fmt::join(settings_.listen, " or "))
          : first_error_.substr(where + 5);
  if (has("ddress already in use"))
    return fmt::format(
        "{} is in use by another program; stop the other resolver (systemctl disable "
        "--now unbound, or systemd-resolved, dnsmasq, named) or change [dns64] listen",
        address);
  if (has("annot assign requested address"))
    return fmt::format("{} is no address of this machine (yet); add it or change [dns64] listen",
                       address);
  return fmt::format("unbound {}{}{}", how, first_error_.empty() ? "" : ": ", first_error_);
}

void Supervisor::fail(const std::string &why) {
  cancel_timers();
  health_.cancel();
  state_ = State::failing;
  detail_ = why;
  log_(Severity::error, fmt::format("{}; next start in {} ms", why, backoff_.count()));
  restart_later();
}

void Supervisor::restart_later() {
  auto delay = backoff_;
  backoff_ = std::min(backoff_ * 2, timing_.backoff_last);
  auto timer = loop_.timer(delay, ONCE, [this] {
    restart_timer_.reset();
    restarts_++;
    if (auto launched = launch(); !launched)
      fail(launched.failure().message);
  });
  if (timer)
    restart_timer_ = *timer;
  else
    detail_ += "; and it cannot be started again: " + timer.failure().message;
}

void Supervisor::schedule_check(std::chrono::milliseconds delay) {
  auto timer = loop_.timer(delay, ONCE, [this] {
    check_timer_.reset();
    check();
  });
  if (timer)
    check_timer_ = *timer;
  else
    detail_ = "its health is no longer checked: " + timer.failure().message;
}

void Supervisor::check() {
  health_.ask(health_address(settings_), settings_.port, settings_.prefix, timing_.answer,
              [this](const Result<void> &outcome) { on_checked(outcome); });
}

void Supervisor::on_checked(const Result<void> &outcome) {
  if (outcome)
    on_healthy();
  else
    on_unhealthy(outcome.failure().message);
}

void Supervisor::on_healthy() {
  auto now = Clock::now();
  bad_answers_ = 0;
  if (state_ != State::healthy) {
    state_ = State::healthy;
    healthy_since_ = now;
    log_(Severity::info,
         fmt::format("answers on {} port {}", health_address(settings_), settings_.port));
  }
  if (now - healthy_since_ >= timing_.steady)
    backoff_ = timing_.backoff_first;
  detail_.clear();
  schedule_check(timing_.check);
}

void Supervisor::on_unhealthy(const std::string &why) {
  detail_ = why;
  bool over = state_ == State::healthy ? ++bad_answers_ >= MAX_BAD_ANSWERS
                                       : Clock::now() - waiting_since_ >= timing_.start_limit;
  if (!over)
    return schedule_check(state_ == State::healthy ? timing_.check : timing_.check_starting);
  kill_reason_ = fmt::format("unbound ran but did not do its work ({}) and was killed", why);
  child_->signal(SIGKILL); // on_exit() follows
}

void Supervisor::cancel_timers() {
  for (auto *timer : {&check_timer_, &restart_timer_}) {
    if (*timer)
      loop_.cancel(**timer);
    timer->reset();
  }
}

} // namespace viaduct::dns64
