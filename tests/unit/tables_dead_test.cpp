// SPDX-License-Identifier: MIT
//
// The dead of the BPF engine's tables where the ring buffer in which they wait for their burial is too small: they
// stay in their tables, where a packet of another processor may still find them, until the daemon looks there.
#include "tables/bpf_tables.h"

#include "lib/addresses.h"
#include "lib/packet.h"
#include "lib/vector.h"

#include "tables_traveller.h"

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <unistd.h>

namespace viaduct::tables {
namespace {

constexpr uint32_t NOW = 1000;
constexpr uint16_t FLOWS = 200;

dp::policy make_policy() {
  dp::policy policy = test::default_policy();
  policy.max_sessions_per_subscriber = 100'000;
  policy.timeouts = {};
  policy.timeouts.udp = 300;
  return policy;
}

class SmallRing : public testing::Test {
protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "only root may load BPF programs";
    auto made = BpfTables::make(
        {.max_sessions = 1024, .dead_ring = static_cast<uint32_t>(sysconf(_SC_PAGESIZE))});
    ASSERT_TRUE(made) << made.failure().message;
    tables_ = std::move(*made);
    ASSERT_TRUE(tables_->set_policy(make_policy()));
    traveller_.emplace(tables_->engine(), 1);
  }

  dp::verdict send(uint16_t from) {
    return traveller_
        ->send((test::ip6(test::client6, test::pref64(test::server4)) / test::udp(from, 80) /
                test::payload(4))
                   .bytes(),
               NOW)
        .said;
  }

  // Entries that somebody has, the dead as well.
  template <typename Entry> static size_t entries(const TableMaps &maps) {
    size_t count = 0;
    Entry entry{};
    for (uint32_t i = 0; bpf_map_lookup_elem(maps.entries, &i, &entry) == 0; i++)
      count += entry.head.owner != 0 && (entry.head.owner & ENTRY_FREE) == 0;
    return count;
  }
  size_t sessions() const { return entries<dp::session_entry>(tables_->object().sessions()); }
  size_t bindings() const { return entries<dp::binding_entry>(tables_->object().bindings()); }
  dp::losses losses() const {
    const uint32_t zero = 0;
    dp::losses found{};
    bpf_map_lookup_elem(tables_->object().losses(), &zero, &found);
    return found;
  }

  std::unique_ptr<BpfTables> tables_;
  std::optional<dp::Traveller> traveller_;
};

TEST_F(SmallRing, TheDeadStayUntilTheyAreBuried) {
  for (uint16_t i = 0; i < FLOWS; i++)
    ASSERT_EQ(send(2000 + i), dp::VERDICT_FORWARD);
  ASSERT_EQ(sessions(), FLOWS);
  EXPECT_EQ(losses().dead, 0U);
  tables_->sweep(NOW + 1, [](const auto &, const auto &) { return dp::WHY_CLEARED; });
  EXPECT_GT(losses().dead, 0U) << "a page holds 128 of 400";
  EXPECT_EQ(sessions(), 0U);
  EXPECT_EQ(bindings(), 0U);
  EXPECT_EQ(tables_->usage().sessions, 0U);
  for (uint16_t i = 0; i < FLOWS; i++)
    ASSERT_EQ(send(2000 + i), dp::VERDICT_FORWARD) << "nobody is left who dies";
}

// The test's, not the programs': what they lose is a matter of how many processors there are.
TEST_F(SmallRing, EntriesThatAreLostAreTold) {
  EXPECT_EQ(tables_->usage().entries_lost, 0U);
  const int map = tables_->object().sessions().pools;
  const uint32_t zero = 0;
  dp::table_pools pools{};
  ASSERT_EQ(bpf_map_lookup_elem(map, &zero, &pools), 0);
  pools.bindings.lost = 1;
  pools.ports.lost = 20;
  pools.sessions.lost = 300;
  ASSERT_EQ(bpf_map_update_elem(map, &zero, &pools, BPF_ANY), 0);
  EXPECT_EQ(tables_->usage().entries_lost, 321U);
}

// Between a death and the sweep an entry is nobody else's: where the ring was full it was used again at once.
TEST_F(SmallRing, NobodyElseHasTheirEntries) {
  for (uint16_t i = 0; i < FLOWS; i++)
    ASSERT_EQ(send(2000 + i), dp::VERDICT_FORWARD);
  auto keeper = Keeper::load(tables_->object(), false);
  ASSERT_TRUE(keeper) << keeper.failure().message;
  std::vector<SessionRow> rows;
  tables_->sessions(0, FLOWS, rows);
  dp::expiries &calls = (*keeper)->expiries();
  calls.count = 0;
  calls.now = NOW + 1;
  for (const SessionRow &row : rows) {
    calls.row[calls.count].key = row.key;
    calls.row[calls.count++].cause = dp::WHY_CLEARED;
  }
  ASSERT_EQ(calls.count, FLOWS);
  ASSERT_TRUE((*keeper)->run_expiries());
  EXPECT_GT(losses().dead, 0U);
  EXPECT_EQ(sessions(), FLOWS) << "dead, and there";
  EXPECT_EQ(bindings(), FLOWS);
  tables_->sweep(NOW + 1);
  EXPECT_EQ(sessions(), 0U);
  EXPECT_EQ(bindings(), 0U);
}

} // namespace
} // namespace viaduct::tables
