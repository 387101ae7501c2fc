// SPDX-License-Identifier: MIT
//
// viaduct doctor: what is wrong with this gateway, and what to do about it, a line for each check.
// Looks and changes nothing; works without a running viaductd, and without root as far as it goes.
#include "cli/command.h"
#include "cli/output.h"

#include "doctor/doctor.h"

namespace viaduct::cli {

int doctor(const Options &options) {
  using doctor::Level;
  const doctor::Facts facts = doctor::look({.socket = options.socket, .file = options.file});
  Output output;
  JsonArray array(output);
  Level worst = Level::ok;
  for (const doctor::Check &check : doctor::checks()) {
    const doctor::Finding found = check.examine(facts);
    worst = std::max(worst, found.level);
    const char *level = doctor::level_name(found.level);
    if (options.json) {
      array.item({{"check", check.name},
                  {"level", level},
                  {"text", found.text},
                  {"advice", found.advice}});
      continue;
    }
    output.write(fmt::format("{:<5} {:<22} {}\n", level, check.name, printable(found.text)));
    if (!found.advice.empty())
      output.write(fmt::format("{:<28} {}\n", "", "do: " + printable(found.advice)));
  }
  if (options.json)
    array.end();
  return output.finish(worst == Level::fail   ? exit_sick
                       : worst == Level::warn ? exit_worrying
                                              : exit_good);
}

} // namespace viaduct::cli
