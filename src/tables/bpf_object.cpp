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

// Those whose size is max_sessions.
std::array<bpf_map *, 4> sized_maps(const nvi &skeleton) {
  const auto &maps = skeleton.maps;
  return {maps.sessions, maps.bindings, maps.ports, maps.peers};
}

// What a pinned map differs in from the one that we would make.
Result<void> compare(const bpf_map *map, bool sized, int pinned) {
  bpf_map_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(pinned, &info, &size) < 0)
    return error("one of them, {}, is not a map", bpf_map__name(map));
  if (info.type != static_cast<uint32_t>(bpf_map__type(map)) ||
      info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map) ||
      info.map_flags != bpf_map__map_flags(map))
    return error("one of them, {}, has another form", bpf_map__name(map));
  if (info.max_entries != bpf_map__max_entries(map) && sized)
    return error("they are for max_sessions = {}, and now it is {}", info.max_entries,
                 bpf_map__max_entries(map));
  if (info.max_entries != bpf_map__max_entries(map))
    return error("one of them, {}, has {} entries, and not {}", bpf_map__name(map),
                 info.max_entries, bpf_map__max_entries(map));
  return {};
}

} // namespace

void choose_secret(volatile uint32_t (&secret)[2]) {
  for (volatile uint32_t &word : secret) {
    uint32_t random = 0;
    while (getrandom(&random, sizeof random, 0) != sizeof random)
      ;
    word = random;
  }
}

Result<std::unique_ptr<BpfObject>> BpfObject::open(uint32_t max_sessions) {
  LibbpfWords words;
  nvi *skeleton = nvi__open();
  if (skeleton == nullptr)
    return words.failure("cannot open the BPF object", -errno);
  std::unique_ptr<BpfObject> object(new BpfObject(skeleton));

  int code = bpf_map__set_max_entries(skeleton->maps.subscribers, SUBSCRIBERS_OF(max_sessions));
  for (bpf_map *map : sized_maps(*skeleton))
    if (code == 0)
      code = bpf_map__set_max_entries(map, max_sessions);
  if (code < 0)
    return words.failure("cannot set the size of a BPF map", code);
  return object;
}

Result<std::unique_ptr<BpfObject>> BpfObject::load(const BpfOptions &options) {
  auto object = open(options.max_sessions);
  if (!object)
    return object.failure();
  LibbpfWords words;
  nvi *skeleton = (*object)->skeleton_;
  if (options.adopt)
    if (auto done = (*object)->adopt(*options.adopt); !done)
      return done.failure();
  if (options.testing || options.ethernet)
    skeleton->rodata->layer2 = ETHERNET_HEADER;
  if (options.testing)
    skeleton->rodata->testing = 1;
  choose_secret(skeleton->rodata->secret);
  if (int code = nvi__load(skeleton); code < 0)
    return words.failure("the kernel refused the BPF programs", code);
  return object;
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
  for (const bpf_map *map : (*object)->lasting_maps()) {
    const Fd pinned(bpf_obj_get(pins.path(bpf_map__name(map)).c_str()));
    if (!pinned && errno == ENOENT && map == skeleton.maps.counters)
      continue; // another version's
    if (!pinned)
      return error("one of them, {}, cannot be had: {}", bpf_map__name(map), strerror(errno));
    const auto sized_ones = sized_maps(skeleton);
    const bool sized = std::ranges::find(sized_ones, map) != sized_ones.end();
    if (auto same = compare(map, sized, pinned.get()); !same)
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
int BpfObject::sessions() const {
  return bpf_map__fd(skeleton_->maps.sessions);
}
int BpfObject::bindings() const {
  return bpf_map__fd(skeleton_->maps.bindings);
}
int BpfObject::ports() const {
  return bpf_map__fd(skeleton_->maps.ports);
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
