// SPDX-License-Identifier: MIT
//
// A table of the BPF engine (datapath/bucket_table.h), read from outside: two array maps, of which a
// piece at a time is mapped into this process. The programs change entries meanwhile, and nobody else
// does: what is mapped can only be read, but for tests.
#pragma once

#include "datapath/native/buckets.h"

#include <cstddef>
#include <cstdint>
#include <functional>

namespace viaduct::tables {

enum class Access { read, write };

// A piece of an array map in this process' memory, another one when somebody wants it.
class MapWindow {
public:
  MapWindow(int map, size_t element, size_t count, size_t at_once, Access access)
      : map_(map), element_(element), count_(count), at_once_(at_once), access_(access) {}
  ~MapWindow() { close(); }
  MapWindow(const MapWindow &) = delete;
  MapWindow &operator=(const MapWindow &) = delete;

  void *at(size_t index); // good until the next call; null where there is none
  size_t count() const { return count_; }

private:
  void close();

  int map_;
  size_t element_, count_, at_once_;
  Access access_;
  void *memory_ = nullptr;
  size_t size_ = 0, first_ = 0, last_ = 0, offset_ = 0;
};

// What the maps of one table are; the descriptors stay somebody else's.
struct TableMaps {
  int buckets = -1;
  size_t bucket_size = 0; // a struct bucket, and what else lies there
  int entries = -1, pools = -1;
  size_t pool = 0; // which of struct table_pools: its offset there
  dp::table_shape shape{};
};

class RawMapTable {
public:
  RawMapTable(const TableMaps &maps, size_t entry, size_t key, size_t at_once, Access access);

  const dp::entry_head *find(const void *key);
  // From the entry with this index on, at most `limit` of them, or none where many are empty; the next cursor, 0
  // at the end.
  uint64_t walk(uint64_t cursor, size_t limit,
                const std::function<void(const dp::entry_head *)> &take);
  // REQUIRES: Access::write, and nobody else is at it.
  dp::entry_head *claim(const void *key, uint32_t &slot);
  void publish(dp::entry_head *entry, uint32_t slot);
  void clear();

private:
  dp::buckets_view view();
  dp::table_pool *pool();

  dp::table_shape shape_;
  MapWindow buckets_, entries_, pools_;
  size_t pool_;
  uint32_t key_words_;
};

// Entry: dp::session_entry, ...
template <typename Entry> class MapTable {
public:
  using Key = decltype(Entry::key);
  using Value = decltype(Entry::value);

  // How many entries are in this process' memory together, at most.
  static constexpr size_t FOR_ONE = 1, FOR_ALL = 4096;

  explicit MapTable(const TableMaps &maps, size_t at_once = FOR_ONE, Access access = Access::read)
      : table_(maps, sizeof(Entry), sizeof(Key), at_once, access) {}

  bool find(const Key &key, Value &value) {
    const auto *entry = reinterpret_cast<const Entry *>(table_.find(&key));
    if (entry != nullptr)
      value = entry->value;
    return entry != nullptr;
  }

  // take(key, value), copies; see RawMapTable::walk.
  template <typename Take> uint64_t walk(uint64_t cursor, size_t limit, const Take &take) {
    return table_.walk(cursor, limit, [&](const dp::entry_head *found) {
      const Entry copy = *reinterpret_cast<const Entry *>(found);
      take(copy.key, copy.value);
    });
  }

  // Tests only: as claim. False: it is there, or there is no room.
  bool insert(const Key &key, const Value &value) {
    uint32_t slot = 0;
    auto *entry = reinterpret_cast<Entry *>(table_.claim(&key, slot));
    if (entry == nullptr)
      return false;
    entry->key = key;
    entry->value = value;
    table_.publish(&entry->head, slot);
    return true;
  }
  void clear() { table_.clear(); }

private:
  RawMapTable table_;
};

} // namespace viaduct::tables
