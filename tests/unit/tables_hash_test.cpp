// SPDX-License-Identifier: MIT
//
// The native build's hash table: its ceiling, what readers keep alive, walks, and many threads at
// once. The concurrent tests keep books beside the table: who put in what and took out what; at the
// end table and books must agree.
#include "datapath/native/hash_table.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace viaduct::dp {
namespace {

// Twelve bytes, so that the value does not follow at once (entries are padded to eight).
struct Key {
  uint32_t id;
  uint32_t twice;
  uint32_t inverse;
};

struct Value {
  uint64_t checksum; // of its key: a value under the wrong key shows
  uint64_t filler[3];
};

Key key_of(uint32_t id) {
  return Key{id, id * 2, ~id};
}

uint64_t checksum_of(uint32_t id) {
  return (id + 1) * 0x9e3779b97f4a7c15ULL;
}

Value value_of(uint32_t id) {
  uint64_t sum = checksum_of(id);
  return Value{sum, {sum, sum, sum}};
}

bool belongs(const Value &value, uint32_t id) {
  uint64_t sum = checksum_of(id);
  return value.checksum == sum && value.filler[0] == sum && value.filler[1] == sum &&
         value.filler[2] == sum;
}

class Table {
public:
  explicit Table(uint32_t capacity, bool one_bucket = false) {
    epochs_init(&epochs_);
    good_ = table_init(&table_, &epochs_, capacity, sizeof(Key), sizeof(Value));
    if (one_bucket)
      table_.bucket_mask = 0; // every key collides with every other
  }
  ~Table() { table_free(&table_); }
  Table(const Table &) = delete;
  Table &operator=(const Table &) = delete;

  bool good() const { return good_; }
  epochs *clock() { return &epochs_; }
  table *raw() { return &table_; }
  uint32_t in_use() const { return __atomic_load_n(&table_.in_use, __ATOMIC_RELAXED); }
  void reclaim() { table_reclaim(&table_); }

  Value *find(uint32_t id) {
    Key key = key_of(id);
    return static_cast<Value *>(table_find(&table_, &key));
  }
  insertion insert(uint32_t id) {
    Key key = key_of(id);
    Value value = value_of(id);
    return table_insert(&table_, &key, &value);
  }
  bool remove(uint32_t id) {
    Key key = key_of(id);
    return table_remove(&table_, &key);
  }

  // How often each key is met in a walk, `buckets` at a time.
  std::map<uint32_t, int> walk(uint32_t buckets, bool and_remove = false) {
    Visit visit{this, and_remove, {}, true};
    uint64_t cursor = 0;
    do
      cursor = table_walk(&table_, cursor, buckets, visited, &visit);
    while (cursor != 0);
    EXPECT_TRUE(visit.all_belong);
    return visit.met;
  }

private:
  struct Visit {
    Table *self;
    bool and_remove;
    std::map<uint32_t, int> met;
    bool all_belong;
  };
  static void visited(void *context, const void *key, void *value) {
    auto *visit = static_cast<Visit *>(context);
    uint32_t id = static_cast<const Key *>(key)->id;
    visit->met[id]++;
    visit->all_belong = visit->all_belong && belongs(*static_cast<Value *>(value), id);
    if (visit->and_remove) {
      EXPECT_TRUE(visit->self->remove(id));
    }
  }

  epochs epochs_;
  table table_;
  bool good_;
};

// One registered reader, outside at first.
class Reader {
public:
  explicit Reader(Table &table) : clock_(table.clock()), number_(reader_register(clock_)) {}
  ~Reader() { reader_release(clock_, number_); }
  Reader(const Reader &) = delete;
  Reader &operator=(const Reader &) = delete;
  void enter() { reader_enter(clock_, number_); }
  void leave() { reader_leave(clock_, number_); }

private:
  epochs *clock_;
  int number_;
};

// --- one thread ----------------------------------------------------------------------------------

class HashTableOf : public testing::TestWithParam<std::tuple<uint32_t, bool>> {};

TEST_P(HashTableOf, TakesExactlyItsCapacity) {
  auto [capacity, one_bucket] = GetParam();
  Table table(capacity, one_bucket);
  ASSERT_TRUE(table.good());
  Reader reader(table);
  reader.enter();
  EXPECT_EQ(table.find(0), nullptr);
  EXPECT_FALSE(table.remove(0));
  for (uint32_t id = 0; id < capacity; id++)
    ASSERT_EQ(table.insert(id), INSERTED) << id;
  EXPECT_EQ(table.in_use(), capacity);
  EXPECT_EQ(table.insert(capacity), FULL);
  EXPECT_EQ(table.find(capacity), nullptr);
  EXPECT_EQ(table.in_use(), capacity);
  for (uint32_t id = 0; id < capacity; id++) {
    EXPECT_EQ(table.insert(id), EXISTS) << id; // also when there is no room
    ASSERT_NE(table.find(id), nullptr) << id;
    EXPECT_TRUE(belongs(*table.find(id), id)) << id;
  }
  reader.leave();
}

TEST_P(HashTableOf, IsUsedAgainWhenReclaimed) {
  auto [capacity, one_bucket] = GetParam();
  Table table(capacity, one_bucket);
  ASSERT_TRUE(table.good());
  Reader reader(table);
  for (uint32_t round = 0; round < 3; round++) {
    uint32_t first = round * capacity;
    reader.enter();
    for (uint32_t id = first; id < first + capacity; id++)
      ASSERT_EQ(table.insert(id), INSERTED) << id;
    // From the middle outwards: heads, middles and tails of chains.
    for (uint32_t i = 0; i < capacity; i++) {
      uint32_t id = first + (i + capacity / 2) % capacity;
      ASSERT_TRUE(table.remove(id)) << id;
      ASSERT_FALSE(table.remove(id)) << id;
      ASSERT_EQ(table.find(id), nullptr) << id;
      EXPECT_EQ(table.in_use(), capacity - i - 1);
    }
    EXPECT_EQ(table.insert(first + capacity), FULL); // all of it waits for us to leave
    reader.leave();
    table.reclaim();
  }
}

TEST_P(HashTableOf, IsWalkedOverOncePerEntry) {
  auto [capacity, one_bucket] = GetParam();
  for (uint32_t buckets : {1U, 7U, 1000U}) {
    Table table(capacity, one_bucket);
    ASSERT_TRUE(table.good());
    Reader reader(table);
    reader.enter();
    EXPECT_TRUE(table.walk(buckets).empty());
    for (uint32_t id = 0; id < capacity; id++)
      ASSERT_EQ(table.insert(id), INSERTED);
    for (bool and_remove : {false, true}) {
      auto met = table.walk(buckets, and_remove);
      EXPECT_EQ(met.size(), capacity);
      for (auto [id, times] : met)
        EXPECT_EQ(times, 1) << id;
    }
    EXPECT_EQ(table.in_use(), 0U);
    EXPECT_TRUE(table.walk(buckets).empty());
    reader.leave();
  }
}

INSTANTIATE_TEST_SUITE_P(Capacity, HashTableOf,
                         testing::Combine(testing::Values(1U, 2U, 15U, 16U, 17U, 1000U),
                                          testing::Bool()),
                         [](const auto &of) {
                           return std::to_string(std::get<0>(of.param)) +
                                  (std::get<1>(of.param) ? "_in_one_bucket" : "");
                         });

// --- keys chosen by an enemy ---------------------------------------------------------------------

// Entries in each bucket.
std::vector<uint64_t> chains(Table &table) {
  std::vector<uint64_t> lengths;
  const auto count = [](void *context, const void *, void *) {
    (*static_cast<uint64_t *>(context))++;
  };
  uint64_t cursor = 0;
  do {
    uint64_t length = 0;
    cursor = table_walk(table.raw(), cursor, 1, count, &length);
    lengths.push_back(length);
  } while (cursor != 0);
  return lengths;
}

// Entries that are looked at when each one is looked up once: the work that a flood of such keys
// makes, counted and not timed.
uint64_t work(Table &table) {
  uint64_t sum = 0;
  for (const uint64_t length : chains(table))
    sum += length * (length + 1) / 2;
  return sum;
}

// Who knows the key of the hash finds as many keys for one bucket as he likes. They are random keys
// to every other table: chains stay as short as chance makes them.
TEST(HashTable, KeysThatCollideInOneTableDoNotInAnother) {
  constexpr uint32_t capacity = 1024, flood = 512;
  Table known(capacity);
  ASSERT_TRUE(known.good());
  known.raw()->hash_key[0] = known.raw()->hash_key[1] = 0; // as if there were none
  Reader reader(known);
  reader.enter();
  std::vector<uint32_t> chosen;
  for (uint32_t id = 1; chosen.size() < flood; id++) {
    const Key key = key_of(id);
    if ((siphash(known.raw()->hash_key, reinterpret_cast<const uint8_t *>(&key), sizeof key) &
         known.raw()->bucket_mask) == 0)
      chosen.push_back(id);
  }
  for (const uint32_t id : chosen)
    ASSERT_EQ(known.insert(id), INSERTED);
  reader.leave();
  EXPECT_EQ(std::ranges::max(chains(known)), flood); // the choice is good
  EXPECT_EQ(work(known), uint64_t{flood} * (flood + 1) / 2);

  for (int i = 0; i < 20; i++) {
    Table table(capacity);
    ASSERT_TRUE(table.good());
    Reader own(table);
    own.enter();
    for (const uint32_t id : chosen)
      ASSERT_EQ(table.insert(id), INSERTED);
    own.leave();
    // 512 keys at random in 1024 buckets: 640 looks on average, ten in one bucket once in a million.
    EXPECT_LT(std::ranges::max(chains(table)), 11U);
    EXPECT_LT(work(table), 2U * flood);
  }
}

TEST(HashTable, RefusesACapacityOfNothing) {
  Table table(0);
  EXPECT_FALSE(table.good());
}

// --- readers -------------------------------------------------------------------------------------

TEST(HashTable, AReaderInsideKeepsWhatItFound) {
  Table table(2);
  ASSERT_TRUE(table.good());
  Reader holder(table);
  Reader other(table);
  other.enter();
  ASSERT_EQ(table.insert(1), INSERTED);
  ASSERT_EQ(table.insert(2), INSERTED);
  other.leave();

  holder.enter();
  Value *held = table.find(1);
  ASSERT_NE(held, nullptr);
  other.enter();
  ASSERT_TRUE(table.remove(1));
  other.leave();
  for (int i = 0; i < 5; i++) {
    table.reclaim();
    EXPECT_EQ(table.insert(3), FULL);
    EXPECT_TRUE(belongs(*held, 1));
  }
  holder.leave();
  table.reclaim();
  EXPECT_EQ(table.insert(3), INSERTED);
  EXPECT_EQ(table.find(3), held); // the very memory
  EXPECT_TRUE(belongs(*held, 3));
}

TEST(HashTable, AReaderThatCameLaterHoldsNothingBack) {
  Table table(1);
  ASSERT_TRUE(table.good());
  Reader early(table);
  Reader late(table);
  ASSERT_EQ(table.insert(1), INSERTED);
  early.enter();
  ASSERT_TRUE(table.remove(1));
  table.reclaim(); // in vain, but it moves the time
  late.enter();
  EXPECT_EQ(table.insert(2), FULL);
  early.leave();
  table.reclaim();
  EXPECT_EQ(table.insert(2), INSERTED);
  late.leave();
}

TEST(HashTable, WaitsForWhoeverIsInside) {
  Table table(1);
  ASSERT_TRUE(table.good());
  Reader inside(table);
  Reader outside(table);
  inside.enter();
  std::atomic<bool> returned = false;
  std::thread waiting([&] {
    epochs_wait(table.clock());
    returned = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_FALSE(returned);
  inside.leave();
  inside.enter(); // later: is not waited for
  waiting.join();
  EXPECT_TRUE(returned);
  inside.leave();
}

TEST(HashTable, CountsItsReaders) {
  Table table(1);
  std::set<int> numbers;
  for (int i = 0; i < MAX_READERS; i++)
    numbers.insert(reader_register(table.clock()));
  EXPECT_EQ(numbers.size(), static_cast<size_t>(MAX_READERS));
  EXPECT_EQ(*numbers.begin(), 0);
  EXPECT_EQ(reader_register(table.clock()), -1);
  reader_release(table.clock(), 77);
  EXPECT_EQ(reader_register(table.clock()), 77);
}

// --- many threads --------------------------------------------------------------------------------

struct Load {
  uint32_t capacity;
  uint32_t shared; // keys that every thread inserts and removes
  uint32_t own;    // keys of each thread that nobody else touches
  bool one_bucket;
  int operations;
};

constexpr unsigned THREADS = 4;

class BusyHashTable : public testing::TestWithParam<Load> {
protected:
  // Own keys follow the shared ones.
  uint32_t own_key(unsigned thread, uint32_t i) const {
    return GetParam().shared + thread * GetParam().own + i;
  }
  uint32_t keys() const { return GetParam().shared + THREADS * GetParam().own; }

  // What one thread knows of its own keys must be so, whatever the others do.
  void touch_own(Table &table, uint32_t id, bool &there, bool insert) {
    Value *found = table.find(id);
    wrong_ += (found != nullptr) != there || (found && !belongs(*found, id));
    if (!insert) {
      wrong_ += table.remove(id) != there;
      there = false;
      return;
    }
    insertion result = table.insert(id);
    wrong_ += (result == EXISTS) != there;
    there = there || result == INSERTED;
  }

  void touch_shared(Table &table, uint32_t id, unsigned dice) {
    if (dice == 0)
      balance_[id] += table.insert(id) == INSERTED;
    else if (dice == 1)
      balance_[id] -= table.remove(id);
    Value *found = table.find(id);
    if (!found)
      return;
    wrong_ += !belongs(*found, id);
    if (id % 16 == 0)
      std::this_thread::sleep_for(std::chrono::microseconds(1)); // long enough for others to come
    wrong_ += !belongs(*found, id); // perhaps removed by now, and still whole
  }

  void work(Table &table, unsigned thread) {
    Reader reader(table);
    std::mt19937 random(thread + 1);
    std::vector<char> there(GetParam().own, 0);
    for (int i = 0; i < GetParam().operations; i++) {
      reader.enter();
      uint32_t pick = random() % (GetParam().shared + GetParam().own);
      if (pick < GetParam().shared) {
        touch_shared(table, pick, random() % 3);
      } else {
        uint32_t mine = pick - GetParam().shared;
        bool known = there[mine] != 0;
        touch_own(table, own_key(thread, mine), known, random() % 2 == 0);
        there[mine] = known ? 1 : 0;
      }
      reader.leave();
    }
    for (uint32_t i = 0; i < GetParam().own; i++)
      balance_[own_key(thread, i)] = there[i];
  }

  std::array<std::atomic<int>, 1024> balance_{}; // per key: inserted less removed
  std::atomic<int> wrong_ = 0;
};

TEST_P(BusyHashTable, LosesNothingAndDoublesNothing) {
  ASSERT_LE(keys(), balance_.size());
  Table table(GetParam().capacity, GetParam().one_bucket);
  ASSERT_TRUE(table.good());
  std::atomic<unsigned> running = THREADS;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < THREADS; i++)
    threads.emplace_back([&, i] {
      work(table, i);
      running--;
    });
  Reader sweeper(table);
  while (running > 0) {
    table.reclaim();
    EXPECT_LE(table.in_use(), GetParam().capacity);
    sweeper.enter();
    table.walk(16);
    sweeper.leave();
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  for (auto &thread : threads)
    thread.join();
  EXPECT_EQ(wrong_, 0);

  sweeper.enter();
  auto met = table.walk(16);
  uint32_t sum = 0;
  for (uint32_t id = 0; id < keys(); id++) {
    int balance = balance_[id];
    EXPECT_TRUE(balance == 0 || balance == 1) << id << ": " << balance;
    EXPECT_EQ(table.find(id) != nullptr, balance == 1) << id;
    EXPECT_EQ(met[id], balance) << id;
    sum += static_cast<uint32_t>(balance);
  }
  EXPECT_EQ(table.in_use(), sum);

  // Every entry's memory is in the table or free: the rest can still be filled, to the last.
  sweeper.leave();
  table.reclaim();
  for (uint32_t id = keys(); table.in_use() < GetParam().capacity; id++)
    ASSERT_EQ(table.insert(id), INSERTED);
  EXPECT_EQ(table.insert(1'000'000), FULL);
}

// Several take out at once what one puts in: the count of a nearly empty table stays a count.
TEST(HashTable, CountsNeverLessThanNothing) {
  Table table(64);
  ASSERT_TRUE(table.good());
  std::atomic<bool> enough = false;
  std::atomic<bool> wrong = false;
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (int i = 0; i < 3; i++)
    threads.emplace_back([&] {
      Reader reader(table);
      while (!enough) {
        reader.enter();
        for (uint32_t id = 0; id < 4; id++)
          if (table.remove(id) && table.in_use() > 64)
            wrong = true;
        reader.leave();
      }
    });
  Reader reader(table);
  for (int i = 0; i < 200'000; i++) {
    reader.enter();
    table.insert(static_cast<uint32_t>(i) % 4);
    reader.leave();
    if (i % 16 == 0)
      table.reclaim();
  }
  enough = true;
  for (auto &thread : threads)
    thread.join();
  EXPECT_FALSE(wrong);
}

INSTANTIATE_TEST_SUITE_P(
    Load, BusyHashTable,
    testing::Values(Load{512, 64, 100, false, 50000}, // room for all, unless reclaiming lags
                    Load{60, 64, 50, false, 50000},   // nearly always full
                    Load{24, 16, 8, true, 50000},     // one chain
                    Load{1, 2, 1, false, 50000}),     // a table of one
    [](const auto &of) { return "capacity_" + std::to_string(of.param.capacity); });

} // namespace
} // namespace viaduct::dp
