// SPDX-License-Identifier: MIT
//
// Any text as the agent's configuration: it ends, with a configuration or with problems and never
// with both or neither, and what is accepted keeps the promises that the programs in the kernel
// rely on: every kind has a length with a meaning, and no table is longer than its map.
#include "agent/config.h"
#include "agent/record.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace viaduct;

namespace {

void require(bool holds) {
  if (!holds)
    abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto outcome =
      agent::parse(std::string_view(reinterpret_cast<const char *>(data), size), "agent.toml");
  require(outcome.config.has_value() == outcome.problems.empty());
  for (const auto &problem : outcome.problems)
    require(!problem.text().empty());
  if (!outcome.config)
    return 0;
  const agent::Config &config = *outcome.config;
  require(config.senders4.size() <= dp::AGENT_MAX_SENDERS);
  require(config.senders6.size() <= dp::AGENT_MAX_SENDERS);
  require(!config.kinds.empty());
  for (const auto &kind : config.kinds)
    require(kind.kind > 1 && kind.length >= dp::TOA_LENGTH_CDN4 && kind.length <= dp::TOA_LONGEST);
  for (uint16_t port : config.ports)
    require(port > 0);
  require(config.socket.starts_with('/'));
  return 0;
}
