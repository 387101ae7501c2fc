// SPDX-License-Identifier: MIT
//
// viaduct reload: the daemon reads its configuration again. Wrong: it keeps the old one and says
// why.
#include "cli/command.h"
#include "cli/output.h"

#include "control/client.h"

namespace viaduct::cli {

int reload(const Options &options) {
  auto client = control::Client::connect(options.socket);
  if (!client) {
    complain(client.failure().message);
    return exit_failed;
  }
  auto asked = client->ask("reload");
  for (bool more = bool(asked); more;) {
    auto item = client->next();
    if (!item)
      asked = item.failure();
    more = item && *item;
  }
  if (!asked) {
    complain(asked.failure().message);
    return exit_failed;
  }
  Output output;
  output.write("reloaded\n");
  return output.finish(exit_good);
}

} // namespace viaduct::cli
