// SPDX-License-Identifier: MIT
//
// viaduct check FILE: is this configuration good? Needs neither root nor a running viaductd.
#include "cli/command.h"
#include "cli/output.h"

#include "config/config.h"

namespace viaduct::cli {

void check_options(CLI::App &app, Options &options) {
  app.add_option("FILE", options.file, "The configuration to check")->required();
  auto *json = app.add_flag("--json", options.json, "Print the problems as a JSON array")
                   ->disable_flag_override();
  app.add_flag("--canonical,--print", options.canonical,
               "Print the checked configuration with every default filled in")
      ->disable_flag_override()
      ->excludes(json);
}

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
