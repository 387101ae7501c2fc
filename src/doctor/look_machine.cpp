// SPDX-License-Identifier: MIT
#include "doctor/look.h"

#include "base/fd.h"
#include "datapath/native/native.h"
#include "nvi/sysctl.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <sstream>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace viaduct::doctor {

namespace {

// Opening makes no interface, and asking what could be had needs no privilege.
Result<TunDevice> look_at_tun() {
  constexpr const char *path = "/dev/net/tun";
  const Fd fd(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd && errno == EACCES)
    return TunDevice{false, false, false};
  if (!fd)
    return system_error(fmt::format("cannot open {}", path), errno);
  unsigned features = 0;
  if (ioctl(fd.get(), TUNGETFEATURES, &features) < 0)
    return system_error(fmt::format("{} is no tun device", path), errno);
  return TunDevice{true, (features & IFF_MULTI_QUEUE) != 0, (features & IFF_VNET_HDR) != 0};
}

// The smallest program of the kind that the engine would be: return 0. It is gone at once.
Result<void> load_a_program(bool &unknown) {
#ifndef __x86_64__
  return error("the bpf engine's tables are for x86-64 only");
#endif
  const std::array<bpf_insn, 2> program = {
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
      bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  constexpr const char *licence = "Dual MIT/GPL";
  bpf_attr request{};
  request.prog_type = BPF_PROG_TYPE_SCHED_CLS;
  request.insns = reinterpret_cast<uintptr_t>(program.data());
  request.insn_cnt = program.size();
  request.license = reinterpret_cast<uintptr_t>(licence);
  const Fd fd(static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &request, sizeof request)));
  unknown = !fd && errno == EPERM;
  if (fd)
    return {};
  return unknown ? error("whether a program loads needs root to know")
                 : system_error("no program loads", errno);
}

// "MemTotal:        3919868 kB"
uint64_t total_memory() {
  auto text = read_small("/proc/meminfo");
  const size_t at = text ? text->find("MemTotal:") : std::string::npos;
  uint64_t kibibytes = 0;
  if (at != std::string::npos)
    std::istringstream(text->substr(at + 9)) >> kibibytes;
  return kibibytes * 1024;
}

// Of the daemon's control group (version 2); 0: none, or not to be seen.
uint64_t group_limit(int64_t pid) {
  auto groups = read_small(fmt::format("/proc/{}/cgroup", pid));
  const size_t at = groups ? groups->find("0::/") : std::string::npos;
  if (at == std::string::npos)
    return 0;
  const std::string path = groups->substr(at + 3, groups->find('\n', at) - at - 3);
  auto limit = read_small("/sys/fs/cgroup" + path + "/memory.max");
  uint64_t bytes = 0;
  if (limit) // "max" is no number
    std::from_chars(limit->data(), limit->data() + limit->size(), bytes);
  return bytes;
}

// The one that runs, or would.
bool is_bpf(const Facts &facts) {
  if (facts.presence == Presence::running && !facts.daemon.engine.empty())
    return facts.daemon.engine == "bpf";
  const config::Engine wanted = facts.config->nvi.engine;
  return wanted == config::Engine::bpf ||
         (wanted == config::Engine::automatic && (facts.bpf || facts.bpf_unknown));
}

Result<Memory> look_at_memory(const Facts &facts) {
  if (!facts.config)
    return error("not looked at: there is no good configuration");
  const uint32_t most = facts.config->nat64.max_sessions;
  const bool in_kernel = is_bpf(facts);
  Memory memory{total_memory(), in_kernel ? kernel_memory(most) : dp::engine_memory(most),
                in_kernel};
  if (memory.total == 0)
    return error("/proc/meminfo does not say how much memory there is");
  if (facts.presence == Presence::running)
    if (const uint64_t limit = group_limit(facts.daemon.pid); limit != 0)
      memory.total = std::min(memory.total, limit);
  return memory;
}

Result<Conntrack> look_at_conntrack() {
  Conntrack conntrack;
  for (auto [name, value] : {std::pair("net/netfilter/nf_conntrack_count", &conntrack.count),
                             std::pair("net/netfilter/nf_conntrack_max", &conntrack.max)}) {
    auto text = nvi::Sysctl::exists(name) ? nvi::Sysctl::read(name) : Result<std::string>("0");
    if (!text)
      return text.failure();
    std::from_chars(text->data(), text->data() + text->size(), *value);
  }
  return conntrack;
}

Clock look_at_clock() {
  struct stat file {};
  Clock clock{.now = std::time(nullptr), .program = 0};
  if (stat("/proc/self/exe", &file) == 0)
    clock.program = file.st_mtime;
  return clock;
}

} // namespace

// Our own tables, and as the kernel counts its hash maps: 16 bytes for each bucket, of which there are as
// many as the next power of two, and 48 before each key.
uint64_t kernel_memory(uint32_t max_sessions) {
  auto map = [](uint64_t key, uint64_t value, uint64_t entries) {
    auto rounded = [](uint64_t bytes) { return (bytes + 7) / 8 * 8; };
    return uint64_t{16} * std::bit_ceil(entries) + entries * (48 + rounded(key) + rounded(value));
  };
  auto table = [max_sessions](uint64_t bucket, uint64_t entry) {
    return BUCKETS_OF(uint64_t{max_sessions}) * bucket + max_sessions * entry;
  };
  constexpr uint64_t rings = (4U << 20) + (2U << 20); // of the dead, and of events
  return table(sizeof(dp::binding_bucket), sizeof(dp::binding_entry)) +
         table(sizeof(dp::bucket), sizeof(dp::port_entry)) +
         table(sizeof(dp::bucket), sizeof(dp::session_entry)) +
         map(sizeof(dp::subscriber_key), sizeof(dp::subscriber), SUBSCRIBERS_OF(max_sessions)) +
         map(sizeof(dp::peer_key), sizeof(dp::peer), max_sessions) +
         uint64_t{dp::PORT_HINTS} * sizeof(dp::port_hints) + 2 * sizeof(dp::policy) + rings;
}

void look_at_machine(Facts &facts) {
  utsname name{};
  if (uname(&name) == 0)
    facts.kernel = name.release;
  facts.tun = look_at_tun();
  facts.bpf = load_a_program(facts.bpf_unknown);
  facts.memory = look_at_memory(facts);
  facts.conntrack = look_at_conntrack();
  facts.clock = look_at_clock();
  facts.sysctl = [](const std::string &setting) { return nvi::Sysctl::read(setting); };
}

} // namespace viaduct::doctor
