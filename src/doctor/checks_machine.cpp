// SPDX-License-Identifier: MIT
//
// The machine: what the kernel offers, and how much of what is limited is left.
#include "doctor/checks.h"

#include <cstdio>

namespace viaduct::doctor {

namespace {

std::string mebibytes(uint64_t bytes) {
  return fmt::format("{} MiB", bytes >> 20);
}

} // namespace

// Debian 12's; what is older has never been tried.
Finding check_kernel(const Facts &facts) {
  unsigned major = 0, minor = 0;
  if (std::sscanf(facts.kernel.c_str(), "%u.%u", &major, &minor) != 2)
    return skip(fmt::format("Linux \"{}\" does not look like a version", facts.kernel));
  if (major < 6 || (major == 6 && minor < 1))
    return warn(fmt::format("Linux {} is older than 6.1", facts.kernel),
                "use a kernel of Debian 12 or newer: older ones have not been tried");
  return ok(fmt::format("Linux {}", facts.kernel));
}

Finding check_tun(const Facts &facts) {
  if (!facts.tun)
    return fail(facts.tun.failure().message,
                "modprobe tun (and for the next boot: echo tun > /etc/modules-load.d/tun.conf); in "
                "a container the device must be given to it");
  if (!facts.tun->may_open)
    return skip("/dev/net/tun is there; what it can do needs root to know");
  if (!facts.tun->multi_queue || !facts.tun->vnet_hdr)
    return fail(fmt::format("this kernel's tun has no {}",
                            facts.tun->multi_queue ? "offloads (vnet_hdr)" : "queues"),
                "use a kernel of Debian 12 or newer");
  return ok("/dev/net/tun is there, with queues and offloads");
}

// Without BPF the tun engine is what is left, unless BPF was asked for.
Finding check_bpf(const Facts &facts) {
  if (!facts.config)
    return skip(no_configuration);
  const auto wanted = facts.config->nvi.engine;
  if (wanted == config::Engine::tun)
    return ok("not needed: [nvi] engine = \"tun\"");
  if (!facts.bpf && facts.bpf_unknown)
    return skip(facts.bpf.failure().message);
  if (!facts.bpf && wanted == config::Engine::bpf)
    return fail(
        facts.bpf.failure().message,
        "a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF, or [nvi] engine = \"auto\"");
  if (!facts.bpf)
    return warn(facts.bpf.failure().message + ": the tun engine will carry the traffic",
                "a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF, or say [nvi] engine = "
                "\"tun\"");
  // The interpreter has no loops that call back, which our programs have (bpf_loop).
  if (auto jit = facts.sysctl("net/core/bpf_jit_enable"); jit && *jit == "0") {
    constexpr const char *off =
        "the kernel does not compile programs, and refuses to interpret ours";
    constexpr const char *advice = "sysctl -w net.core.bpf_jit_enable=1, then restart viaductd";
    return wanted == config::Engine::bpf
               ? fail(off, advice)
               : warn(fmt::format("{}: the tun engine will carry the traffic", off), advice);
  }
  return ok("programs load");
}

Finding check_memory(const Facts &facts) {
  if (!facts.memory)
    return skip(facts.memory.failure().message);
  const auto &[total, tables, in_kernel] = *facts.memory;
  std::string text =
      fmt::format("full tables take {}{}, this machine has {}", mebibytes(tables),
                  in_kernel ? " of the kernel, most of it at the start" : "", mebibytes(total));
  if (tables > total)
    return fail(
        text, in_kernel ? "lower [nat64] max_sessions: the kernel would not give that much to "
                          "the bpf engine"
                        : "lower [nat64] max_sessions: the kernel would end viaductd before that");
  if (tables > total / 2)
    return warn(text, "lower [nat64] max_sessions, or see that nothing else needs that memory");
  return ok(text);
}

Finding check_files(const Facts &facts) {
  if (!runs(facts))
    return skip(not_running);
  if (!facts.daemon.files)
    return skip(facts.daemon.files.failure().message);
  const auto &[open, limit] = *facts.daemon.files;
  std::string text = fmt::format("viaductd has {} of {} descriptors open", open, limit);
  if (nearly_full(open, limit))
    return warn(text, "raise its limit (LimitNOFILE= of the unit), and see who holds so many "
                      "connections to its control socket or metrics");
  return ok(text);
}

// Sessions do not mind; signatures of DNS do, and so does everybody who reads the log.
Finding check_clock(const Facts &facts) {
  constexpr int64_t day = 86400;
  if (facts.clock.program == 0)
    return skip("when this program was made is not known");
  if (facts.clock.now + day < facts.clock.program)
    return fail("the wall clock is before the day on which this program was made",
                "set it (timedatectl set-ntp true): names with DNSSEC do not resolve until then");
  return ok("the wall clock may be right");
}

Finding check_conntrack(const Facts &facts) {
  if (!facts.conntrack)
    return skip(facts.conntrack.failure().message);
  const auto &[count, max] = *facts.conntrack;
  if (max == 0)
    return ok("the kernel tracks no connections here");
  std::string text = fmt::format("{} of {} connections tracked by the kernel", count, max);
  constexpr const char *advice = "raise net.netfilter.nf_conntrack_max, or keep what passes nvi0 "
                                 "out of it (nft: iifname or oifname \"nvi0\" notrack)";
  if (count >= max)
    return fail(text, advice);
  return nearly_full(count, max) ? warn(text, advice) : ok(text);
}

} // namespace viaduct::doctor
