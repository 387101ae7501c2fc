// SPDX-License-Identifier: MIT
//
// The handler of a daemon without packets: real answers from fake tables.
#pragma once

#include "control/requests.h"
#include "control/trace.h"
#include "control/views.h"
#include "tests/cli/fake_tables.h"

namespace viaduct::test {

inline control::Status fake_status(const tables::Tables &tables) {
  control::Status status;
  status.engine = "tun";
  status.interface = "nvi0";
  status.pid = 4711;
  status.uptime_seconds = 7322;
  status.configuration = "/etc/viaduct/viaduct.toml";
  status.workers = 2;
  status.offloads = {"tso4", "tso6"};
  status.offloads_refused = {"uso6"};
  status.prefixes = {"64:ff9b::/96"};
  status.usage = tables.usage();
  status.dns64 = {"healthy", 1, "unbound answers"};
  return status;
}

// `reload_error`: what reload says; empty for good.
inline control::Handler fake_handler(const tables::Tables &tables,
                                     const std::string &reload_error = {}) {
  return [&tables,
          reload_error](const std::string &command,
                        const nlohmann::json &request) -> Result<std::unique_ptr<control::Answer>> {
    if (command == "status")
      return control::one_item(control::status_item(fake_status(tables)));
    if (command == "sessions")
      return control::sessions_request(tables, request, [] { return fake_now; });
    if (command == "bindings")
      return control::bindings_request(tables, request);
    if (command == "pools")
      return control::pools_answer(tables, fake_pool());
    if (command == "maps")
      return control::maps_answer(fake_maps());
    if (command == "counters")
      return control::counters_answer(tables.counters());
    if (command == "clear") // fake rows cannot end: says how many would have
      return control::clear_request(request, [&tables](const tables::Keep &keep) {
        std::vector<tables::SessionRow> rows;
        for (uint64_t at = tables.sessions(0, 1000, rows); at != 0;)
          at = tables.sessions(at, 1000, rows);
        for (const auto &row : rows)
          keep(row.key, row.value);
      });
    if (command == "trace")
      return control::trace_request(tables, request, [] { return fake_now; });
    if (command == "version")
      return control::one_item(control::version_item());
    if (command == "reload" && reload_error.empty())
      return control::no_items();
    if (command == "reload")
      return Error{reload_error};
    return control::unknown_command(command);
  };
}

} // namespace viaduct::test
