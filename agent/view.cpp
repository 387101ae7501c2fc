// SPDX-License-Identifier: MIT
#include "agent/view.h"

#include "base/clock.h"
#include "base/version.h"
#include "metrics/exposition.h"

#include <arpa/inet.h>
#include <array>
#include <bpf/bpf.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <vector>

namespace viaduct::agent {

namespace {

using nlohmann::json;

struct CounterText {
  const char *name;
  const char *help;
};

constexpr CounterText counter_texts[] = {
#define COUNTER(name, help) {#name, help},
#include "agent/counters.def"
#undef COUNTER
};

// "0-3,8": what /sys/devices/system/cpu/online says; all, where it says nothing.
std::vector<size_t> online_processors(size_t all) {
  std::ifstream file("/sys/devices/system/cpu/online");
  std::vector<size_t> online;
  size_t first = 0;
  while (file >> first) {
    size_t last = first;
    if (file.peek() == '-' && file.get() == '-' && !(file >> last))
      break;
    for (size_t i = first; i <= last && i < all; i++)
      online.push_back(i);
    if (file.get() != ',')
      break;
  }
  if (online.empty())
    for (size_t i = 0; i < all; i++)
      online.push_back(i);
  return online;
}

// Behind another answer, the flows of UDP, some at a time.
class Flows : public control::Answer {
public:
  Flows(std::unique_ptr<control::Answer> first, Fd map)
      : first_(std::move(first)), map_(std::move(map)) {}

  Step next(json &item) override {
    if (first_ != nullptr) {
      if (Step step = first_->next(item); step != Step::end)
        return step;
      first_.reset();
    }
    if (at_ == count_ && !fetch())
      return Step::end;
    if (at_ == count_)
      return Step::again;
    item = flow_item(keys_[at_], flows_[at_], monotonic_ns());
    at_++;
    return Step::item;
  }

private:
  static constexpr uint32_t at_once = 256;

  // Whether there may be more.
  bool fetch() {
    if (whole_)
      return false;
    at_ = 0;
    count_ = at_once;
    int code = bpf_map_lookup_batch(map_.get(), begun_ ? &place_ : nullptr, &place_, keys_.data(),
                                    flows_.data(), &count_, nullptr);
    whole_ = code != 0; // -ENOENT: this was the last of it
    begun_ = true;
    if (code != 0 && code != -ENOENT)
      count_ = 0;
    return true;
  }

  std::unique_ptr<control::Answer> first_;
  Fd map_; // our own: a reload may end UDP
  bool begun_ = false, whole_ = false;
  uint32_t place_ = 0, at_ = 0, count_ = 0;
  std::array<dp::agent_udp_key, at_once> keys_{};
  std::array<dp::agent_udp_flow, at_once> flows_{};
};

class Items : public control::Answer {
public:
  explicit Items(std::vector<json> items) : items_(std::move(items)) {}
  Step next(json &item) override {
    if (at_ == items_.size())
      return Step::end;
    item = std::move(items_[at_++]);
    return Step::item;
  }

private:
  std::vector<json> items_;
  size_t at_ = 0;
};

} // namespace

// What a socket is bound to is all that is known of its own end. Times are those of CLOCK_MONOTONIC.
json flow_item(const dp::agent_udp_key &key, const dp::agent_udp_flow &flow, uint64_t now) {
  auto end = [](uint8_t family, const dp::address &address, uint16_t port) {
    return family == 4 ? endpoint_text(Ipv4::from_network_order(address.word[0]), port)
                       : endpoint_text(Ipv6::from_bytes(address.byte), port);
  };
  uint64_t idle = now > flow.seen ? (now - flow.seen) / 1'000'000'000 : 0;
  bool old = idle > dp::AGENT_FLOW_IDLE_SECONDS;
  json item = {{"protocol", "udp"},
               {"local", end(key.family, key.local, key.local_port_host)},
               {"peer", end(key.family, key.remote, ntohs(key.remote_port))},
               {"client", end(flow.family, flow.client, ntohs(flow.client_port))},
               {"state", fmt::format("idle {} s", idle)},
               {"believed", flow.contested == 0 && !old},
               {"carried_by", "uoa"},
               {"why_not", flow.contested != 0 ? "two clients claim the port"
                           : old               ? "idle for too long"
                                               : ""}};
  if (key.of_socket == 0) // else nothing was received from it yet
    item["network_namespace"] = key.scope;
  return item;
}

std::unique_ptr<control::Answer> with_flows(std::unique_ptr<control::Answer> connections,
                                            int flows_map) {
  Fd map(flows_map < 0 ? -1 : fcntl(flows_map, F_DUPFD_CLOEXEC, 0));
  if (!map)
    return connections;
  return std::make_unique<Flows>(std::move(connections), std::move(map));
}

std::unique_ptr<control::Answer> counters_answer(const PerCpu &counts,
                                                 const std::map<uint8_t, uint64_t> &by_kind) {
  std::vector<json> items;
  const std::vector<size_t> online = online_processors(counts.size());
  for (size_t i = 0; i < dp::AGENT_COUNTERS; i++) {
    uint64_t sum = 0;
    for (const auto &processor : counts)
      sum += processor[i];
    json parts = json::array();
    for (size_t processor : online)
      parts.push_back(counts[processor][i]);
    items.push_back({{"name", counter_texts[i].name},
                     {"value", sum},
                     {"help", counter_texts[i].help},
                     {"processors", online},
                     {"by_processor", parts}});
  }
  for (const auto &[kind, count] : by_kind)
    items.push_back({{"name", fmt::format("kind_{}", kind)},
                     {"value", count},
                     {"help", fmt::format("addresses that options of kind {} carried", kind)}});
  return std::make_unique<Items>(std::move(items));
}

std::string exposition(const Facts &facts) {
  using metrics::Type;
  metrics::Exposition out;
  out.family("viaduct_agent_build_info", Type::gauge, "Always 1; the label says what runs");
  out.sample({{"version", program_version}}, uint64_t{1});
  out.family("viaduct_agent_uptime_seconds", Type::gauge,
             "How long viaduct-agent has been running");
  out.sample({}, facts.uptime_seconds);
  out.family("viaduct_agent_getsockopt", Type::gauge, "1 where getsockopt 4096 is served");
  out.sample({}, uint64_t{facts.getsockopt ? 1U : 0U});
  out.family("viaduct_agent_udp", Type::gauge, "1 where programs are told the client of UDP");
  out.sample({}, uint64_t{facts.udp ? 1U : 0U});
  out.family("viaduct_agent_udp_port", Type::gauge,
             "1 where the port's protocol 248 is made UDP, 0 where the port is missing");
  for (const PortState &port : facts.ports)
    out.sample({{"port", port.name}}, uint64_t{port.attached ? 1U : 0U});
  out.family("viaduct_agent_events_total", Type::counter,
             "What the programs have counted since they were first attached");
  for (size_t i = 0; i < dp::AGENT_COUNTERS; i++) {
    uint64_t sum = 0;
    for (const auto &processor : facts.counters)
      sum += processor[i];
    out.sample({{"event", counter_texts[i].name}}, sum);
  }
  out.family("viaduct_agent_found_total", Type::counter, "Addresses found, by the option's kind");
  for (const auto &[kind, count] : facts.by_kind)
    out.sample({{"kind", std::to_string(kind)}}, count);
  return out.text();
}

} // namespace viaduct::agent
