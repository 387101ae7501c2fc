// SPDX-License-Identifier: MIT
//
// Whether a table of the BPF engine (datapath/bucket_table.h) fits together, while nobody is at it:
// each entry that was ever used is either in one slot, under its key's word, in one of its key's two
// buckets, or in the list of the free ones; no slot is taken without an entry, and none by two; each
// bucket counts those that live away from it; no key is there twice.
#pragma once

#include "datapath/native/buckets.h"
#include "tables/map_table.h"
#ifndef VIADUCT_NATIVE_ONLY
#include "tables/bpf_object.h"
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fmt/format.h>
#include <set>
#include <string>
#include <vector>

namespace viaduct::test {

class TableCheck {
public:
  TableCheck(const tables::TableMaps &maps, size_t entry, size_t key)
      : shape_(maps.shape), key_(key), buckets_(maps.buckets, maps.bucket_size, shape_.buckets,
                                                shape_.buckets, tables::Access::read),
        entries_(maps.entries, entry, shape_.most, shape_.most, tables::Access::read),
        pools_(maps.pools, sizeof(dp::table_pools), 1, 1, tables::Access::read),
        away_(shape_.buckets) {
    std::memcpy(&pool_, static_cast<const std::byte *>(pools_.at(0)) + maps.pool, sizeof pool_);
    used_ = std::min(pool_.fresh, shape_.most);
  }

  // One line for each thing that is wrong; "": all is well.
  std::string run() {
    for (uint32_t index = 0; index < used_; index++)
      look_at_entry(index);
    look_at_buckets();
    look_at_free();
    return said_;
  }

private:
  template <typename... Args> void say(fmt::format_string<Args...> text, Args &&...args) {
    if (said_.size() < 4000) // enough to begin with
      said_ += fmt::format(text, std::forward<Args>(args)...) + "\n";
  }

  const dp::bucket &bucket(uint32_t index) {
    return *static_cast<const dp::bucket *>(buckets_.at(index));
  }
  const dp::entry_head &entry(uint32_t index) {
    return *static_cast<const dp::entry_head *>(entries_.at(index));
  }

  void look_at_entry(uint32_t index) {
    const dp::entry_head &head = entry(index);
    if ((head.owner & ENTRY_FREE) != 0) {
      free_++;
      return;
    }
    if (head.owner == 0) {
      say("entry {} was taken and is in no slot", index);
      return;
    }
    owned_++;
    const uint32_t slot = head.owner - 1, home = slot >> 4, i = slot & 15;
    if (home >= shape_.buckets || i >= dp::BUCKET_SLOTS) {
      say("entry {} says that it is in slot {}, which there is not", index, slot);
      return;
    }
    const auto *key = reinterpret_cast<const char *>(&head + 1);
    const dp::key_place place =
        dp::buckets_place(&shape_, key, static_cast<uint32_t>(key_ / sizeof(uint32_t)));
    if (bucket(home).entry[i] != index)
      say("entry {} is in slot {}, which has entry {}", index, slot, bucket(home).entry[i]);
    if (bucket(home).word[i] != place.live)
      say("entry {} is in slot {}, whose word is {:#x} and not {:#x}", index, slot,
          bucket(home).word[i], place.live);
    if (home != place.home && home != place.other)
      say("entry {} is in bucket {}, and should be in {} or {}", index, home, place.home,
          place.other);
    away_[place.home] += home != place.home;
    if (!keys_.emplace(key, key_).second)
      say("the key of entry {} is there twice", index);
  }

  void look_at_buckets() {
    uint64_t slots = 0;
    for (uint32_t index = 0; index < shape_.buckets; index++) {
      const dp::bucket &here = bucket(index);
      slots += static_cast<uint64_t>(dp::BUCKET_SLOTS -
                                     std::count(here.word, here.word + dp::BUCKET_SLOTS, 0U));
      if (here.word[dp::AWAY] != away_[index])
        say("bucket {} counts {} that live away from it, and there are {}", index,
            here.word[dp::AWAY], away_[index]);
    }
    if (slots != owned_) // then some slot is TAKEN, or its entry says another one
      say("{} slots are not free, and {} entries are in one", slots, owned_);
  }

  void look_at_free() {
    uint32_t listed = 0;
    auto next = static_cast<uint32_t>(pool_.free);
    for (; next != 0 && listed <= used_; listed++) {
      if (next > used_) {
        say("entry {} is free, and was never used", next - 1);
        return;
      }
      const uint32_t owner = entry(next - 1).owner;
      if ((owner & ENTRY_FREE) == 0) {
        say("entry {} is in the list of the free ones, and in slot {}", next - 1, owner - 1);
        return;
      }
      next = owner & ~ENTRY_FREE;
    }
    if (listed != free_)
      say("{} entries are free, and {} are in their list", free_, listed);
  }

  dp::table_shape shape_;
  size_t key_;
  tables::MapWindow buckets_, entries_, pools_;
  dp::table_pool pool_{};
  uint32_t used_ = 0;
  uint32_t free_ = 0, owned_ = 0;
  std::vector<uint32_t> away_; // by the bucket that is their home
  std::set<std::string> keys_;
  std::string said_;
};

template <typename Entry> std::string what_is_wrong(const tables::TableMaps &maps) {
  return TableCheck(maps, sizeof(Entry), sizeof(Entry::key)).run();
}

#ifndef VIADUCT_NATIVE_ONLY
inline std::string what_is_wrong(const tables::BpfObject &object) {
  const auto named = [](const char *name, const std::string &said) {
    return said.empty() ? said : fmt::format("{}:\n{}", name, said);
  };
  return named("sessions", what_is_wrong<dp::session_entry>(object.sessions())) +
         named("bindings", what_is_wrong<dp::binding_entry>(object.bindings())) +
         named("ports", what_is_wrong<dp::port_entry>(object.ports()));
}
#endif

} // namespace viaduct::test
