// SPDX-License-Identifier: MIT
//
// The program for tc on two processors at the same moment, over the same flow: the first packet of a
// host's endpoint twice at once, thousands of times, so that losing the race for its binding, its port
// or its session is the rule; and the same beside a clear that never ends. Whatever a lost race had
// left behind would be missing, or too much, in the count at the end.
#include "base/clock.h"
#include "lib/vector.h"
#include "tables/bpf_tables.h"
#include "unit/tables_consistent.h"
#include "unit/tables_traveller.h"

#include <atomic>
#include <memory>
#include <thread>
#include <unistd.h>

namespace viaduct::dp {
namespace {

constexpr uint32_t MAX_SESSIONS = 4096;
constexpr uint32_t CHUNK = 500;                          // flows between two looks at the tables
constexpr uint32_t FEWEST_CHUNKS = 2, MOST_CHUNKS = 200; // until races were lost
constexpr uint32_t MAY_BE_SENT_AGAIN = 5;                // of a hundred thousand
constexpr uint32_t TOGETHER = 25; // packets that are sent side by side after each meeting
constexpr uint32_t FEWEST_CLEARS = 20;
constexpr uint32_t FEWEST_STEPS = 4000, MOST_STEPS = 400000; // likewise
constexpr uint32_t HOSTS = 64;                               // that come again and again

const std::array<Ipv4, 2> pool{test::pool4, test::pool4b};
constexpr uint16_t FIRST_PORT = 2000, PORTS = 20000; // of each address, one after the other

// Two threads that begin each step together. Where processors are busy a meeting costs the time of
// others: so there is one for some packets only, which the two send side by side.
class Step {
public:
  void meet(uint32_t step) {
    here_++;
    for (uint32_t spun = 0; here_ < 2 * step && !over_; spun++)
      if (spun % 256 == 255)
        sched_yield();
  }
  void end() { over_ = true; }
  bool over() const { return over_; }
  void begin() { here_ = 0, over_ = false; }

private:
  std::atomic<uint32_t> here_ = 0;
  std::atomic<bool> over_ = false;
};

// Its port is nobody else's.
Endpoint host(uint32_t number) {
  Endpoint endpoint{test::client6, static_cast<uint16_t>(1024 + number % 60000)};
  endpoint.address.bytes[15] = static_cast<uint8_t>(number);
  endpoint.address.bytes[14] = static_cast<uint8_t>(number >> 8);
  return endpoint;
}

class TwoProcessors : public testing::TestWithParam<uint8_t> {
protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "only root may load BPF programs";
    auto made = tables::BpfTables::make({.max_sessions = MAX_SESSIONS, .ethernet = true});
    ASSERT_TRUE(made) << made.failure().message;
    tables_ = std::move(*made);
    policy policy = test::default_policy();
    policy.generation = 1;
    policy.max_sessions_per_subscriber = MAX_SESSIONS;
    policy.timeouts.port_rest = 0;
    policy.pool_count = pool.size();
    for (size_t i = 0; i < pool.size(); i++)
      policy.pool[i] = {pool[i].network_order(),
                        static_cast<uint16_t>(FIRST_PORT + i * PORTS),
                        static_cast<uint16_t>(FIRST_PORT + (i + 1) * PORTS - 1),
                        0,
                        static_cast<uint8_t>(i),
                        0};
    ASSERT_TRUE(tables_->set_policy(policy));
  }

  static bool is_of_the_pool(const Departure &departure) {
    const size_t slot = (ntohs(departure.port) - FIRST_PORT) / PORTS;
    return slot < pool.size() && departure.source == pool[slot].network_order();
  }

  uint64_t clear() {
    return tables_->sweep(monotonic_seconds(),
                          [](const session_key &, const session &) { return WHY_CLEARED; });
  }

  void expect_nothing_left() {
    clear();
    Contents left = read_tables(*tables_);
    EXPECT_EQ(left.sessions.size(), 0U);
    EXPECT_EQ(left.bindings.size(), 0U);
    EXPECT_EQ(left.ports.size(), 0U);
    expect_consistent(*tables_, pool, PORTS);
    tables::Counters counters = tables_->counters();
    EXPECT_EQ(counters[REASON_session_made], counters[REASON_session_ended]);
    EXPECT_EQ(counters[REASON_binding_made], counters[REASON_binding_ended]);
    // The subscriber's quota is free again: what a lost race did not give back would be missing.
    Traveller one(tables_->engine(), 1, tables_->program());
    for (uint32_t i = 0; i < MAX_SESSIONS; i++)
      if (one.send(outbound(PROTOCOL_UDP, host(i), test::server4), 0).said != VERDICT_FORWARD) {
        ADD_FAILURE() << "only " << i << " sessions of " << MAX_SESSIONS;
        break;
      }
    clear();
  }

  uint64_t races_lost() const { return tables_->counters()[REASON_race_lost]; }
  bool met_enough() const { return races_lost() >= 10 || std::thread::hardware_concurrency() < 2; }

  std::unique_ptr<tables::BpfTables> tables_;
  Step step_;
};

TEST_P(TwoProcessors, MakeAFlowOnce) {
  std::array<std::vector<Departure>, 2> departures;
  auto send_all = [&](unsigned number, uint32_t first) {
    stay_on(number);
    Traveller traveller(tables_->engine(), number, tables_->program());
    for (uint32_t i = 0; i < CHUNK; i++) {
      const Bytes packet = outbound(GetParam(), host(first + i), test::server4);
      if (i % TOGETHER == 0)
        step_.meet(i / TOGETHER + 1);
      departures[number].push_back(traveller.send(packet, monotonic_seconds()));
    }
  };
  uint32_t sent_again = 0;
  for (uint32_t chunk = 0; chunk < FEWEST_CHUNKS || (!met_enough() && chunk < MOST_CHUNKS);
       chunk++) {
    step_.begin();
    departures = {};
    std::thread other(send_all, 1, chunk * CHUNK);
    std::thread(send_all, 0, chunk * CHUNK).join();
    other.join();
    Traveller again(tables_->engine(), 0, tables_->program());
    for (uint32_t i = 0; i < CHUNK; i++) {
      Departure &one = departures[0][i], &two = departures[1][i];
      // Who meets a processor that stops in the middle (a guest's, or under load) is dropped, and sends again.
      for (Departure *each : {&one, &two})
        if (each->said == VERDICT_DROP && ++sent_again <= MAY_BE_SENT_AGAIN)
          *each = again.send(outbound(GetParam(), host(chunk * CHUNK + i), test::server4),
                             monotonic_seconds());
      ASSERT_EQ(one.said, VERDICT_FORWARD);
      ASSERT_EQ(two.said, VERDICT_FORWARD);
      ASSERT_TRUE(is_of_the_pool(one));
      ASSERT_EQ(std::pair(one.source, one.port), std::pair(two.source, two.port));
    }
    expect_consistent(*tables_, pool, PORTS);
    ASSERT_EQ(clear(), CHUNK);
  }
  RecordProperty("races_lost", std::to_string(races_lost()));
  EXPECT_EQ(tables_->counters()[REASON_dying], sent_again) << "nothing else was dropped";
  expect_nothing_left();
  if (!met_enough() && !HasFailure())
    GTEST_SKIP() << "this machine did not run the two at once";
}

TEST_P(TwoProcessors, MakeFlowsWhileAllAreCleared) {
  std::atomic<int> wrong = 0, forwarded = 0;
  std::atomic<uint32_t> steps = 0;
  auto send_all = [&](unsigned number) {
    stay_on(number);
    Traveller traveller(tables_->engine(), number, tables_->program());
    auto send = [&](const Bytes &packet) {
      traveller.enter();
      Departure departure = traveller.send(packet, monotonic_seconds());
      traveller.leave();
      forwarded += departure.said == VERDICT_FORWARD;
      return departure;
    };
    for (uint32_t i = 0; !step_.over(); i++) {
      const Bytes packet = outbound(GetParam(), host(i % HOSTS), test::server4);
      if (i % TOGETHER == 0)
        step_.meet(i / TOGETHER + 1);
      steps++;
      Departure out = send(packet);
      if (out.said != VERDICT_FORWARD)
        continue; // its session has just ended
      wrong += !is_of_the_pool(out);
      Ipv4 address{};
      std::memcpy(address.bytes.data(), &out.source, 4);
      // The port may be another host's by now: but a whole one's.
      Departure in = send(inbound(GetParam(), test::server4, address, ntohs(out.port)));
      if (in.said == VERDICT_FORWARD)
        wrong += in.host.port < 1024 || !(host(in.host.port - 1024U) == in.host);
    }
  };
  std::thread one(send_all, 0), two(send_all, 1);
  uint64_t ended = 0;
  auto is_enough = [&](uint32_t clears) {
    return clears >= FEWEST_CLEARS && steps >= FEWEST_STEPS && (met_enough() || steps > MOST_STEPS);
  };
  for (uint32_t clears = 0; !is_enough(clears); clears++)
    ended += clear();
  step_.end();
  one.join();
  two.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(forwarded, 0);
  EXPECT_GT(ended, 0U);
  RecordProperty("races_lost", std::to_string(races_lost()));
  expect_consistent(*tables_, pool, PORTS);
  expect_nothing_left();
  if (!met_enough() && !HasFailure())
    GTEST_SKIP() << "this machine did not run the two at once";
}

INSTANTIATE_TEST_SUITE_P(Protocol, TwoProcessors,
                         testing::Values(PROTOCOL_UDP, PROTOCOL_TCP, PROTOCOL_ICMP),
                         [](const auto &each) {
                           return std::string(each.param == PROTOCOL_UDP   ? "udp"
                                              : each.param == PROTOCOL_TCP ? "tcp"
                                                                           : "icmp");
                         });

} // namespace
} // namespace viaduct::dp
