// SPDX-License-Identifier: MIT
#include "tables/bpf_object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <nvi.skel.h>

namespace viaduct::tables {

namespace {

constexpr uint32_t ETHERNET_HEADER = 14;

// The end of what libbpf and the verifier say while one object is loaded: the cause stands last.
constexpr size_t LAST_WORDS = 2000;
thread_local std::string said;

int listen(enum libbpf_print_level level, const char *format, va_list arguments) {
  if (level == LIBBPF_DEBUG)
    return 0;
  char line[1024];
  int length = vsnprintf(line, sizeof line, format, arguments);
  said += line;
  if (said.size() > LAST_WORDS)
    said.erase(0, said.size() - LAST_WORDS);
  return length;
}

Error refused(const char *what, int code) {
  Error failure = system_error(what, -code);
  if (!said.empty())
    failure.message += ": " + said;
  return failure;
}

} // namespace

Result<std::unique_ptr<BpfObject>> BpfObject::load(const BpfOptions &options) {
  said.clear();
  libbpf_set_print(listen);
  nvi *skeleton = nvi__open();
  if (skeleton == nullptr)
    return refused("cannot open the BPF object", -errno);
  std::unique_ptr<BpfObject> object(new BpfObject(skeleton));

  for (bpf_map *map : {skeleton->maps.sessions, skeleton->maps.bindings, skeleton->maps.ports,
                       skeleton->maps.subscribers, skeleton->maps.peers})
    if (int code = bpf_map__set_max_entries(map, options.max_sessions); code < 0)
      return refused("cannot set the size of a BPF map", code);
  if (options.testing) {
    skeleton->rodata->layer2 = ETHERNET_HEADER;
    skeleton->rodata->testing = 1;
  }
  if (int code = nvi__load(skeleton); code < 0)
    return refused("the kernel refused the BPF programs", code);
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
