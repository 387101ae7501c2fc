// SPDX-License-Identifier: MIT
//
// Direct ports: which ports of the machine carry the programs of datapath/bpf/direct.h, and how.
// What a port cannot have is no reason not to start: it is said, and tried again when links change.
//
// The programs stay when the daemon dies, like the one of the interface; a successor puts his own
// in their place and takes away those of ports that are not direct any more. At tc, whose a program
// is its name tells and the interface's index, which is the handle of the filter: two instances can
// share a port. XDP has room for one; who holds the link (xdp_links.h) owns it.
#pragma once

#include "base/result.h"
#include "config/config.h"
#include "datapath/types.h"
#include "nvi/netlink.h"
#include "nvi/xdp_links.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace viaduct::nvi {

class DirectPorts {
public:
  struct Port {
    std::string name;
    std::string mode;   // "tc", "xdp", "xdp-generic"; empty: it is not direct
    std::string detail; // why it is not, or not in the mode that was asked for
    bool operator==(const Port &) const = default;
  };

  // The descriptors stay the caller's. -1: there are no programs, and `why` says why not.
  struct Programs {
    int tc = -1;
    int xdp = -1;
    std::string why;
    // What the XDP program is told about a port it sits on; nullptr: it sits there no more.
    std::function<Result<void>(uint32_t index, const dp::direct_port *port)> tell;
  };

  // `nvi`: the interface's index. Programs of a predecessor are looked for at the first apply().
  static Result<DirectPorts> make(int nvi, XdpLinks links);

  // The ports that are to be direct from now on, and no others.
  void apply(const std::vector<std::string> &names, config::DirectMode mode, Programs programs);
  // The same again: ports come and go, and others take our programs off.
  void refresh();
  // Takes the programs off every port.
  void remove() { apply({}, config::DirectMode::automatic, {}); }

  // As they were after the last of these, in the order of the configuration.
  const std::vector<Port> &ports() const { return ports_; }

private:
  DirectPorts(int nvi, Netlink netlink, XdpLinks links)
      : nvi_(nvi), netlink_(std::move(netlink)), xdp_(std::move(links)) {}

  void look_after_all(const std::vector<Link> &links);
  Port look_after(const std::string &name, const std::vector<Link> &links);
  bool wants_xdp(const std::vector<Link> &links) const;
  Result<void> attach(int index);
  Result<void> detach(int index);
  Result<void> attach_xdp(const Link &link, bool generic);
  Result<Filter> filter_at(int index);
  void detach_others(const std::vector<Link> &links);
  void detach_xdp_of_others();

  int nvi_;
  Netlink netlink_;
  std::vector<std::string> names_;
  config::DirectMode mode_ = config::DirectMode::automatic;
  Programs programs_;
  bool drivers_take_xdp_ = true; // automatic: until one has refused; a reload asks again
  bool searched_ = false;        // for what a predecessor left
  std::map<int, bool> attached_; // index of a port with the tc program -> its qdisc is ours
  XdpLinks xdp_;
  std::vector<Port> ports_;
};

} // namespace viaduct::nvi
