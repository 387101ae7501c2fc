// SPDX-License-Identifier: MIT
#include "doctor/look.h"

#include "dns64/health_check.h"
#include "dns64/unbound_config.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <sstream>
#include <unistd.h>

namespace viaduct::doctor {

namespace {

constexpr std::chrono::milliseconds patience{1000};
constexpr size_t most_asked = 16; // [dns64] listen has no more

// "00000000:0035" and "00000000000000000000000001000000:0035": words in the machine's own order.
std::string address_of(const std::string &text) {
  std::array<uint32_t, 4> words{};
  const size_t colon = text.find(':');
  const size_t count = colon == 8 ? 1 : colon == 32 ? 4 : 0;
  for (size_t i = 0; i < count; i++)
    words[i] = static_cast<uint32_t>(std::strtoul(text.substr(8 * i, 8).c_str(), nullptr, 16));
  std::array<char, INET6_ADDRSTRLEN> shown{};
  if (count == 0 || inet_ntop(count == 1 ? AF_INET : AF_INET6, words.data(), shown.data(),
                              shown.size()) == nullptr)
    return {};
  return shown.data();
}

std::vector<std::string> at_port_53() {
  std::vector<std::string> found;
  for (const char *path : {"/proc/net/udp", "/proc/net/udp6"}) {
    auto text = read_small(path);
    if (!text)
      continue;
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
      std::string number, local;
      std::istringstream(line) >> number >> local;
      if (local.ends_with(":0035"))
        found.push_back(address_of(local));
    }
  }
  return found;
}

// All at once: one that does not answer costs no more time than the others.
void ask_all(const config::Config &config, Resolver &resolver) {
  auto loop = EventLoop::make();
  if (!loop)
    return;
  size_t open = 0;
  std::vector<std::unique_ptr<dns64::HealthCheck>> questions;
  const auto &listen = config.dns64->listen;
  const size_t count = std::min(listen.size(), most_asked);
  resolver.answers.reserve(count);
  for (size_t i = 0; i < count; i++) {
    dns64::Settings settings;
    settings.listen = {listen[i]};
    resolver.answers.push_back({dns64::health_address(settings), error("not asked")});
    Resolver::Answer &answer = resolver.answers.back();
    questions.push_back(std::make_unique<dns64::HealthCheck>(**loop));
    open++;
    questions.back()->ask(answer.address, settings.port, config.nat64.prefixes.front(), patience,
                          [&](Result<void> good) {
                            answer.good = std::move(good);
                            if (--open == 0)
                              (*loop)->stop();
                          });
  }
  if (open > 0)
    (void)static_cast<bool>((*loop)->run());
}

} // namespace

void look_at_resolver(Facts &facts) {
  Resolver resolver;
  resolver.installed = access(dns64::Settings().program.c_str(), X_OK) == 0;
  resolver.occupied = at_port_53();
  if (facts.config && facts.config->dns64 && facts.presence == Presence::running)
    ask_all(*facts.config, resolver);
  facts.resolver = std::move(resolver);
}

} // namespace viaduct::doctor
