// SPDX-License-Identifier: MIT
//
// viaduct show: what the daemon knows, as a table or as JSON. Nothing is looked up: all numeric.
#include "cli/command.h"
#include "cli/output.h"

#include "control/client.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <thread>
#include <unistd.h>

namespace viaduct::cli {

namespace {

using nlohmann::json;

std::string list_text(const json &item, const char *name) {
  const json &list = member(item, name);
  if (!list.is_array())
    return text(list);
  std::string joined;
  for (const auto &element : list)
    joined += (joined.empty() ? "" : ", ") + text(element);
  return joined.empty() ? "none" : joined;
}

// "45s", "4m12s", "1h59m", "3d04h".
std::string duration_text(const json &value) {
  if (!value.is_number_unsigned())
    return text(value);
  auto seconds = value.get<uint64_t>();
  if (seconds < 60)
    return fmt::format("{}s", seconds);
  if (seconds < 3600)
    return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  if (seconds < 86400)
    return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d{:02}h", seconds / 86400, seconds / 3600 % 24);
}

// "999 B", "1.5 KiB", "12.3 GiB".
std::string bytes_text(const json &value) {
  if (!value.is_number_unsigned())
    return text(value);
  constexpr std::array<const char *, 6> units = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto bytes = value.get<uint64_t>();
  if (bytes < 1024)
    return fmt::format("{} B", bytes);
  double scaled = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; scaled >= 1023.95; unit++)
    scaled /= 1024;
  return fmt::format("{:.1f} {}", scaled, units[unit]);
}

using Cells = std::vector<std::string>;

// What `show` can show: a name for the daemon and how an item looks in a table.
struct View {
  const char *name;
  std::vector<Column> columns;
  Cells (*cells)(const json &item);
};

Cells session_cells(const json &item) {
  return {text(item, "protocol"),
          text(item, "inside", "source"),
          text(item, "inside", "destination"),
          text(item, "outside", "source"),
          text(item, "outside", "destination"),
          text(item, "state"),
          duration_text(member(item, "expires_seconds")),
          text(item, "packets"),
          bytes_text(member(item, "bytes"))};
}

Cells binding_cells(const json &item) {
  return {text(item, "protocol"), text(item, "inside"), text(item, "outside"),
          text(item, "sessions")};
}

Cells pool_cells(const json &item) {
  return {text(item, "address"),     text(item, "ports"),       text(item, "tcp"),
          text(item, "udp"),         text(item, "icmp"),        text(item, "most", "tcp"),
          text(item, "most", "udp"), text(item, "most", "icmp")};
}

Cells map_cells(const json &item) {
  return {text(item, "inside"), text(item, "outside")};
}

Cells counter_cells(const json &item) {
  return {text(item, "name"), text(item, "value"), text(item, "kind"), text(item, "help")};
}

const std::array<View, 5> &views() {
  static const std::array<View, 5> table = {{
      {"sessions",
       {{"PROTOCOL"},
        {"INSIDE SOURCE"},
        {"INSIDE DESTINATION"},
        {"OUTSIDE SOURCE"},
        {"OUTSIDE DESTINATION"},
        {"STATE"},
        {"EXPIRES", true},
        {"PACKETS", true},
        {"BYTES", true}},
       session_cells},
      {"bindings", {{"PROTOCOL"}, {"INSIDE"}, {"OUTSIDE"}, {"SESSIONS", true}}, binding_cells},
      {"pools",
       {{"ADDRESS"},
        {"PORTS"},
        {"TCP USED", true},
        {"UDP USED", true},
        {"ICMP USED", true},
        {"TCP MOST", true},
        {"UDP MOST", true},
        {"ICMP MOST", true}},
       pool_cells},
      {"maps", {{"INSIDE"}, {"OUTSIDE"}}, map_cells},
      {"counters", {{"COUNTER"}, {"VALUE", true}, {"KIND"}, {"MEANING"}}, counter_cells},
  }};
  return table;
}

using OnItem = std::function<bool(const json &item)>; // false: enough

// Asks and hands out the items; complains and says false if the answer did not come whole.
bool ask(const Options &options, const char *what, const OnItem &on_item) {
  auto client = control::Client::connect(options.socket);
  if (!client) {
    complain(client.failure().message);
    return false;
  }
  if (auto asked = client->ask(what, filter_member(options)); !asked) {
    complain(asked.failure().message);
    return false;
  }
  for (;;) {
    auto item = client->next();
    if (!item) {
      complain(item.failure().message);
      return false;
    }
    if (!*item || !on_item(**item))
      return true;
  }
}

// A person wants to see what happened; a machine wants to find every name.
bool left_out(const Options &options, const json &item) {
  return options.what == "counters" && !options.all && member(item, "value") == 0;
}

int show_json(const Options &options) {
  Output output;
  JsonArray array(output);
  bool whole =
      ask(options, options.what.c_str(), [&](const json &item) { return array.item(item); });
  if (whole)
    array.end();
  return output.finish(whole ? exit_good : exit_failed);
}

int show_table(const Options &options, const View &view) {
  Output output;
  Table table(output, view.columns);
  bool answered = false; // a refusal gets no header
  bool whole = ask(options, view.name, [&](const json &item) {
    answered = true;
    return left_out(options, item) || table.row(view.cells(item));
  });
  if (whole || answered)
    table.flush();
  return output.finish(whole ? exit_good : exit_failed);
}

// "eth0 (tc), eth1 (off: there is no interface of this name)"; nothing where no port is to be direct.
std::string direct_text(const json &item) {
  std::string all;
  const json &ports = member(item, "direct");
  if (!ports.is_array()) // an older daemon
    return text(ports);
  for (const json &port : ports) {
    std::string mode = text(port, "mode").empty() ? "off" : text(port, "mode");
    if (const std::string detail = text(port, "detail"); !detail.empty())
      mode += ": " + detail;
    all += fmt::format("{}{} ({})", all.empty() ? "" : ", ", text(port, "port"), mode);
  }
  return all;
}

std::string status_text(const json &item) {
  std::string dns64 = text(item, "dns64", "state");
  if (text(item, "dns64", "restarts") != "0")
    dns64 += ", restarts: " + text(item, "dns64", "restarts");
  if (!text(item, "dns64", "detail").empty())
    dns64 += " (" + text(item, "dns64", "detail") + ")";
  std::string offloads = list_text(item, "offloads");
  if (!member(item, "offloads_missing").empty())
    offloads += " (not given by the kernel: " + list_text(item, "offloads_missing") + ")";
  if (!member(item, "offloads_refused").empty())
    offloads += " (refused: " + list_text(item, "offloads_refused") + ")";
  std::string engine = text(item, "engine");
  if (engine == "bpf")
    engine += fmt::format(" ({:.2f} % of packets handed up)",
                          100 * member(item, "handed_up").get<double>());
  if (const std::string why = text(item, "why_not_bpf"); !why.empty())
    engine += " (not bpf: " + why + ")";
  std::string sessions = text(item, "sessions") + " of " + text(item, "sessions_limit");
  if (const std::string why = text(item, "why_mortal"); !why.empty())
    sessions += " (end with viaductd: " + why + ")";
  if (const std::string lost = text(item, "entries_lost"); lost != "0" && lost != "?")
    sessions += fmt::format(" ({} entries of the tables are lost)", lost);
  const std::array<std::pair<const char *, std::string>, 12> lines = {{
      {"version", text(item, "version")},
      {"running", duration_text(member(item, "uptime_seconds")) + ", pid " + text(item, "pid")},
      {"configuration", text(item, "configuration")},
      {"engine", engine},
      {"interface", text(item, "interface")},
      {"direct", direct_text(item)},
      {"workers", text(item, "workers")},
      {"offloads", offloads},
      {"prefixes", list_text(item, "prefixes")},
      {"sessions", sessions},
      {"bindings", text(item, "bindings")},
      {"dns64", dns64},
  }};
  std::string all;
  for (const auto &[name, value] : lines) {
    if (!value.empty() || std::string_view(name) != "direct")
      all += fmt::format("{:<15}{}\n", name, value);
  }
  return all;
}

int show_status(const Options &options) {
  Output output;
  bool whole =
      ask(options, "status", [&](const json &item) { return output.write(status_text(item)); });
  return output.finish(whole ? exit_good : exit_failed);
}

} // namespace

namespace {

int show_once(const Options &asked) {
  if (asked.json)
    return show_json(asked);
  for (const auto &view : views())
    if (asked.what == view.name)
      return show_table(asked, view);
  return show_status(asked);
}

// On a terminal each round takes the place of the one before; elsewhere a line stands between them.
int show_again_and_again(const Options &asked, double seconds) {
  bool on_terminal = isatty(STDOUT_FILENO) == 1;
  for (bool first = true;; first = false) {
    Output output;
    if (on_terminal)
      output.write("\x1b[H\x1b[2J");
    else if (!first)
      output.write("---\n");
    int code = show_once(asked);
    if (code != exit_good || ferror(stdout) != 0)
      return code;
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }
}

} // namespace

int show(const Options &options) {
  Options asked = options;
  if (asked.what.empty())
    asked.what = "status";
  if (asked.all && asked.what != "counters") {
    complain("--all is for show counters; the others show all anyway");
    return exit_usage;
  }
  if (!asked.filter.empty() && asked.what != "sessions" && asked.what != "bindings") {
    complain("--filter is for show sessions and show bindings");
    return exit_usage;
  }
  if (asked.watch.empty())
    return show_once(asked);
  double seconds = 0;
  auto [end, fault] =
      std::from_chars(asked.watch.data(), asked.watch.data() + asked.watch.size(), seconds);
  if (fault != std::errc() || *end != '\0' || !(seconds >= 0.1 && seconds <= 86400) || asked.json) {
    complain("--watch takes 0.1 to 86400 seconds, and no --json");
    return exit_usage;
  }
  return show_again_and_again(asked, seconds);
}

} // namespace viaduct::cli
