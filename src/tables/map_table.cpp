// SPDX-License-Identifier: MIT
#include "tables/map_table.h"

#include <algorithm>
#include <sys/mman.h>
#include <unistd.h>

namespace viaduct::tables {

// --- a piece of a map ---------------------------------------------------------------------------

void MapWindow::close() {
  if (memory_ != nullptr)
    munmap(memory_, size_);
  memory_ = nullptr;
}

// Whole pages; those of the map's end are there, too.
void *MapWindow::at(size_t index) {
  if (index >= count_)
    return nullptr;
  if (memory_ == nullptr || index < first_ || index >= last_) {
    close();
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    first_ = at_once_ < count_ ? index : 0; // all of it stays where it is
    last_ = std::min(first_ + at_once_, count_);
    offset_ = first_ * element_ / page * page;
    size_ = (last_ * element_ - offset_ + page - 1) / page * page;
    const int protection = access_ == Access::write ? PROT_READ | PROT_WRITE : PROT_READ;
    void *memory = mmap(nullptr, size_, protection, MAP_SHARED, map_, static_cast<off_t>(offset_));
    if (memory == MAP_FAILED)
      return nullptr;
    memory_ = memory;
  }
  return static_cast<std::byte *>(memory_) + (index * element_ - offset_);
}

// --- a table -------------------------------------------------------------------------------------

namespace {

// Who claims an entry has two buckets and some entries in hand at once: all of a table is there.
size_t kept(size_t at_once, size_t count, Access access) {
  return access == Access::write ? count : at_once;
}

} // namespace

RawMapTable::RawMapTable(const TableMaps &maps, size_t entry, size_t key, size_t at_once,
                         Access access)
    : shape_(maps.shape), buckets_(maps.buckets, maps.bucket_size, shape_.buckets,
                                   kept(1, shape_.buckets, access), access),
      entries_(maps.entries, entry, shape_.most, kept(at_once, shape_.most, access), access),
      pools_(maps.pools, sizeof(dp::table_pools), 1, 1, access), pool_(maps.pool),
      key_words_(static_cast<uint32_t>(key / sizeof(uint32_t))) {}

dp::buckets_view RawMapTable::view() {
  return {.context = this,
          .bucket =
              [](void *context, uint32_t index) {
                return static_cast<dp::bucket *>(
                    static_cast<RawMapTable *>(context)->buckets_.at(index));
              },
          .entry =
              [](void *context, uint32_t index) {
                return static_cast<dp::entry_head *>(
                    static_cast<RawMapTable *>(context)->entries_.at(index));
              }};
}

dp::table_pool *RawMapTable::pool() {
  auto *all = static_cast<std::byte *>(pools_.at(0));
  return all == nullptr ? nullptr : reinterpret_cast<dp::table_pool *>(all + pool_);
}

const dp::entry_head *RawMapTable::find(const void *key) {
  const dp::buckets_view here = view();
  return dp::buckets_find(&here, &shape_, key, key_words_);
}

// An entry without an owner costs a look at its first word. Those that were in use once are as many as ever were
// at once, so what is empty after a flood must not make one walk long.
constexpr size_t SKIPPED_FOR_ONE = 8;

uint64_t RawMapTable::walk(uint64_t cursor, size_t limit,
                           const std::function<void(const dp::entry_head *)> &take) {
  const dp::table_pool *own = pool();
  const size_t end = own == nullptr ? 0 : std::min(own->fresh, shape_.most);
  if (cursor >= end)
    return 0;
  const size_t last =
      end - cursor > limit * SKIPPED_FOR_ONE ? cursor + limit * SKIPPED_FOR_ONE : end;
  size_t taken = 0, index = cursor;
  for (; index < last && taken < limit; index++) {
    const auto *entry = static_cast<const dp::entry_head *>(entries_.at(index));
    if (entry == nullptr)
      return 0;
    if (entry->owner == 0 || (entry->owner & ENTRY_FREE) != 0)
      continue;
    take(entry);
    taken++;
  }
  return index < end ? index : 0;
}

dp::entry_head *RawMapTable::claim(const void *key, uint32_t &slot) {
  const dp::buckets_view here = view();
  dp::table_pool *own = pool();
  return own == nullptr ? nullptr : dp::buckets_claim(&here, &shape_, own, key, key_words_, &slot);
}

void RawMapTable::publish(dp::entry_head *entry, uint32_t slot) {
  const dp::buckets_view here = view();
  dp::buckets_publish(&here, entry, slot);
}

void RawMapTable::clear() {
  for (uint32_t index = 0; index < shape_.buckets; index++)
    if (auto *bucket = static_cast<dp::bucket *>(buckets_.at(index)))
      *bucket = {};
  dp::table_pool *own = pool();
  for (uint32_t index = 0; own != nullptr && index < std::min(own->fresh, shape_.most); index++)
    if (auto *entry = static_cast<dp::entry_head *>(entries_.at(index)))
      entry->owner = 0;
  if (own != nullptr)
    *own = {};
}

} // namespace viaduct::tables
