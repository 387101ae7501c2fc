// SPDX-License-Identifier: MIT
//
// What the subcommands share: the options that every one has, and the exit codes.
#pragma once

#include "base/result.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace viaduct::cli {

enum Exit : int {
  exit_good = 0,
  exit_failed = 1,        // viaductd said no, or cannot be reached
  exit_usage = 2,         // wrong command line or configuration
  exit_sick = 3,          // doctor: something does not work
  exit_not_forwarded = 3, // trace: the packet would not go on
  exit_worrying = 4,      // doctor: something should be done, but all works
};

struct Options {
  std::string socket = "/run/viaduct/control.sock";
  bool json = false;
  bool all = false;                // show counters
  std::string what;                // show, clear
  std::vector<std::string> filter; // show, clear
  std::string watch;               // show: seconds; empty: once
  std::string file;                // check, doctor
  bool canonical = false;          // check
  std::string reason;              // explain
  std::vector<std::string> words;  // trace: the packet
  std::string pcap, packet;        // trace: a capture, and which of its packets
};

// One line of the table in main.cpp.
struct Subcommand {
  const char *name;
  const char *help;
  void (*add_options)(CLI::App &app, Options &options); // may be null
  int (*run)(const Options &options);
};

// What the daemon is asked for beside the command: the filter, if there is one.
nlohmann::json filter_member(const Options &options);

// What makes a counter grow, and what to do: for people, in lines of a terminal's width.
std::string reason_advice(std::string_view causes, std::string_view advice);

// "viaduct: MESSAGE" on standard error, on one line and without control characters.
void complain(std::string_view message);
// For another program than viaduct.
void set_program_name(const char *name);

void check_options(CLI::App &app, Options &options);
int check(const Options &options);
void doctor_options(CLI::App &app, Options &options);
int doctor(const Options &options);
void clear_options(CLI::App &app, Options &options);
int clear(const Options &options);
void explain_options(CLI::App &app, Options &options);
int explain(const Options &options);
void show_options(CLI::App &app, Options &options);
int show(const Options &options);
void monitor_options(CLI::App &app, Options &options);
int monitor(const Options &options);
int reload(const Options &options);
void trace_options(CLI::App &app, Options &options);
int trace(const Options &options);
void version_options(CLI::App &app, Options &options);
int version(const Options &options);

} // namespace viaduct::cli
