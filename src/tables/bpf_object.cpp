// SPDX-License-Identifier: MIT
#include "tables/bpf_object.h"

#include "tables/libbpf_words.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <nvi.skel.h>
#include <sys/random.h>

namespace viaduct::tables {

namespace {

constexpr uint32_t ETHERNET_HEADER = 14;

} // namespace

Result<std::unique_ptr<BpfObject>> BpfObject::load(const BpfOptions &options) {
  LibbpfWords words;
  nvi *skeleton = nvi__open();
  if (skeleton == nullptr)
    return words.failure("cannot open the BPF object", -errno);
  std::unique_ptr<BpfObject> object(new BpfObject(skeleton));

  for (bpf_map *map : {skeleton->maps.sessions, skeleton->maps.bindings, skeleton->maps.ports,
                       skeleton->maps.subscribers, skeleton->maps.peers})
    if (int code = bpf_map__set_max_entries(map, options.max_sessions); code < 0)
      return words.failure("cannot set the size of a BPF map", code);
  if (options.testing) {
    skeleton->rodata->layer2 = ETHERNET_HEADER;
    skeleton->rodata->testing = 1;
  }
  for (uint32_t &word : skeleton->rodata->secret)
    while (getrandom(&word, sizeof word, 0) != sizeof word)
      ;
  if (int code = nvi__load(skeleton); code < 0)
    return words.failure("the kernel refused the BPF programs", code);
  return object;
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

int BpfObject::map(const char *name) const {
  const bpf_map *found = bpf_object__find_map_by_name(skeleton_->obj, name);
  return found == nullptr || bpf_map__is_internal(found) ? -1 : bpf_map__fd(found);
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
