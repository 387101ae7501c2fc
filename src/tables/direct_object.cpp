// SPDX-License-Identifier: MIT
#include "tables/direct_object.h"

#include "tables/libbpf_words.h"

#include <algorithm>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <direct_tc.skel.h>
#include <direct_xdp.skel.h>

namespace viaduct::tables {

namespace {

// What is settled before either of them is loaded.
template <typename Skeleton>
int prepare(Skeleton *skeleton, const BpfObject &object, const DirectOptions &options) {
  skeleton->rodata->nvi_index = static_cast<uint32_t>(options.nvi);
  if (options.testing) {
    skeleton->rodata->testing = 1;
    skeleton->rodata->hops = options.counts_hop ? 1 : 0;
  }
  choose_secret(skeleton->rodata->secret);
  return object.share_with(skeleton->obj);
}

template <typename Skeleton> void set_test_of(Skeleton *skeleton, uint32_t now, uint32_t random) {
  skeleton->bss->test_now = now;
  skeleton->bss->test_random = random;
}

template <typename Skeleton> DirectObject::Ended last_of(const Skeleton *skeleton) {
  return {static_cast<dp::verdict>(skeleton->bss->test_verdict),
          static_cast<dp::reason>(skeleton->bss->test_reason)};
}

} // namespace

Result<std::unique_ptr<DirectObject>> DirectObject::load(const BpfObject &object,
                                                         const DirectOptions &options) {
  LibbpfWords words;
  std::unique_ptr<DirectObject> made(new DirectObject(direct_tc__open(), direct_xdp__open()));
  if (made->tc_ == nullptr || made->xdp_ == nullptr)
    return words.failure("cannot open the BPF objects of direct ports", -errno);
  if (int code = prepare(made->tc_, object, options); code < 0)
    return words.failure("cannot share a BPF map", code);
  if (int code = prepare(made->xdp_, object, options); code < 0)
    return words.failure("cannot share a BPF map", code);
  if (int code = direct_tc__load(made->tc_); code < 0)
    return words.failure("the kernel refused the tc program of direct ports", code);
  if (int code = direct_xdp__load(made->xdp_); code < 0)
    return words.failure("the kernel refused the XDP program of direct ports", code);
  return made;
}

DirectObject::~DirectObject() {
  direct_tc__destroy(tc_);
  direct_xdp__destroy(xdp_);
}

int DirectObject::tc() const {
  return bpf_program__fd(tc_->progs.direct_tc);
}

int DirectObject::xdp() const {
  return bpf_program__fd(xdp_->progs.direct_xdp);
}

// A packet that meets the change half done misses a port at most, and goes its usual way.
Result<void> DirectObject::set_port(uint32_t index, const dp::direct_port *port) {
  std::erase_if(ports_, [&](const dp::direct_port &other) { return other.index == index; });
  if (port != nullptr && ports_.size() == dp::MAX_DIRECT)
    return error("more than {} ports have the XDP program", static_cast<int>(dp::MAX_DIRECT));
  if (port != nullptr)
    ports_.push_back(*port);
  dp::direct_ports all{};
  std::ranges::copy(ports_, std::begin(all.port));
  const uint32_t zero = 0;
  if (int code = bpf_map_update_elem(bpf_map__fd(xdp_->maps.direct_ports), &zero, &all, BPF_ANY);
      code < 0)
    return system_error("cannot tell the XDP program of a port", -code);
  return {};
}

void DirectObject::set_test(uint32_t now, uint32_t random) {
  set_test_of(tc_, now, random);
  set_test_of(xdp_, now, random);
}

DirectObject::Ended DirectObject::last_tc() const {
  return last_of(tc_);
}

DirectObject::Ended DirectObject::last_xdp() const {
  return last_of(xdp_);
}

} // namespace viaduct::tables
