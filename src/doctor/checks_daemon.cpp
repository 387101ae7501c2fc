// SPDX-License-Identifier: MIT
//
// The configuration, the daemon, and the resolver that it supervises.
#include "doctor/checks.h"

namespace viaduct::doctor {

Finding check_configuration(const Facts &facts) {
  if (facts.config)
    return ok(fmt::format("{} is good", facts.path));
  std::string text = facts.problems.empty() ? "not read" : facts.problems.front();
  if (facts.problems.size() > 1)
    text += fmt::format(" (and {} more)", facts.problems.size() - 1);
  return fail(text, fmt::format("viaduct check {} names everything that is wrong", facts.path));
}

Finding check_daemon(const Facts &facts) {
  switch (facts.presence) {
  case Presence::unreachable:
    return skip(facts.why_no_daemon);
  case Presence::absent:
    if (!facts.socket_folder)
      return warn(facts.why_no_daemon + "; the folder of its socket is not there, either",
                  "make the folder (the unit's RuntimeDirectory= does), then start viaductd");
    return warn(facts.why_no_daemon, "start it: systemctl start viaductd");
  case Presence::running:
    break;
  }
  const Running &daemon = facts.daemon;
  if (daemon.version != facts.program_version)
    return warn(
        fmt::format("viaductd {} runs, this command is {}", daemon.version, facts.program_version),
        "restart viaductd after an upgrade");
  if (daemon.configuration != facts.path)
    return warn(fmt::format("viaductd runs with {}, not with {}", daemon.configuration, facts.path),
                fmt::format("viaduct doctor {}", daemon.configuration));
  if (facts.config && daemon.interface != facts.config->nvi.name)
    return warn(fmt::format("viaductd runs with {}, the configuration says {}", daemon.interface,
                            facts.config->nvi.name),
                "restart viaductd: the interface's name cannot change by reload");
  return ok(fmt::format("viaductd {} runs, process {}", daemon.version, daemon.pid));
}

// Which engine carries the traffic, and whether it is the one that was meant to.
Finding check_engine(const Facts &facts) {
  constexpr double much = 0.01; // what is handed up costs as much as the tun engine
  if (!runs(facts))
    return skip(not_running);
  const Running &daemon = facts.daemon;
  if (daemon.engine.empty())
    return skip("viaductd does not say which engine it runs");
  if (!daemon.why_not_bpf.empty())
    return warn(
        fmt::format("the {} engine runs, since BPF did not: {}", daemon.engine, daemon.why_not_bpf),
        "mend that and restart viaductd, or say [nvi] engine = \"tun\" if it is meant to be so");
  if (daemon.engine != "bpf")
    return ok(fmt::format("the {} engine runs", daemon.engine));
  if (!daemon.why_mortal.empty())
    return warn("the bpf engine runs, but its sessions end with viaductd: " + daemon.why_mortal,
                "mend that and restart viaductd");
  std::string text = fmt::format("the bpf engine runs, {:.2f} % of packets were handed up",
                                 100 * daemon.handed_up);
  if (daemon.handed_up > much)
    return warn(text,
                "viaduct show counters says why (punt_...): mostly fragments, ICMP errors that "
                "do not fit, or packets to be answered");
  return ok(text);
}

// What a port cannot be, or can be only in another mode, is no reason for viaductd not to run.
Finding check_direct(const Facts &facts) {
  if (!runs(facts))
    return skip(not_running);
  std::string direct, problems;
  for (const Running::Direct &port : facts.daemon.direct) {
    if (!port.mode.empty())
      direct += fmt::format("{}{} ({})", direct.empty() ? "" : ", ", port.port, port.mode);
    if (!port.detail.empty())
      problems += fmt::format("{}{}: {}", problems.empty() ? "" : "; ", port.port, port.detail);
  }
  if (!problems.empty())
    return warn(problems, "what such a port brings goes through the interface meanwhile: mend it, "
                          "or take the port out of [nvi] direct");
  return ok(direct.empty() ? "no port is direct" : direct);
}

Finding check_sessions(const Facts &facts) {
  if (!runs(facts))
    return skip(not_running);
  const uint64_t held = facts.daemon.sessions, limit = facts.daemon.sessions_limit;
  std::string text = fmt::format("{} of {} sessions", held, limit);
  constexpr const char *advice = "raise [nat64] max_sessions (and restart viaductd), or lower "
                                 "max_sessions_per_subscriber if a few hosts have most of them";
  if (limit == 0)
    return skip("viaductd does not say how many sessions there may be");
  if (held >= limit)
    return fail(text, advice);
  return nearly_full(held, limit) ? warn(text, advice) : ok(text);
}

// The fullest of all addresses and protocols speaks for them.
Finding check_ports(const Facts &facts) {
  if (!runs(facts))
    return skip(not_running);
  const PoolUse *fullest = nullptr;
  std::string protocol;
  uint64_t most = 0;
  for (const PoolUse &pool : facts.daemon.pools)
    for (const auto &[name, used] : pool.in_use)
      if (pool.ports > 0 && (fullest == nullptr || used * fullest->ports > most * pool.ports)) {
        fullest = &pool;
        protocol = name;
        most = used;
      }
  if (fullest == nullptr)
    return skip("viaductd does not say how many ports are in use");
  std::string text = fmt::format("{} of {} ports in use at most (of {}, {})", most, fullest->ports,
                                 fullest->address, protocol);
  constexpr const char *advice =
      "give [nat64] pool4 another address, or a wider range of ports; viaduct show pools";
  if (most >= fullest->ports)
    return fail(text, advice);
  if (nearly_full(most, fullest->ports))
    return warn(text, advice);
  for (const PoolUse &pool : facts.daemon.pools)
    for (const auto &[name, once] : pool.most)
      if (pool.ports > 0 && once >= pool.ports)
        return warn(fmt::format("all {} ports of {} were in use at once ({}), now {} at most", once,
                                pool.address, name, most),
                    advice);
  return ok(text);
}

// What stands in the way of a resolver that is to be started; what it does once it runs.
Finding check_resolver(const Facts &facts) {
  if (!facts.config)
    return skip(no_configuration);
  if (!facts.config->dns64)
    return ok("DNS64 is not configured");
  if (!facts.resolver)
    return skip(facts.resolver.failure().message);
  if (!facts.resolver->installed)
    return fail("unbound is not installed", "apt install unbound dns-root-data, and "
                                            "systemctl disable --now unbound");
  if (facts.presence == Presence::unreachable)
    return skip("whether it runs only viaductd knows, which cannot be asked");
  if (runs(facts)) {
    const Running &daemon = facts.daemon;
    if (daemon.dns64_state == "healthy")
      return ok("unbound runs and is healthy");
    std::string text = fmt::format("unbound is {}: {}", daemon.dns64_state, daemon.dns64_detail);
    if (daemon.dns64_state == "starting")
      return warn(text, "ask again in a few seconds");
    return fail(text, "see viaductd's log; viaduct reload starts a changed [dns64]");
  }
  const auto &occupied = facts.resolver->occupied;
  for (const std::string &wanted : facts.config->dns64->listen)
    for (const std::string &taken : occupied)
      if (taken == wanted || taken == "::" || taken == "0.0.0.0" || wanted == "::" ||
          wanted == "0.0.0.0")
        return fail(fmt::format("something else answers at port 53 of {}", taken),
                    "stop it (systemctl disable --now unbound, or systemd-resolved, dnsmasq, "
                    "named), or change [dns64] listen");
  return ok("unbound is installed, and port 53 is free");
}

Finding check_synthesis(const Facts &facts) {
  if (!facts.config)
    return skip(no_configuration);
  if (!facts.config->dns64)
    return ok("DNS64 is not configured");
  if (!runs(facts))
    return skip(not_running);
  if (!facts.resolver)
    return skip(facts.resolver.failure().message);
  if (facts.resolver->answers.empty())
    return skip("no address was asked");
  for (const Resolver::Answer &answer : facts.resolver->answers)
    if (!answer.good)
      return fail(fmt::format("at {}: {}", answer.address, answer.good.failure().message),
                  "see viaduct show status and viaductd's log; if something else answers there, "
                  "stop it");
  return ok(fmt::format("ipv4only.arpa has an address in {} at {}",
                        facts.config->nat64.prefixes.front().text(),
                        facts.resolver->answers.front().address));
}

} // namespace viaduct::doctor
