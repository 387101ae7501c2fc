// SPDX-License-Identifier: MIT
//
// The bare XDP forwarder's other half: attaches bpf/forward.bpf.c to both ports.
#include "packetlab.h"

#include <bpf/libbpf.h>
#include <cerrno>
#include <forward.skel.h>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace viaduct::packetlab {

namespace {

struct Destroy {
  void operator()(struct forward *skeleton) const { forward__destroy(skeleton); }
  void operator()(bpf_link *link) const { bpf_link__destroy(link); }
};

} // namespace

Result<void> forward(const Options &options) {
  std::unique_ptr<struct forward, Destroy> program(forward__open_and_load());
  if (!program)
    return system_error("the kernel refused the XDP forwarder", errno);
  std::vector<std::unique_ptr<bpf_link, Destroy>> links;
  for (const std::string &device : {options.device, options.other_device}) {
    auto port = interface_index(device);
    if (!port)
      return port.failure();
    links.emplace_back(bpf_program__attach_xdp(program->progs.forward, *port));
    if (!links.back())
      return system_error("cannot attach the XDP forwarder to " + device, errno);
  }
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);)
    ;
  return {};
}

} // namespace viaduct::packetlab
