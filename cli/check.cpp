// SPDX-License-Identifier: MIT
//
// viaduct check FILE: is this configuration good? Needs neither root nor a running viaductd.
#include "cli/command.h"
#include "cli/output.h"

#include "config/config.h"

namespace viaduct::cli {

int check(const Options &options) {
  auto outcome = config::load(options.file);
  Output output;
  if (options.json) {
    JsonArray array(output);
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
        complain(problem.text());
    return output.finish(exit_usage);
  }
  if (options.canonical)
    output.write(config::canonical(*outcome.config));
  else if (!options.json)
    output.write(printable(options.file) + ": good\n");
  return output.finish(exit_good);
}

} // namespace viaduct::cli
