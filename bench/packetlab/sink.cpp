// SPDX-License-Identifier: MIT
//
// The sink's other half: attaches bpf/sink.bpf.c to a port and tells what it has counted.
#include "packetlab.h"

#include "bench/packetlab/frame.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cmath>
#include <fmt/format.h>
#include <iostream>
#include <memory>
#include <sink.skel.h>
#include <string>
#include <vector>

namespace viaduct::packetlab {

namespace {

struct Destroy {
  void operator()(struct sink *skeleton) const { sink__destroy(skeleton); }
};
using Program = std::unique_ptr<struct sink, Destroy>;

arrivals arrived(const Program &program) {
  std::vector<arrivals> values(static_cast<size_t>(libbpf_num_possible_cpus()));
  uint32_t first = 0;
  arrivals sum{};
  if (bpf_map_lookup_elem(bpf_map__fd(program->maps.arrived), &first, values.data()) < 0)
    return sum;
  for (const arrivals &one : values) {
    sum.packets += one.packets;
    sum.bytes += one.bytes;
    sum.bad += one.bad;
  }
  return sum;
}

// The middle of what falls into a class (latency_class in bpf/sink.bpf.c).
uint64_t nanoseconds(uint32_t index) {
  uint32_t power = index / LATENCY_STEPS;
  if (power < LATENCY_STEPS_BITS)
    return index;
  uint64_t step = uint64_t{1} << (power - LATENCY_STEPS_BITS);
  return (LATENCY_STEPS + index % LATENCY_STEPS) * step + step / 2;
}

// {"nanoseconds": frames, ...} of the classes that are not empty.
std::string latencies(const Program &program) {
  std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()));
  std::string text;
  for (uint32_t index = 0; index < LATENCY_CLASSES; index++) {
    if (bpf_map_lookup_elem(bpf_map__fd(program->maps.latencies), &index, values.data()) < 0)
      continue;
    uint64_t sum = 0;
    for (uint64_t one : values)
      sum += one;
    if (sum > 0)
      text += fmt::format("{}\"{}\": {}", text.empty() ? "" : ", ", nanoseconds(index), sum);
  }
  return text;
}

} // namespace

Result<void> sink(const Options &options) {
  auto port = interface_index(options.device);
  if (!port)
    return port.failure();
  Program program(sink__open());
  if (!program)
    return system_error("cannot open the sink", errno);
  program->rodata->verify = options.verify;
  if (auto loaded = good("the kernel refused the sink", sink__load(program.get())); !loaded)
    return loaded;
  program->links.sink = bpf_program__attach_xdp(program->progs.sink, *port);
  if (program->links.sink == nullptr)
    return system_error("cannot attach the sink to " + options.device, errno);

  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    arrivals sum = arrived(program);
    std::cout << fmt::format(
                     "{{\"packets\": {}, \"bytes\": {}, \"bad\": {}, \"latencies\": {{{}}}}}",
                     sum.packets, sum.bytes, sum.bad, latencies(program))
              << std::endl;
  }
  return {};
}

} // namespace viaduct::packetlab
