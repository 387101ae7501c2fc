// SPDX-License-Identifier: MIT
#include "dns64/child.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// The pidfd calls are made raw: Debian 12's <sys/pidfd.h> declares them without extern "C".
namespace viaduct::dns64 {

namespace {

constexpr rlim_t OPEN_FILES = 8192; // unbound asks for some 2,200 (see outgoing-range)

// What the process tells us when it could not become the program: a step and an errno.
struct Failure {
  int step;
  int number;
};

constexpr std::array<const char *, 4> STEPS = {"cannot tie it to this process", "cannot prepare it",
                                               "cannot give up privileges", "cannot execute it"};
enum Step { TIE, PREPARE, PRIVILEGES, EXECUTE };

// Everything the child needs, made before the fork: behind it only system calls are safe.
struct Prepared {
  std::vector<char *> arguments;
  std::vector<int> descriptors; // its 0, 1, 2, ...; all numbers lie above those
  int report;                   // where a Failure goes; closed by a successful exec
  const ChildPlan *plan;
  pid_t parent;
};

bool tie(pid_t parent) {
  // The parent may have died before the call: then nobody will ever send the signal.
  return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

bool prepare(const Prepared &prepared) {
  if (setpgid(0, 0) < 0)
    return false;
  for (int number = 1; number < NSIG; number++)
    signal(number, SIG_DFL); // NOLINT(bugprone-unused-return-value): SIGKILL and SIGSTOP refuse
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, nullptr) < 0)
    return false;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < OPEN_FILES) {
    files.rlim_cur = std::min(files.rlim_max, OPEN_FILES);
    setrlimit(RLIMIT_NOFILE, &files);
  }
  unsigned next = 0;
  for (int descriptor : prepared.descriptors)
    if (dup2(descriptor, static_cast<int>(next++)) < 0)
      return false;
  if (dup2(prepared.report, static_cast<int>(next)) < 0 ||
      fcntl(static_cast<int>(next), F_SETFD, FD_CLOEXEC) < 0)
    return false;
  return close_range(next + 1, UINT_MAX, 0) == 0;
}

// The raw system calls: the library's forms would signal every thread of the process before the
// fork.
bool become(const Identity &identity, bool bind_low_ports) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (bind_low_ports) {
    uint32_t bit = 1U << CAP_NET_BIND_SERVICE;
    sets[0] = {.effective = bit, .permitted = bit, .inheritable = bit};
  }
  return prctl(PR_SET_KEEPCAPS, 1) == 0 && syscall(SYS_setgroups, 0, nullptr) == 0 &&
         syscall(SYS_setresgid, identity.group, identity.group, identity.group) == 0 &&
         syscall(SYS_setresuid, identity.user, identity.user, identity.user) == 0 &&
         syscall(SYS_capset, &header, sets.data()) == 0 &&
         (!bind_low_ports ||
          prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0);
}

[[noreturn]] void fail(int report, Step step) {
  Failure failure{step, errno};
  if (write(report, &failure, sizeof failure) < 0)
    _exit(126);
  _exit(127);
}

[[noreturn]] void run(const Prepared &prepared) {
  int report = prepared.report;
  if (!prepare(prepared))
    fail(report, PREPARE);
  report = static_cast<int>(prepared.descriptors.size());
  const auto &plan = *prepared.plan;
  if (plan.identity && !become(*plan.identity, plan.bind_low_ports))
    fail(report, PRIVILEGES);
  // After the change of user, which clears it.
  if (!tie(prepared.parent))
    fail(report, TIE);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    fail(report, PRIVILEGES);
  execv(prepared.arguments[0], prepared.arguments.data());
  fail(report, EXECUTE);
}

// Copies above every number that the child will use, so that dup2() overwrites none of them.
Result<std::vector<Fd>> lift(const std::vector<int> &descriptors) {
  std::vector<Fd> lifted;
  int floor = static_cast<int>(descriptors.size()) + 1;
  for (int descriptor : descriptors) {
    lifted.emplace_back(fcntl(descriptor, F_DUPFD_CLOEXEC, floor));
    if (!lifted.back())
      return system_error("cannot copy a descriptor", errno);
  }
  return lifted;
}

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) < 0)
    return system_error("cannot make a pipe", errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<void> await_exec(int report, const std::string &program) {
  Failure failure{};
  ssize_t got = 0;
  do
    got = read(report, &failure, sizeof failure);
  while (got < 0 && errno == EINTR);
  if (got == 0) // closed by exec
    return {};
  if (got != sizeof failure || failure.step < 0 || failure.step > EXECUTE)
    return error("cannot start {}", program);
  return system_error(
      fmt::format("cannot start {}: {}", program, STEPS[static_cast<size_t>(failure.step)]),
      failure.number);
}

} // namespace

Result<Identity> identity_of(const std::string &user) {
  passwd entry{};
  passwd *found = nullptr;
  std::array<char, 4096> buffer{};
  if (getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || !found)
    return error("there is no user \"{}\" to run it as: apt install unbound", user);
  return Identity{found->pw_uid, found->pw_gid};
}

Result<Child> Child::start(const ChildPlan &plan) {
  auto output = make_pipe();
  auto report = make_pipe();
  if (!output || !report)
    return !output ? output.failure() : report.failure();
  Fd nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!nothing)
    return system_error("cannot open /dev/null", errno);
  std::vector<int> wanted = {nothing.get(), nothing.get(), output->write.get()};
  wanted.insert(wanted.end(), plan.descriptors.begin(), plan.descriptors.end());
  wanted.push_back(report->write.get());
  auto lifted = lift(wanted);
  if (!lifted)
    return lifted.failure();

  Prepared prepared{{}, {}, lifted->back().get(), &plan, getpid()};
  for (size_t i = 0; i + 1 < lifted->size(); i++)
    prepared.descriptors.push_back((*lifted)[i].get());
  for (const auto &argument : plan.command)
    prepared.arguments.push_back(const_cast<char *>(argument.c_str()));
  prepared.arguments.push_back(nullptr);

  pid_t pid = fork();
  if (pid < 0)
    return system_error("cannot fork", errno);
  if (pid == 0)
    run(prepared);

  lifted->clear();
  report->write.reset();
  output->write.reset();
  // Not reaped by anybody yet, so the number still means this process.
  Child child(pid, Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))), std::move(output->read));
  if (!child.pidfd_) {
    int number = errno;
    ::kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    child.end_ = "";
    return system_error("cannot open a pidfd", number);
  }
  if (auto executed = await_exec(report->read.get(), plan.command[0]); !executed)
    return executed.failure();
  int flags = fcntl(child.output_.get(), F_GETFL);
  fcntl(child.output_.get(), F_SETFL, flags | O_NONBLOCK);
  return child;
}

Child::~Child() {
  if (!pidfd_ || end_)
    return;
  signal(SIGKILL);
  siginfo_t info{};
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) < 0 && errno == EINTR)
    ;
}

void Child::signal(int number) const {
  if (!end_)
    syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

std::optional<std::string> Child::ended() {
  if (end_)
    return end_;
  siginfo_t info{};
  if (waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) < 0)
    end_ = "is gone"; // somebody else reaped it
  else if (info.si_pid != 0)
    end_ = info.si_code == CLD_EXITED ? fmt::format("exited with status {}", info.si_status)
                                      : fmt::format("was ended by signal {}", info.si_status);
  succeeded_ = end_ && info.si_code == CLD_EXITED && info.si_status == 0;
  return end_;
}

std::optional<std::string> Child::wait(std::chrono::milliseconds limit) {
  auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd ready{pidfd_.get(), POLLIN, 0};
    int count = poll(&ready, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
    if (count >= 0 || errno != EINTR)
      return ended();
  }
}

} // namespace viaduct::dns64
