// SPDX-License-Identifier: MIT
//
// A table of the BPF engine from outside (tables/map_table.h), in plain memory instead of maps: what
// tests put in is where it belongs, also where the table is longer than a page; and the checker of
// lib/buckets_consistent.h names whatever does not fit together.
#include "tables/map_table.h"

#include "base/fd.h"
#include "lib/buckets_consistent.h"

#include <cstddef>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace viaduct::tables {
namespace {

constexpr uint32_t MOST = 2000; // of which none has room in one page

class InMemory : public testing::Test {
protected:
  void SetUp() override {
    maps_.shape.most = MOST;
    maps_.shape.buckets = BUCKETS_OF(MOST);
    for (auto &word : maps_.shape.multiplier)
      word = (seed_ += 0x9e3779b97f4a7c15U) | 1;
    maps_.bucket_size = sizeof(dp::bucket);
    maps_.pool = offsetof(dp::table_pools, ports);
    buckets_ = memory(maps_.shape.buckets * sizeof(dp::bucket));
    entries_ = memory(MOST * sizeof(dp::port_entry));
    pools_ = memory(sizeof(dp::table_pools));
    ASSERT_TRUE(buckets_ && entries_ && pools_);
    maps_.buckets = buckets_.get();
    maps_.entries = entries_.get();
    maps_.pools = pools_.get();
  }

  static Fd memory(size_t size) {
    Fd fd(memfd_create("table", MFD_CLOEXEC));
    return fd && ftruncate(fd.get(), static_cast<off_t>(size)) == 0 ? std::move(fd) : Fd();
  }

  static dp::port_key key(uint32_t number) {
    dp::port_key key{};
    key.pool_address = number / 60000;
    key.pool_port = static_cast<uint16_t>(number % 60000);
    return key;
  }

  // As many as find room; how many.
  uint32_t fill(uint32_t count) {
    MapTable<dp::port_entry> table(maps_, 1, Access::write);
    uint32_t done = 0;
    for (uint32_t i = 0; i < count; i++)
      done += table.insert(key(i), {});
    return done;
  }

  std::string wrong() const { return test::what_is_wrong<dp::port_entry>(maps_); }

  // One number somewhere in the memory of a map is another one.
  static void change(const Fd &map, size_t at, uint32_t value) {
    ASSERT_EQ(pwrite(map.get(), &value, sizeof value, static_cast<off_t>(at)),
              static_cast<ssize_t>(sizeof value));
  }
  static uint32_t number(const Fd &map, size_t at) {
    uint32_t value = 0;
    EXPECT_EQ(pread(map.get(), &value, sizeof value, static_cast<off_t>(at)),
              static_cast<ssize_t>(sizeof value));
    return value;
  }
  static size_t entry(uint32_t index) { return index * sizeof(dp::port_entry); }
  // Of the slot that an entry is in: where its word lies.
  size_t word_of(uint32_t index) const {
    const uint32_t slot = number(entries_, entry(index)) - 1;
    return (slot >> 4) * sizeof(dp::bucket) + (slot & 15) * sizeof(uint32_t);
  }
  void expect_named(const char *words) const {
    EXPECT_NE(wrong().find(words), std::string::npos) << wrong();
  }

  uint64_t seed_ = 1;
  TableMaps maps_;
  Fd buckets_, entries_, pools_;
};

TEST_F(InMemory, AllAreWhereTheyBelong) {
  EXPECT_EQ(wrong(), "") << "an empty one";
  EXPECT_EQ(fill(MOST), MOST);
  EXPECT_EQ(wrong(), "");
  MapTable<dp::port_entry> table(maps_);
  dp::port value;
  for (uint32_t i = 0; i < MOST; i++)
    ASSERT_TRUE(table.find(key(i), value)) << i;
  EXPECT_FALSE(table.find(key(MOST), value));
  uint32_t away = 0;
  for (uint32_t i = 0; i < maps_.shape.buckets; i++)
    away += number(buckets_, i * sizeof(dp::bucket) + dp::AWAY * sizeof(uint32_t));
  EXPECT_GT(away, 0U) << "none lives away from home: this shows little";
}

TEST_F(InMemory, WhatIsThereIsNotInsertedAgain) {
  EXPECT_EQ(fill(500), 500U);
  EXPECT_EQ(fill(500), 0U);
  EXPECT_EQ(wrong(), "");
}

TEST_F(InMemory, ASlotThatStaysTakenIsNamed) {
  fill(100);
  const uint32_t word = number(buckets_, word_of(7));
  change(buckets_, word_of(7), word ^ 3); // LIVE and TAKEN
  expect_named("entry 7 is in slot");
}

TEST_F(InMemory, ASlotWithoutAnEntryIsNamed) {
  fill(100);
  for (uint32_t at = 0; at < dp::BUCKET_SLOTS; at++)
    if (number(buckets_, at * sizeof(uint32_t)) == 0) {
      change(buckets_, at * sizeof(uint32_t), 5);
      break;
    }
  expect_named("101 slots are not free, and 100 entries are in one");
}

TEST_F(InMemory, AWrongCountIsNamed) {
  fill(100);
  const size_t at = 3 * sizeof(dp::bucket) + dp::AWAY * sizeof(uint32_t);
  change(buckets_, at, number(buckets_, at) + 1);
  expect_named("bucket 3 counts");
}

TEST_F(InMemory, AnEntryThatNobodyHasIsNamed) {
  fill(100);
  change(entries_, entry(7), 0);
  expect_named("entry 7 was taken and is in no slot");
}

TEST_F(InMemory, AFreeEntryThatIsInNoListIsNamed) {
  fill(100);
  change(buckets_, word_of(7), 0);
  change(entries_, entry(7), ENTRY_FREE);
  expect_named("1 entries are free, and 0 are in their list");
  const size_t pool = maps_.pool + offsetof(dp::table_pool, free);
  change(pools_, pool, 8);
  EXPECT_EQ(wrong(), "") << "now it is in it";
  change(pools_, pool, 9);
  expect_named("entry 8 is in the list of the free ones, and in slot");
}

// How often the head of the list has changed is a number of 32 bits, which begins anew.
TEST_F(InMemory, TheFreeListsCountMayWrap) {
  fill(100);
  change(buckets_, word_of(7), 0);
  change(entries_, entry(7), ENTRY_FREE);
  const size_t pool = maps_.pool + offsetof(dp::table_pool, free);
  change(pools_, pool, 8);
  change(pools_, pool + sizeof(uint32_t), UINT32_MAX);
  ASSERT_EQ(wrong(), "");
  MapTable<dp::port_entry> table(maps_, 1, Access::write);
  EXPECT_TRUE(table.insert(key(1000), {}));
  EXPECT_EQ(number(pools_, pool), 0U);
  EXPECT_EQ(number(pools_, pool + sizeof(uint32_t)), 0U);
  EXPECT_TRUE(table.insert(key(1001), {})) << "one that was never used";
  EXPECT_EQ(wrong(), "");
}

// What a flood has left empty: a walk that may take ten looks at eighty and says where it goes on.
TEST_F(InMemory, AWalkDoesNotGoOverAllThatIsEmpty) {
  change(pools_, maps_.pool + offsetof(dp::table_pool, fresh), MOST);
  MapTable<dp::port_entry> table(maps_);
  uint64_t cursor = 0;
  size_t taken = 0, steps = 0;
  auto take = [&](const dp::port_key &, const dp::port &) { taken++; };
  EXPECT_EQ(table.walk(0, 10, take), 80U);
  do
    cursor = table.walk(cursor, 10, take);
  while (cursor != 0 && ++steps < MOST);
  EXPECT_EQ(steps, MOST / 80 - 1);
  EXPECT_EQ(taken, 0U);
}

TEST_F(InMemory, AKeyThatIsThereTwiceIsNamed) {
  fill(100);
  for (size_t at = sizeof(dp::entry_head); at < sizeof(dp::entry_head) + sizeof(dp::port_key);
       at += 4)
    change(entries_, entry(8) + at, number(entries_, entry(7) + at));
  expect_named("the key of entry 8 is there twice");
}

} // namespace
} // namespace viaduct::tables
