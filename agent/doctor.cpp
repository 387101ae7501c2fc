// SPDX-License-Identifier: MIT
//
// viaduct-agent doctor: what of this machine helps or hinders the agent, a line for each check. It
// looks and changes nothing, works without a running agent, and probes the kernel by loading the
// programs instead of comparing versions.
#include "agent/cgroup.h"
#include "agent/commands.h"
#include "agent/connections.h"
#include "agent/probe.h"
#include "cli/command.h"
#include "cli/output.h"
#include "control/client.h"

#include <fstream>
#include <linux/magic.h>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace viaduct::agent {

namespace {

using nlohmann::json;

enum class Level { ok, warn, fail };

struct Finding {
  const char *check;
  Level level = Level::ok;
  std::string text;
  std::string advice;
};

bool exists(const char *path) {
  struct stat status {};
  return stat(path, &status) == 0;
}

Finding agent_runs(const Options &options, json &status) {
  auto client = control::Client::connect(options.socket, std::chrono::seconds(5));
  auto asked = client ? client->ask("status") : Result<void>(client.failure());
  if (asked)
    if (auto item = client->next(); item && *item)
      status = **item;
  if (status.is_object())
    return {"agent", Level::ok, "runs, version " + cli::text(status, "version"), ""};
  return {"agent", Level::fail, asked ? "gives no status" : asked.failure().message,
          "start viaduct-agent run --config FILE"};
}

Finding senders(const json &status) {
  const json &list = cli::member(status, "senders");
  if (list.is_array() && list.empty())
    return {"senders", Level::warn, "none: no TOA is believed",
            "name the load balancers' addresses in [agent] senders"};
  if (list.is_array() && list == json::array({"any"}))
    return {"senders", Level::warn, "any: whoever connects chooses the address programs see",
            "name the load balancers' addresses in [agent] senders"};
  return {"senders", Level::ok, fmt::format("{} prefixes", list.size()), ""};
}

Finding older_listeners(const json &status) {
  if (status.contains("why_no_older_listeners"))
    return {"listeners", Level::ok,
            "not known which are older than the programs that a predecessor has left: " +
                cli::text(status, "why_no_older_listeners"),
            ""};
  const json &list = cli::member(status, "older_listeners");
  if (!list.is_array() || list.empty())
    return {"listeners", Level::ok, "none keeps no SYN for being older than the agent", ""};
  std::string ends;
  for (const json &end : list)
    ends += " " + cli::text(end);
  return {"listeners", Level::warn,
          "older than the agent, so that a TOA only in the SYN is missed:" + ends,
          "restart their programs, if the sender adds TOA to nothing but the SYN"};
}

Finding udp_ports(const json &status) {
  const json &list = cli::member(status, "udp_ports");
  std::string missing;
  if (list.is_array())
    for (const json &port : list)
      if (cli::member(port, "taken") != true)
        missing += fmt::format("{}{} ({})", missing.empty() ? "" : ", ", cli::text(port, "name"),
                               cli::text(port, "why_not"));
  if (!missing.empty())
    return {"udp_ports", Level::warn, "not taken: " + missing,
            "make the port, or take it out of [agent] udp_ports"};
  return {"udp_ports", Level::ok,
          list.is_array() && !list.empty() ? "all are taken" : "none is named", ""};
}

Finding program(const char *check, const Result<void> &loaded, const char *without) {
  if (loaded)
    return {check, Level::ok, "the kernel takes it", ""};
  return {check, Level::fail, loaded.failure().message, without};
}

// What the agent may be told to do without. What it has met itself goes before what we find.
Finding optional(const char *check, const json &status, const Result<void> &loaded,
                 const char *without) {
  auto told = status.find(fmt::format("why_no_{}", check));
  std::string why = told != status.end() && told->is_string() ? told->get<std::string>() : "";
  bool wanted = !why.empty() || cli::member(status, check) == true;
  if (!why.empty())
    return {check, Level::fail, why, without};
  if (!loaded && wanted)
    return {check, Level::fail, loaded.failure().message, without};
  if (!loaded)
    return {check, status.is_object() ? Level::ok : Level::warn,
            (status.is_object() ? "not asked for, and the kernel does not take it: "
                                : "the kernel does not take it: ") +
                loaded.failure().message,
            without};
  return {check, Level::ok, "the kernel takes it", ""};
}

// The rest of UDP goes on without it.
Finding uoa_getsockopt(const json &status) {
  auto loaded = probe_uoa_getsockopt();
  if (loaded)
    return {"uoa_getsockopt", Level::ok, "the kernel takes it", ""};
  const json &why = cli::member(status, "why_no_uoa_getsockopt");
  bool wanted = status.is_object() && why.is_string() && !why.get<std::string>().empty();
  return {"uoa_getsockopt", wanted ? Level::warn : Level::ok,
          "not getsockopt 2048, which needs x86-64 and CAP_PERFMON: " + loaded.failure().message,
          "take uoa_getsockopt out of the configuration; receiving tells the client all the same"};
}

Finding cgroups() {
  std::ifstream file("/proc/self/mountinfo");
  std::stringstream text;
  text << file.rdbuf();
  std::string path = cgroup2_in(text.str());
  if (path.empty())
    return {"cgroup", Level::ok, "version 2 is mounted nowhere, the agent mounts it for itself",
            ""};
  return {"cgroup", Level::ok, "version 2 at " + path, ""};
}

Finding bpf_file_system() {
  struct statfs facts {};
  bool there = statfs("/sys/fs/bpf", &facts) == 0 &&
               static_cast<unsigned long>(facts.f_type) == BPF_FS_MAGIC;
  return {"bpf_fs", Level::ok,
          there ? "mounted at /sys/fs/bpf" : "not mounted at /sys/fs/bpf, the agent mounts it", ""};
}

Finding old_module() {
  if (exists("/sys/module/toa") || exists("/proc/net/toa_stats"))
    return {"toa_ko", Level::warn, "the kernel module toa is loaded, and answers first",
            "rmmod toa, and take it out of /etc/modules-load.d"};
  return {"toa_ko", Level::ok, "not loaded", ""};
}

Finding other_programs(const json &status) {
  std::set<uint32_t> programs;
  std::string cgroup;
  if (status.is_object()) {
    cgroup = cli::text(status, "cgroup");
    for (const json &id : cli::member(status, "programs"))
      if (id.is_number_unsigned())
        programs.insert(id.get<uint32_t>());
  }
  auto others = programs_beside_ours(cgroup, programs);
  if (!others)
    return {"beside", Level::warn, others.failure().message, "run doctor as root"};
  if (!others->exclusive.empty())
    return {"beside", Level::fail,
            "a program is attached in a way that allows no other: " + others->exclusive,
            "have its owner attach it with BPF_F_ALLOW_MULTI"};
  return {"beside", Level::ok, others->text.empty() ? "no other program" : others->text, ""};
}

const char *name_of(Level level) {
  return level == Level::ok ? "ok" : level == Level::warn ? "warn" : "fail";
}

} // namespace

int doctor(const Options &options) {
  json status;
  std::vector<Finding> findings = {agent_runs(options, status)};
  if (status.is_object()) {
    findings.push_back(senders(status));
    findings.push_back(older_listeners(status));
    findings.push_back(udp_ports(status));
  }
  findings.push_back(program("hooks", probe_hooks(), "nothing works without it: a newer kernel"));
  if (status.is_object()) // the programs are among the hooks'; whether they are attached, it knows
    findings.push_back(
        optional("getsockname", status, {}, "getsockname gives the socket's own address"));
  findings.push_back(
      optional("getsockopt", status, probe_getsockopt(), "getsockopt 4096 is not served"));
  findings.push_back(
      optional("udp", status, probe_udp(), "UOA is ignored, programs see the load balancer"));
  findings.push_back(uoa_getsockopt(status));
  findings.push_back(program("view", probe_view(), "show connections does not work"));
  findings.push_back(cgroups());
  findings.push_back(bpf_file_system());
  findings.push_back(other_programs(status));
  findings.push_back(old_module());

  cli::Output output;
  cli::JsonArray array(output);
  Level worst = Level::ok;
  for (const Finding &found : findings) {
    worst = std::max(worst, found.level);
    if (options.json) {
      array.item({{"check", found.check},
                  {"level", name_of(found.level)},
                  {"text", found.text},
                  {"advice", found.advice}});
      continue;
    }
    output.write(fmt::format("{:<5} {:<14} {}\n", name_of(found.level), found.check,
                             cli::printable(found.text)));
    if (!found.advice.empty() && found.level != Level::ok)
      output.write(fmt::format("{:<20} {}\n", "", "do: " + cli::printable(found.advice)));
  }
  if (options.json)
    array.end();
  return output.finish(worst == Level::fail   ? cli::exit_sick
                       : worst == Level::warn ? cli::exit_worrying
                                              : cli::exit_good);
}

} // namespace viaduct::agent
