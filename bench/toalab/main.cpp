// SPDX-License-Identifier: MIT
//
// toalab: a table of subcommands; each has its own file.
#include "toalab.h"

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdio>

namespace viaduct::toalab {

namespace {

void where_options(CLI::App &app, Options &options) {
  app.add_option("address", options.address, "Where it listens")->required();
  app.add_option("port", options.port, "Where it listens")->required();
}

void serve_options(CLI::App &app, Options &options) {
  where_options(app, options);
  app.add_flag("--close", options.close_at_once, "Reset each connection as soon as it is accepted");
  app.add_flag("--spin", options.spin,
               "Never sleep: what it takes to wake a processor, a virtual one mostly, is no part "
               "of what is measured");
}

void names_options(CLI::App &app, Options &options) {
  where_options(app, options);
  app.add_option("--calls", options.calls, "How often each is called")
      ->check(CLI::Range(1000, 100'000'000))
      ->capture_default_str();
}

void amount_options(CLI::App &app, Options &options) {
  auto *connections = app.add_option("--connections", options.connections, "How many")
                          ->check(CLI::Range(1, 10'000'000))
                          ->capture_default_str();
  app.add_option("--seconds", options.seconds, "Or for how long")
      ->excludes(connections)
      ->check(CLI::Range(0.01, 60.0));
  // Four packets of each at most lie in a processor's queue at once, which holds 1000.
  app.add_option("--window", options.window, "How many at once")
      ->check(CLI::Range(1, 200))
      ->capture_default_str();
}

void send_options(CLI::App &app, Options &options) {
  app.add_option("device", options.device, "The port it sends through")->required();
  app.add_option("--to", options.to, "MAC address of the server")->required();
  app.add_option("--server4", options.server4, "Its IPv4 address")->required();
  app.add_option("--server6", options.server6, "Its IPv6 address")->required();
  app.add_option("--port4", options.port4, "Port of its IPv4 socket")->required();
  app.add_option("--port6", options.port6, "Port of its dual-stack socket");
  app.add_option("--listed4", options.listed4, "Source that the agent believes")->required();
  app.add_option("--listed6", options.listed6, "Source that the agent believes")->required();
  app.add_option("--stranger4", options.stranger4, "Source that it does not believe")->required();
  app.add_option("--stranger6", options.stranger6, "Source that it does not believe")->required();
  app.add_option(
         "--mix", options.mix,
         "mixed: every way, compared; none: without TOA; ack: with one on the third packet; "
         "none-closed, ack-closed: the same, until the server's reset, no question")
      ->check(CLI::IsMember({"mixed", "none", "ack", "none-closed", "ack-closed"}))
      ->capture_default_str();
  amount_options(app, options);
}

void connect_options(CLI::App &app, Options &options) {
  app.add_option("address", options.address, "The server's")->required();
  app.add_option("port", options.port, "The server's")->required();
  app.add_option("--toa", options.toa_cgroup,
                 "Each packet after the SYN carries one: a cgroup to be in meanwhile, with nobody "
                 "else in it");
  app.add_flag(
      "--ask", options.ask,
      "Each asks for / (HTTP), and is reset when it is answered; otherwise the server resets");
  amount_options(app, options);
}

void sockets_options(CLI::App &app, Options &options) {
  app.add_option("map", options.map, "Path of the pinned map")->required();
}

struct Subcommand {
  const char *name;
  const char *help;
  void (*options)(CLI::App &, Options &);
  Result<void> (*run)(const Options &);
};

constexpr std::array<Subcommand, 5> subcommands = {{
    {"serve", "Tell each client who he is, until SIGTERM; then the sums", serve_options, serve},
    {"names", "Accept one connection, time its getpeername and getsockopt, and reset it",
     names_options, time_names},
    {"send", "Make connections and compare what the server tells", send_options, send},
    {"connect", "Make connections with the kernel's own sockets", connect_options, connect_often},
    {"sockets", "How many sockets have something in a map of socket storage", sockets_options,
     count_sockets},
}};

int run(int argc, char **argv) {
  Options options;
  CLI::App app("A sender of TOA and the server behind it, in a lab's network namespaces", "toalab");
  app.require_subcommand(1);
  std::array<CLI::App *, subcommands.size()> parsers{};
  for (size_t i = 0; i < subcommands.size(); i++) {
    parsers[i] = app.add_subcommand(subcommands[i].name, subcommands[i].help);
    subcommands[i].options(*parsers[i], options);
  }
  CLI11_PARSE(app, argc, argv);
  for (size_t i = 0; i < subcommands.size(); i++) {
    if (!parsers[i]->parsed())
      continue;
    auto done = subcommands[i].run(options);
    if (!done)
      fprintf(stderr, "toalab: %s\n", done.failure().message.c_str());
    return done ? 0 : 1;
  }
  return 2;
}

} // namespace

} // namespace viaduct::toalab

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  try {
    return viaduct::toalab::run(argc, argv);
  } catch (const std::exception &failure) {
    fprintf(stderr, "toalab: %s\n", failure.what());
    return 1;
  }
}
