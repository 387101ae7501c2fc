// SPDX-License-Identifier: MIT
#include "metrics/metrics.h"

#include "base/address.h"
#include "base/version.h"
#include "control/reasons.h"
#include "metrics/exposition.h"

#include <string_view>

namespace viaduct::metrics {

namespace {

constexpr std::array<const char *, 3> protocols = {"tcp", "udp", "icmp"};

void write_daemon(Exposition &out, const control::Status &status) {
  out.family("viaduct_build_info", Type::gauge, "Always 1; the labels say what runs");
  out.sample({{"version", program_version}, {"engine", status.engine}}, uint64_t{1});
  out.family("viaduct_engine_fallback", Type::gauge,
             "1 where the kernel refused the bpf engine and engine = \"auto\" took the other");
  out.sample({}, uint64_t{status.why_not_bpf.empty() ? 0U : 1U});
  out.family("viaduct_uptime_seconds", Type::gauge, "How long viaductd has been running");
  out.sample({}, status.uptime_seconds);
  out.family("viaduct_workers", Type::gauge, "Threads that translate packets");
  out.sample({}, uint64_t{status.workers});
  out.family("viaduct_offload_enabled", Type::gauge,
             "1 for each offload of the interface that is in use, 0 where the kernel refuses it");
  for (const auto &offload : status.offloads)
    out.sample({{"offload", offload}}, uint64_t{1});
  for (const auto *absent : {&status.offloads_refused, &status.offloads_missing})
    for (const auto &offload : *absent)
      out.sample({{"offload", offload}}, uint64_t{0});
}

// UDP and ICMP have one state, TCP those of RFC 6146 3.5.2.
void write_sessions(Exposition &out, const control::Status &status, const Census::Report &census) {
  out.family("viaduct_sessions_held", Type::gauge, "Sessions in the table");
  out.sample({}, status.usage.sessions);
  out.family("viaduct_sessions_limit", Type::gauge,
             "Sessions that fit into the table ([nat64] max_sessions)");
  out.sample({}, status.usage.sessions_limit);
  out.family("viaduct_bindings_held", Type::gauge, "Bindings in the table");
  out.sample({}, status.usage.bindings);
  out.family("viaduct_table_entries_lost", Type::gauge,
             "Entries of the bpf engine's tables that cannot be used any more");
  out.sample({}, status.usage.entries_lost);
  if (census.taken == 0)
    return;
  out.family("viaduct_sessions", Type::gauge,
             "Sessions by protocol and state, as the last census found them");
  for (size_t i = 0; i < protocols.size(); i++)
    for (uint8_t state = 0; state < dp::STATE_COUNT; state++)
      if ((i == 0) != (state == dp::STATE_OPEN))
        out.sample({{"protocol", protocols[i]}, {"state", control::state_name(state)}},
                   census.counts.sessions[i][state]);
}

void write_use(Exposition &out, const std::string &address, const control::PoolUse &use) {
  out.sample({{"address", address}, {"protocol", "tcp"}}, use.tcp);
  out.sample({{"address", address}, {"protocol", "udp"}}, use.udp);
  out.sample({{"address", address}, {"protocol", "icmp"}}, use.icmp);
}

control::PoolUse use_of(const std::map<uint32_t, control::PoolUse> &uses, uint32_t address) {
  auto found = uses.find(address);
  return found == uses.end() ? control::PoolUse{} : found->second;
}

void write_pool(Exposition &out, const std::vector<dp::pool_address> &pool,
                const std::vector<control::PoolUse> &most, const Census::Report &census) {
  auto text = [](const dp::pool_address &entry) {
    return Ipv4::from_network_order(entry.address).text();
  };
  out.family("viaduct_pool_ports", Type::gauge,
             "Ports that each protocol may use of a pool address");
  for (const auto &entry : pool)
    out.sample({{"address", text(entry)}}, uint64_t{entry.port_high} - entry.port_low + 1);
  out.family("viaduct_pool_ports_used_max", Type::gauge,
             "The most that were in use at once since viaductd started");
  for (size_t i = 0; i < pool.size() && i < most.size(); i++)
    write_use(out, text(pool[i]), most[i]);
  if (census.taken == 0)
    return;
  out.family("viaduct_pool_ports_used", Type::gauge,
             "Ports or identifiers of a pool address in use, as the last census found them");
  for (const auto &entry : pool)
    write_use(out, text(entry), use_of(census.counts.pool, entry.address));
}

void write_census(Exposition &out, const Census::Report &census) {
  out.family("viaduct_censuses_total", Type::counter, "Censuses of the tables that were finished");
  out.sample({}, census.taken);
  if (census.taken == 0)
    return;
  out.family("viaduct_census_age_seconds", Type::gauge, "Time since the last census was finished");
  out.sample({}, census.age_seconds);
  out.family("viaduct_census_work_seconds", Type::gauge,
             "Processor time that the last census took, on the daemon's own thread");
  out.sample({}, census.work_seconds);
}

void write_counters(Exposition &out, const tables::Counters &counters) {
  const auto &texts = control::reason_texts();
  auto is_event = [](const control::ReasonText &text) {
    return std::string_view(text.kind) == "event";
  };
  out.family("viaduct_packets_total", Type::counter,
             "Packets by how their way ended and why (viaduct explain REASON)");
  for (size_t i = dp::REASON_none + 1; i < texts.size(); i++)
    if (!is_event(texts[i]))
      out.sample({{"outcome", texts[i].kind}, {"reason", texts[i].name}}, counters[i]);
  out.family("viaduct_events_total", Type::counter,
             "What happened beside that: sessions made and ended, answers sent, and so on");
  for (size_t i = dp::REASON_none + 1; i < texts.size(); i++)
    if (is_event(texts[i]))
      out.sample({{"event", texts[i].name}}, counters[i]);
}

void write_dns64(Exposition &out, const control::Dns64Status &dns64) {
  out.family("viaduct_dns64_state", Type::gauge, "1 for the state that DNS64 is in, 0 for others");
  for (const char *state : {"off", "starting", "healthy", "failing"})
    out.sample({{"state", state}}, uint64_t{dns64.state == state ? 1U : 0U});
  out.family("viaduct_dns64_restarts_total", Type::counter,
             "How often the resolver was started again");
  out.sample({}, dns64.restarts);
}

} // namespace

std::string exposition(const Facts &facts) {
  Exposition out;
  write_daemon(out, facts.status);
  write_sessions(out, facts.status, facts.census);
  write_pool(out, facts.pool, facts.pool_most, facts.census);
  write_census(out, facts.census);
  write_counters(out, facts.counters);
  write_dns64(out, facts.status.dns64);
  return out.text();
}

} // namespace viaduct::metrics
