// SPDX-License-Identifier: MIT
#include "agent/commands.h"

#include "agent/config.h"
#include "cli/command.h"
#include "cli/output.h"
#include "control/client.h"

#include <cstdio>
#include <functional>
#include <map>

namespace viaduct::agent {

namespace {

using cli::Output;
using nlohmann::json;

// Asks and hands out the items; complains and says false if the answer did not come whole.
bool ask(const Options &options, const char *command,
         const std::function<bool(const json &item)> &on_item) {
  auto client = control::Client::connect(options.socket);
  auto asked = client ? client->ask(command) : Result<void>(client.failure());
  if (!asked) {
    cli::complain(asked.failure().message);
    return false;
  }
  for (;;) {
    auto item = client->next();
    if (!item) {
      cli::complain(item.failure().message);
      return false;
    }
    if (!*item || !on_item(**item))
      return true;
  }
}

std::string list_text(const json &item, const char *name, const char *between = " ") {
  const json &list = cli::member(item, name);
  std::string all;
  if (list.is_array())
    for (const json &value : list)
      all += (all.empty() ? "" : between) + cli::text(value);
  return all.empty() ? "none" : all;
}

// Whose, besides the cgroup's.
std::string listeners_text(const json &item) {
  const json &ports = cli::member(item, "ports");
  std::string all =
      ports.is_array() && !ports.empty() ? "ports " + list_text(item, "ports") : "all";
  return cli::text(item, "network_namespace") == "own" ? all + " of this network namespace" : all;
}

std::string served(const json &item, const char *name, const char *why_not,
                   const char *yes = "served") {
  std::string text = cli::member(item, name) == true ? yes : "not served";
  if (std::string why = cli::text(item, why_not); !why.empty())
    text += " (" + why + ")";
  return text;
}

std::string ports_text(const json &item) {
  std::string all;
  const json &ports = cli::member(item, "udp_ports");
  if (ports.is_array())
    for (const json &port : ports) {
      all += (all.empty() ? "" : " ") + cli::text(port, "name");
      if (cli::member(port, "taken") != true)
        all += " (" + cli::text(port, "why_not") + ")";
    }
  return all.empty() ? "none" : all;
}

std::string status_text(const json &item) {
  const std::pair<const char *, std::string> lines[] = {
      {"version", cli::text(item, "version")},
      {"running", cli::text(item, "uptime_seconds") + " s, pid " + cli::text(item, "pid")},
      {"configuration", cli::text(item, "configuration")},
      {"cgroup", cli::text(item, "cgroup")},
      {"senders", list_text(item, "senders")},
      {"kinds", list_text(item, "kinds_described", "; ")},
      {"listeners", listeners_text(item)},
      {"getsockname", served(item, "getsockname", "why_no_getsockname", "the virtual address")},
      {"getsockopt", served(item, "getsockopt", "why_no_getsockopt")},
      {"udp", served(item, "udp", "why_no_udp")},
      {"uoa getsockopt", served(item, "uoa_getsockopt", "why_no_uoa_getsockopt")},
      {"udp ports", ports_text(item)},
      {"older listeners", item.contains("why_no_older_listeners")
                              ? "not known (" + cli::text(item, "why_no_older_listeners") + ")"
                              : list_text(item, "older_listeners")},
  };
  std::string all;
  for (const auto &[name, value] : lines)
    all += fmt::format("{:<17}{}\n", name, value);
  return all;
}

int show_json(const Options &options) {
  Output output;
  cli::JsonArray array(output);
  bool whole =
      ask(options, options.what.c_str(), [&](const json &item) { return array.item(item); });
  if (whole)
    array.end();
  return output.finish(whole ? cli::exit_good : cli::exit_failed);
}

int show_status(const Options &options) {
  Output output;
  bool whole =
      ask(options, "status", [&](const json &item) { return output.write(status_text(item)); });
  return output.finish(whole ? cli::exit_good : cli::exit_failed);
}

using Cells = std::vector<std::string>;

int show_table(const Options &options, std::vector<cli::Column> columns,
               const std::function<Cells(const json &item)> &cells) {
  Output output;
  cli::Table table(output, std::move(columns));
  bool whole =
      ask(options, options.what.c_str(), [&](const json &item) { return table.row(cells(item)); });
  if (whole)
    table.flush();
  return output.finish(whole ? cli::exit_good : cli::exit_failed);
}

Cells counter_cells(const json &item) {
  return {cli::text(item, "name"), cli::text(item, "value"), cli::text(item, "help")};
}

Cells connection_cells(const json &item) {
  bool believed = cli::member(item, "believed") == true;
  std::string client = item.contains("client") ? cli::text(item, "client") : "-";
  return {cli::text(item, "protocol"),
          cli::text(item, "local"),
          cli::text(item, "peer"),
          believed ? client : "-",
          item.contains("kind") ? cli::text(item, "kind") : "-",
          cli::text(item, "carried_by"),
          cli::text(item, "state"),
          believed ? "" : fmt::format("{} ({})", cli::text(item, "why_not"), client)};
}

} // namespace

int check(const Options &options) {
  auto outcome = load(options.file);
  Output output;
  if (options.json) {
    cli::JsonArray array(output);
    for (const auto &problem : outcome.problems)
      array.item({{"file", problem.file},
                  {"line", problem.line},
                  {"column", problem.column},
                  {"message", problem.message}});
    array.end();
  }
  if (!outcome.config) {
    if (!options.json)
      for (const auto &problem : outcome.problems)
        cli::complain(problem.text());
    return output.finish(cli::exit_usage);
  }
  for (const std::string &sentence : warnings(*outcome.config))
    cli::complain("warning: " + sentence);
  if (!options.json) {
    output.write(cli::printable(options.file) + ": good\n");
    for (const Kind &kind : outcome.config->kinds)
      output.write("  option " + described(kind) + "\n");
  }
  return output.finish(cli::exit_good);
}

int show(const Options &options) {
  if (options.json)
    return show_json(options);
  if (options.what == "counters")
    return show_table(options, {{"COUNTER"}, {"VALUE", true}, {"MEANING"}}, counter_cells);
  if (options.what == "connections")
    return show_table(options,
                      {{"PROTO"},
                       {"LOCAL"},
                       {"PEER"},
                       {"CLIENT"},
                       {"KIND"},
                       {"CARRIED BY"},
                       {"STATE"},
                       {"NOT BELIEVED"}},
                      connection_cells);
  return show_status(options);
}

// "                                  CPU0       CPU1       ", then a row for each counter.
int toa_stats(const Options &options) {
  Output output;
  bool header = false;
  bool whole = ask(options, "counters", [&](const json &item) {
    const json &parts = cli::member(item, "by_processor");
    if (!parts.is_array())
      return true;
    std::string line;
    if (!header) {
      line.append(34, ' ');
      for (const json &processor : cli::member(item, "processors"))
        line += fmt::format("CPU{}       ", cli::text(processor));
      line += '\n';
      header = true;
    }
    line += fmt::format("{:<25}:", cli::text(item, "name"));
    for (const json &part : parts)
      line += fmt::format("{:>10} ", cli::text(part));
    return output.write(line + "\n");
  });
  return output.finish(whole ? cli::exit_good : cli::exit_failed);
}

// A line of headings, one of numbers.
int uoa_stats(const Options &options) {
  Output output;
  std::map<std::string, uint64_t> counts;
  bool whole = ask(options, "counters", [&](const json &item) {
    const json &value = cli::member(item, "value");
    if (value.is_number_unsigned())
      counts[cli::text(item, "name")] = value.get<uint64_t>();
    return true;
  });
  if (whole)
    output.write(fmt::format(" Success     Miss  Invalid|UOA  Got     None    Saved Ack-Fail\n"
                             "{:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}\n",
                             counts["uoa_receive_ok"] + counts["uoa_getsockopt_ok"],
                             counts["uoa_getsockopt_miss"] + counts["uoa_receive_unknown"] +
                                 counts["uoa_receive_mismatch"] + counts["uoa_receive_contested"],
                             counts["uoa_malformed"] + counts["uoa_contradicting"] +
                                 counts["uoa_implausible"],
                             counts["uoa_got"], counts["uoa_none"], counts["uoa_saved"], 0));
  return output.finish(whole ? cli::exit_good : cli::exit_failed);
}

int reload(const Options &options) {
  return ask(options, "reload", [](const json &) { return true; }) ? cli::exit_good
                                                                   : cli::exit_failed;
}

} // namespace viaduct::agent
