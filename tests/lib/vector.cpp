// SPDX-License-Identifier: MIT
#include "lib/vector.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace viaduct::test {

namespace {

dp::prefix6 to_policy(const Prefix6 &prefix) {
  dp::prefix6 result{};
  std::memcpy(result.address.byte, prefix.address.bytes.data(), 16);
  result.length = prefix.length;
  return result;
}

} // namespace

SessionState session(Protocol protocol, End6 inside, End4 pool, End4 remote) {
  return {.protocol = protocol,
          .inside = std::move(inside),
          .pool = std::move(pool),
          .remote = std::move(remote)};
}

SessionState no_session(Protocol protocol, End4 pool, End4 remote) {
  SessionState state = session(protocol, {}, std::move(pool), std::move(remote));
  state.exists_ = false;
  return state;
}

BindingState binding(Protocol protocol, End6 inside, End4 pool) {
  return {.protocol = protocol, .inside = std::move(inside), .pool = std::move(pool)};
}

BindingState no_binding(Protocol protocol, End6 inside) {
  BindingState state = binding(protocol, std::move(inside), {});
  state.exists_ = false;
  return state;
}

dp::policy default_policy() {
  dp::policy policy{};
  policy.generation = 1;
  policy.max_sessions_per_subscriber = 4096;
  policy.icmp_error_rate = 100;
  policy.timeouts = {.udp = 300, // RFC 6146 section 4
                     .tcp_established = 7200,
                     .tcp_transitory = 240,
                     .icmp = 60,
                     .tcp_incoming_syn = 6,
                     .fragment = 2,
                     .port_rest = 120};
  policy.rst_window = 1;
  policy.lowest_ipv6_mtu = 1280;
  policy.subscriber_prefix = 64;
  policy.accounting = 1;
  with_prefixes({well_known_prefix})(policy);
  with_pool({{pool4}})(policy);
  with_allowed({prefix6("2001:db8:64::/64"), prefix6("2001:db8:65::/64")})(policy);
  return policy;
}

PolicyChange with_prefixes(const std::vector<Prefix6> &prefixes) {
  return [=](dp::policy &policy) {
    policy.prefix_count = static_cast<uint8_t>(prefixes.size());
    std::transform(prefixes.begin(), prefixes.end(), policy.prefix, to_policy);
  };
}

PolicyChange with_pool(const std::vector<PoolRange> &pool) {
  return [=](dp::policy &policy) {
    policy.pool_count = static_cast<uint8_t>(pool.size());
    policy.usable_count = 0;
    for (size_t i = 0; i < pool.size(); i++) {
      policy.pool[i] = {pool[i].address.network_order(),
                        pool[i].low,
                        pool[i].high,
                        pool[i].draining,
                        static_cast<uint8_t>(i),
                        0};
      if (!pool[i].draining)
        policy.usable[policy.usable_count++] = static_cast<uint8_t>(i);
    }
  };
}

PolicyChange with_allowed(const std::vector<Prefix6> &allow) {
  return [=](dp::policy &policy) {
    policy.allow_count = static_cast<uint8_t>(allow.size());
    std::transform(allow.begin(), allow.end(), policy.allow, to_policy);
  };
}

PolicyChange with_maps(const std::vector<MapPair> &maps) {
  return [=](dp::policy &policy) {
    policy.map_count = static_cast<uint8_t>(maps.size());
    for (size_t i = 0; i < maps.size(); i++) {
      Prefix6 inside = prefix6(maps[i].inside);
      Prefix4 outside = *Prefix4::parse(maps[i].outside);
      dp::mapping &map = policy.map_by_inside[i];
      map = {};
      std::memcpy(map.inside.byte, inside.address.bytes.data(), 16);
      for (unsigned bit = 0; bit < inside.length; bit++)
        map.inside_mask.byte[bit / 8] |= static_cast<uint8_t>(0x80U >> bit % 8);
      map.outside = outside.address.network_order();
      map.outside_mask = Ipv4::from_host_order(~0U << (32U - outside.length)).network_order();
      map.inside_length = inside.length;
      map.outside_length = outside.length;
      policy.map_by_outside[i] = map;
    }
    auto longest = [&](auto &list, auto length) {
      std::stable_sort(list, list + policy.map_count,
                       [&](const auto &a, const auto &b) { return a.*length > b.*length; });
    };
    longest(policy.map_by_inside, &dp::mapping::inside_length);
    longest(policy.map_by_outside, &dp::mapping::outside_length);
  };
}

PolicyChange with_error_sources(const std::vector<Ipv4> &sources) {
  return [=](dp::policy &policy) {
    policy.error_source_count = static_cast<uint8_t>(sources.size());
    for (size_t i = 0; i < sources.size(); i++)
      policy.error_source[i] = sources[i].network_order();
  };
}

PolicyChange with_quota(uint32_t sessions) {
  return [=](dp::policy &policy) { policy.max_sessions_per_subscriber = sessions; };
}

PolicyChange with_subscriber_prefix(uint8_t bits) {
  return [=](dp::policy &policy) { policy.subscriber_prefix = bits; };
}

PolicyChange with_lowest_ipv6_mtu(uint32_t bytes) {
  return [=](dp::policy &policy) { policy.lowest_ipv6_mtu = bytes; };
}

PolicyChange with_private_ipv4_allowed() {
  return [](dp::policy &policy) { policy.allow_private_ipv4 = 1; };
}

PolicyChange with_binding_quota(uint32_t bindings) {
  return [=](dp::policy &policy) { policy.max_bindings_per_subscriber = bindings; };
}

PolicyChange with_port_rest(uint32_t seconds) {
  return [=](dp::policy &policy) { policy.timeouts.port_rest = seconds; };
}

PolicyChange with_zero_traffic_class() {
  return [](dp::policy &policy) { policy.zero_traffic_class = 1; };
}

PolicyChange with_zero_checksum_dropped() {
  return [](dp::policy &policy) { policy.drop_zero_checksum = 1; };
}

PolicyChange with_icmp_error_rate(uint32_t a_second) {
  return [=](dp::policy &policy) { policy.icmp_error_rate = a_second; };
}

PolicyChange with_mtu(uint32_t mtu) {
  return [=](dp::policy &policy) { policy.mtu = mtu; };
}

PolicyChange with_largest_segment(uint16_t bytes) {
  return [=](dp::policy &policy) { policy.largest_segment = bytes; };
}

PolicyChange with_filtering(dp::filtering filtering) {
  return [=](dp::policy &policy) { policy.filtering = filtering; };
}

PolicyChange without_rst_check() {
  return [](dp::policy &policy) { policy.rst_window = 0; };
}

PolicyChange with_outbound_refresh_only() {
  return [](dp::policy &policy) { policy.outbound_refresh_only = 1; };
}

Step sweep_after(uint32_t seconds, Counts counts, std::vector<Check> leaves,
                 std::vector<Packet> sends) {
  return {.after = seconds,
          .counts = std::move(counts),
          .leaves = std::move(leaves),
          .sweep = true,
          .sends = std::move(sends)};
}

Step all_end(dp::event_why cause, Counts counts, std::vector<Check> leaves) {
  Step step = sweep_after(0, std::move(counts), std::move(leaves));
  step.cause = cause;
  return step;
}

Counts one_ends(dp::event_why why) {
  constexpr std::array<dp::reason, dp::WHYS> reasons = {dp::REASON_none,
                                                        dp::REASON_session_expired,
                                                        dp::REASON_session_closed,
                                                        dp::REASON_session_unanswered,
                                                        dp::REASON_session_cleared,
                                                        dp::REASON_session_disallowed};
  return {{dp::REASON_session_ended, 1}, {reasons.at(why), 1}, {dp::REASON_binding_ended, 1}};
}

PolicyChange without_accounting() {
  return [](dp::policy &policy) { policy.accounting = 0; };
}

std::vector<Step> Vector::steps() const {
  std::vector<Step> all{Step{.in = in,
                             .expect = expect,
                             .out = out,
                             .counts = counts,
                             .answer = answer,
                             .bpf = bpf,
                             .leaves = leaves,
                             .segments = segments,
                             .segment_size = segment_size,
                             .pieces = pieces,
                             .out_segment_size = out_segment_size,
                             .partial_checksum = partial_checksum}};
  all.insert(all.end(), then.begin(), then.end());
  return all;
}

} // namespace viaduct::test
