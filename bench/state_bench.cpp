// SPDX-License-Identifier: MIT
//
// What the session tables cost: sessions made per second by one worker while a million are held,
// ports are nine tenths used and quotas are on; packets of sessions that are there; and the memory
// that is resident then.
//
//   cmake -B build/bench -DVIADUCT_BENCH=ON -DCMAKE_BUILD_TYPE=Release && ninja -C build/bench state_bench
//   build/bench/bin/state_bench
//
// Each host is a subscriber of its own /64 with 64 source ports (UDP); a million bindings and
// sessions lie on 17 pool addresses of 64512 ports each, which is 91 % of them. The time of a new
// session includes the whole packet: parse to emit. The sweep between the batches is not counted.
#include "datapath/native/native.h"
#include "lib/addresses.h"
#include "lib/packet.h"

#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace viaduct {
namespace {

constexpr uint32_t HELD = 1'000'000, BATCH = 20'000, POOLS = 17, PORTS_PER_HOST = 64;
constexpr uint32_t NOW = 1000, TIMEOUT = 300;

// kB of physical memory.
uint64_t resident() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:"))
      return std::stoull(line.substr(6));
  return 0;
}

dp::policy make_policy() {
  dp::policy policy{};
  policy.generation = 1;
  policy.max_sessions_per_subscriber = 4096;
  policy.icmp_error_rate = 100;
  policy.max_bindings_per_subscriber = 4096;
  policy.timeouts.udp = TIMEOUT;
  policy.timeouts.port_rest = 120;
  policy.subscriber_prefix = 64;
  policy.accounting = 1;
  policy.prefix_count = 1;
  policy.prefix[0].length = 96;
  std::memcpy(policy.prefix[0].address.byte, test::well_known_prefix.address.bytes.data(), 16);
  policy.allow_count = 1;
  policy.allow[0].length = 32;
  std::memcpy(policy.allow[0].address.byte, test::client6.bytes.data(), 4);
  policy.pool_count = POOLS;
  for (uint32_t i = 0; i < POOLS; i++)
    policy.pool[i] = {Ipv4{{203, 0, 113, static_cast<uint8_t>(i)}}.network_order(),
                      1024,
                      65535,
                      0,
                      static_cast<uint8_t>(i),
                      0};
  return policy;
}

struct Free {
  void operator()(dp::engine *e) const { dp::engine_free(e); }
  void operator()(dp::worker *w) const { dp::worker_free(w); }
};

// An engine that holds HELD sessions; flow number n is always the same two ends.
class Gateway {
public:
  Gateway() {
    packet_ = (test::ip6(test::client6, test::pref64(test::server4)) / test::udp(1, 53) /
               test::payload(20))
                  .bytes();
    dp::policy policy = make_policy();
    dp::engine_set_policy(engine_.get(), &policy);
    dp::worker_seed(worker_.get(), 1);
    for (uint32_t n = 0; n < HELD; n++)
      send(n, NOW + TIMEOUT); // long-lived: the batches end before
  }

  // One packet of flow n; whether it was translated.
  bool send(uint32_t n, uint32_t now) {
    uint8_t *start = memory_.data() + dp::FRAME_HEADROOM;
    std::memcpy(start, packet_.data(), packet_.size());
    uint32_t host = n / PORTS_PER_HOST;
    uint16_t port = htons(static_cast<uint16_t>(1024 + n % PORTS_PER_HOST));
    std::memcpy(start + 8 + 4, &host, 4); // bits 32 to 63 of the source: its /64
    std::memcpy(start + 40, &port, 2);
    dp::frame frame{};
    frame.data = start;
    frame.length = static_cast<uint32_t>(packet_.size());
    dp::worker_set_now(worker_.get(), now);
    dp::reason reason = dp::REASON_none;
    bool forwarded = dp::translate_frame(worker_.get(), &frame, &reason) == dp::VERDICT_FORWARD;
    if (!forwarded)
      refused_[reason]++;
    return forwarded;
  }

  void sweep(uint32_t now) {
    for (int i = 0; i < 2; i++) // the second one frees what the first has taken out
      dp::engine_sweep(engine_.get(), now, nullptr);
  }

  uint32_t sessions() const {
    uint32_t sessions = 0, bindings = 0;
    dp::engine_usage(engine_.get(), &sessions, &bindings);
    return sessions;
  }

  dp::worker *worker() { return worker_.get(); }
  uint64_t refused() const {
    uint64_t sum = 0;
    for (uint64_t one : refused_)
      sum += one;
    return sum;
  }

private:
  std::unique_ptr<dp::engine, Free> engine_{dp::engine_new(HELD + 2 * BATCH)};
  std::unique_ptr<dp::worker, Free> worker_{dp::worker_new(engine_.get())};
  test::Bytes packet_;
  std::vector<uint8_t> memory_ = std::vector<uint8_t>(dp::FRAME_HEADROOM + 256);
  uint64_t refused_[dp::REASON_COUNT] = {};
};

Gateway &gateway() {
  static uint64_t before = resident();
  static Gateway gateway;
  static bool said = [] {
    std::printf("resident memory: %.1f MB with %u sessions and bindings (%.1f MB before)\n",
                static_cast<double>(resident()) / 1024, gateway.sessions(),
                static_cast<double>(before) / 1024);
    return true;
  }();
  (void)said;
  return gateway;
}

// Batches of new flows that end again before the next one.
void new_sessions(benchmark::State &state) {
  Gateway &g = gateway();
  uint32_t next = HELD;
  for (auto _ : state) {
    dp::worker_enter(g.worker());
    for (uint32_t i = 0; i < BATCH; i++)
      benchmark::DoNotOptimize(g.send(next++, NOW - 1));
    dp::worker_leave(g.worker());
    state.PauseTiming();
    if (g.sessions() != HELD + BATCH)
      state.SkipWithError("a flow was refused");
    g.sweep(NOW - 1 + TIMEOUT + 1);
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * BATCH);
  state.counters["refused"] = static_cast<double>(g.refused());
}
BENCHMARK(new_sessions)->Unit(benchmark::kMillisecond)->MinTime(3);

// Packets of the sessions that are held, in an order that no cache likes.
void old_sessions(benchmark::State &state) {
  Gateway &g = gateway();
  uint32_t n = 0;
  dp::worker_enter(g.worker());
  for (auto _ : state)
    benchmark::DoNotOptimize(g.send(n = (n + 611'953) % HELD, NOW + TIMEOUT));
  dp::worker_leave(g.worker());
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(old_sessions)->MinTime(2);

} // namespace
} // namespace viaduct

BENCHMARK_MAIN();
