// SPDX-License-Identifier: MIT
//
// Times the BPF build of the data path step by step: BPF_PROG_TEST_RUN of a UDP packet whose session
// is there, a million times, up to each step; the median of some runs. Prints JSON.
#include "packetlab.h"

#include "base/address.h"
#include "bench/packetlab/steps.h"
#include "datapath/types.h"

#include <algorithm>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <linux/pkt_cls.h>
#include <memory>
#include <steps.skel.h>

namespace viaduct::packetlab {

namespace {

constexpr uint32_t ETHERNET = 14, SESSIONS = 65536, ROUNDS = 5;
constexpr int REPEAT = 1'000'000, WARM_UP = 1000;

struct Step {
  timed_step step;
  const char *name;
};
// In the order in which a packet takes them, so that each one's own time is what it adds.
constexpr std::array<Step, TIMED_COUNT> steps = {{
    {TIMED_NOTHING, "an empty program"},
    {TIMED_LOAD, "load"},
    {TIMED_PARSE, "parse"},
    {TIMED_CLASSIFY, "classify, gather"},
    {TIMED_SESSION, "session"},
    {TIMED_TRANSLATE, "translate"},
    {TIMED_EMIT, "emit, and the packet put back"},
    {TIMED_THERE_AND_BACK, "only the family changed, and put back"},
}};

// 2001:db8::1 port 1024 to 64:ff9b::198.51.100.80 port 53, 18 bytes, checksum right.
constexpr std::array<uint8_t, ETHERNET + 40 + 8 + 18> packet = {
    2,    2,    2,    2,    2, 2,  2,    2,    2, 2, 2, 2, 0x86, 0xdd,          // Ethernet
    0x60, 0,    0,    0,    0, 26, 17,   64,                                    // IPv6
    0x20, 0x01, 0x0d, 0xb8, 0, 0,  0,    0,    0, 0, 0, 0, 0,    0,    0,   1,  // source
    0x00, 0x64, 0xff, 0x9b, 0, 0,  0,    0,    0, 0, 0, 0, 198,  51,   100, 80, // target
    4,    0,    0,    53,   0, 26, 0xa3, 0x47,                                  // UDP
};

struct Destroy {
  void operator()(struct steps *skeleton) const { steps__destroy(skeleton); }
};
using Program = std::unique_ptr<struct steps, Destroy>;

dp::policy make_policy() {
  dp::policy policy{};
  policy.generation = 1;
  policy.max_sessions_per_subscriber = 4096;
  policy.max_bindings_per_subscriber = 4096;
  policy.timeouts.udp = 3600;
  policy.subscriber_prefix = 64;
  policy.accounting = 1;
  policy.prefix_count = 1;
  policy.prefix[0].length = 96;
  std::memcpy(policy.prefix[0].address.byte, &packet[ETHERNET + 24], 12);
  policy.allow_count = 1;
  policy.allow[0].length = 32;
  std::memcpy(policy.allow[0].address.byte, &packet[ETHERNET + 8], 4);
  policy.pool_count = 1;
  policy.pool[0] = {Ipv4{{203, 0, 113, 1}}.network_order(), 1024, 65535, 0, 0, 0};
  return policy;
}

Result<Program> load(timed_step last) {
  Program program(steps__open());
  if (!program)
    return system_error("cannot open the timed steps", errno);
  program->rodata->last_step = last;
  program->rodata->layer2 = ETHERNET;
  bpf_program__set_autoload(program->progs.nvi, false);
  for (bpf_map *map : {program->maps.sessions, program->maps.bindings, program->maps.ports,
                       program->maps.subscribers, program->maps.peers})
    bpf_map__set_max_entries(map, SESSIONS);
  for (bpf_map *map :
       {program->maps.session_buckets, program->maps.binding_buckets, program->maps.port_buckets})
    bpf_map__set_max_entries(map, BUCKETS_OF(SESSIONS));
  if (auto loaded = good("the kernel refused the timed steps", steps__load(program.get())); !loaded)
    return loaded.failure();
  dp::policy policy = make_policy();
  uint32_t first = 0;
  dp::table_shape shape{.multiplier = {1, 3, 5, 7, 11, 13, 17, 19},
                        .most = SESSIONS,
                        .buckets = BUCKETS_OF(SESSIONS)};
  if (auto set =
          good("cannot set the shape of the tables",
               bpf_map_update_elem(bpf_map__fd(program->maps.shape), &first, &shape, BPF_ANY));
      !set)
    return set.failure();
  if (auto set =
          good("cannot set the policy",
               bpf_map_update_elem(bpf_map__fd(program->maps.policies), &first, &policy, BPF_ANY));
      !set)
    return set.failure();
  return program;
}

// Nanoseconds of one packet, on average.
Result<uint32_t> run(const Program &program, const Step &step, int repeat) {
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.data(), .data_size_in = packet.size(),
              .repeat = repeat);
  int code = bpf_prog_test_run_opts(bpf_program__fd(program->progs.timed), &options);
  if (auto done = good("BPF_PROG_TEST_RUN", code); !done)
    return done.failure();
  if (options.retval != TC_ACT_OK)
    return error("the packet did not get through \"{}\"", step.name);
  return options.duration;
}

Result<uint32_t> median(const Step &step) {
  auto program = load(step.step);
  if (!program)
    return program.failure();
  // The first packet makes the session.
  if (auto warm = run(*program, step, WARM_UP); !warm)
    return warm;
  std::array<uint32_t, ROUNDS> times{};
  for (uint32_t &time : times) {
    auto one = run(*program, step, REPEAT);
    if (!one)
      return one;
    time = *one;
  }
  std::ranges::sort(times);
  return times[ROUNDS / 2];
}

} // namespace

Result<void> time_steps(const Options &) {
  std::string text;
  uint32_t before = 0;
  for (const Step &step : steps) {
    auto total = median(step);
    if (!total)
      return total.failure();
    bool adds = step.step != TIMED_THERE_AND_BACK && step.step != TIMED_NOTHING;
    text += fmt::format("{}{{\"step\": \"{}\", \"total\": {}, \"own\": {}}}",
                        text.empty() ? "" : ",\n ", step.name, *total,
                        adds ? static_cast<int64_t>(*total) - before : *total);
    before = *total;
  }
  fmt::print("[{}]\n", text);
  return {};
}

} // namespace viaduct::packetlab
