// SPDX-License-Identifier: MIT
//
// Over the control socket, like any other client. Another version may say less, or other things:
// what is not there stays empty.
#include "doctor/look.h"

#include "control/client.h"

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <sstream>

namespace viaduct::doctor {

namespace {

using nlohmann::json;

constexpr std::chrono::seconds patience{3};
constexpr size_t most_items = 4096; // a pool has no more addresses

Result<std::vector<json>> ask(const std::string &socket, const std::string &command, int *number) {
  auto client = control::Client::connect(socket, patience, number);
  if (!client)
    return client.failure();
  if (auto asked = client->ask(command); !asked)
    return asked.failure();
  std::vector<json> items;
  while (items.size() < most_items) {
    auto item = client->next();
    if (!item)
      return item.failure();
    if (!*item)
      break;
    items.push_back(std::move(**item));
  }
  return items;
}

std::string text_of(const json &item, const char *name) {
  auto found = item.find(name);
  return found != item.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::vector<std::string> words_of(const json &item, const char *name) {
  std::vector<std::string> words;
  if (auto list = item.find(name); list != item.end() && list->is_array())
    for (const json &word : *list)
      if (word.is_string())
        words.push_back(word.get<std::string>());
  return words;
}

uint64_t number_of(const json &item, const char *name) {
  auto found = item.find(name);
  return found != item.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

PoolUse pool_of(const json &item) {
  PoolUse pool;
  pool.address = text_of(item, "address");
  unsigned low = 0, high = 0;
  if (std::sscanf(text_of(item, "ports").c_str(), "%u-%u", &low, &high) == 2 && low <= high)
    pool.ports = high - low + 1;
  const auto most = item.find("most");
  for (const char *protocol : {"tcp", "udp", "icmp"}) {
    pool.in_use[protocol] = number_of(item, protocol);
    if (most != item.end() && most->is_object())
      pool.most[protocol] = number_of(*most, protocol);
  }
  return pool;
}

// "Max open files            1024                 524288               files"
Result<Running::Files> files_of(int64_t pid) {
  const std::string folder = fmt::format("/proc/{}", pid);
  auto limits = read_small(folder + "/limits");
  if (!limits)
    return limits.failure();
  Running::Files files;
  constexpr std::string_view title = "Max open files";
  const size_t line = limits->find(title);
  if (line == std::string::npos)
    return error("{}/limits does not say how many files may be open", folder);
  std::istringstream(limits->substr(line + title.size())) >> files.limit;
  std::error_code failed;
  for (std::filesystem::directory_iterator entry(folder + "/fd", failed), end;
       !failed && entry != end; entry.increment(failed))
    files.open++;
  if (failed)
    return error("counting the descriptors of viaductd needs root");
  return files;
}

void take_status(const json &status, Running &daemon) {
  daemon.version = text_of(status, "version");
  daemon.interface = text_of(status, "interface");
  daemon.configuration = text_of(status, "configuration");
  daemon.pid = static_cast<int64_t>(number_of(status, "pid"));
  daemon.sessions = number_of(status, "sessions");
  daemon.sessions_limit = number_of(status, "sessions_limit");
  daemon.engine = text_of(status, "engine");
  daemon.why_not_bpf = text_of(status, "why_not_bpf");
  daemon.why_mortal = text_of(status, "why_mortal");
  if (auto share = status.find("handed_up"); share != status.end() && share->is_number())
    daemon.handed_up = share->get<double>();
  daemon.offloads = words_of(status, "offloads");
  daemon.offloads_refused = words_of(status, "offloads_refused");
  if (auto list = status.find("direct"); list != status.end() && list->is_array())
    for (const json &port : *list)
      if (port.is_object())
        daemon.direct.push_back(
            {text_of(port, "port"), text_of(port, "mode"), text_of(port, "detail")});
  if (auto dns64 = status.find("dns64"); dns64 != status.end() && dns64->is_object()) {
    daemon.dns64_state = text_of(*dns64, "state");
    daemon.dns64_detail = text_of(*dns64, "detail");
  }
  daemon.files = files_of(daemon.pid);
}

} // namespace

void look_at_daemon(const std::string &socket, Facts &facts) {
  facts.socket = socket;
  int number = 0;
  auto status = ask(socket, "status", &number);
  if (!status || status->empty()) {
    facts.why_no_daemon = status ? "viaductd gives no status" : status.failure().message;
    const bool absent = number == ENOENT || number == ECONNREFUSED || number == ENOTDIR;
    facts.presence = absent ? Presence::absent : Presence::unreachable;
    return;
  }
  facts.presence = Presence::running;
  facts.daemon = {};
  take_status(status->front(), facts.daemon);
  if (auto pools = ask(socket, "pools", &number))
    for (const json &item : *pools)
      facts.daemon.pools.push_back(pool_of(item));
}

} // namespace viaduct::doctor
