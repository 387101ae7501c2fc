// SPDX-License-Identifier: MIT
#include "agent/hooks.h"

#include "tables/libbpf_words.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstring>
#include <set>
#include <toa_getsockopt.skel.h>
#include <toa_hooks.skel.h>

namespace viaduct::agent {

namespace {

using tables::LibbpfWords;

constexpr const char *getsockopt_name = "link_getsockopt";

std::vector<bpf_map *> maps_of(bpf_object *object) {
  std::vector<bpf_map *> maps;
  bpf_map *map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (!bpf_map__is_internal(map))
      maps.push_back(map);
  }
  return maps;
}

Result<void> same_form(const bpf_map *map, int pinned) {
  bpf_map_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(pinned, &info, &size) < 0)
    return system_error("cannot look at a pinned BPF map", errno);
  if (info.type != static_cast<uint32_t>(bpf_map__type(map)) ||
      info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map) ||
      info.map_flags != bpf_map__map_flags(map) || info.max_entries != bpf_map__max_entries(map))
    return error("the pinned BPF map {} has another form than this version's", bpf_map__name(map));
  return {};
}

// Makes a trie hold what is wanted: what is new goes in before what is old goes out.
template <typename Key>
Result<void> set_trie(int map, const std::vector<Key> &wanted, const char *what) {
  auto less = [](const Key &a, const Key &b) { return memcmp(&a, &b, sizeof a) < 0; };
  std::set<Key, decltype(less)> wanted_set(wanted.begin(), wanted.end(), less);
  std::vector<Key> old;
  Key key{};
  for (const Key *before = nullptr; bpf_map_get_next_key(map, before, &key) == 0; before = &key) {
    if (!wanted_set.contains(key))
      old.push_back(key);
    if (old.size() > dp::AGENT_MAX_SENDERS)
      break;
  }
  // A full trie takes nothing new until something old is gone.
  bool full = old.size() + wanted.size() > dp::AGENT_MAX_SENDERS;
  auto remove_old = [&] {
    for (const Key &each : old)
      bpf_map_delete_elem(map, &each);
  };
  if (full)
    remove_old();
  for (const Key &each : wanted) {
    uint32_t one = 1;
    if (int code = bpf_map_update_elem(map, &each, &one, BPF_ANY); code < 0)
      return system_error(fmt::format("cannot set {}", what), -code);
  }
  if (!full)
    remove_old();
  return {};
}

} // namespace

Result<std::unique_ptr<Hooks>> Hooks::start(const Config &config) {
  auto cgroup = Cgroup::open(config.cgroup);
  if (!cgroup)
    return cgroup.failure();
  std::unique_ptr<Hooks> hooks(new Hooks(std::move(*cgroup)));
  auto pins = Pins::take(hooks->cgroup_.id());
  if (pins)
    hooks->pins_ = std::make_unique<Pins>(std::move(*pins));
  else
    return pins.failure();
  hooks->lost_layout_ = hooks->pins_->remove_other_layouts();
  hooks->adopted_ = hooks->pins_->has("connections");
  hooks->leaving_ = hooks->adopted_;
  if (auto done = hooks->load(); !done)
    return done.failure();
  if (auto done = hooks->set_senders(config); !done)
    return done.failure();
  if (auto done = hooks->set_kinds(config); !done)
    return done.failure();
  if (auto done = hooks->attach_all(); !done)
    return done.failure();
  if (auto done = hooks->serve_getsockopt(config.nat64_getsockopt); !done)
    hooks->why_no_getsockopt_ = done.failure().message;
  hooks->leaving_ = false;
  return hooks;
}

Hooks::~Hooks() {
  for (bpf_link *link : links_)
    bpf_link__destroy(link); // a pinned one goes on
  bpf_link__destroy(getsockopt_link_);
  if (!leaving_ && pins_) {
    pins_->remove();
    if (cgroup_.fd() >= 0)
      Cgroup::unmount();
  }
  toa_getsockopt__destroy(getsockopt_);
  toa_hooks__destroy(skeleton_);
}

// --- loading
// ----------------------------------------------------------------------------------

Result<void> Hooks::load() {
  LibbpfWords words;
  skeleton_ = toa_hooks__open();
  if (skeleton_ == nullptr)
    return words.failure("cannot open the BPF object", -errno);
  if (auto done = adopt_maps(maps_of(skeleton_->obj)); !done)
    return done;
  if (int code = toa_hooks__load(skeleton_); code < 0)
    return words.failure("the kernel refused the BPF programs", code);
  return pin_maps();
}

Result<void> Hooks::adopt_maps(const std::vector<bpf_map *> &maps) {
  for (bpf_map *map : maps) {
    Fd pinned(bpf_obj_get(pins_->path(bpf_map__name(map)).c_str()));
    if (!pinned && errno == ENOENT)
      continue; // the first start, or new in this version
    if (!pinned)
      return system_error(fmt::format("cannot open the pinned map {}", bpf_map__name(map)), errno);
    if (auto same = same_form(map, pinned.get()); !same)
      return same;
    if (int code = bpf_map__reuse_fd(map, pinned.get()); code < 0)
      return system_error("cannot take over a BPF map", -code);
  }
  return {};
}

Result<void> Hooks::pin_maps() {
  for (const bpf_map *map : maps_of(skeleton_->obj))
    if (bpf_obj_pin(bpf_map__fd(map), pins_->path(bpf_map__name(map)).c_str()) < 0 &&
        errno != EEXIST)
      return system_error("cannot pin a BPF map", errno);
  return {};
}

// --- attaching
// --------------------------------------------------------------------------------

// A pinned link gets the new program in one step: there is no moment without one. It may be of a
// cgroup that is gone; then it is made again.
Result<void> Hooks::attach(const bpf_program *program, const char *name, bpf_link *&link) {
  LibbpfWords words;
  std::string path = pins_->path(name);
  if (pins_->has(name)) {
    link = bpf_link__open(path.c_str());
    if (link != nullptr &&
        bpf_link_update(bpf_link__fd(link), bpf_program__fd(program), nullptr) == 0)
      return {};
    bpf_link__destroy(link);
    pins_->forget(name);
  }
  link = bpf_program__attach_cgroup(program, cgroup_.fd());
  if (link == nullptr)
    return words.failure(
        fmt::format("cannot attach {} to {}", bpf_program__name(program), cgroup_.path()).c_str(),
        -errno);
  if (int code = bpf_link__pin(link, path.c_str()); code < 0)
    return words.failure("cannot pin a BPF link", code);
  return {};
}

Result<void> Hooks::attach_all() {
  const auto &programs = skeleton_->progs;
  if (auto done = attach(programs.agent_getpeername4, "link_getpeername4", links_[0]); !done)
    return done;
  if (auto done = attach(programs.agent_getpeername6, "link_getpeername6", links_[1]); !done)
    return done;
  return attach(programs.agent_sock_ops, "link_sock_ops", links_[2]);
}

Result<void> Hooks::serve_getsockopt(bool wanted) {
  if (!wanted) {
    bpf_link__destroy(getsockopt_link_);
    getsockopt_link_ = nullptr;
    pins_->forget(getsockopt_name);
    return {};
  }
  if (getsockopt_link_ != nullptr)
    return {};
  LibbpfWords words;
  toa_getsockopt__destroy(getsockopt_);
  getsockopt_ = toa_getsockopt__open();
  if (getsockopt_ == nullptr)
    return words.failure("cannot open the BPF object for getsockopt 4096", -errno);
  if (auto done = adopt_maps(maps_of(getsockopt_->obj)); !done)
    return done;
  if (int code = toa_getsockopt__load(getsockopt_); code < 0)
    return words.failure("the kernel refused the BPF program for getsockopt 4096", code);
  return attach(getsockopt_->progs.agent_getsockopt, getsockopt_name, getsockopt_link_);
}

// --- configuration
// ----------------------------------------------------------------------------

Result<void> Hooks::set_senders(const Config &config) {
  std::vector<dp::agent_sender4> four;
  for (const Prefix4 &prefix : config.senders4)
    four.push_back({prefix.length, prefix.address.network_order()});
  std::vector<dp::agent_sender6> six;
  for (const Prefix6 &prefix : config.senders6) {
    dp::agent_sender6 key{};
    key.length = prefix.length;
    memcpy(key.address.byte, prefix.address.bytes.data(), sizeof key.address.byte);
    six.push_back(key);
  }
  if (auto done = set_trie(bpf_map__fd(skeleton_->maps.senders4), four, "the IPv4 senders"); !done)
    return done;
  return set_trie(bpf_map__fd(skeleton_->maps.senders6), six, "the IPv6 senders");
}

Result<void> Hooks::set_kinds(const Config &config) {
  auto table = std::make_unique<dp::toa_kinds>();
  for (const Kind &kind : config.kinds)
    table->lengths[kind.kind] |= uint64_t{1} << kind.length;
  uint32_t zero = 0;
  if (int code =
          bpf_map_update_elem(bpf_map__fd(skeleton_->maps.kinds), &zero, table.get(), BPF_ANY);
      code < 0)
    return system_error("cannot set the kinds", -code);
  return {};
}

Result<void> Hooks::apply(const Config &config) {
  if (auto done = set_senders(config); !done)
    return done;
  if (auto done = set_kinds(config); !done)
    return done;
  why_no_getsockopt_.clear();
  if (auto done = serve_getsockopt(config.nat64_getsockopt); !done) {
    why_no_getsockopt_ = done.failure().message;
    return done;
  }
  return {};
}

// --- counters
// ---------------------------------------------------------------------------------

PerCpu Hooks::counters() const {
  int processors = libbpf_num_possible_cpus();
  PerCpu counts(processors > 0 ? static_cast<size_t>(processors) : 0);
  uint32_t zero = 0;
  if (!counts.empty())
    bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.counters), &zero, counts.data());
  return counts;
}

std::map<uint8_t, uint64_t> Hooks::by_kind() const {
  std::map<uint8_t, uint64_t> sums;
  int processors = libbpf_num_possible_cpus();
  std::vector<uint64_t> counts(processors > 0 ? static_cast<size_t>(processors) : 0);
  for (uint32_t kind = 0; kind < 256 && !counts.empty(); kind++) {
    if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.by_kind), &kind, counts.data()) != 0)
      continue;
    uint64_t sum = 0;
    for (uint64_t count : counts)
      sum += count;
    if (sum > 0)
      sums[static_cast<uint8_t>(kind)] = sum;
  }
  return sums;
}

int Hooks::connections() const {
  return bpf_map__fd(skeleton_->maps.connections);
}

} // namespace viaduct::agent
