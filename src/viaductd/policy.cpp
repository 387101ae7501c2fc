// SPDX-License-Identifier: MIT
#include "viaductd/policy.h"

#include "datapath/native/native.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <iterator>
#include <span>

namespace viaduct {

namespace {

dp::prefix6 to_datapath(const Prefix6 &prefix) {
  dp::prefix6 result{};
  std::copy(prefix.address.bytes.begin(), prefix.address.bytes.end(), result.address.byte);
  result.length = prefix.length;
  return result;
}

Prefix6 from_datapath(const dp::address &address, uint8_t length) {
  return Prefix6{Ipv6::from_bytes(std::span<const uint8_t, 16>(address.byte)), length};
}

dp::pool_address to_datapath(const config::PoolAddress &pool) {
  return dp::pool_address{
      pool.address.network_order(), pool.port_low, pool.port_high, pool.drain, 0, 0};
}

dp::mapping to_datapath(const config::Map &map) {
  dp::mapping result{};
  std::copy(map.inside.address.bytes.begin(), map.inside.address.bytes.end(), result.inside.byte);
  for (unsigned bit = 0; bit < map.inside.length; bit++)
    result.inside_mask.byte[bit / 8] |= static_cast<uint8_t>(0x80U >> bit % 8);
  result.outside = map.outside.address.network_order();
  result.outside_mask =
      map.outside.length == 0 ? 0 : htonl(~uint32_t{0} << (32U - map.outside.length));
  result.inside_length = map.inside.length;
  result.outside_length = map.outside.length;
  return result;
}

uint32_t seconds(std::chrono::seconds span) {
  return static_cast<uint32_t>(span.count());
}

template <typename From, typename To, size_t Size>
uint8_t fill(const std::vector<From> &from, To (&to)[Size]) {
  size_t count = std::min(from.size(), Size);
  std::transform(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count), std::begin(to),
                 [](const From &one) { return to_datapath(one); });
  return static_cast<uint8_t>(count);
}

} // namespace

dp::policy make_policy(const config::Nat64 &nat64, const std::vector<Prefix6> &connected,
                       uint32_t generation) {
  dp::policy policy{};
  policy.generation = generation;
  policy.max_sessions_per_subscriber = nat64.max_sessions_per_subscriber;
  policy.max_bindings_per_subscriber = nat64.max_bindings_per_subscriber;
  policy.timeouts.udp = seconds(nat64.timeouts.udp);
  policy.timeouts.tcp_established = seconds(nat64.timeouts.tcp_established);
  policy.timeouts.tcp_transitory = seconds(nat64.timeouts.tcp_transitory);
  policy.timeouts.icmp = seconds(nat64.timeouts.icmp);
  policy.timeouts.port_rest = seconds(nat64.port_rest);
  policy.timeouts.tcp_incoming_syn = seconds(nat64.timeouts.tcp_incoming_syn);
  policy.filtering =
      nat64.filtering == config::Filtering::address ? dp::FILTER_ADDRESS : dp::FILTER_ENDPOINT;
  policy.rst_window = nat64.rst_check == config::RstCheck::window;
  policy.outbound_refresh_only = !nat64.inbound_refresh;
  policy.timeouts.fragment = seconds(nat64.timeouts.fragment);
  policy.lowest_ipv6_mtu = nat64.lowest_ipv6_mtu;
  policy.subscriber_prefix = nat64.subscriber_prefix;
  policy.allow_private_ipv4 = nat64.allow_private_ipv4;
  policy.accounting = nat64.accounting;
  policy.zero_traffic_class = !nat64.copy_traffic_class;
  policy.drop_zero_checksum = nat64.map_udp_zero_checksum == config::ZeroChecksum::drop;
  policy.icmp_error_rate = nat64.icmp_error_rate;
  policy.prefix_count = fill(nat64.prefixes, policy.prefix);
  policy.pool_count = fill(nat64.pool4, policy.pool);
  for (uint8_t i = 0; i < policy.pool_count; i++) {
    policy.pool[i].slot = i;
    if (!policy.pool[i].draining)
      policy.usable[policy.usable_count++] = i;
  }
  policy.allow_count = fill(nat64.allow ? *nat64.allow : connected, policy.allow);
  return policy;
}

dp::policy make_policy(const config::Config &config, const std::vector<Prefix6> &connected,
                       uint32_t generation) {
  dp::policy policy = make_policy(config.nat64, connected, generation);
  for (const config::Map &map : config.maps) {
    if (policy.map_count == dp::MAX_MAPS)
      break;
    policy.map_by_inside[policy.map_count] = to_datapath(map);
    policy.map_by_outside[policy.map_count] = policy.map_by_inside[policy.map_count];
    policy.map_count++;
  }
  for (const Ipv4 &router : config.nat64.router_pool4)
    if (policy.error_source_count < dp::MAX_ERROR_SOURCES)
      policy.error_source[policy.error_source_count++] = router.network_order();
  std::stable_sort(
      policy.map_by_inside, policy.map_by_inside + policy.map_count,
      [](const dp::mapping &a, const dp::mapping &b) { return a.inside_length > b.inside_length; });
  std::stable_sort(policy.map_by_outside, policy.map_by_outside + policy.map_count,
                   [](const dp::mapping &a, const dp::mapping &b) {
                     return a.outside_length > b.outside_length;
                   });
  return policy;
}

void keep_slots(const dp::policy &before, dp::policy &policy) {
  constexpr uint8_t none = dp::MAX_POOL;
  std::array<bool, dp::MAX_POOL> had{}, taken{};
  const auto old = std::span(before.pool, before.pool_count);
  const auto pool = std::span(policy.pool, policy.pool_count);
  for (const dp::pool_address &one : old)
    had[one.slot] = true;
  for (dp::pool_address &one : pool) {
    const auto same = std::ranges::find(old, one.address, &dp::pool_address::address);
    one.slot = same == old.end() ? none : same->slot;
    if (one.slot != none)
      taken[one.slot] = true;
  }
  const auto free_slot = [&](bool also_had) {
    uint8_t slot = 0;
    while (slot < dp::MAX_POOL && (taken[slot] || (had[slot] && !also_had)))
      slot++;
    return slot;
  };
  for (dp::pool_address &one : pool) {
    if (one.slot != none)
      continue;
    one.slot = free_slot(false) < dp::MAX_POOL ? free_slot(false) : free_slot(true);
    taken[one.slot] = true;
  }
}

template <typename Key> bool StaticBindings::Less::operator()(const Key &a, const Key &b) const {
  return std::memcmp(&a, &b, sizeof a) < 0;
}

StaticBindings::StaticBindings(const std::vector<config::StaticBinding> &bindings) {
  for (const config::StaticBinding &binding : bindings) {
    dp::binding_key inside{};
    std::copy(binding.inside.bytes.begin(), binding.inside.bytes.end(), inside.inside.byte);
    inside.inside_port = htons(binding.inside_port);
    inside.protocol = binding.protocol;
    dp::port_key outside{};
    outside.pool_address = binding.outside.network_order();
    outside.pool_port = htons(binding.outside_port);
    outside.protocol = binding.protocol;
    add({inside, outside});
  }
}

void StaticBindings::add(const tables::BindingEnds &ends) {
  by_outside_[ends.outside] = ends.inside;
  by_inside_[ends.inside] = ends.outside;
}

std::vector<tables::BindingEnds> StaticBindings::all() const {
  std::vector<tables::BindingEnds> list;
  for (const auto &[inside, outside] : by_inside_)
    list.push_back({inside, outside});
  return list;
}

bool StaticBindings::has(const tables::BindingEnds &ends) const {
  auto found = by_inside_.find(ends.inside);
  return found != by_inside_.end() &&
         std::memcmp(&found->second, &ends.outside, sizeof ends.outside) == 0;
}

StaticBindings::Fit StaticBindings::fit(const dp::session_key &key,
                                        const dp::session &value) const {
  dp::port_key outside{};
  outside.pool_address = key.pool_address;
  outside.pool_port = key.pool_port;
  outside.protocol = key.protocol;
  dp::binding_key inside{};
  inside.inside = value.inside;
  inside.inside_port = value.inside_port;
  inside.protocol = key.protocol;
  if (has({inside, outside}))
    return Fit::belongs;
  return by_outside_.contains(outside) || by_inside_.contains(inside) ? Fit::contradicts
                                                                      : Fit::other;
}

bool still_allowed(const dp::policy &policy, const dp::session_key &key, const dp::session &value,
                   const StaticBindings &bindings) {
  StaticBindings::Fit fit = bindings.fit(key, value);
  bool bound = fit == StaticBindings::Fit::belongs;
  auto prefixes = std::span(policy.prefix, policy.prefix_count);
  auto pool = std::span(policy.pool, policy.pool_count);
  auto allow = std::span(policy.allow, policy.allow_count);
  Ipv6 inside = Ipv6::from_bytes(std::span<const uint8_t, 16>(value.inside.byte));
  uint16_t port = ntohs(key.pool_port);

  bool prefix_stays = std::any_of(prefixes.begin(), prefixes.end(), [&](const dp::prefix6 &one) {
    return one.length == value.prefix_length &&
           std::memcmp(&one.address, &value.prefix, sizeof one.address) == 0;
  });
  bool port_stays = std::any_of(pool.begin(), pool.end(), [&](const dp::pool_address &one) {
    return one.address == key.pool_address && port >= one.port_low && port <= one.port_high;
  });
  bool host_stays = std::any_of(allow.begin(), allow.end(), [&](const dp::prefix6 &one) {
    return from_datapath(one.address, one.length).contains(inside);
  });
  auto maps = std::span(policy.map_by_inside, policy.map_count);
  bool unmapped = std::none_of(maps.begin(), maps.end(), [&](const dp::mapping &one) {
    return from_datapath(one.inside, one.inside_length).contains(inside);
  });
  dp::prefix6 prefix{.address = value.prefix, .length = value.prefix_length, .pad = {}};
  bool remote_stays = policy.allow_private_ipv4 || !dp::prefix_refuses(&prefix, key.remote_address);
  return fit != StaticBindings::Fit::contradicts && prefix_stays && (port_stays || bound) &&
         (host_stays || bound) && unmapped && remote_stays;
}

} // namespace viaduct
