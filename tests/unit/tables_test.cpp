// SPDX-License-Identifier: MIT
//
// Each engine's tables as the daemon sees them: dumps, counters, the sweep, a new policy. Packets come
// by the native build, which stands on both.
#include "tables/engine_choice.h"

#include "datapath/native/native.h"

#include "lib/addresses.h"
#include "lib/packet.h"
#include "lib/vector.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <set>
#include <tuple>
#include <unistd.h>

namespace viaduct::tables {
namespace {

constexpr uint32_t NOW = 1000;
constexpr uint32_t UDP_TIMEOUT = 300;
constexpr uint32_t TCP_TIMEOUT = 7440;

dp::policy make_policy() {
  dp::policy policy = test::default_policy();
  policy.max_sessions_per_subscriber = 100'000;
  policy.timeouts = {};
  policy.timeouts.udp = UDP_TIMEOUT;
  policy.timeouts.tcp_established = TCP_TIMEOUT;
  policy.timeouts.tcp_transitory = 240;
  return policy;
}

class TablesTest : public testing::TestWithParam<Wish> {
protected:
  void SetUp() override {
    if (GetParam() == Wish::bpf && geteuid() != 0)
      GTEST_SKIP() << "only root may load BPF programs";
  }
  void make(uint32_t max_sessions) {
    auto made = choose_engine(GetParam(), max_sessions);
    ASSERT_TRUE(made) << made.failure().message;
    engine_ = std::move(*made);
    tables_ = engine_.tables.get();
    ASSERT_TRUE(tables_->set_policy(make_policy()));
    worker_ = dp::worker_new(tables_->engine());
    ASSERT_NE(worker_, nullptr);
  }
  void TearDown() override { dp::worker_free(worker_); }

  // A datagram out; what became of it.
  dp::reason send(uint16_t from, uint16_t to, uint32_t now = NOW) {
    return carry((test::ip6(test::client6, test::pref64(test::server4)) / test::udp(from, to) /
                  test::payload(4))
                     .bytes(),
                 now);
  }

  dp::reason carry(const test::Bytes &packet, uint32_t now = NOW) {
    std::array<uint8_t, dp::FRAME_HEADROOM + 128> memory{};
    std::copy(packet.begin(), packet.end(), memory.begin() + dp::FRAME_HEADROOM);
    dp::frame frame{};
    frame.data = memory.data() + dp::FRAME_HEADROOM;
    frame.length = static_cast<uint32_t>(packet.size());
    dp::worker_set_now(worker_, now);
    dp::reason reason = dp::REASON_none;
    dp::translate_frame(worker_, &frame, &reason);
    return reason;
  }

  std::vector<SessionRow> all_sessions(size_t limit) {
    std::vector<SessionRow> rows;
    uint64_t cursor = 0;
    do {
      size_t before = rows.size();
      cursor = tables_->sessions(cursor, limit, rows);
      EXPECT_LE(rows.size() - before, std::max<size_t>(limit, 64));
    } while (cursor != 0);
    return rows;
  }

  Chosen engine_;
  Tables *tables_ = nullptr; // engine_'s
  dp::worker *worker_ = nullptr;
};

// scripts/coverage counts the native data path, with the engine that is all native.
std::vector<Wish> engines() {
#ifdef VIADUCT_NATIVE_ONLY
  return {Wish::tun};
#else
  return {Wish::tun, Wish::bpf};
#endif
}

INSTANTIATE_TEST_SUITE_P(Engine, TablesTest, testing::ValuesIn(engines()),
                         [](const auto &each) { return each.param == Wish::tun ? "tun" : "bpf"; });

TEST_P(TablesTest, DumpsEverySessionOnce) {
  constexpr uint16_t inside_ports = 100;
  constexpr uint16_t remote_ports = 100;
  constexpr size_t total = size_t{inside_ports} * remote_ports;
  make(total);
  for (uint16_t from = 0; from < inside_ports; from++)
    for (uint16_t to = 1; to <= remote_ports; to++)
      ASSERT_EQ(send(2000 + from, to), dp::REASON_translated_6to4);
  EXPECT_EQ(send(9000, 1), dp::REASON_table_full);
  EXPECT_EQ(tables_->usage().sessions, total);
  EXPECT_EQ(tables_->usage().sessions_limit, total);
  EXPECT_EQ(tables_->usage().bindings, inside_ports);

  for (size_t limit :
       {size_t{1}, size_t{64}, size_t{100}, size_t{1024}, std::numeric_limits<size_t>::max()}) {
    std::vector<SessionRow> rows = all_sessions(limit);
    std::set<std::pair<uint16_t, uint16_t>> seen;
    for (const SessionRow &row : rows) {
      EXPECT_EQ(row.key.protocol, dp::PROTOCOL_UDP);
      EXPECT_EQ(row.value.expires, NOW + UDP_TIMEOUT);
      EXPECT_EQ(row.value.packets, 1U);
      seen.insert({row.value.inside_port, row.key.remote_port});
    }
    EXPECT_EQ(rows.size(), total) << "with a limit of " << limit;
    EXPECT_EQ(seen.size(), total) << "with a limit of " << limit;
  }
}

TEST_P(TablesTest, DumpsEveryBindingOnce) {
  make(5000);
  for (uint16_t from = 1; from <= 3000; from++)
    ASSERT_EQ(send(from, 53), dp::REASON_translated_6to4);
  std::vector<BindingRow> rows;
  uint64_t cursor = 0;
  do
    cursor = tables_->bindings(cursor, 100, rows);
  while (cursor != 0);
  std::set<uint16_t> inside;
  std::set<uint16_t> outside;
  for (const BindingRow &row : rows) {
    EXPECT_EQ(row.value.sessions, 1U);
    EXPECT_EQ(row.value.pool_address, test::pool4.network_order());
    inside.insert(row.key.inside_port);
    outside.insert(row.value.pool_port);
  }
  EXPECT_EQ(rows.size(), 3000U);
  EXPECT_EQ(inside.size(), 3000U);
  EXPECT_EQ(outside.size(), 3000U);
}

TEST_P(TablesTest, AppendsToWhatIsThere) {
  make(10);
  ASSERT_EQ(send(1, 1), dp::REASON_translated_6to4);
  std::vector<SessionRow> rows(3);
  EXPECT_EQ(tables_->sessions(0, 1000, rows), 0U);
  EXPECT_EQ(rows.size(), 4U);
}

TEST_P(TablesTest, SumsTheWorkersCounters) {
  make(10);
  dp::worker *other = dp::worker_new(tables_->engine());
  ASSERT_NE(other, nullptr);
  dp::worker_count(other, dp::REASON_tun_bad_frame, 5);
  dp::worker_count(worker_, dp::REASON_tun_bad_frame, 2);
  send(1, 1);
  send(1, 1);
  send(1, 2);
  dp::worker_free(other); // what it counted stays
  Counters counters = tables_->counters();
  EXPECT_EQ(counters[dp::REASON_tun_bad_frame], 7U);
  EXPECT_EQ(counters[dp::REASON_translated_6to4], 3U);
  EXPECT_EQ(counters[dp::REASON_session_made], 2U);
  EXPECT_EQ(counters[dp::REASON_binding_made], 1U);
  uint64_t sum = 0;
  for (uint64_t counter : counters)
    sum += counter;
  EXPECT_EQ(sum, 13U); // and nothing else
}

TEST_P(TablesTest, SweepsWhatHasExpired) {
  make(10);
  send(1, 1, NOW);
  send(1, 2, NOW + 10);
  EXPECT_EQ(tables_->sweep(NOW + UDP_TIMEOUT), 0U); // its last second
  EXPECT_EQ(tables_->sweep(NOW + UDP_TIMEOUT + 1), 1U);
  EXPECT_EQ(tables_->usage().sessions, 1U);
  EXPECT_EQ(tables_->usage().bindings, 1U);
  EXPECT_EQ(tables_->sweep(NOW + UDP_TIMEOUT + 11), 1U);
  EXPECT_EQ(tables_->usage().sessions, 0U);
  EXPECT_EQ(tables_->usage().bindings, 0U);
  EXPECT_EQ(tables_->counters()[dp::REASON_session_ended], 2U);
  EXPECT_EQ(tables_->counters()[dp::REASON_binding_ended], 1U);
}

// An unsolicited SYN is held, and answered by the sweep when nobody has opened the connection.
TEST_P(TablesTest, CountsWhatTheSweepCouldNotSend) {
  make(100);
  test::Bytes packet = (test::ip4(test::server4, test::pool4) / test::tcp(80, 40001).syn()).bytes();
  auto refused = [&](const Send &send) {
    std::array<uint8_t, dp::FRAME_HEADROOM + 128> memory{};
    std::copy(packet.begin(), packet.end(), memory.begin() + dp::FRAME_HEADROOM);
    dp::frame frame{};
    frame.data = memory.data() + dp::FRAME_HEADROOM;
    frame.length = static_cast<uint32_t>(packet.size());
    dp::worker_set_now(worker_, NOW);
    dp::reason reason = dp::REASON_none;
    dp::translate_frame(worker_, &frame, &reason);
    EXPECT_EQ(reason, dp::REASON_syn_held);
    uint64_t before = tables_->counters()[dp::REASON_tun_own_refused];
    tables_->sweep(NOW + 10, {}, send);
    return tables_->counters()[dp::REASON_tun_own_refused] - before;
  };
  EXPECT_EQ(refused([](std::span<const uint8_t>) { return true; }), 0U);
  EXPECT_EQ(refused([](std::span<const uint8_t>) { return false; }), 1U);
  EXPECT_EQ(tables_->counters()[dp::REASON_syn_unanswered], 2U);
}

// Somebody has opened the connection meanwhile, and it has ended: in the same sweep.
TEST_P(TablesTest, AnswersAHeldSynWhoseSessionHasJustEnded) {
  make(100);
  dp::policy policy = make_policy();
  policy.filtering = dp::FILTER_ADDRESS;
  policy.timeouts.tcp_transitory = 4;
  ASSERT_TRUE(tables_->set_policy(policy));
  BindingEnds ends{};
  std::copy_n(test::client6.bytes.begin(), 16, ends.inside.inside.byte);
  ends.inside.inside_port = htons(8080);
  ends.inside.protocol = ends.outside.protocol = dp::PROTOCOL_TCP;
  ends.outside.pool_address = test::pool4.network_order();
  ends.outside.pool_port = htons(40001);
  ASSERT_TRUE(tables_->bind(ends));
  const test::Bytes from4 =
      (test::ip4(test::server4, test::pool4) / test::tcp(80, 40001).syn()).bytes();
  const test::Bytes from6 =
      (test::ip6(test::client6, test::pref64(test::server4)) / test::tcp(8080, 80).syn()).bytes();
  const auto answers = [&](uint32_t after) {
    const uint64_t before = tables_->counters()[dp::REASON_syn_unanswered];
    EXPECT_EQ(carry(from4), dp::REASON_syn_held);
    EXPECT_EQ(carry(from6), dp::REASON_translated_6to4);
    const uint64_t ended = tables_->sweep(NOW + after);
    const uint64_t sent = tables_->counters()[dp::REASON_syn_unanswered] - before;
    tables_->sweep(NOW + 1000); // the rest
    return std::pair(ended, sent);
  };
  EXPECT_EQ(answers(3), std::pair(uint64_t{0}, uint64_t{0})) << "there is one";
  EXPECT_EQ(answers(10), std::pair(uint64_t{1}, uint64_t{1}));
}

TEST_P(TablesTest, SweepsWhatHasACause) {
  make(100);
  for (uint16_t to = 1; to <= 50; to++)
    send(1, to);
  auto odd = [](const dp::session_key &key, const dp::session &value) {
    EXPECT_EQ(std::memcmp(value.inside.byte, test::client6.bytes.data(), 16), 0);
    const uint16_t port = ntohs(key.remote_port);
    return port % 2 == 0 ? dp::WHY_NONE : port % 5 == 0 ? dp::WHY_CLEARED : dp::WHY_DISALLOWED;
  };
  EXPECT_EQ(tables_->sweep(NOW, odd), 25U);
  EXPECT_EQ(tables_->sweep(NOW, odd), 0U);
  for (const SessionRow &row : all_sessions(64))
    EXPECT_EQ(ntohs(row.key.remote_port) % 2, 0);
  // That there is none does not make anything live longer.
  auto none = [](const dp::session_key &, const dp::session &) { return dp::WHY_NONE; };
  EXPECT_EQ(tables_->sweep(NOW + UDP_TIMEOUT + 1, none), 25U);
  const Counters counters = tables_->counters();
  EXPECT_EQ(counters[dp::REASON_session_cleared], 5U);
  EXPECT_EQ(counters[dp::REASON_session_disallowed], 20U);
  EXPECT_EQ(counters[dp::REASON_session_expired], 25U);
  EXPECT_EQ(counters[dp::REASON_session_ended], 50U);
}

// An operator's cause, and a configuration's, are told though the timer has run out, too.
TEST_P(TablesTest, TellsWhyASessionEnded) {
  make(100);
  tables_->watch(true);
  const auto why = [&](uint32_t now, const Cause &cause) {
    send(3000, 1, NOW);
    tables_->sweep(now, cause);
    std::vector<dp::event> events;
    tables_->events(100, events);
    for (const dp::event &event : events)
      if (event.kind == dp::EVENT_SESSION_ENDED)
        return int{event.why};
    return -1;
  };
  const auto always = [](dp::event_why given) {
    return [=](const dp::session_key &, const dp::session &) { return given; };
  };
  EXPECT_EQ(why(NOW, always(dp::WHY_CLEARED)), dp::WHY_CLEARED);
  EXPECT_EQ(why(NOW, always(dp::WHY_DISALLOWED)), dp::WHY_DISALLOWED);
  EXPECT_EQ(why(NOW + UDP_TIMEOUT + 1, always(dp::WHY_DISALLOWED)), dp::WHY_DISALLOWED);
  EXPECT_EQ(why(NOW + UDP_TIMEOUT + 1, always(dp::WHY_NONE)), dp::WHY_EXPIRED);
  EXPECT_EQ(why(NOW + UDP_TIMEOUT + 1, {}), dp::WHY_EXPIRED);
}

TEST_P(TablesTest, TakesANewPolicyAsAWhole) {
  make(10);
  ASSERT_EQ(send(1, 1), dp::REASON_translated_6to4);
  dp::policy nobody = make_policy();
  nobody.allow_count = 0;
  ASSERT_TRUE(tables_->set_policy(nobody));
  nobody.allow_count = 1; // a copy was taken
  EXPECT_EQ(send(2, 1), dp::REASON_not_allowed);
  EXPECT_EQ(send(1, 1), dp::REASON_translated_6to4); // a session stays until it is swept
  ASSERT_TRUE(tables_->set_policy(make_policy()));
  EXPECT_EQ(send(2, 1), dp::REASON_translated_6to4);
}

// --- how many ports are in use -------------------------------------------------------------------

TEST_P(TablesTest, RemembersTheMostPortsThatWereInUse) {
  make(5000);
  const dp::pool_address pool = make_policy().pool[0];
  const auto expect_use = [&](uint32_t used, uint32_t most) {
    const dp::pool_use use = tables_->pool_use(pool);
    EXPECT_EQ(use.used[1], used); // UDP
    EXPECT_EQ(use.most[1], most);
    for (size_t other : {0, 2}) {
      EXPECT_EQ(use.used[other], 0U);
      EXPECT_EQ(use.most[other], 0U);
    }
  };
  for (uint16_t from = 1; from <= 100; from++) {
    ASSERT_EQ(send(from, 53), dp::REASON_translated_6to4);
    ASSERT_EQ(send(from, 54), dp::REASON_translated_6to4); // another session, the same port
    expect_use(from, from);
  }
  tables_->sweep(NOW, [](const dp::session_key &, const dp::session &) { return dp::WHY_CLEARED; });
  expect_use(0, 100); // what is cleared was still in use once
  for (uint16_t from = 1; from <= 60; from++)
    ASSERT_EQ(send(from, 53), dp::REASON_translated_6to4);
  expect_use(60, 100);
  for (uint16_t from = 61; from <= 130; from++)
    ASSERT_EQ(send(from, 53), dp::REASON_translated_6to4);
  expect_use(130, 130);
}

TEST_P(TablesTest, KeepsTheMostAsLongAsTheAddressIsInThePool) {
  make(5000);
  dp::policy policy = make_policy();
  const dp::pool_address first = policy.pool[0];
  for (uint16_t from = 1; from <= 10; from++)
    ASSERT_EQ(send(from, 53), dp::REASON_translated_6to4);
  // A second one, which stands before it; the first keeps its place.
  policy.pool_count = 2;
  policy.pool[1] = first;
  policy.pool[0] = {htonl(ntohl(first.address) - 1), 1024, 65535, 0, 1, 0};
  policy.generation++;
  ASSERT_TRUE(tables_->set_policy(policy));
  EXPECT_EQ(tables_->pool_use(first).used[1], 10U);
  EXPECT_EQ(tables_->pool_use(first).most[1], 10U);
  EXPECT_EQ(tables_->pool_use(policy.pool[0]).most[1], 0U);
  // It leaves, and somebody else gets the place.
  policy.pool_count = 1;
  policy.pool[0].slot = 0;
  policy.generation++;
  ASSERT_TRUE(tables_->set_policy(policy));
  EXPECT_EQ(tables_->pool_use(policy.pool[0]).used[1], 0U);
  EXPECT_EQ(tables_->pool_use(policy.pool[0]).most[1], 0U);
  // What is still bound to it does not make the other's count less.
  ASSERT_EQ(send(1000, 53), dp::REASON_translated_6to4);
  tables_->sweep(NOW, [&](const dp::session_key &key, const dp::session &) {
    return key.pool_address == policy.pool[0].address ? dp::WHY_NONE : dp::WHY_DISALLOWED;
  });
  EXPECT_LE(tables_->pool_use(policy.pool[0]).used[1], 1U);
}

TEST_P(TablesTest, TellsOfEventsInTheirOrderWhileSomebodyWatches) {
  make(1000);
  std::vector<dp::event> events;
  send(2000, 1);
  EXPECT_EQ(tables_->events(100, events), 0U);
  EXPECT_TRUE(events.empty()) << "nobody watched";
  tables_->watch(true);
  for (int round = 0; round < 3; round++) { // made by a worker, ended by the sweep
    send(3000, 1);
    tables_->sweep(NOW, [](const dp::session_key &, const dp::session &value) {
      return ntohs(value.inside_port) != 3000 ? dp::WHY_NONE : dp::WHY_CLEARED;
    });
  }
  EXPECT_EQ(tables_->events(5, events), 0U);
  EXPECT_EQ(tables_->events(100, events), 0U); // the others
  std::vector<uint32_t> kinds, expected;
  for (const dp::event &event : events) {
    kinds.push_back(event.kind);
    EXPECT_EQ(ntohs(event.session.inside_port), 3000);
    EXPECT_EQ(event.why, event.kind == dp::EVENT_SESSION_ENDED ? dp::WHY_CLEARED : dp::WHY_NONE);
  }
  for (int round = 0; round < 3; round++)
    expected.insert(expected.end(), {dp::EVENT_BINDING_MADE, dp::EVENT_SESSION_MADE,
                                     dp::EVENT_SESSION_ENDED, dp::EVENT_BINDING_ENDED});
  EXPECT_EQ(kinds, expected);
  tables_->sweep(NOW + UDP_TIMEOUT + 1);
  events.clear();
  tables_->events(100, events);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].why, dp::WHY_EXPIRED);
  tables_->watch(false);
  send(4000, 1);
  events.clear();
  tables_->events(100, events);
  EXPECT_TRUE(events.empty());
}

// RFC 6146 3.5.2.2: an established session that has expired moves to TRANS, and is asked.
TEST_P(TablesTest, TellsOfASessionThatIsAsked) {
  make(8);
  ASSERT_EQ(
      carry((test::ip6(test::client6, test::pref64(test::server4)) / test::tcp(2000, 80).syn())
                .bytes()),
      dp::REASON_translated_6to4);
  std::vector<SessionRow> rows;
  tables_->sessions(0, 64, rows);
  ASSERT_EQ(rows.size(), 1U);
  ASSERT_EQ(carry((test::ip4(test::server4, test::pool4) /
                   test::tcp(80, ntohs(rows[0].key.pool_port)).syn().ack(1))
                      .bytes()),
            dp::REASON_translated_4to6);
  tables_->watch(true);
  size_t probes = 0;
  const auto send_probe = [&](std::span<const uint8_t>) {
    probes++;
    return true;
  };
  tables_->sweep(NOW + TCP_TIMEOUT + 1, {}, send_probe);
  EXPECT_EQ(probes, 1U);
  std::vector<dp::event> events;
  tables_->events(100, events);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].kind, uint32_t{dp::EVENT_SESSION_MOVED});
  EXPECT_EQ(events[0].old_state, dp::STATE_ESTABLISHED);
  EXPECT_EQ(events[0].session.state, dp::STATE_TRANS);
  EXPECT_EQ(events[0].key.pool_port, rows[0].key.pool_port);
}

TEST_P(TablesTest, CountsTheEventsThatNobodyCameFor) {
  constexpr uint32_t sessions = 20000; // more than either engine has room for
  make(sessions);
  tables_->watch(true);
  for (uint32_t i = 0; i < sessions; i++)
    ASSERT_EQ(send(2000, static_cast<uint16_t>(i + 1)), dp::REASON_translated_6to4);
  std::vector<dp::event> events;
  uint64_t lost = tables_->events(100000, events);
  EXPECT_GT(lost, 0U);
  EXPECT_GE(events.size(), size_t{dp::EVENTS_HELD});
  EXPECT_EQ(events.size() + lost, sessions + 1); // a binding was made, too
  EXPECT_EQ(tables_->events(100, events), 0U) << "told twice";
}

// Packets of sessions and of none, some damaged or cut short.
test::Bytes packet_ahead(std::mt19937 &random) {
  auto port = static_cast<uint16_t>(2000 + random() % 8000);
  test::Bytes bytes =
      random() % 2 == 0
          ? (test::ip6(test::client6, test::pref64(test::server4)) / test::udp(port, 1)).bytes()
          : (test::ip4(test::server4, test::pool4) / test::udp(1, port)).bytes();
  if (random() % 3 == 0)
    bytes.at(random() % bytes.size()) = static_cast<uint8_t>(random());
  if (random() % 5 == 0)
    bytes.resize(random() % (bytes.size() + 1));
  bytes.shrink_to_fit(); // a sanitizer sees what is read beyond
  return bytes;
}

TEST_P(TablesTest, WhatIsAheadIsOnlyLookedAt) {
  constexpr uint16_t sessions = 5000;
  make(2 * sessions);
  for (uint16_t i = 0; i < sessions; i++)
    ASSERT_EQ(send(static_cast<uint16_t>(2000 + i), 1), dp::REASON_translated_6to4);
  auto counters = tables_->counters();
  std::mt19937 random(1);
  for (int round = 0; round < 2000; round++) {
    std::array<test::Bytes, dp::EXPECTED_AT_MOST> packets;
    std::array<dp::packet_ahead, dp::EXPECTED_AT_MOST> ahead;
    for (size_t i = 0; i < packets.size(); i++) {
      packets[i] = packet_ahead(random);
      ahead[i] = {packets[i].data(), static_cast<uint32_t>(packets[i].size())};
    }
    dp::worker_enter(worker_);
    dp::worker_expect(worker_, ahead.data(), 1 + random() % ahead.size());
    dp::worker_leave(worker_);
  }
  EXPECT_EQ(tables_->counters(), counters);
  EXPECT_EQ(tables_->usage().sessions, sessions);
}

// Above 65,536 sessions, there is room for half as many subscribers; who has an entry goes on.
TEST_P(TablesTest, RefusesSubscribersBeyondTheirNumber) {
  make(100'000);
  dp::policy policy = make_policy();
  test::with_pool({{test::pool4}, {test::pool4b}})(policy);
  test::with_allowed({test::prefix6("2001:db8::/32")})(policy);
  ASSERT_TRUE(tables_->set_policy(policy));
  const auto of_subscriber = [](uint32_t number, uint16_t port) {
    Ipv6 host = test::address6("2001:db8::1");
    host.bytes[5] = static_cast<uint8_t>(number >> 16);
    host.bytes[6] = static_cast<uint8_t>(number >> 8);
    host.bytes[7] = static_cast<uint8_t>(number);
    return (test::ip6(host, test::pref64(test::server4)) / test::udp(port, 53) / test::payload(4))
        .bytes();
  };
  for (uint32_t number = 0; number < 65'536; number++)
    ASSERT_EQ(carry(of_subscriber(number, 1000)), dp::REASON_translated_6to4) << number;
  EXPECT_EQ(carry(of_subscriber(65'536, 1000)), dp::REASON_table_full);
  EXPECT_EQ(carry(of_subscriber(17, 1001)), dp::REASON_translated_6to4);
  EXPECT_EQ(tables_->usage().sessions, 65'537U);
}

TEST_P(TablesTest, IsMadeEvenForOne) {
  make(1);
  EXPECT_EQ(send(1, 1), dp::REASON_translated_6to4);
  EXPECT_EQ(send(1, 1), dp::REASON_translated_6to4);
  EXPECT_EQ(send(1, 2), dp::REASON_table_full);
  EXPECT_EQ(send(2, 1), dp::REASON_table_full);
  EXPECT_EQ(all_sessions(1).size(), 1U);
  tables_->sweep(NOW + UDP_TIMEOUT + 1);
  EXPECT_EQ(send(2, 1), dp::REASON_translated_6to4);
}

BindingEnds web() {
  BindingEnds ends{};
  std::copy_n(test::client6.bytes.begin(), 16, ends.inside.inside.byte);
  ends.inside.inside_port = htons(8080);
  ends.inside.protocol = ends.outside.protocol = dp::PROTOCOL_UDP;
  ends.outside.pool_address = test::pool4.network_order();
  ends.outside.pool_port = htons(80); // outside the range that is given out
  return ends;
}

TEST_P(TablesTest, AStaticBindingStaysWithoutSessions) {
  make(8);
  ASSERT_TRUE(tables_->bind(web()));
  EXPECT_FALSE(tables_->bind({web().inside, {}})); // one of its ends
  tables_->sweep(NOW + 10 * UDP_TIMEOUT);
  EXPECT_EQ(tables_->usage().bindings, 1U);
  EXPECT_EQ(send(8080, 53), dp::REASON_translated_6to4);
  std::vector<SessionRow> rows;
  tables_->sessions(0, 64, rows);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(ntohs(rows[0].key.pool_port), 80);
  tables_->sweep(NOW + UDP_TIMEOUT + 1);
  EXPECT_EQ(tables_->usage().sessions, 0U);
  EXPECT_EQ(tables_->usage().bindings, 1U);
  tables_->unbind(web());
  EXPECT_EQ(tables_->usage().bindings, 0U);
  EXPECT_EQ(tables_->pool_use(make_policy().pool[0]).most[1], 0U); // its port is not one of those
  tables_->unbind(web());                                          // nothing to do
  EXPECT_TRUE(tables_->bind(web()));
}

TEST_P(TablesTest, TellsOfStaticBindingsWhenTheyComeAndGo) {
  make(8);
  tables_->watch(true);
  ASSERT_TRUE(tables_->bind(web()));
  EXPECT_FALSE(tables_->bind({web().inside, {}}));
  tables_->unbind(web());
  std::vector<dp::event> events;
  tables_->events(100, events);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, uint32_t{dp::EVENT_BINDING_MADE});
  EXPECT_EQ(events[1].kind, uint32_t{dp::EVENT_BINDING_ENDED});
  for (const dp::event &event : events) {
    EXPECT_EQ(event.key.pool_port, web().outside.pool_port);
    EXPECT_EQ(event.session.inside_port, web().inside.inside_port);
  }
}

TEST_P(TablesTest, AStaticBindingInTheRangeIsCountedOnce) {
  make(8);
  BindingEnds ends = web();
  ends.outside.pool_port = htons(2000);
  const dp::pool_address pool = make_policy().pool[0];
  ASSERT_TRUE(tables_->bind(ends));
  EXPECT_EQ(tables_->pool_use(pool).used[1], 1U);
  ASSERT_EQ(send(8080, 53), dp::REASON_translated_6to4); // by the same binding
  EXPECT_EQ(tables_->pool_use(pool).used[1], 1U);
  tables_->unbind(ends);
  tables_->sweep(NOW + UDP_TIMEOUT + 1);
  EXPECT_EQ(tables_->pool_use(pool).used[1], 0U);
  EXPECT_EQ(tables_->pool_use(pool).most[1], 1U);
}

TEST_P(TablesTest, AStaticBindingWithSessionsEndsWithTheLastOfThem) {
  make(8);
  ASSERT_TRUE(tables_->bind(web()));
  EXPECT_EQ(send(8080, 53), dp::REASON_translated_6to4);
  tables_->unbind(web());
  EXPECT_EQ(tables_->usage().bindings, 1U);
  ASSERT_TRUE(tables_->bind(web())); // and may become static again
  tables_->sweep(NOW + UDP_TIMEOUT + 1);
  EXPECT_EQ(tables_->usage().bindings, 1U);
  tables_->unbind(web());
  EXPECT_EQ(tables_->usage().bindings, 0U);
}

} // namespace
} // namespace viaduct::tables
