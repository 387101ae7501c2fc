// SPDX-License-Identifier: MIT
//
// viaduct clear sessions: ends those that a filter names. All only if that is said: a slip of the
// hand must not cut everybody off.
#include "cli/command.h"
#include "cli/output.h"

#include "control/client.h"

namespace viaduct::cli {

nlohmann::json filter_member(const Options &options) {
  auto more = nlohmann::json::object();
  if (!options.filter.empty())
    more["filter"] = fmt::format("{}", fmt::join(options.filter, " "));
  return more;
}

int clear(const Options &options) {
  if (options.all == !options.filter.empty()) {
    complain("clear sessions needs either --filter TERMS or --all");
    return exit_usage;
  }
  auto request = filter_member(options);
  if (options.all)
    request["all"] = true;
  auto client = control::Client::connect(options.socket);
  Result<void> asked = client ? client->ask("clear", request) : client.failure();
  auto item = asked ? client->next() : asked.failure();
  if (!item || !*item) {
    complain(item ? "viaductd did not say how many sessions it ended" : item.failure().message);
    return exit_failed;
  }
  Output output;
  if (options.json) {
    JsonArray array(output);
    array.item(**item);
    array.end();
  } else {
    auto ended = (*item)->value("ended", uint64_t{0});
    output.write(fmt::format("{} session{} ended\n", ended, ended == 1 ? "" : "s"));
  }
  return output.finish(exit_good);
}

} // namespace viaduct::cli
