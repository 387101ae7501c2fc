// SPDX-License-Identifier: MIT
//
// viaduct monitor: what happens to sessions and bindings, a line for each event, until it is
// interrupted or the daemon ends.
#include "cli/command.h"
#include "cli/output.h"

#include "control/client.h"

#include <csignal>
#include <cstdio>
#include <unistd.h>

namespace viaduct::cli {

namespace {

using nlohmann::json;

std::string session_text(const json &item) {
  return fmt::format("{} to {} as {}", text(item, "inside", "source"),
                     text(item, "outside", "destination"), text(item, "outside", "source"));
}

std::string event_text(const json &item) {
  std::string event = text(item, "event");
  std::string line = fmt::format("{}  {:<13}  ", text(item, "time"), event);
  if (event == "lost")
    return line + text(item, "count") + " events lost";
  if (event == "begun")
    return line + "what happens from here on";
  line += fmt::format("{:<4}  ", text(item, "protocol"));
  if (event.starts_with("binding_"))
    return line + fmt::format("{} as {}", text(item, "inside"), text(item, "outside"));
  line += session_text(item);
  if (event == "session_moved")
    return line + fmt::format(", {} to {}", text(item, "from"), text(item, "state"));
  if (event == "session_ended")
    return line + fmt::format(", {}, {} packets, {} bytes", text(item, "why"),
                              text(item, "packets"), text(item, "bytes"));
  return line + ", " + text(item, "state");
}

// Lines are whole when they leave, so the end may come at any time.
void end_well(int) {
  _exit(exit_good);
}

} // namespace

int monitor(const Options &options) {
  constexpr std::chrono::milliseconds for_ever(-1);
  signal(SIGINT, end_well);
  signal(SIGTERM, end_well);
  auto client = control::Client::connect(options.socket, for_ever);
  Result<void> asked = client ? client->ask("monitor", filter_member(options)) : client.failure();
  if (!asked) {
    complain(asked.failure().message);
    return exit_failed;
  }
  Output output;
  for (;;) {
    auto item = client->next();
    if (!item || !*item) {
      complain(item ? "viaductd has ended the monitor" : item.failure().message);
      return output.finish(exit_failed);
    }
    std::string line = options.json ? (*item)->dump(-1, ' ', false, json::error_handler_t::replace)
                                    : event_text(**item);
    if (!output.write(line + "\n") || fflush(stdout) != 0)
      return output.finish(exit_good); // the reader has gone
  }
}

} // namespace viaduct::cli
