// SPDX-License-Identifier: MIT
#include "bpf_target.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <vector>

namespace viaduct::test {

namespace {

constexpr size_t ETHERNET_HEADER = 14;
constexpr size_t ROOM = 128;     // what a packet may grow by
constexpr size_t LONGEST = 3500; // the kernel puts it into one page, beside its own head and tail

// Loaded once for each size, for all vectors of this process.
BpfTarget::Objects &objects() {
  static BpfTarget::Objects loaded;
  return loaded;
}

template <typename Key> void clear(int map) {
  Key key;
  while (bpf_map_get_next_key(map, nullptr, &key) == 0)
    bpf_map_delete_elem(map, &key);
}

template <typename Entries> bool put_all(int map, const Entries &entries) {
  for (const auto &[key, value] : entries)
    if (bpf_map_update_elem(map, &key, &value, BPF_NOEXIST) < 0)
      return false;
  return true;
}

// A table that is none of the kernel's.
template <typename Entry, typename Entries>
bool fill_table(const tables::TableMaps &maps, const Entries &entries) {
  tables::MapTable<Entry> table(maps, tables::MapTable<Entry>::FOR_ALL, tables::Access::write);
  table.clear();
  return std::ranges::all_of(
      entries, [&](const auto &entry) { return table.insert(entry.first, entry.second); });
}

template <typename Entry>
std::optional<decltype(Entry::value)> look_up(const tables::TableMaps &maps,
                                              const decltype(Entry::key) &key) {
  decltype(Entry::value) value;
  if (!tables::MapTable<Entry>(maps).find(key, value))
    return std::nullopt;
  return value;
}

// Of the few pool addresses that a vector has.
void clear_hints(int map) {
  static const dp::port_hints none{};
  for (uint32_t i = 0; i < 8 * dp::PORT_PROTOCOLS; i++)
    bpf_map_update_elem(map, &i, &none, BPF_ANY);
}

void clear_counters(int map) {
  std::vector<uint64_t> zeros(static_cast<size_t>(libbpf_num_possible_cpus()));
  for (uint32_t reason = 0; reason < dp::REASON_COUNT; reason++)
    bpf_map_update_elem(map, &reason, zeros.data(), BPF_ANY);
}

// Destination, source, then the type that belongs to the packet's version.
Bytes with_ethernet(const Bytes &packet) {
  Bytes frame(ETHERNET_HEADER + packet.size(), 0x02);
  bool ipv6 = !packet.empty() && packet[0] >> 4 == 6;
  frame[12] = ipv6 ? 0x86 : 0x08;
  frame[13] = ipv6 ? 0xdd : 0x00;
  std::copy(packet.begin(), packet.end(), frame.begin() + ETHERNET_HEADER);
  return frame;
}

// For FORWARD, DROP and what is left.
struct Actions {
  int forward, drop, leave;
};

Actions actions_of(Hook hook) {
  switch (hook) {
  case Hook::nvi:
    return {TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_OK};
  case Hook::direct_tc:
    return {TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC};
  case Hook::direct_xdp:
    break;
  }
  return {XDP_REDIRECT, XDP_DROP, XDP_PASS};
}

int action_of(dp::verdict verdict, Hook hook) {
  const Actions actions = actions_of(hook);
  switch (verdict) {
  case dp::VERDICT_FORWARD:
    return actions.forward;
  case dp::VERDICT_DROP:
    return actions.drop;
  default:
    return actions.leave;
  }
}

} // namespace

// What BPF_PROG_TEST_RUN refuses (EINVAL) on one of the kernels we run on: these packets are the
// native build's to show.
std::string cannot_test_run(const Arrival &arrival, Hook hook) {
  const Bytes &packet = arrival.packet;
  if (hook == Hook::direct_xdp && arrival.segments > 1)
    return "XDP knows no super-packets";
  if (arrival.partial_checksum)
    return "a test run cannot say that a checksum is partial";
  if (packet.size() > LONGEST)
    return fmt::format("a test run takes no packet of {} bytes", packet.size());
  bool ipv6 = !packet.empty() && packet[0] >> 4 == 6;
  if (packet.size() < (ipv6 ? 40U : 20U))
    return "a test run takes no packet shorter than its IP header";
  return {};
}

Result<void> fill(tables::BpfObject &object, const Tables &given) {
  clear<dp::subscriber_key>(object.subscribers());
  clear<dp::peer_key>(object.peers());
  clear_hints(object.hints());
  clear_counters(object.counters());
  if (!fill_table<dp::session_entry>(object.sessions(), given.sessions) ||
      !fill_table<dp::binding_entry>(object.bindings(), given.bindings) ||
      !fill_table<dp::port_entry>(object.ports(), given.ports) ||
      !put_all(object.subscribers(), given.subscribers) || !put_all(object.peers(), given.peers))
    return error("the given state does not fit into the maps");
  return {};
}

std::string BpfTarget::cannot_carry(const Arrival &arrival) const {
  return cannot_test_run(arrival, hook_);
}

std::string BpfTarget::name() const {
  switch (hook_) {
  case Hook::nvi:
    return "bpf";
  case Hook::direct_tc:
    return "bpf, direct tc";
  case Hook::direct_xdp:
    break;
  }
  return "bpf, direct XDP";
}

Result<void> BpfTarget::load(uint32_t max_sessions) {
  auto &[object, direct] = objects()[max_sessions];
  if (!object) {
    auto loaded = tables::BpfObject::load({.max_sessions = max_sessions, .testing = true});
    if (!loaded)
      return loaded.failure();
    object = std::move(*loaded);
  }
  if (hook_ != Hook::nvi && !direct) {
    auto loaded = tables::DirectObject::load(*object, {.testing = true});
    if (!loaded)
      return loaded.failure();
    direct = std::move(*loaded);
  }
  object_ = object.get();
  direct_ = direct.get();
  return {};
}

Result<void> BpfTarget::reset(const Tables &given) {
  if (auto done = load(given.max_sessions); !done)
    return done;
  uint32_t first = 0;
  if (bpf_map_update_elem(object_->policies(), &first, &given.policy, BPF_ANY) < 0)
    return error("the policy does not fit into its map");
  return fill(*object_, given);
}

namespace {

struct Ended {
  dp::verdict verdict;
  dp::reason reason;
};

// `ended` asks the program, behind the run, what it has decided.
template <typename AskEnded>
Result<Departure> run_program(int program, Hook hook, const Arrival &arrival, AskEnded ended) {
  Bytes in = with_ethernet(arrival.packet);
  Bytes out(in.size() + ROOM);
  __sk_buff context{};
  context.gso_segs = arrival.segments > 1 ? arrival.segments : 0;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in.data(), .data_out = out.data(),
              .data_size_in = static_cast<uint32_t>(in.size()),
              .data_size_out = static_cast<uint32_t>(out.size()), .ctx_in = &context,
              .ctx_size_in = sizeof context, .repeat = 1);
  if (hook == Hook::direct_xdp) {
    options.ctx_in = nullptr;
    options.ctx_size_in = 0;
  }
  if (int code = bpf_prog_test_run_opts(program, &options); code < 0)
    return system_error("BPF_PROG_TEST_RUN", -code);

  const Ended end = ended();
  Departure departure;
  departure.verdict = end.verdict;
  departure.reason = end.reason;
  if (static_cast<int>(options.retval) != action_of(departure.verdict, hook))
    return error("the program returned {} for the verdict {}", options.retval,
                 verdict_name(departure.verdict));
  out.resize(options.data_size_out);
  departure.packet.assign(out.begin() + ETHERNET_HEADER, out.end());
  return departure;
}

} // namespace

Result<Departure> test_run(tables::BpfObject &object, const Arrival &arrival) {
  object.set_test(arrival.now, arrival.random);
  return run_program(object.program(), Hook::nvi, arrival, [&] {
    return Ended{object.last_verdict(), object.last_reason()};
  });
}

Result<Departure> test_run(tables::DirectObject &object, Hook hook, const Arrival &arrival) {
  const bool xdp = hook == Hook::direct_xdp;
  object.set_test(arrival.now, arrival.random);
  return run_program(xdp ? object.xdp() : object.tc(), hook, arrival, [&] {
    const auto end = xdp ? object.last_xdp() : object.last_tc();
    return Ended{end.verdict, end.reason};
  });
}

Result<Departure> BpfTarget::run(const Arrival &arrival) {
  if (hook_ == Hook::nvi)
    return test_run(*object_, arrival);
  return test_run(*direct_, hook_, arrival);
}

Counters BpfTarget::counters() const {
  Counters sums{};
  std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()));
  for (uint32_t reason = 0; reason < dp::REASON_COUNT; reason++) {
    if (bpf_map_lookup_elem(object_->counters(), &reason, values.data()) < 0)
      continue;
    for (uint64_t value : values)
      sums[reason] += value;
  }
  return sums;
}

std::optional<dp::session> find(const tables::BpfObject &object, const dp::session_key &key) {
  return look_up<dp::session_entry>(object.sessions(), key);
}

std::optional<dp::binding> find(const tables::BpfObject &object, const dp::binding_key &key) {
  return look_up<dp::binding_entry>(object.bindings(), key);
}

} // namespace viaduct::test
