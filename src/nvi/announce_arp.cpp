// SPDX-License-Identifier: MIT
#include "base/fd.h"
#include "nvi/network.h"

#include <cerrno>
#include <cstring>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace viaduct::nvi {

Result<void> announce_arp(const Link &port, const Ipv4 &address) {
  struct Frame {
    ether_header ethernet;
    ether_arp arp;
  };
  static_assert(sizeof(Frame) == 42);
  const std::string what = fmt::format("cannot announce {} on {}", address.text(), port.name);
  if (port.type != ARPHRD_ETHER || port.hardware_address.size() != ETH_ALEN)
    return error("{}: it is no Ethernet", what);

  Frame frame{};
  std::memset(frame.ethernet.ether_dhost, 0xff, ETH_ALEN);
  std::memcpy(frame.ethernet.ether_shost, port.hardware_address.data(), ETH_ALEN);
  frame.ethernet.ether_type = htons(ETHERTYPE_ARP);
  frame.arp.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                      .ar_pro = htons(ETHERTYPE_IP),
                      .ar_hln = ETH_ALEN,
                      .ar_pln = 4,
                      .ar_op = htons(ARPOP_REQUEST)};
  std::memcpy(frame.arp.arp_sha, port.hardware_address.data(), ETH_ALEN);
  std::memcpy(frame.arp.arp_spa, address.bytes.data(), 4);
  std::memcpy(frame.arp.arp_tpa, address.bytes.data(), 4);

  const Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)); // protocol 0: receives nothing
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = port.index;
  if (!fd || ::sendto(fd.get(), &frame, sizeof(frame), 0, reinterpret_cast<sockaddr *>(&to),
                      sizeof(to)) < 0)
    return system_error(what, errno);
  return {};
}

} // namespace viaduct::nvi
