// SPDX-License-Identifier: MIT
//
// The subcommands of viaduct-agent that ask or look; each gives the program's exit code.
#pragma once

#include <string>

namespace viaduct::agent {

struct Options {
  std::string socket = "/run/viaduct-agent/control.sock";
  std::string file = "/etc/viaduct-agent/agent.toml";
  std::string what = "status"; // show
  bool json = false;
};

int check(const Options &options);
int show(const Options &options);
int toa_stats(const Options &options); // as /proc/net/toa_stats has them
int uoa_stats(const Options &options); // as /proc/net/uoa_stats
int doctor(const Options &options);
int reload(const Options &options);

} // namespace viaduct::agent
