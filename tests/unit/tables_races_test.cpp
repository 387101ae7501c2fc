// SPDX-License-Identifier: MIT
//
// Races in each engine's tables: workers translate overlapping flows while the main thread sweeps,
// changes the policy and dumps. Few ports, few sessions and small quotas, so that collisions and
// exhaustion are the rule. In the BPF engine's case once by workers alone, whose session step is the
// keeper's, and once with the program for tc on two processors beside them.
//
// It goes in rounds. In each, every worker first refreshes a session of its own (its anchor); then
// time runs, less than that session's timer, while all of them send a burst; then all stand still
// and the tables must fit together to the last count. While an anchor lives:
//  - its endpoint leaves by the same pool endpoint (endpoint-independent mapping), whatever happens
//    to other sessions and policies;
//  - no packet of another endpoint leaves by that pool endpoint;
//  - what comes to that pool endpoint arrives at this endpoint.
// And no packet ever leaves by half of one pool endpoint and half of another, or arrives at such a host:
// each port is of one pool address only, and of one host.
#include "datapath/native/native.h"
#include "lib/addresses.h"
#include "lib/packet.h"
#include "lib/vector.h"
#include "tables/engine_choice.h"
#include "unit/tables_consistent.h"
#include "unit/tables_traveller.h"
#ifndef VIADUCT_NATIVE_ONLY
#include "tables/bpf_tables.h"
#endif
#include "base/clock.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <barrier>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <unistd.h>
#include <vector>

namespace viaduct::dp {
namespace {

constexpr unsigned WORKERS = 4;
constexpr int ROUNDS = 40;
constexpr int MOST_ROUNDS = 400; // until everything that is to be met was met
constexpr int BURST = 2000;
constexpr uint32_t MAX_SESSIONS = 32;
constexpr uint32_t QUOTA = 8;
constexpr uint16_t FIRST_PORT = 40000;
constexpr uint16_t PORTS = 4; // of each pool address, one address after the other

const std::array<Ipv4, 2> pool{test::pool4, test::pool4b};
const std::array<Ipv4, 3> remotes{test::server4, test::server4b, test::router4};
constexpr std::array<uint8_t, 3> protocols{PROTOCOL_UDP, PROTOCOL_TCP, PROTOCOL_ICMP};

// Two hosts of one subscriber and one of another, two ports each.
const std::vector<Endpoint> endpoints{
    {test::client6, 1000},  {test::client6, 1001},    {test::client6b, 1002},
    {test::client6b, 1003}, {test::neighbour6, 1004}, {test::neighbour6, 1005},
};

// Hosts of a subscriber each, so that the others' quotas do not concern them.
Endpoint anchor_of(unsigned worker) {
  Endpoint anchor{test::client6, static_cast<uint16_t>(500 + worker)};
  anchor.address.bytes[6] = static_cast<uint8_t>(0x80 + worker);
  return anchor;
}

bool is_anybody(const Endpoint &one) {
  bool known = std::ranges::count(endpoints, one) != 0;
  for (unsigned i = 0; i < WORKERS; i++)
    known = known || one == anchor_of(i);
  return known;
}

// Which of the pool, and of that the port with this number; pool.size() where there is no such.
size_t slot_of(uint32_t address, uint16_t port) {
  for (size_t slot = 0; slot < pool.size(); slot++)
    if (address == pool[slot].network_order() && ntohs(port) >= FIRST_PORT + slot * PORTS &&
        ntohs(port) < FIRST_PORT + (slot + 1) * PORTS)
      return slot;
  return pool.size();
}

policy make_policy(uint32_t generation, size_t first_pool, size_t pools) {
  policy policy = test::default_policy();
  policy.generation = generation;
  policy.max_sessions_per_subscriber = QUOTA;
  // Anchors are UDP; the rest hardly lives.
  policy.timeouts = {};
  policy.timeouts.udp = 4;
  policy.timeouts.tcp_established = 2;
  policy.timeouts.tcp_transitory = 1;
  policy.timeouts.icmp = 1;
  policy.timeouts.fragment = 2;
  policy.rst_window = 0;
  test::with_allowed({test::prefix6("2001:db8::/32")})(policy);
  policy.pool_count = static_cast<uint8_t>(pools);
  for (size_t i = 0; i < pools; i++)
    policy.pool[i] = {pool[first_pool + i].network_order(),
                      static_cast<uint16_t>(FIRST_PORT + (first_pool + i) * PORTS),
                      static_cast<uint16_t>(FIRST_PORT + (first_pool + i + 1) * PORTS - 1),
                      0,
                      static_cast<uint8_t>(first_pool + i), // an address keeps its place
                      0};
  return policy;
}

struct Inbound {
  uint8_t protocol;
  size_t place; // of the pool, counted over all addresses
  Bytes packet;
};

// --- the rounds ----------------------------------------------------------------------------------

// Who takes packets through which tables.
enum class Way {
  tun,
  bpf,     // workers, whose session step the keeper does
  program, // the program for tc, on two processors at once, and two such workers
};

constexpr unsigned WITH_PROGRAM = WORKERS / 2;

Result<tables::Chosen> make_tables(Way way, uint32_t most_sessions) {
  if (way != Way::program)
    return tables::choose_engine(way == Way::tun ? tables::Wish::tun : tables::Wish::bpf,
                                 most_sessions);
#ifdef VIADUCT_NATIVE_ONLY
  return error("there is no program");
#else
  auto made = tables::BpfTables::make({.max_sessions = most_sessions, .ethernet = true});
  if (!made)
    return made.failure();
  tables::Chosen chosen;
  chosen.program = (*made)->program();
  chosen.tables = std::move(*made);
  return chosen;
#endif
}

using tables::Tables;

class Races : public testing::TestWithParam<std::tuple<Way, uint64_t>> {
protected:
  static Way way() { return std::get<0>(GetParam()); }

  void SetUp() override {
    if (way() != Way::tun && geteuid() != 0)
      GTEST_SKIP() << "only root may load BPF programs";
    if (way() != Way::tun)
      most_sessions_ *= 4; // the dead take room until they are buried
    auto chosen = make_tables(way(), most_sessions_);
    ASSERT_TRUE(chosen) << chosen.failure().message;
    chosen_ = std::move(*chosen);
    tables_ = chosen_.tables.get();
    ASSERT_TRUE(tables_->set_policy(make_policy(1, 0, 2)));
    for (uint8_t protocol : protocols)
      for (const Ipv4 &remote : remotes) {
        for (const Endpoint &endpoint : endpoints)
          out_.push_back({protocol, outbound(protocol, endpoint, remote)});
        for (size_t slot = 0; slot < pool.size(); slot++)
          for (uint16_t i = 0; i < PORTS; i++)
            in_.push_back({protocol, slot * PORTS + i,
                           inbound(protocol, remote, pool[slot],
                                   static_cast<uint16_t>(FIRST_PORT + slot * PORTS + i))});
      }
  }

  // Pool endpoints of anchors: 0, or the worker's number + 1.
  std::atomic<unsigned> &anchored(uint16_t port) {
    return anchored_[static_cast<size_t>(ntohs(port) - FIRST_PORT) % anchored_.size()];
  }

  // Sent at the start of each round, before time runs.
  void drop_anchor(Traveller &traveller, unsigned number) {
    Departure departure = traveller.send(anchors_[number], now_);
    if (departure.said != VERDICT_FORWARD) {
      // Others have the ports, the quota or the table: only before it is there.
      wrong_ += places_[number].port != 0;
      refused_++;
      return;
    }
    std::pair<uint32_t, uint16_t> place{departure.source, departure.port};
    if (places_[number].port == 0) {
      unsigned nobody = 0;
      wrong_ += !anchored(departure.port).compare_exchange_strong(nobody, number + 1);
      places_[number] = departure;
    }
    wrong_ += place != std::pair(places_[number].source, places_[number].port);
  }

  // Where each place of the pool is an anchor's before the packet is sent, it still is behind it.
  using Anchored = std::array<unsigned, 2 * PORTS>;
  Anchored anchored_now() const {
    Anchored now;
    std::copy(anchored_.begin(), anchored_.end(), now.begin());
    return now;
  }

  void send_out(Traveller &traveller, const std::pair<uint8_t, Bytes> &what) {
    const Anchored before = anchored_now();
    Departure departure = traveller.send(what.second, now_);
    if (departure.said != VERDICT_FORWARD) {
      wrong_ += departure.said != VERDICT_DROP;
      return;
    }
    forwarded_++;
    wrong_ += slot_of(departure.source, departure.port) == pool.size();
    const auto place = static_cast<size_t>(&anchored(departure.port) - anchored_.data());
    wrong_ += what.first == PROTOCOL_UDP && before[place] != 0;
  }

  void send_in(Traveller &traveller, const Inbound &what) {
    const Anchored before = anchored_now();
    Departure departure = traveller.send(what.packet, now_);
    if (departure.said != VERDICT_FORWARD)
      return;
    forwarded_++;
    wrong_ += !is_anybody(departure.host);
    if (const unsigned anchor = before[what.place]; what.protocol == PROTOCOL_UDP && anchor != 0)
      wrong_ += !(departure.host == anchor_of(anchor - 1));
  }

  void burst(Traveller &traveller, unsigned number, std::mt19937_64 &random) {
    for (int i = 0; i < BURST; i++) {
      if (i % 8 == 0)
        traveller.enter();
      if (random() % 16 == 0) {
        drop_anchor(traveller, number);
      } else if (random() % 4 == 0) {
        send_in(traveller, in_[random() % in_.size()]);
      } else {
        send_out(traveller, out_[random() % out_.size()]);
      }
      if (i % 8 == 7 || i == BURST - 1)
        traveller.leave();
    }
  }

  // No port left, and a quota used up: whether that happens in a round is chance. The BPF engine's
  // sweep waits for everybody, and its rounds are too few for the first to be sure.
  std::vector<reason> to_be_met() const {
    if (way() != Way::tun)
      return {REASON_subscriber_quota};
    return {REASON_no_port, REASON_subscriber_quota};
  }
  bool all_was_met() const {
    tables::Counters counters = tables_->counters();
    return std::ranges::all_of(to_be_met(), [&](reason seen) { return counters[seen] > 0; });
  }

  void work(unsigned number, std::barrier<> &stage) {
    uint64_t seed = std::get<1>(GetParam());
    const bool with_program = way() == Way::program && number < WITH_PROGRAM;
    Traveller traveller(tables_->engine(), seed * 100 + number,
                        with_program ? chosen_.program : -1);
    if (with_program)
      stay_on(number);
    std::mt19937_64 random(seed * 1000 + number);
    for (int round = 0; round < MOST_ROUNDS && !stopped_; round++) {
      stage.arrive_and_wait(); // the round begins
      drop_anchor(traveller, number);
      stage.arrive_and_wait(); // time runs
      burst(traveller, number, random);
      finished_++;
      stage.arrive_and_wait(); // all stand still
      stage.arrive_and_wait(); // and were looked at
    }
    by_program_ += traveller.by_program();
  }

  static event_why not_neighbour(const session_key &, const session &value) {
    return std::memcmp(value.inside.byte, test::neighbour6.bytes.data(), 16) != 0 ? WHY_NONE
                                                                                  : WHY_CLEARED;
  }

  // They look at what the workers are changing, and leave nothing behind: the count at the end of
  // the round would show it.
  void dry_walks(unsigned step) {
    for (unsigned i = 0; i < 8; i++) {
      const Bytes &packet = (step + i) % 2 ? in_[(step + i) % in_.size()].packet
                                           : out_[(step + i) % out_.size()].second;
      auto trace = tables_->trace(packet, now_);
      ASSERT_TRUE(trace) << trace.failure().message;
      EXPECT_GT(trace->notes.size(), 0U);
    }
  }

  // Somebody listens now and then, and reads less than there is.
  void watch(unsigned step) {
    std::vector<event> events;
    if (step % 8 == 0)
      tables_->watch(step % 16 == 0);
    tables_->events(16, events);
    ASSERT_LE(events.size(), 16U);
    for (const event &event : events) {
      EXPECT_LT(event.kind, EVENT_KINDS);
      EXPECT_GE(ntohs(event.key.pool_port), FIRST_PORT);
      EXPECT_LT(ntohs(event.key.pool_port), FIRST_PORT + pool.size() * PORTS);
    }
  }

  // What the daemon does meanwhile.
  void disturb(int round) {
    for (unsigned step = 0; finished_ < WORKERS; step++) {
      if (step < 3) // an anchor lives for four
        now_++;
      tables_->sweep(now_, step % 3 == 2 ? not_neighbour : tables::Cause());
      EXPECT_LE(read_tables(*tables_).sessions.size(), most_sessions_);
      for (const auto &row : read_tables(*tables_).bindings)
        EXPECT_EQ(row.key.pad, 0);
      dry_walks(step);
      watch(step);
      EXPECT_TRUE(tables_->set_policy(make_policy(static_cast<uint32_t>(round) + 2, step % 2,
                                                  1 + (step / 2) % 2 * (1 - step % 2))));
    }
    EXPECT_TRUE(tables_->set_policy(make_policy(static_cast<uint32_t>(round) + 2, 0, 2)));
  }

  // Everything has ended; whatever a race had left behind would be missing here.
  void expect_all_can_be_had_again() {
    policy policy = make_policy(1000, 0, 2);
    for (auto &range : policy.pool)
      range.port_high = 60000;
    policy.allow[0].length = 16;
    ASSERT_TRUE(tables_->set_policy(policy));
    Traveller traveller(tables_->engine(), 7);
    for (uint32_t i = 0; i < QUOTA; i++)
      EXPECT_EQ(
          traveller.send(outbound(PROTOCOL_UDP, {test::client6, uint16_t(i)}, remotes[0]), now_)
              .why,
          REASON_translated_6to4);
    EXPECT_EQ(traveller.send(outbound(PROTOCOL_UDP, {test::client6, 99}, remotes[0]), now_).why,
              REASON_subscriber_quota);
    now_ += 1000;
    EXPECT_EQ(tables_->sweep(now_), QUOTA);

    Ipv6 stranger = test::client6;
    for (uint32_t i = 0; i < most_sessions_; i++) { // as many subscribers as there is room for
      stranger.bytes[5] = static_cast<uint8_t>(i);
      ASSERT_EQ(traveller.send(outbound(PROTOCOL_UDP, {stranger, 5}, remotes[0]), now_).why,
                REASON_translated_6to4)
          << i;
    }
    stranger.bytes[5] = 0xff;
    EXPECT_EQ(traveller.send(outbound(PROTOCOL_UDP, {stranger, 5}, remotes[0]), now_).why,
              REASON_table_full);
  }

  uint32_t most_sessions_ = MAX_SESSIONS;
  tables::Chosen chosen_;
  Tables *tables_ = nullptr; // chosen_'s
  std::vector<std::pair<uint8_t, Bytes>> out_;
  std::vector<Inbound> in_;
  std::array<Bytes, WORKERS> anchors_ = [] {
    std::array<Bytes, WORKERS> anchors;
    for (unsigned i = 0; i < WORKERS; i++)
      anchors[i] = outbound(PROTOCOL_UDP, anchor_of(i), test::server4);
    return anchors;
  }();
  std::array<Departure, WORKERS> places_{};
  std::array<std::atomic<unsigned>, 2 * PORTS> anchored_{};
  std::atomic<uint32_t> now_ = 100;
  std::atomic<unsigned> finished_ = 0;
  std::atomic<bool> stopped_ = false;
  std::atomic<int> wrong_ = 0, refused_ = 0, forwarded_ = 0, by_program_ = 0;
};

TEST_P(Races, NothingIsSharedLostOrKept) {
  std::barrier<> stage(WORKERS + 1);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < WORKERS; i++)
    threads.emplace_back([&, i] { work(i, stage); });
  for (int round = 0; round < MOST_ROUNDS && !stopped_; round++) {
    finished_ = 0;
    if (way() == Way::program) // whose clock is the kernel's
      now_ = monotonic_seconds();
    stage.arrive_and_wait();
    stage.arrive_and_wait();
    disturb(round);
    stage.arrive_and_wait();
    expect_consistent(*tables_, pool, PORTS);
    EXPECT_EQ(wrong_, 0) << "in round " << round;
    if (HasFailure() || (round + 1 >= ROUNDS && all_was_met()))
      stopped_ = true; // one round's findings are enough
    stage.arrive_and_wait();
  }
  for (auto &thread : threads)
    thread.join();
  for (const Departure &place : places_)
    EXPECT_NE(place.port, 0) << "an anchor that never got a port";
  EXPECT_GT(forwarded_, ROUNDS);
  if (way() == Way::program) {
    EXPECT_GT(by_program_, 10 * ROUNDS);
  }

  for (int i = 0; i < 2; i++) { // the first one asks the hosts of established sessions
    now_ += 1000;
    tables_->sweep(now_);
  }
  Contents left = read_tables(*tables_);
  EXPECT_EQ(left.sessions.size(), 0U);
  EXPECT_EQ(left.bindings.size(), 0U);
  EXPECT_EQ(left.ports.size(), 0U);
  tables::Counters counters = tables_->counters();
  EXPECT_EQ(counters[REASON_session_made], counters[REASON_session_ended]);
  EXPECT_EQ(counters[REASON_binding_made], counters[REASON_binding_ended]);
  RecordProperty("races_lost", std::to_string(counters[REASON_race_lost]));
  for (reason seen : to_be_met())
    EXPECT_GT(counters[seen], 0U) << "the test is not what it says: reason " << seen;
  expect_all_can_be_had_again();
}

// scripts/coverage counts the native data path, with the engine that is all native.
std::vector<Way> ways() {
#ifdef VIADUCT_NATIVE_ONLY
  return {Way::tun};
#else
  return {Way::tun, Way::bpf, Way::program};
#endif
}

std::string name_of(const testing::TestParamInfo<std::tuple<Way, uint64_t>> &each) {
  constexpr std::array names{"tun", "bpf", "program"};
  return fmt::format("{}{}", names[static_cast<size_t>(std::get<0>(each.param))],
                     std::get<1>(each.param));
}

INSTANTIATE_TEST_SUITE_P(Seed, Races,
                         testing::Combine(testing::ValuesIn(ways()), testing::Values(1, 2, 3)),
                         name_of);

} // namespace
} // namespace viaduct::dp
