// SPDX-License-Identifier: MIT
#include "agent/hooks.h"

#include "agent/pinned.h"
#include "tables/libbpf_words.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstring>
#include <set>
#include <sys/socket.h>
#include <toa_getsockopt.skel.h>
#include <toa_hooks.skel.h>

namespace viaduct::agent {

namespace {

using tables::LibbpfWords;

constexpr const char *getsockopt_name = "link_getsockopt";

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

bool is_inside(const dp::agent_scope &scope, const dp::agent_tuple &tuple) {
  unsigned port = tuple.local_port_host;
  return (scope.all_ports != 0 || (scope.ports[port / 64] >> (port % 64) & 1) != 0) &&
         (scope.network_namespace == 0 || scope.network_namespace == tuple.network_namespace);
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
  if (auto done = hooks->set_scope(config); !done)
    return done.failure();
  if (auto done = hooks->attach_all(); !done)
    return done.failure();
  hooks->serve_what_may_be_missing(config);
  hooks->leaving_ = false;
  return hooks;
}

Hooks::~Hooks() {
  for (bpf_link *link : links_)
    bpf_link__destroy(link); // a pinned one goes on
  bpf_link__destroy(getsockopt_link_);
  for (bpf_link *link : getsockname_links_)
    bpf_link__destroy(link);
  if (udp_ != nullptr && leaving_)
    udp_->leave();
  udp_.reset();
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
  if (auto done = adopt_maps(*pins_, skeleton_->obj); !done)
    return done;
  if (int code = toa_hooks__load(skeleton_); code < 0)
    return words.failure("the kernel refused the BPF programs", code);
  return pin_maps(*pins_, skeleton_->obj);
}

// --- attaching
// --------------------------------------------------------------------------------

Result<void> Hooks::attach_all() {
  const auto &programs = skeleton_->progs;
  const CgroupProgram all[] = {{programs.agent_getpeername4, "link_getpeername4"},
                               {programs.agent_getpeername6, "link_getpeername6"},
                               {programs.agent_sock_ops, "link_sock_ops"}};
  for (size_t i = 0; i < links_.size(); i++)
    if (auto done = attach_to_cgroup(*pins_, cgroup_, all[i].program, all[i].pin, links_[i]); !done)
      return done;
  return {};
}

Result<void> Hooks::serve_getsockname(bool wanted) {
  const auto &programs = skeleton_->progs;
  const CgroupProgram all[] = {{programs.agent_getsockname4, "link_getsockname4"},
                               {programs.agent_getsockname6, "link_getsockname6"}};
  for (size_t i = 0; i < getsockname_links_.size(); i++) {
    bpf_link *&link = getsockname_links_[i];
    if (!wanted) {
      bpf_link__destroy(link);
      link = nullptr;
      pins_->forget(all[i].pin);
    } else if (link == nullptr) {
      if (auto done = attach_to_cgroup(*pins_, cgroup_, all[i].program, all[i].pin, link); !done)
        return done;
    }
  }
  return {};
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
  if (auto done = adopt_maps(*pins_, getsockopt_->obj); !done)
    return done;
  if (int code = toa_getsockopt__load(getsockopt_); code < 0)
    return words.failure("the kernel refused the BPF program for getsockopt 4096", code);
  return attach_to_cgroup(*pins_, cgroup_, getsockopt_->progs.agent_getsockopt, getsockopt_name,
                          getsockopt_link_);
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

// By its cookie: what a program in the kernel can compare, and nobody has to enter a namespace for.
Result<void> Hooks::set_scope(const Config &config) {
  auto scope = std::make_unique<dp::agent_scope>();
  scope->all_ports = config.ports.empty() ? 1 : 0;
  for (uint16_t port : config.ports)
    scope->ports[port / 64] |= uint64_t{1} << (port % 64);
  if (config.own_network_namespace) {
    Fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t size = sizeof scope->network_namespace;
    if (!any ||
        ::getsockopt(any.get(), SOL_SOCKET, SO_NETNS_COOKIE, &scope->network_namespace, &size) != 0)
      return system_error("cannot tell this network namespace ([agent] network_namespace)", errno);
  }
  uint32_t zero = 0;
  if (int code =
          bpf_map_update_elem(bpf_map__fd(skeleton_->maps.scope), &zero, scope.get(), BPF_ANY);
      code < 0)
    return system_error("cannot set the listeners", -code);
  forget_outside(*scope);
  return {};
}

// MPTCP connections are known by addresses and ports. Where nobody looks any more nobody forgets an
// old one when a new one has the same, and the program must not be told the old one's client.
void Hooks::forget_outside(const dp::agent_scope &scope) {
  int map = bpf_map__fd(skeleton_->maps.by_tuple);
  std::vector<dp::agent_tuple> outside;
  dp::agent_tuple key{};
  // A key that goes meanwhile makes the walk begin anew: there is an end to that, too.
  uint32_t left = 2 * dp::AGENT_MAX_MPTCP;
  for (const dp::agent_tuple *before = nullptr;
       left > 0 && bpf_map_get_next_key(map, before, &key) == 0; before = &key, left--)
    if (!is_inside(scope, key))
      outside.push_back(key);
  for (const dp::agent_tuple &each : outside)
    bpf_map_delete_elem(map, &each);
}

Result<void> Hooks::apply(const Config &config) {
  if (auto done = set_senders(config); !done)
    return done;
  if (auto done = set_kinds(config); !done)
    return done;
  if (auto done = set_scope(config); !done)
    return done;
  serve_what_may_be_missing(config);
  return {};
}

// Not every kernel has these hooks: a start and a reload go on without.
void Hooks::serve_what_may_be_missing(const Config &config) {
  auto named = serve_getsockname(config.getsockname);
  why_no_getsockname_ = named ? "" : named.failure().message;
  auto asked = serve_getsockopt(config.nat64_getsockopt);
  why_no_getsockopt_ = asked ? "" : asked.failure().message;
  serve_udp(config);
  keep_syns();
}

// Of those that the hooks have not seen begin, or not as theirs.
void Hooks::keep_syns() {
  if (syns_ == nullptr) {
    auto syns = Syns::start(*pins_, cgroup_);
    if (!syns) {
      why_no_syns_ = syns.failure().message;
      return;
    }
    syns_ = std::move(*syns);
  }
  syns_->keep();
}

Result<std::vector<std::string>> Hooks::listeners_without_syns() const {
  if (syns_ == nullptr)
    return error("{}", why_no_syns_);
  return syns_->missing();
}

// TOA goes on without it.
void Hooks::serve_udp(const Config &config) {
  why_no_udp_.clear();
  why_no_uoa_getsockopt_.clear();
  if (!config.udp) {
    udp_.reset();
    Udp::forget(*pins_);
    return;
  }
  if (udp_ == nullptr) {
    auto udp = Udp::start(*pins_, cgroup_);
    if (!udp) {
      why_no_udp_ = udp.failure().message;
      Udp::forget(*pins_);
      return;
    }
    udp_ = std::move(*udp);
  }
  udp_->set_ports(config.udp_ports);
  if (auto done = udp_->serve_getsockopt(config.uoa_getsockopt); !done)
    why_no_uoa_getsockopt_ = done.failure().message;
}

std::vector<PortChange> Hooks::look_at_ports() {
  return udp_ == nullptr ? std::vector<PortChange>() : udp_->look_at_ports();
}

std::vector<PortState> Hooks::ports() const {
  return udp_ == nullptr ? std::vector<PortState>() : udp_->ports();
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

int Hooks::flows() const {
  return udp_ == nullptr ? -1 : udp_->flows();
}

int Hooks::connections() const {
  return bpf_map__fd(skeleton_->maps.connections);
}

} // namespace viaduct::agent
