// SPDX-License-Identifier: MIT
//
// The header that stands before each packet on a tun with IFF_VNET_HDR (struct virtio_net_hdr, in
// host order): partial checksums and segmentation. A super-packet of TCP or UDP crosses whole: only
// its header lengths and its family change here.
#pragma once

#include "datapath/native/native.h"

#include <cstdint>

namespace viaduct::nvi {

// struct virtio_net_hdr of linux/virtio_net.h, which is not C++. Host order on a tun that was not
// told otherwise.
struct VnetHeader {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;     // of all headers, for super-packets
  uint16_t gso_size;    // payload of each segment
  uint16_t csum_start;  // where the checksum begins to be counted
  uint16_t csum_offset; // from there to its field
};
static_assert(sizeof(VnetHeader) == 10);

constexpr uint8_t VNET_NEEDS_CSUM = 1;
constexpr uint8_t VNET_GSO_NONE = 0;
constexpr uint8_t VNET_GSO_TCPV4 = 1;
constexpr uint8_t VNET_GSO_TCPV6 = 4;
constexpr uint8_t VNET_GSO_UDP_L4 = 5; // datagrams of one size, of either family; Linux 6.2
constexpr uint8_t VNET_GSO_ECN = 0x80; // beside the type: the first segment alone carries CWR

// Fills `frame` from what the kernel said; data and length are set already. Its transport header is
// said only of super-packets. False: the header does not fit the packet.
bool take_offloads(const VnetHeader &header, dp::frame &frame);

// TCP's segments may be made smaller on the way, UDP's datagrams may not: a super-packet of them
// that came from IPv4 with DF clear, and might have to be fragmented for IPv6, is taken apart
// first.
bool must_be_taken_apart(const VnetHeader &header, const dp::frame &frame);

// After a packet was translated: the header it goes back with. `old_length` is its length before.
// False: the checksum that is left to do was not the one that was translated, or the segments are
// of another protocol.
bool give_offloads(VnetHeader &header, const dp::frame &frame, uint32_t old_length);

} // namespace viaduct::nvi
