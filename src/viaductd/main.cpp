// SPDX-License-Identifier: MIT
//
// viaductd: reads its configuration, starts, runs until SIGTERM and takes away what it made,
// or until SIGUSR1 and leaves that to a successor.
//
// Exit codes: 0 ended as asked, 1 cannot run (one sentence says why), 2 wrong usage or
// configuration.
#include "base/version.h"
#include "config/config.h"
#include "log/log.h"
#include "viaductd/daemon.h"

#include <CLI/CLI.hpp>

#include <csignal>
#include <exception>
#include <iostream>
#include <string>

namespace {

int serve(const std::string &path) {
  auto outcome = viaduct::config::load(path);
  if (!outcome.config) {
    for (const auto &problem : outcome.problems)
      std::cerr << "viaductd: " << problem.text() << '\n';
    return 2;
  }
  viaduct::log::setup("viaductd");
  std::signal(SIGPIPE, SIG_IGN); // a client that goes away is an error of its write, not our end
  viaduct::Daemon daemon(path, std::move(*outcome.config));
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
  CLI::App app("viaductd: NAT64 through one virtual interface, with DNS64.\n"
               "Stays in the foreground. SIGTERM ends it and removes all it made, SIGHUP reloads,\n"
               "SIGUSR1 ends it and leaves to the next one what outlives a daemon.");
  std::string path = "/etc/viaduct/viaduct.toml";
  app.add_option("--config", path, "The configuration file")
      ->type_name("FILE")
      ->capture_default_str();
  app.set_version_flag("--version", std::string("viaductd ") + viaduct::program_version);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &failure) {
    return app.exit(failure) == 0 ? 0 : 2;
  }
  return serve(path);
}

} // namespace

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception &failure) { // out of memory, at the most
    std::cerr << "viaductd: " << failure.what() << '\n';
    return 1;
  }
}
