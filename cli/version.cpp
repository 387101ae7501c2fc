// SPDX-License-Identifier: MIT
//
// viaduct version: this command's, and the running daemon's if there is one; after an upgrade they
// differ until the daemon is restarted.
#include "cli/command.h"
#include "cli/output.h"

#include "base/version.h"
#include "control/client.h"

namespace viaduct::cli {

namespace {

// Empty if no daemon says one.
std::string daemon_version(const std::string &socket) {
  auto client = control::Client::connect(socket, std::chrono::seconds(2));
  if (!client || !client->ask("version"))
    return {};
  auto item = client->next();
  if (!item || !*item)
    return {};
  auto found = (*item)->find("version");
  return found != (*item)->end() && found->is_string() ? found->get<std::string>() : std::string();
}

} // namespace

int version(const Options &options) {
  std::string running = daemon_version(options.socket);
  Output output;
  if (options.json) {
    JsonArray array(output);
    array.item({{"program", "viaduct"}, {"version", program_version}});
    if (!running.empty())
      array.item({{"program", "viaductd"}, {"version", running}});
    array.end();
  } else {
    output.write(fmt::format("viaduct {}\n", program_version));
    if (!running.empty())
      output.write(fmt::format("viaductd {}, running\n", printable(running)));
  }
  return output.finish(exit_good);
}

} // namespace viaduct::cli
