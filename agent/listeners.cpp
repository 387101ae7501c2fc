// SPDX-License-Identifier: MIT
#include "agent/listeners.h"

#include "base/address.h"
#include "base/result.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

namespace viaduct::agent {

namespace {

std::optional<uint32_t> hexadecimal(std::string_view text) {
  uint32_t value = 0;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || fault != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

// "0100007F:0050": words as the processor holds them, 8 or 32 digits, then the port.
std::string end_text(std::string_view text) {
  size_t colon = text.find(':');
  if (colon != 8 && colon != 32)
    return "";
  auto port = hexadecimal(text.substr(colon + 1));
  uint32_t words[4] = {};
  for (size_t i = 0; i < colon / 8; i++) {
    auto word = hexadecimal(text.substr(i * 8, 8));
    if (!word || !port)
      return "";
    words[i] = *word;
  }
  if (colon == 8)
    return endpoint_text(Ipv4::from_network_order(words[0]), static_cast<uint16_t>(*port));
  Ipv6 address;
  memcpy(address.bytes.data(), words, sizeof words);
  return endpoint_text(address, static_cast<uint16_t>(*port));
}

} // namespace

void listeners_in(std::string_view text, Listeners &listeners) {
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string slot, local, remote, state, queues, timer, retransmits;
    uint64_t user = 0, timeout = 0, number = 0;
    if (!(words >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> user >>
          timeout >> number) ||
        state != "0A")
      continue;
    std::string end = end_text(local);
    if (!end.empty())
      listeners[number] = end;
  }
}

Listeners listeners_now() {
  Listeners listeners;
  for (const char *path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    listeners_in(text.str(), listeners);
  }
  return listeners;
}

std::vector<std::string> still_there(const Listeners &before, const Listeners &now,
                                     const std::vector<uint16_t> &ports) {
  auto is_wanted = [&](const std::string &end) {
    return ports.empty() || std::ranges::any_of(ports, [&](uint16_t port) {
             return end.ends_with(fmt::format(":{}", port));
           });
  };
  std::vector<std::string> ends;
  for (const auto &[number, end] : before)
    if (now.contains(number) && is_wanted(end))
      ends.push_back(end);
  return ends;
}

} // namespace viaduct::agent
