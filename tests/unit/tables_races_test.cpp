// SPDX-License-Identifier: MIT
//
// Races in each engine's tables: workers translate overlapping flows while the main thread sweeps,
// changes the policy and dumps. Few ports, few sessions and small quotas, so that collisions and
// exhaustion are the rule.
//
// It goes in rounds. In each, every worker first refreshes a session of its own (its anchor); then
// time runs, less than that session's timer, while all of them send a burst; then all stand still
// and the tables must fit together to the last count. While an anchor lives:
//  - its endpoint leaves by the same pool endpoint (endpoint-independent mapping), whatever happens
//    to other sessions and policies;
//  - no packet of another endpoint leaves by that pool endpoint.
#include "datapath/native/native.h"
#include "lib/addresses.h"
#include "lib/packet.h"
#include "lib/vector.h"
#include "tables/engine_choice.h"

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

using test::Bytes;

constexpr unsigned WORKERS = 4;
constexpr int ROUNDS = 40;
constexpr int MOST_ROUNDS = 400; // until everything that is to be met was met
constexpr int BURST = 2000;
constexpr uint32_t MAX_SESSIONS = 32;
constexpr uint32_t QUOTA = 8;
constexpr uint16_t FIRST_PORT = 40000;
constexpr uint16_t PORTS = 4; // of each pool address

const std::array<Ipv4, 2> pool{test::pool4, test::pool4b};
const std::array<Ipv4, 3> remotes{test::server4, test::server4b, test::router4};
constexpr std::array<uint8_t, 3> protocols{PROTOCOL_UDP, PROTOCOL_TCP, PROTOCOL_ICMP};

struct Endpoint {
  Ipv6 address;
  uint16_t port;
};

// Two hosts of one subscriber and one of another, two ports each.
const std::vector<Endpoint> endpoints{
    {test::client6, 1000},  {test::client6, 1001},    {test::client6b, 1000},
    {test::client6b, 1001}, {test::neighbour6, 1000}, {test::neighbour6, 1001},
};

Bytes outbound(uint8_t protocol, const Endpoint &from, const Ipv4 &to) {
  auto ip = test::ip6(from.address, test::pref64(to));
  if (protocol == PROTOCOL_UDP)
    return (ip / test::udp(from.port, 53) / test::payload(8)).bytes();
  if (protocol == PROTOCOL_TCP)
    return (ip / test::tcp(from.port, 80).syn()).bytes();
  return (ip / test::icmp6_echo_request(from.port, 1)).bytes();
}

Bytes inbound(uint8_t protocol, const Ipv4 &from, const Ipv4 &to, uint16_t port) {
  auto ip = test::ip4(from, to);
  if (protocol == PROTOCOL_UDP)
    return (ip / test::udp(53, port) / test::payload(8)).bytes();
  if (protocol == PROTOCOL_TCP)
    return (ip / test::tcp(80, port).syn()).bytes();
  return (ip / test::icmp4_echo_request(port, 1)).bytes();
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
                      FIRST_PORT,
                      FIRST_PORT + PORTS - 1,
                      0,
                      static_cast<uint8_t>(first_pool + i), // an address keeps its place
                      0};
  return policy;
}

struct Departure {
  verdict said;
  reason why;
  uint32_t source = 0; // as they lie in the packet; outbound and forwarded only
  uint16_t port = 0;
};

// A worker with the memory for one packet.
class Traveller {
public:
  Traveller(engine *engine, uint64_t seed) : worker_(worker_new(engine)) {
    worker_seed(worker_, seed);
  }
  ~Traveller() { worker_free(worker_); }
  Traveller(const Traveller &) = delete;
  Traveller &operator=(const Traveller &) = delete;

  void enter() { worker_enter(worker_); }
  void leave() { worker_leave(worker_); }
  Departure send(const Bytes &packet, uint32_t now) {
    uint8_t *start = memory_.data() + FRAME_HEADROOM;
    std::copy(packet.begin(), packet.end(), start);
    frame frame{};
    frame.data = start;
    frame.length = static_cast<uint32_t>(packet.size());
    worker_set_now(worker_, now);
    Departure departure{};
    departure.said = translate_frame(worker_, &frame, &departure.why);
    if (departure.said == VERDICT_FORWARD && frame.data[0] >> 4 == 4) {
      std::memcpy(&departure.source, frame.data + 12, 4);
      size_t at = frame.data[9] == PROTOCOL_ICMP ? 4 : 0; // the identifier is the port
      std::memcpy(&departure.port, frame.data + frame.transport + at, 2);
    }
    return departure;
  }

private:
  worker *worker_;
  std::array<uint8_t, FRAME_HEADROOM + 256> memory_{};
};

// --- what the tables say -------------------------------------------------------------------------

using tables::Tables;

struct Contents {
  std::vector<tables::SessionRow> sessions;
  std::vector<tables::BindingRow> bindings;
  std::vector<tables::PortRow> ports;
};

template <typename Row>
std::vector<Row> dump(const Tables &tables,
                      uint64_t (Tables::*take)(uint64_t, size_t, std::vector<Row> &) const) {
  std::vector<Row> rows;
  uint64_t cursor = 0;
  do
    cursor = (tables.*take)(cursor, 64, rows);
  while (cursor != 0);
  return rows;
}

Contents read_tables(const Tables &tables) {
  return {dump(tables, &Tables::sessions), dump(tables, &Tables::bindings),
          dump(tables, &Tables::ports)};
}

using Inside = std::tuple<uint8_t, std::string, uint16_t>; // protocol, address, port
using Outside = std::tuple<uint8_t, uint32_t, uint16_t>;   // protocol, pool address, port

Inside inside(uint8_t protocol, const address &address, uint16_t port) {
  return {protocol, std::string(reinterpret_cast<const char *>(address.byte), 16), port};
}

// Never more ports counted than are held, by address and protocol; fewer, where the address was out
// of the pool meanwhile.
void expect_counted(const Tables &tables, const std::vector<tables::PortRow> &ports) {
  for (size_t slot = 0; slot < pool.size(); slot++) {
    pool_address address{};
    address.slot = static_cast<uint8_t>(slot);
    pool_use use = tables.pool_use(address);
    constexpr std::array<uint8_t, PORT_PROTOCOLS> order{PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP};
    for (size_t i = 0; i < order.size(); i++) {
      const auto held = std::ranges::count_if(ports, [&](const auto &row) {
        return row.key.pool_address == pool[slot].network_order() && row.key.protocol == order[i];
      });
      EXPECT_LE(use.used[i], held);
      EXPECT_LE(use.used[i], use.most[i]);
      EXPECT_LE(use.most[i], PORTS);
    }
  }
}

// Nobody is at work: three tables that tell one story.
void expect_consistent(const Tables &tables) {
  Contents all = read_tables(tables);
  tables::Usage usage = tables.usage();
  EXPECT_EQ(all.sessions.size(), usage.sessions);
  EXPECT_EQ(all.bindings.size(), usage.bindings);
  EXPECT_EQ(all.ports.size(), all.bindings.size());

  std::map<Outside, Inside> owner;
  for (const auto &[key, value] : all.ports)
    EXPECT_TRUE(owner
                    .insert({Outside(key.protocol, key.pool_address, key.pool_port),
                             inside(key.protocol, value.inside, value.inside_port)})
                    .second);
  expect_counted(tables, all.ports);
  std::map<Outside, uint32_t> sessions_of;
  for (const auto &[key, value] : all.sessions) {
    Outside outside(key.protocol, key.pool_address, key.pool_port);
    sessions_of[outside]++;
    EXPECT_NE(value.expires, SESSION_DEAD);
    EXPECT_TRUE(owner.count(outside)) << "a session on a port that nobody holds";
    EXPECT_EQ(owner[outside], inside(key.protocol, value.inside, value.inside_port))
        << "a session on somebody else's port";
  }
  std::map<Inside, Outside> mapping;
  for (const auto &[key, value] : all.bindings) {
    Outside outside(key.protocol, value.pool_address, value.pool_port);
    Inside host = inside(key.protocol, key.inside, key.inside_port);
    EXPECT_TRUE(mapping.insert({host, outside}).second) << "two bindings for one endpoint";
    EXPECT_EQ(owner[outside], host) << "a binding without its port";
    EXPECT_EQ(value.sessions, sessions_of[outside]);
  }
}

// --- the rounds ----------------------------------------------------------------------------------

class Races : public testing::TestWithParam<std::tuple<tables::Wish, uint64_t>> {
protected:
  void SetUp() override {
    if (std::get<0>(GetParam()) == tables::Wish::bpf && geteuid() != 0)
      GTEST_SKIP() << "only root may load BPF programs";
    if (std::get<0>(GetParam()) == tables::Wish::bpf)
      most_sessions_ *= 4; // the dead take room until they are buried
    auto chosen = tables::choose_engine(std::get<0>(GetParam()), most_sessions_);
    ASSERT_TRUE(chosen) << chosen.failure().message;
    chosen_ = std::move(*chosen);
    tables_ = chosen_.tables.get();
    ASSERT_TRUE(tables_->set_policy(make_policy(1, 0, 2)));
    for (uint8_t protocol : protocols)
      for (const Ipv4 &remote : remotes) {
        for (const Endpoint &endpoint : endpoints)
          out_.push_back({protocol, outbound(protocol, endpoint, remote)});
        for (const Ipv4 &address : pool)
          for (uint16_t i = 0; i < PORTS; i++)
            in_.push_back(inbound(protocol, remote, address, FIRST_PORT + i));
      }
  }

  // Pool endpoints of anchors: 0, or the worker's number + 1.
  std::atomic<unsigned> &anchored(uint32_t address, uint16_t port) {
    size_t index = address == pool[0].network_order() ? 0 : PORTS;
    return anchored_[index + (ntohs(port) - FIRST_PORT) % PORTS];
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
      wrong_ +=
          !anchored(departure.source, departure.port).compare_exchange_strong(nobody, number + 1);
      places_[number] = departure;
    }
    wrong_ += place != std::pair(places_[number].source, places_[number].port);
  }

  void burst(Traveller &traveller, unsigned number, std::mt19937_64 &random) {
    for (int i = 0; i < BURST; i++) {
      if (i % 8 == 0)
        traveller.enter();
      if (random() % 16 == 0) {
        drop_anchor(traveller, number);
      } else if (random() % 4 == 0) {
        forwarded_ += traveller.send(in_[random() % in_.size()], now_).said == VERDICT_FORWARD;
      } else {
        std::array<unsigned, 2 * PORTS> before;
        std::copy(anchored_.begin(), anchored_.end(), before.begin());
        const auto &[protocol, packet] = out_[random() % out_.size()];
        Departure departure = traveller.send(packet, now_);
        if (departure.said == VERDICT_FORWARD) {
          forwarded_++;
          size_t place =
              static_cast<size_t>(&anchored(departure.source, departure.port) - anchored_.data());
          wrong_ += protocol == PROTOCOL_UDP && before[place] != 0;
        } else {
          wrong_ += departure.said != VERDICT_DROP;
        }
      }
      if (i % 8 == 7 || i == BURST - 1)
        traveller.leave();
    }
  }

  // No port left, and a quota used up: whether that happens in a round is chance. The BPF engine's
  // sweep waits for everybody, and its rounds are too few for the first to be sure.
  std::vector<reason> to_be_met() const {
    if (std::get<0>(GetParam()) == tables::Wish::bpf)
      return {REASON_subscriber_quota};
    return {REASON_no_port, REASON_subscriber_quota};
  }
  bool all_was_met() const {
    tables::Counters counters = tables_->counters();
    return std::ranges::all_of(to_be_met(), [&](reason seen) { return counters[seen] > 0; });
  }

  void work(unsigned number, std::barrier<> &stage) {
    uint64_t seed = std::get<1>(GetParam());
    Traveller traveller(tables_->engine(), seed * 100 + number);
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
  }

  static bool not_neighbour(const session_key &, const session &value) {
    return std::memcmp(value.inside.byte, test::neighbour6.bytes.data(), 16) != 0;
  }

  // They look at what the workers are changing, and leave nothing behind: the count at the end of
  // the round would show it.
  void dry_walks(unsigned step) {
    for (unsigned i = 0; i < 8; i++) {
      const Bytes &packet =
          (step + i) % 2 ? in_[(step + i) % in_.size()] : out_[(step + i) % out_.size()].second;
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
      EXPECT_LT(ntohs(event.key.pool_port), FIRST_PORT + PORTS);
    }
  }

  // What the daemon does meanwhile.
  void disturb(int round) {
    for (unsigned step = 0; finished_ < WORKERS; step++) {
      if (step < 3) // an anchor lives for four
        now_++;
      tables_->sweep(now_, step % 3 == 2 ? not_neighbour : tables::Keep());
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
  std::vector<Bytes> in_;
  // Hosts of a subscriber each, so that the others' quotas do not concern them.
  std::array<Bytes, WORKERS> anchors_ = [] {
    std::array<Bytes, WORKERS> anchors;
    for (unsigned i = 0; i < WORKERS; i++) {
      Ipv6 address = test::client6;
      address.bytes[6] = static_cast<uint8_t>(0x80 + i);
      anchors[i] = outbound(PROTOCOL_UDP, {address, 500}, test::server4);
    }
    return anchors;
  }();
  std::array<Departure, WORKERS> places_{};
  std::array<std::atomic<unsigned>, 2 * PORTS> anchored_{};
  std::atomic<uint32_t> now_ = 100;
  std::atomic<unsigned> finished_ = 0;
  std::atomic<bool> stopped_ = false;
  std::atomic<int> wrong_ = 0, refused_ = 0, forwarded_ = 0;
};

TEST_P(Races, NothingIsSharedLostOrKept) {
  std::barrier<> stage(WORKERS + 1);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < WORKERS; i++)
    threads.emplace_back([&, i] { work(i, stage); });
  for (int round = 0; round < MOST_ROUNDS && !stopped_; round++) {
    finished_ = 0;
    stage.arrive_and_wait();
    stage.arrive_and_wait();
    disturb(round);
    stage.arrive_and_wait();
    expect_consistent(*tables_);
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
std::vector<tables::Wish> engines() {
#ifdef VIADUCT_NATIVE_ONLY
  return {tables::Wish::tun};
#else
  return {tables::Wish::tun, tables::Wish::bpf};
#endif
}

INSTANTIATE_TEST_SUITE_P(Seed, Races,
                         testing::Combine(testing::ValuesIn(engines()), testing::Values(1, 2, 3)),
                         [](const auto &each) {
                           return fmt::format(
                               "{}{}", std::get<0>(each.param) == tables::Wish::tun ? "tun" : "bpf",
                               std::get<1>(each.param));
                         });

} // namespace
} // namespace viaduct::dp
