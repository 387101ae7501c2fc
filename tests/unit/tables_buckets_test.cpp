// SPDX-License-Identifier: MIT
//
// The BPF engine's tables (datapath/bucket_table.h) in this process' own memory: how much they hold, whatever the
// keys; that no two threads insert one key; and that entries are not lost.
#include "datapath/native/buckets.h"
#include "tables_buckets_beaten.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace viaduct::dp {
namespace {

constexpr uint32_t WORDS = sizeof(port_key) / sizeof(uint32_t);

port_key key_of(uint32_t number) {
  return {.pool_address = number / 60'000,
          .pool_port = static_cast<__be16>(number % 60'000),
          .protocol = 17,
          .pad = 0};
}

class Table {
public:
  Table(uint32_t most, uint32_t seed) : buckets_(BUCKETS_OF(most)), entries_(most) {
    std::mt19937_64 random(seed);
    for (auto &multiplier : shape_.multiplier)
      multiplier = random();
    shape_.most = most;
    shape_.buckets = BUCKETS_OF(most);
  }

  bool insert(const port_key &key, const port &value = {}) {
    uint32_t slot = 0;
    const auto here = view();
    auto *entry =
        reinterpret_cast<port_entry *>(buckets_claim(&here, &shape_, &pool_, &key, WORDS, &slot));
    if (entry == nullptr)
      return false;
    entry->key = key;
    entry->value = value;
    buckets_publish(&here, &entry->head, slot);
    return true;
  }
  const port_entry *find(const port_key &key) {
    const auto here = view();
    return reinterpret_cast<const port_entry *>(buckets_find(&here, &shape_, &key, WORDS));
  }
  void remove(const port_key &key) {
    const auto here = view();
    buckets_delete(&here, &shape_, &pool_, &key, WORDS);
  }

  std::pair<uint32_t, uint32_t> place_of(const port_key &key) const {
    const key_place place = buckets_place(&shape_, &key, WORDS);
    return {place.home, place.other};
  }

  // Of entries that somebody has.
  std::vector<port_key> keys() const {
    std::vector<port_key> all;
    for (const port_entry &entry : entries_)
      if (entry.head.owner != 0 && (entry.head.owner & ENTRY_FREE) == 0)
        all.push_back(entry.key);
    return all;
  }
  uint32_t slots_in_use() const {
    uint32_t count = 0;
    for (const bucket &one : buckets_)
      for (uint32_t i = 0; i < BUCKET_SLOTS; i++)
        count += one.word[i] != 0;
    return count;
  }
  uint32_t away() const {
    uint32_t count = 0;
    for (const bucket &one : buckets_)
      count += one.word[AWAY];
    return count;
  }

private:
  buckets_view view() {
    return {
        .context = this,
        .bucket = [](void *context,
                     uint32_t index) { return &static_cast<Table *>(context)->buckets_[index]; },
        .entry =
            [](void *context, uint32_t index) {
              auto &entries = static_cast<Table *>(context)->entries_;
              return index < entries.size() ? &entries[index].head : nullptr;
            }};
  }

  table_shape shape_{};
  table_pool pool_{};
  std::vector<bucket> buckets_;
  std::vector<port_entry> entries_;
};

TEST(Buckets, HoldAsManyAsTheySay) {
  Table table(1000, 1);
  for (int round = 0; round < 3; round++) {
    for (uint32_t i = 0; i < 1000; i++)
      ASSERT_TRUE(table.insert(key_of(i))) << i;
    EXPECT_FALSE(table.insert(key_of(1000)));
    EXPECT_FALSE(table.insert(key_of(7))) << "it is there";
    for (uint32_t i = 0; i < 1000; i++)
      ASSERT_NE(table.find(key_of(i)), nullptr) << i;
    EXPECT_EQ(table.find(key_of(1000)), nullptr);
    for (uint32_t i = 0; i < 1000; i++)
      table.remove(key_of(i));
    EXPECT_EQ(table.slots_in_use(), 0U);
    EXPECT_EQ(table.away(), 0U);
    EXPECT_TRUE(table.keys().empty());
  }
}

// Sums of such keys are numbers in a row: without the finaliser they fill some buckets and leave others.
TEST(Buckets, TakeKeysInARowUnderEverySecret) {
  for (uint32_t seed = 0; seed < 300; seed++) {
    Table table(4096, seed);
    for (uint32_t i = 0; i < 4096; i++)
      ASSERT_TRUE(table.insert(key_of(i * (seed % 7 + 1)))) << "seed " << seed << ", key " << i;
  }
}

TEST(Buckets, AFreedEntryIsTheNextOne) {
  Table table(100, 2);
  ASSERT_TRUE(table.insert(key_of(1)));
  ASSERT_TRUE(table.insert(key_of(2)));
  const port_entry *first = table.find(key_of(1));
  table.remove(key_of(1));
  table.remove(key_of(1));
  ASSERT_TRUE(table.insert(key_of(3)));
  EXPECT_EQ(table.find(key_of(3)), first);
  EXPECT_EQ(table.find(key_of(1)), nullptr);
}

// As with the keyed hash of the other tables: who knows the secret fills two buckets and has the next key refused. Under
// any other the same keys are like all others, and the table takes as many of them as it has room for.
TEST(Buckets, KeysThatCollideUnderOneSecretDoNotUnderAnother) {
  constexpr uint32_t MOST = 300, TWO_BUCKETS = 2 * BUCKET_SLOTS;
  Table known(MOST, 1000);
  std::vector<port_key> keys;
  const auto wanted = known.place_of(key_of(0));
  for (uint32_t i = 0; keys.size() < MOST; i++)
    if (known.place_of(key_of(i)) == wanted)
      keys.push_back(key_of(i));

  for (uint32_t i = 0; i < TWO_BUCKETS; i++)
    ASSERT_TRUE(known.insert(keys[i])) << i;
  for (uint32_t i = TWO_BUCKETS; i < MOST; i++)
    ASSERT_FALSE(known.insert(keys[i])) << i;
  ASSERT_EQ(known.slots_in_use(), TWO_BUCKETS);

  for (uint32_t secret = 1; secret <= 20; secret++) {
    Table table(MOST, secret);
    std::map<std::pair<uint32_t, uint32_t>, uint32_t> alike;
    for (uint32_t i = 0; i < MOST; i++) {
      ASSERT_TRUE(table.insert(keys[i])) << "secret " << secret << ", key " << i;
      EXPECT_LE(++alike[table.place_of(keys[i])], 6U) << "secret " << secret << ", key " << i;
    }
  }
}

// More often than it tries; what then?
TEST(Buckets, AnEntryThatCannotBePutBackIsPutAside) {
  constexpr uint32_t MOST = 10, ALWAYS = 1'000'000;
  std::vector<port_entry> entries(MOST);
  table_pool pool{};
  auto take_all = [&] {
    std::set<uint32_t> taken;
    for (uint32_t i; (i = beaten_take(entries.data(), MOST, &pool)) < MOST;)
      EXPECT_TRUE(taken.insert(i).second) << i << " twice";
    return taken;
  };
  auto give_back_beaten = [&](uint32_t count) {
    beats = ALWAYS;
    for (uint32_t i = 0; i < count; i++)
      beaten_give_back(entries.data(), MOST, &pool, i);
    beats = 0;
    for (uint32_t i = count; i < MOST; i++)
      beaten_give_back(entries.data(), MOST, &pool, i);
  };
  ASSERT_EQ(take_all().size(), MOST);
  for (int round = 0; round < 3; round++) {
    give_back_beaten(POOL_ASIDE);
    EXPECT_EQ(pool.lost, 0U);
    ASSERT_EQ(take_all().size(), MOST) << "round " << round;
  }
  give_back_beaten(POOL_ASIDE + 1);
  EXPECT_EQ(pool.lost, 1U);
  EXPECT_EQ(take_all().size(), MOST - 1);
}

// As many processors as there are tries want one at once.
TEST(Buckets, ATableIsNotFullBecauseOthersWereFaster) {
  constexpr uint32_t MOST = 10, OTHERS = 63;
  std::vector<port_entry> entries(MOST);
  table_pool pool{};
  for (uint32_t i = 0; i < MOST; i++)
    ASSERT_EQ(beaten_take(entries.data(), MOST, &pool), i);
  for (uint32_t i = 0; i < MOST; i++)
    beaten_give_back(entries.data(), MOST, &pool, i);
  for (uint32_t i = 0; i < MOST; i++) { // none is fresh any more
    beats = OTHERS;
    EXPECT_LT(beaten_take(entries.data(), MOST, &pool), MOST) << i;
    EXPECT_EQ(beats, 0U);
  }
  beats = 0;
  EXPECT_GE(beaten_take(entries.data(), MOST, &pool), MOST) << "now it is";
}

// Both insert the same keys at once, and one of them takes some out meanwhile, which changes what is free.
TEST(Buckets, TwoThreadsNeverHaveAKeyTwice) {
  constexpr uint32_t KEYS = 1000, ROUNDS = 20;
  for (uint32_t round = 0; round < ROUNDS; round++) {
    Table table(2 * KEYS, round);
    for (uint32_t i = 0; i < KEYS; i++)
      table.insert(key_of(KEYS + i));
    std::atomic<uint32_t> at = 0, inserted = 0;
    auto insert_all = [&](bool removes) {
      for (uint32_t i = 0; i < KEYS; i++) {
        if (removes)
          table.remove(key_of(KEYS + i));
        at++; // they meet before each key
        for (uint32_t spins = 0; at < 2 * (i + 1); spins++)
          if (spins > 1000)
            std::this_thread::yield();
        inserted += table.insert(key_of(i));
      }
    };
    std::thread other(insert_all, true);
    insert_all(false);
    other.join();
    const std::vector<port_key> all = table.keys();
    std::set<std::pair<uint32_t, uint16_t>> different;
    for (const port_key &key : all)
      different.emplace(key.pool_address, key.pool_port);
    ASSERT_EQ(different.size(), all.size());
    ASSERT_EQ(all.size(), inserted);
    ASSERT_GE(inserted, KEYS - KEYS / 100) << "both withdraw, but hardly ever";
    ASSERT_EQ(table.slots_in_use(), all.size());
    for (const port_key &key : all)
      ASSERT_NE(table.find(key), nullptr);
  }
}

} // namespace
} // namespace viaduct::dp
