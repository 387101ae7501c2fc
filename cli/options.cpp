// SPDX-License-Identifier: MIT
//
// The command line of each subcommand. In one file, since CLI11 takes its time to compile.
#include "cli/command.h"

#include <CLI/CLI.hpp>

namespace viaduct::cli {

namespace {

void filter_option(CLI::App &app, Options &options) {
  app.add_option("--filter", options.filter,
                 "Only these: terms such as protocol=tcp, inside=2001:db8::/64, "
                 "outside=203.0.113.10, remote=192.0.2.0/24, port=443, state!=established, with a "
                 "space between them; all must hold")
      ->type_name("TERMS")
      ->expected(1)
      ->take_all();
}

} // namespace

void check_options(CLI::App &app, Options &options) {
  app.add_option("FILE", options.file, "The configuration to check")->required();
  auto *json = app.add_flag("--json", options.json, "Print the problems as a JSON array")
                   ->disable_flag_override();
  app.add_flag("--canonical,--print", options.canonical,
               "Print the checked configuration with every default filled in")
      ->disable_flag_override()
      ->excludes(json);
}

void show_options(CLI::App &app, Options &options) {
  app.add_option("WHAT", options.what, "status, sessions, bindings, pools, maps or counters")
      ->default_str("status")
      ->check(CLI::IsMember({"status", "sessions", "bindings", "pools", "maps", "counters"}));
  app.add_flag("--json", options.json, "Print a JSON array of objects")->disable_flag_override();
  app.add_flag("--all", options.all,
               "Counters: also those that are zero (with --json they always are)")
      ->disable_flag_override();
  filter_option(app, options);
  app.add_flag("--watch{2}", options.watch,
               "Again every so many seconds (--watch=SECONDS), until interrupted; 2 if not given");
}

void clear_options(CLI::App &app, Options &options) {
  app.add_option("WHAT", options.what, "sessions")->required()->check(CLI::IsMember({"sessions"}));
  filter_option(app, options);
  app.add_flag("--all", options.all, "All sessions")->disable_flag_override();
  app.add_flag("--json", options.json, "Print a JSON array with one object")
      ->disable_flag_override();
}

void doctor_options(CLI::App &app, Options &options) {
  app.add_option(
      "FILE", options.file,
      "The configuration; otherwise the running viaductd's, or /etc/viaduct/viaduct.toml");
  app.add_flag("--json", options.json, "Print a JSON array of objects")->disable_flag_override();
}

void monitor_options(CLI::App &app, Options &options) {
  filter_option(app, options);
  app.add_flag("--json", options.json, "Print a JSON object a line")->disable_flag_override();
}

void trace_options(CLI::App &app, Options &options) {
  app.add_option("PACKET", options.words,
                 "tcp, udp, icmp or protocol NUMBER; from ADDRESS [port NUMBER]; to ADDRESS "
                 "[port NUMBER]; ttl, tos, length NUMBER; df; TCP: syn, ack, fin, rst, psh, urg, "
                 "sequence NUMBER; ICMP: echo, reply, id NUMBER, or an error (no-route, "
                 "prohibited, host-unreachable, port-unreachable, too-big, ttl-exceeded, or type "
                 "and code NUMBER; mtu NUMBER) about PACKET")
      ->type_name("WORDS");
  app.add_option("--pcap", options.pcap, "A capture, instead of words")->type_name("FILE");
  app.add_option("--packet", options.packet, "Which packet of the capture; the first is 1")
      ->type_name("NUMBER");
  app.add_flag("--json", options.json, "Print a JSON array of objects")->disable_flag_override();
}

void explain_options(CLI::App &app, Options &options) {
  app.add_option("COUNTER", options.reason, "The counter's name; without one, all are listed");
  app.add_flag("--json", options.json, "Print a JSON array of objects")->disable_flag_override();
}

void version_options(CLI::App &app, Options &options) {
  app.add_flag("--json", options.json, "Print a JSON array")->disable_flag_override();
}

} // namespace viaduct::cli
