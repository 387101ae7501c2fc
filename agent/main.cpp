// SPDX-License-Identifier: MIT
//
// viaduct-agent: the real client address on a backend. `run` stays until SIGTERM, which takes
// everything away, or SIGUSR1, which leaves all for a successor; the other subcommands ask or look.
//
// Exit codes: 0 as asked, 1 cannot (one sentence says why), 2 wrong usage or configuration; doctor:
// 3 something does not work, 4 something should be done.
#include "agent/commands.h"
#include "agent/daemon.h"
#include "base/version.h"
#include "cli/command.h"
#include "control/answer.h"
#include "log/log.h"

#include <CLI/CLI.hpp>

#include <csignal>
#include <exception>
#include <iostream>
#include <string>

namespace {

using viaduct::agent::Options;

int serve(const Options &options, bool socket_given) {
  auto outcome = viaduct::agent::load(options.file);
  if (!outcome.config) {
    for (const auto &problem : outcome.problems)
      viaduct::cli::complain(problem.text());
    return 2;
  }
  viaduct::log::setup("viaduct-agent");
  std::signal(SIGPIPE, SIG_IGN); // a client that goes away is an error of its write, not our end
  if (socket_given)
    outcome.config->socket = options.socket;
  viaduct::agent::Daemon daemon(options.file, std::move(*outcome.config));
  auto done = daemon.start();
  if (done)
    done = daemon.run();
  if (!done) {
    viaduct::log::failure("cannot_run", {{"error", done.failure().message}});
    return 1;
  }
  return 0;
}

int run(int argc, char **argv) {
  CLI::App app("viaduct-agent: programs on this machine see the client behind a load balancer that "
               "sends TOA or UOA.");
  Options options;
  app.set_version_flag("--version", std::string("viaduct-agent ") + viaduct::program_version);
  app.require_subcommand(1);
  auto *socket = app.add_option("--socket", options.socket, "The agent's control socket")
                     ->type_name("PATH")
                     ->capture_default_str();
  app.fallthrough(); // --socket may stand behind the subcommand
  auto *serve_command = app.add_subcommand("run", "Stay in the foreground and do the work");
  serve_command->add_option("--config", options.file, "The configuration file")
      ->type_name("FILE")
      ->capture_default_str();
  auto *check = app.add_subcommand("check", "Is this configuration good?");
  check->add_option("file", options.file, "The configuration file")->type_name("FILE")->required();
  auto *show = app.add_subcommand("show", "What the agent does and has seen");
  show->add_option("what", options.what, "status, counters or connections")
      ->check(CLI::IsMember({"status", "counters", "connections"}));
  auto *stats = app.add_subcommand("toa-stats", "The counters as /proc/net/toa_stats has them");
  auto *uoa = app.add_subcommand("uoa-stats", "The counters as /proc/net/uoa_stats has them");
  auto *doctor = app.add_subcommand("doctor", "What of this machine helps or hinders the agent");
  app.add_subcommand("reload", "Read the configuration again");
  for (auto *command : {check, show, doctor})
    command->add_flag("--json", options.json, "For programs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &failure) {
    return app.exit(failure) == 0 ? 0 : 2;
  }
  if (serve_command->parsed())
    return serve(options, socket->count() > 0);
  if (check->parsed())
    return viaduct::agent::check(options);
  if (show->parsed())
    return viaduct::agent::show(options);
  if (stats->parsed())
    return viaduct::agent::toa_stats(options);
  if (uoa->parsed())
    return viaduct::agent::uoa_stats(options);
  return doctor->parsed() ? viaduct::agent::doctor(options) : viaduct::agent::reload(options);
}

} // namespace

int main(int argc, char **argv) {
  viaduct::control::set_daemon_name("viaduct-agent");
  viaduct::cli::set_program_name("viaduct-agent");
  try {
    return run(argc, argv);
  } catch (const std::exception &failure) { // out of memory, at the most
    std::cerr << "viaduct-agent: " << failure.what() << '\n';
    return 1;
  }
}
