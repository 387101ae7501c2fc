// SPDX-License-Identifier: MIT
#include "tables/bpf_object.h"

#include "base/fd.h"
#include "tables/libbpf_words.h"

#include <algorithm>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstring>
#include <nvi.skel.h>
#include <sys/random.h>

namespace viaduct::tables {

namespace {

constexpr uint32_t ETHERNET_HEADER = 14;

struct SizedMap {
  bpf_map *map;
  uint32_t entries;
};

// Those whose size follows from max_sessions.
std::array<SizedMap, 8> sized_maps(const nvi &skeleton, uint32_t max_sessions) {
  const auto &maps = skeleton.maps;
  const uint32_t buckets = BUCKETS_OF(max_sessions);
  return {{{maps.peers, max_sessions},
           {maps.subscribers, SUBSCRIBERS_OF(max_sessions)},
           {maps.session_buckets, buckets},
           {maps.sessions, max_sessions},
           {maps.binding_buckets, buckets},
           {maps.bindings, max_sessions},
           {maps.port_buckets, buckets},
           {maps.ports, max_sessions}}};
}

// What a pinned map differs in from the one that we would make. `telling`: its size is max_sessions.
Result<void> compare(const bpf_map *map, bool telling, int pinned) {
  bpf_map_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(pinned, &info, &size) < 0)
    return error("one of them, {}, is not a map", bpf_map__name(map));
  if (info.type != static_cast<uint32_t>(bpf_map__type(map)) ||
      info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map) ||
      info.map_flags != bpf_map__map_flags(map))
    return error("one of them, {}, has another form", bpf_map__name(map));
  if (info.max_entries != bpf_map__max_entries(map) && telling)
    return error("they are for max_sessions = {}, and now it is {}", info.max_entries,
                 bpf_map__max_entries(map));
  if (info.max_entries != bpf_map__max_entries(map))
    return error("one of them, {}, has {} entries, and not {}", bpf_map__name(map),
                 info.max_entries, bpf_map__max_entries(map));
  return {};
}

// The programs take an index of a table for what the shape says, and so do we.
Result<void> compare_shape(int pinned, uint32_t max_sessions) {
  const uint32_t zero = 0;
  dp::table_shape shape{};
  if (bpf_map_lookup_elem(pinned, &zero, &shape) != 0)
    return error("one of them, shape, cannot be read: {}", strerror(errno));
  if (shape.most != max_sessions || shape.buckets != BUCKETS_OF(max_sessions))
    return error("one of them, shape, is for {} entries in {} buckets, and not {} in {}",
                 shape.most, shape.buckets, max_sessions, BUCKETS_OF(max_sessions));
  return {};
}

void fill_with_secret(void *to, size_t size) {
  while (getrandom(to, size, 0) != static_cast<ssize_t>(size))
    ;
}

} // namespace

void choose_secret(volatile uint32_t (&secret)[2]) {
  for (volatile uint32_t &word : secret) {
    uint32_t random = 0;
    fill_with_secret(&random, sizeof random);
    word = random;
  }
}

Result<std::unique_ptr<BpfObject>> BpfObject::open(uint32_t max_sessions) {
  LibbpfWords words;
  nvi *skeleton = nvi__open();
  if (skeleton == nullptr)
    return words.failure("cannot open the BPF object", -errno);
  std::unique_ptr<BpfObject> object(new BpfObject(skeleton));

  int code = 0;
  for (const SizedMap &sized : sized_maps(*skeleton, max_sessions))
    if (code == 0)
      code = bpf_map__set_max_entries(sized.map, sized.entries);
  if (code < 0)
    return words.failure("cannot set the size of a BPF map", code);
  return object;
}

Result<std::unique_ptr<BpfObject>> BpfObject::load(const BpfOptions &options) {
#ifndef __x86_64__
  return error("the tables of the BPF engine rely on x86's order of loads and stores");
#endif
  auto object = open(options.max_sessions);
  if (!object)
    return object.failure();
  LibbpfWords words;
  nvi *skeleton = (*object)->skeleton_;
  if (options.adopt)
    if (auto done = (*object)->adopt(*options.adopt); !done)
      return done.failure();
  if (options.dead_ring != 0)
    bpf_map__set_max_entries(skeleton->maps.dead, options.dead_ring);
  if (options.testing || options.ethernet)
    skeleton->rodata->layer2 = ETHERNET_HEADER;
  if (options.testing)
    skeleton->rodata->testing = 1;
  choose_secret(skeleton->rodata->secret);
  if (int code = nvi__load(skeleton); code < 0)
    return words.failure("the kernel refused the BPF programs", code);
  if (auto done = (*object)->settle_shape(options); !done)
    return done.failure();
  return object;
}

// Once, before the first packet: later every entry would be lost.
Result<void> BpfObject::settle_shape(const BpfOptions &options) {
  const int map = bpf_map__fd(skeleton_->maps.shape);
  const uint32_t zero = 0;
  if (options.adopt && bpf_map_lookup_elem(map, &zero, &shape_) == 0)
    return {};
  if (!options.adopt) {
    fill_with_secret(&shape_, sizeof shape_);
    shape_.most = options.max_sessions;
    shape_.buckets = BUCKETS_OF(options.max_sessions);
    if (bpf_map_update_elem(map, &zero, &shape_, BPF_ANY) == 0)
      return {};
  }
  return system_error("cannot settle the shape of the tables", errno);
}

// --- maps that outlive us
// ------------------------------------------------------------------------

// All but what a program needs while it runs.
std::vector<bpf_map *> BpfObject::lasting_maps() const {
  std::vector<bpf_map *> maps;
  bpf_map *map = nullptr;
  bpf_object__for_each_map(map, skeleton_->obj) {
    if (!bpf_map__is_internal(map) && map != skeleton_->maps.workspaces)
      maps.push_back(map);
  }
  return maps;
}

Result<void> BpfObject::fits(const Pins &pins, uint32_t max_sessions) {
  auto object = open(max_sessions);
  if (!object)
    return object.failure();
  const nvi &skeleton = *(*object)->skeleton_;
  auto maps = (*object)->lasting_maps();
  // The one whose size says most to whom it is told.
  std::iter_swap(maps.begin(), std::ranges::find(maps, skeleton.maps.peers));
  for (const bpf_map *map : maps) {
    const Fd pinned(bpf_obj_get(pins.path(bpf_map__name(map)).c_str()));
    if (!pinned && errno == ENOENT && map == skeleton.maps.counters)
      continue; // another version's
    if (!pinned)
      return error("one of them, {}, cannot be had: {}", bpf_map__name(map), strerror(errno));
    if (auto same = compare(map, map == skeleton.maps.peers, pinned.get()); !same)
      return same;
    if (map == skeleton.maps.shape)
      if (auto same = compare_shape(pinned.get(), max_sessions); !same)
        return same;
  }
  return {};
}

Result<void> BpfObject::adopt(const Pins &pins) {
  counters_are_new_ = false;
  for (bpf_map *map : lasting_maps()) {
    const Fd pinned(bpf_obj_get(pins.path(bpf_map__name(map)).c_str()));
    if (!pinned && errno == ENOENT && map == skeleton_->maps.counters) {
      counters_are_new_ = true;
      continue;
    }
    if (int code = pinned ? bpf_map__reuse_fd(map, pinned.get()) : -errno; code < 0)
      return system_error("cannot take over a BPF map", -code);
  }
  return {};
}

Result<void> BpfObject::pin(const Pins &pins) const {
  auto done = pins.make();
  for (const bpf_map *map : lasting_maps())
    if (done && bpf_obj_pin(bpf_map__fd(map), pins.path(bpf_map__name(map)).c_str()) < 0 &&
        errno != EEXIST)
      done = system_error("cannot pin a BPF map", errno);
  return done;
}

BpfObject::~BpfObject() {
  nvi__destroy(skeleton_);
}

int BpfObject::program() const {
  return bpf_program__fd(skeleton_->progs.nvi);
}
TableMaps BpfObject::table(const bpf_map *buckets, const bpf_map *entries, size_t pool) const {
  return {.buckets = bpf_map__fd(buckets),
          .bucket_size = bpf_map__value_size(buckets),
          .entries = bpf_map__fd(entries),
          .pools = bpf_map__fd(skeleton_->maps.pools),
          .pool = pool,
          .shape = shape_};
}
TableMaps BpfObject::sessions() const {
  return table(skeleton_->maps.session_buckets, skeleton_->maps.sessions,
               offsetof(dp::table_pools, sessions));
}
TableMaps BpfObject::bindings() const {
  return table(skeleton_->maps.binding_buckets, skeleton_->maps.bindings,
               offsetof(dp::table_pools, bindings));
}
TableMaps BpfObject::ports() const {
  return table(skeleton_->maps.port_buckets, skeleton_->maps.ports,
               offsetof(dp::table_pools, ports));
}
int BpfObject::subscribers() const {
  return bpf_map__fd(skeleton_->maps.subscribers);
}
int BpfObject::peers() const {
  return bpf_map__fd(skeleton_->maps.peers);
}
int BpfObject::hints() const {
  return bpf_map__fd(skeleton_->maps.hints);
}
int BpfObject::counters() const {
  return bpf_map__fd(skeleton_->maps.counters);
}
int BpfObject::policies() const {
  return bpf_map__fd(skeleton_->maps.policies);
}

int BpfObject::settings() const {
  return bpf_map__fd(skeleton_->maps.settings);
}
int BpfObject::losses() const {
  return bpf_map__fd(skeleton_->maps.losses);
}
int BpfObject::events() const {
  return bpf_map__fd(skeleton_->maps.events);
}
int BpfObject::dead() const {
  return bpf_map__fd(skeleton_->maps.dead);
}

int BpfObject::share_with(bpf_object *other) const {
  bpf_map *map = nullptr;
  bpf_object__for_each_map(map, other) {
    const bpf_map *own = bpf_object__find_map_by_name(skeleton_->obj, bpf_map__name(map));
    if (bpf_map__is_internal(map) || own == nullptr)
      continue;
    if (int code = bpf_map__reuse_fd(map, bpf_map__fd(own)); code < 0)
      return code;
  }
  return 0;
}

uint32_t BpfObject::verified_instructions() const {
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(program(), &info, &size) < 0)
    return 0;
  return info.verified_insns;
}

void BpfObject::set_test(uint32_t now, uint32_t random) {
  skeleton_->bss->test_now = now;
  skeleton_->bss->test_random = random;
}

dp::verdict BpfObject::last_verdict() const {
  return static_cast<dp::verdict>(skeleton_->bss->test_verdict);
}

dp::reason BpfObject::last_reason() const {
  return static_cast<dp::reason>(skeleton_->bss->test_reason);
}

} // namespace viaduct::tables
