// SPDX-License-Identifier: MIT
//
// The handler of a daemon without packets: real answers from fake tables.
#pragma once

#include "control/monitor.h"
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
  status.offloads_missing = {"tso_ecn"};
  status.prefixes = {"64:ff9b::/96"};
  status.usage = tables.usage();
  status.dns64 = {"healthy", 1, "unbound answers"};
  return status;
}

// A binding and a TCP session of it, from the first to the last.
inline std::vector<dp::event> fake_events() {
  auto row = FakeTables::session_row(0);
  dp::event event{};
  event.key = row.key;
  event.session = row.value;
  std::vector<dp::event> events(5, event);
  for (uint32_t kind = 0; kind < dp::EVENT_KINDS; kind++)
    events[kind].kind = kind;
  events[dp::EVENT_SESSION_MADE].session.state = dp::STATE_V6_INIT;
  events[dp::EVENT_SESSION_MOVED].old_state = dp::STATE_V6_INIT;
  events[dp::EVENT_SESSION_ENDED].why = dp::WHY_CLOSED;
  std::swap(events[1], events[4]);
  std::swap(events[1], events[2]);
  std::swap(events[2], events[3]);
  return events;
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
      return control::clear_request(request, [&tables](const tables::Cause &cause) {
        std::vector<tables::SessionRow> rows;
        for (uint64_t at = tables.sessions(0, 1000, rows); at != 0;)
          at = tables.sessions(at, 1000, rows);
        for (const auto &row : rows)
          cause(row.key, row.value);
      });
    if (command == "monitor") { // has heard all that happens when it begins, and waits
      static FakeTables watched(0);
      static control::Monitors monitors(watched);
      auto answer = monitors.request(request);
      watched.happened = fake_events();
      watched.lost_events = 12;
      if (answer)
        monitors.turn();
      return answer;
    }
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
