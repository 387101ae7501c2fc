// SPDX-License-Identifier: MIT
//
// packetlab: a table of subcommands; each has its own file. Their command lines stand here, since
// CLI11 takes its time to compile.
#include "packetlab.h"

#include <CLI/CLI.hpp>
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

void generate_options(CLI::App &app, Options &options) {
  app.add_option("device", options.device, "The port it sends through")->required();
  app.add_option("target", options.target, "The destination: IPv6 or IPv4")->required();
  app.add_option("--to", options.to, "MAC address of the next hop")->required();
  app.add_option("--flows", options.flows, "Sources; 0: each frame has another one")
      ->capture_default_str();
  app.add_option("--first", options.first, "Which flow is the first");
  auto *frames = app.add_option("--frames", options.frames, "How many frames")
                     ->check(CLI::Range(1, INT32_MAX));
  app.add_option("--seconds", options.seconds, "Or for how long")
      ->excludes(frames)
      ->check(CLI::Range(0.01, 60.0));
  app.add_option("--batch", options.batch, "Frames that leave together")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--rate", options.rate, "Frames a second; 0: as many as can be");
  app.add_flag("--stamp", options.stamp, "Write the time of sending into each frame");
}

void sink_options(CLI::App &app, Options &options) {
  app.add_option("device", options.device, "The port")->required();
  app.add_flag("--verify", options.verify, "Calculate every checksum anew and count wrong ones");
}

void forward_options(CLI::App &app, Options &options) {
  app.add_option("device", options.device, "A port")->required();
  app.add_option("other", options.other_device, "The other port")->required();
}

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
