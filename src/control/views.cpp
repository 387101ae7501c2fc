// SPDX-License-Identifier: MIT
#include "control/views.h"

#include "base/address.h"
#include "base/version.h"
#include "control/reasons.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <endian.h>
#include <span>

namespace viaduct::control {

namespace {

using nlohmann::json;

// One step looks at no more rows than this; a step that finds none is `again`.
constexpr size_t rows_per_step = 64;

Ipv6 ipv6_of(const dp::address &address) {
  return Ipv6::from_bytes(std::span<const uint8_t, 16>(address.byte));
}

// An ICMP query has one identifier, which stands where the source's port would: its destination is
// an address alone, since "192.0.2.1:0" would look like a port.
template <typename Address>
std::string destination_text(const Address &address, const dp::session_key &key) {
  return key.protocol == dp::PROTOCOL_ICMP ? address.text()
                                           : endpoint_text(address, be16toh(key.remote_port));
}

class SessionsAnswer : public Answer {
public:
  SessionsAnswer(const tables::Tables &tables, Now now, std::optional<Filter> filter)
      : tables_(tables), now_(std::move(now)), filter_(std::move(filter)) {}
  Step next(json &item) override;

private:
  const tables::Tables &tables_;
  Now now_;
  std::optional<Filter> filter_;
  std::vector<tables::SessionRow> rows_;
  size_t at_ = 0;
  uint64_t cursor_ = 0;
  bool last_ = false; // the table has no more rows than those in rows_
};

class BindingsAnswer : public Answer {
public:
  BindingsAnswer(const tables::Tables &tables, std::optional<Filter> filter)
      : tables_(tables), filter_(std::move(filter)) {}
  Step next(json &item) override;

private:
  const tables::Tables &tables_;
  std::optional<Filter> filter_;
  std::vector<tables::BindingRow> rows_;
  size_t at_ = 0;
  uint64_t cursor_ = 0;
  bool last_ = false;
};

class PoolsAnswer : public Answer {
public:
  PoolsAnswer(const tables::Tables &tables, std::vector<dp::pool_address> pool)
      : tables_(tables), pool_(std::move(pool)), use_(pool_.size()) {}
  Step next(json &item) override;

private:
  void count(const tables::BindingRow &row);

  const tables::Tables &tables_;
  std::vector<dp::pool_address> pool_;
  std::vector<PoolUse> use_; // beside pool_
  std::vector<tables::BindingRow> rows_;
  uint64_t cursor_ = 0;
  bool counted_ = false;
  size_t at_ = 0;
};

class CountersAnswer : public Answer {
public:
  explicit CountersAnswer(const tables::Counters &counters) : counters_(counters) {}
  Step next(json &item) override {
    if (at_ == counters_.size())
      return Step::end;
    item = counter_item(static_cast<dp::reason>(at_), counters_[at_]);
    at_++;
    return Step::item;
  }

private:
  tables::Counters counters_;
  size_t at_ = dp::REASON_none + 1;
};

Answer::Step SessionsAnswer::next(json &item) {
  if (at_ == rows_.size()) {
    if (last_)
      return Step::end;
    rows_.clear();
    at_ = 0;
    cursor_ = tables_.sessions(cursor_, rows_per_step, rows_);
    last_ = cursor_ == 0;
    return Step::again;
  }
  const auto &row = rows_[at_++];
  if (row.value.expires == SESSION_DEAD || (filter_ && !filter_->matches(row.key, row.value)))
    return Step::again;
  item = session_item(row, now_());
  return Step::item;
}

Answer::Step BindingsAnswer::next(json &item) {
  if (at_ == rows_.size()) {
    if (last_)
      return Step::end;
    rows_.clear();
    at_ = 0;
    cursor_ = tables_.bindings(cursor_, rows_per_step, rows_);
    last_ = cursor_ == 0;
    return Step::again;
  }
  const auto &row = rows_[at_++];
  if ((row.value.sessions & BINDING_DEAD) != 0 ||
      (filter_ && !filter_->matches(row.key, row.value)))
    return Step::again;
  item = binding_item(row);
  return Step::item;
}

void PoolsAnswer::count(const tables::BindingRow &row) {
  if ((row.value.sessions & BINDING_DEAD) != 0)
    return;
  auto found = std::find_if(pool_.begin(), pool_.end(), [&row](const dp::pool_address &pool) {
    return pool.address == row.value.pool_address;
  });
  if (found == pool_.end()) // made under an older policy
    return;
  auto &use = use_[static_cast<size_t>(found - pool_.begin())];
  if (row.key.protocol == dp::PROTOCOL_TCP)
    use.tcp++;
  else if (row.key.protocol == dp::PROTOCOL_UDP)
    use.udp++;
  else
    use.icmp++;
}

Answer::Step PoolsAnswer::next(json &item) {
  if (!counted_) {
    rows_.clear();
    cursor_ = tables_.bindings(cursor_, rows_per_step, rows_);
    for (const auto &row : rows_)
      count(row);
    counted_ = cursor_ == 0;
    return Step::again;
  }
  if (at_ == pool_.size())
    return Step::end;
  item = pool_item(pool_[at_], use_[at_], most_used(tables_, pool_[at_]));
  at_++;
  return Step::item;
}

class MapsAnswer : public Answer {
public:
  explicit MapsAnswer(std::vector<dp::mapping> maps) : maps_(std::move(maps)) {}
  Step next(json &item) override {
    if (at_ == maps_.size())
      return Step::end;
    item = map_item(maps_[at_++]);
    return Step::item;
  }

private:
  std::vector<dp::mapping> maps_;
  size_t at_ = 0;
};

} // namespace

std::string protocol_name(uint8_t protocol) {
  switch (protocol) {
  case dp::PROTOCOL_TCP:
    return "tcp";
  case dp::PROTOCOL_UDP:
    return "udp";
  case dp::PROTOCOL_ICMP:
    return "icmp";
  default:
    return std::to_string(protocol);
  }
}

std::string state_name(uint8_t state) {
  constexpr std::array<const char *, dp::STATE_COUNT> names = {
      "open",       "v4_init",    "v6_init",           "established",
      "v4_fin_rcv", "v6_fin_rcv", "v4_fin_v6_fin_rcv", "trans"};
  return state < names.size() ? names[state] : std::to_string(state);
}

std::string why_name(uint8_t why) {
  constexpr std::array<const char *, dp::WHYS> names = {"",           "expired", "closed",
                                                        "unanswered", "cleared", "disallowed"};
  return why < names.size() ? names[why] : std::to_string(why);
}

json version_item() {
  return {{"version", program_version}};
}

double handed_up_share(const tables::Counters &counters, const tables::Counters &before) {
  uint64_t handed_up = 0, ended = 0;
  for (size_t reason = 0; reason < counters.size(); reason++) {
    std::string_view kind = reason_texts()[reason].kind;
    const uint64_t counted = counters[reason] - before[reason];
    if (kind == "punt")
      handed_up += counted;
    else if (kind != "event")
      ended += counted; // also what was handed up, in the end
  }
  return ended == 0 ? 0 : static_cast<double>(handed_up) / static_cast<double>(ended);
}

json status_item(const Status &status) {
  json direct = json::array();
  for (const DirectPort &port : status.direct)
    direct.push_back({{"port", port.port}, {"mode", port.mode}, {"detail", port.detail}});
  return {{"version", program_version},
          {"engine", status.engine},
          {"interface", status.interface},
          {"pid", status.pid},
          {"uptime_seconds", status.uptime_seconds},
          {"configuration", status.configuration},
          {"workers", status.workers},
          {"offloads", status.offloads},
          {"offloads_refused", status.offloads_refused},
          {"offloads_missing", status.offloads_missing},
          {"prefixes", status.prefixes},
          {"sessions", status.usage.sessions},
          {"sessions_limit", status.usage.sessions_limit},
          {"bindings", status.usage.bindings},
          {"entries_lost", status.usage.entries_lost},
          {"handed_up", status.handed_up},
          {"why_not_bpf", status.why_not_bpf},
          {"why_mortal", status.why_mortal},
          {"direct", direct},
          {"dns64",
           {{"state", status.dns64.state},
            {"restarts", status.dns64.restarts},
            {"detail", status.dns64.detail}}}};
}

json session_item(const tables::SessionRow &row, uint32_t now) {
  const auto &key = row.key;
  const auto &value = row.value;
  auto inside = ipv6_of(value.inside);
  auto pool = Ipv4::from_network_order(key.pool_address);
  auto remote = Ipv4::from_network_order(key.remote_address);
  auto mapped = embed(Prefix6{ipv6_of(value.prefix), value.prefix_length}, remote);
  uint32_t left = value.expires > now ? value.expires - now : 0;
  return {{"protocol", protocol_name(key.protocol)},
          {"inside",
           {{"source", endpoint_text(inside, be16toh(value.inside_port))},
            {"destination", destination_text(mapped, key)}}},
          {"outside",
           {{"source", endpoint_text(pool, be16toh(key.pool_port))},
            {"destination", destination_text(remote, key)}}},
          {"state", state_name(value.state)},
          {"expires_seconds", left},
          {"packets", uint64_t{value.packets}},
          {"bytes", uint64_t{value.bytes}}};
}

json binding_item(const tables::BindingRow &row) {
  return {{"protocol", protocol_name(row.key.protocol)},
          {"inside", endpoint_text(ipv6_of(row.key.inside), be16toh(row.key.inside_port))},
          {"outside", endpoint_text(Ipv4::from_network_order(row.value.pool_address),
                                    be16toh(row.value.pool_port))},
          {"sessions", (row.value.sessions & ~BINDING_DEAD) - row.value.is_static}};
}

PoolUse most_used(const tables::Tables &tables, const dp::pool_address &pool) {
  const dp::pool_use use = tables.pool_use(pool);
  return {use.most[0], use.most[1], use.most[2]};
}

json pool_item(const dp::pool_address &pool, const PoolUse &use, const PoolUse &most) {
  return {{"address", Ipv4::from_network_order(pool.address).text()},
          {"ports", fmt::format("{}-{}", pool.port_low, pool.port_high)},
          {"tcp", use.tcp},
          {"udp", use.udp},
          {"icmp", use.icmp},
          {"most", {{"tcp", most.tcp}, {"udp", most.udp}, {"icmp", most.icmp}}}};
}

json map_item(const dp::mapping &map) {
  return {{"inside", Prefix6{ipv6_of(map.inside), map.inside_length}.text()},
          {"outside", Prefix4{Ipv4::from_network_order(map.outside), map.outside_length}.text()}};
}

json counter_item(dp::reason reason, uint64_t value) {
  const auto &row = reason_texts()[reason];
  return {{"name", row.name}, {"value", value}, {"kind", row.kind}, {"help", row.help}};
}

std::unique_ptr<Answer> sessions_answer(const tables::Tables &tables, Now now,
                                        std::optional<Filter> filter) {
  return std::make_unique<SessionsAnswer>(tables, std::move(now), std::move(filter));
}

std::unique_ptr<Answer> bindings_answer(const tables::Tables &tables,
                                        std::optional<Filter> filter) {
  return std::make_unique<BindingsAnswer>(tables, std::move(filter));
}

std::unique_ptr<Answer> pools_answer(const tables::Tables &tables,
                                     std::vector<dp::pool_address> pool) {
  return std::make_unique<PoolsAnswer>(tables, std::move(pool));
}

std::unique_ptr<Answer> maps_answer(std::vector<dp::mapping> maps) {
  return std::make_unique<MapsAnswer>(std::move(maps));
}

std::unique_ptr<Answer> counters_answer(const tables::Counters &counters) {
  return std::make_unique<CountersAnswer>(counters);
}

} // namespace viaduct::control
