// SPDX-License-Identifier: MIT
//
// viaduct: the operator's command. A table of subcommands; each has its own file.
#include "cli/command.h"
#include "cli/output.h"

#include "base/version.h"

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <sstream>

namespace {

using namespace viaduct;

constexpr std::array<cli::Subcommand, 9> subcommands = {{
    {"check", "Check a configuration file, without a running viaductd", cli::check_options,
     cli::check},
    {"show", "Show the status, or the sessions, bindings, pools, maps or counters",
     cli::show_options, cli::show},
    {"reload", "Make viaductd read its configuration again; if that is wrong, the old one stays",
     nullptr, cli::reload},
    {"clear", "End sessions: those that a filter names, or all", cli::clear_options, cli::clear},
    {"doctor",
     "Say what is wrong with this gateway and what to do; changes nothing, works without viaductd",
     cli::doctor_options, cli::doctor},
    {"monitor", "Show sessions and bindings as they are made and end, until interrupted",
     cli::monitor_options, cli::monitor},
    {"trace", "Walk a packet through the gateway, dry: say what would become of it, and why",
     cli::trace_options, cli::trace},
    {"explain",
     "Say what a counter means, what makes it grow and what to do; works without viaductd",
     cli::explain_options, cli::explain},
    {"version", "Print this command's version, and the running viaductd's", cli::version_options,
     cli::version},
}};

constexpr const char *examples = R"(Examples:
  viaduct show                       how the gateway is
  viaduct show sessions              who talks to whom
  viaduct show sessions --filter "protocol=tcp remote=192.0.2.0/24"
  viaduct clear sessions --filter inside=2001:db8:64::10
  viaduct show counters --json       for scripts: a JSON array of objects
  viaduct explain no_port            what this counter means, and what to do
  sudo viaduct doctor                what is wrong, and what to do
  viaduct monitor --filter inside=2001:db8:64::10
  viaduct trace tcp from 2001:db8:64::10 port 40000 to 64:ff9b::c633:6450 port 80
  viaduct check viaduct.toml && viaduct reload

Environment:
  VIADUCT_SOCKET                     the control socket, unless --socket says another

Exit codes:
  0  good
  1  viaductd said no, or cannot be reached
  2  wrong usage, or a wrong configuration
  3  doctor: something does not work; trace: the packet would not go on
  4  doctor: all works, but something should be done)";

// Help is no failure; whatever else the parser throws is wrong usage.
int parse_failure(const CLI::App &app, const CLI::ParseError &failure) {
  if (failure.get_exit_code() == 0) {
    std::ostringstream text;
    app.exit(failure, text, text);
    cli::Output output;
    output.write(text.str());
    return output.finish(cli::exit_good);
  }
  cli::complain(std::string(failure.what()) + " (viaduct --help tells more)");
  return cli::exit_usage;
}

int run(int argc, char **argv) {
  cli::Options options;
  CLI::App app("The operator's command of the Viaduct NAT64 gateway", "viaduct");
  app.fallthrough(); // --socket may also stand behind the subcommand
  app.require_subcommand(1);
  app.footer(examples);
  app.set_version_flag("--version", std::string("viaduct ") + program_version);
  app.add_option("--socket", options.socket, "viaductd's control socket")
      ->envname("VIADUCT_SOCKET")
      ->type_name("PATH")
      ->capture_default_str();
  std::array<CLI::App *, subcommands.size()> parsers{};
  for (size_t i = 0; i < subcommands.size(); i++) {
    parsers[i] = app.add_subcommand(subcommands[i].name, subcommands[i].help);
    if (subcommands[i].add_options != nullptr)
      subcommands[i].add_options(*parsers[i], options);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &failure) {
    return parse_failure(app, failure);
  }
  for (size_t i = 0; i < subcommands.size(); i++)
    if (parsers[i]->parsed())
      return subcommands[i].run(options);
  return cli::exit_usage;
}

} // namespace

int main(int argc, char **argv) {
  // A reader that goes away is an error of write, which ends us quietly (Output::finish).
  signal(SIGPIPE, SIG_IGN);
  try {
    return run(argc, argv);
  } catch (const std::exception &failure) {
    cli::complain(failure.what());
    return cli::exit_failed;
  }
}
