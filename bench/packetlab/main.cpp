// SPDX-License-Identifier: MIT
//
// packetlab: a table of subcommands; each has its own file.
#include "packetlab.h"

#include <array>
#include <bpf/libbpf.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <net/if.h>

namespace viaduct::packetlab {

Result<int> interface_index(const std::string &device) {
  unsigned index = if_nametoindex(device.c_str());
  if (index == 0)
    return error("there is no interface {} in this network namespace", device);
  return static_cast<int>(index);
}

Result<void> good(const char *what, int code) {
  if (code < 0)
    return system_error(what, -code);
  return {};
}

namespace {

struct Subcommand {
  const char *name;
  const char *help;
  void (*options)(CLI::App &, Options &);
  Result<void> (*run)(const Options &);
};

constexpr std::array<Subcommand, 4> subcommands = {{
    {"generate", "Send small UDP frames as fast as one CPU can, or at a rate", generate_options,
     generate},
    {"sink",
     "Count and drop those frames at a port; each line on standard input is answered with "
     "the counts, its end ends it",
     sink_options, sink},
    {"forward", "Forward IPv6 between two ports in XDP, until standard input ends", forward_options,
     forward},
    {"steps", "Time the BPF build of the data path, step by step", nullptr, time_steps},
}};

int run(int argc, char **argv) {
  Options options;
  CLI::App app("Sends, forwards and counts frames in the network namespaces of a lab", "packetlab");
  app.require_subcommand(1);
  std::array<CLI::App *, subcommands.size()> parsers{};
  for (size_t i = 0; i < subcommands.size(); i++) {
    parsers[i] = app.add_subcommand(subcommands[i].name, subcommands[i].help);
    if (subcommands[i].options != nullptr)
      subcommands[i].options(*parsers[i], options);
  }
  CLI11_PARSE(app, argc, argv);
  for (size_t i = 0; i < subcommands.size(); i++) {
    if (!parsers[i]->parsed())
      continue;
    auto done = subcommands[i].run(options);
    if (!done)
      fprintf(stderr, "packetlab: %s\n", done.failure().message.c_str());
    return done ? 0 : 1;
  }
  return 2;
}

} // namespace

} // namespace viaduct::packetlab

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  try {
    return viaduct::packetlab::run(argc, argv);
  } catch (const std::exception &failure) {
    fprintf(stderr, "packetlab: %s\n", failure.what());
    return 1;
  }
}
