// SPDX-License-Identifier: MIT
#include "nvi/vnet.h"

namespace viaduct::nvi {

namespace {

constexpr uint32_t SMALLEST_TCP_HEADER = 20;
constexpr uint32_t UDP_HEADER = 8;
constexpr uint32_t IPV6_HEADER = 40;
constexpr uint32_t SMALLEST_IPV6_MTU = 1280; // RFC 8200 5; [nat64] lowest_ipv6_mtu is not less
constexpr uint8_t IPV4_DF = 0x40;            // in the seventh byte

// Which headers a packet of ours has: one network header, then TCP or UDP.
bool is_ipv6(const dp::frame &frame) {
  return frame.data[0] >> 4 == 6;
}

uint8_t protocol_of(const dp::frame &translated) {
  return translated.data[is_ipv6(translated) ? 6 : 9];
}

// Where the checksum lies in its header; no other field may be written as one.
uint16_t checksum_offset(uint8_t protocol) {
  return protocol == dp::PROTOCOL_TCP ? 16 : 6;
}

// Length of the TCP header at `offset`, or 0 where there is none.
uint32_t tcp_header_length(const dp::frame &frame, uint32_t offset) {
  if (offset + SMALLEST_TCP_HEADER > frame.length)
    return 0;
  uint32_t length = (frame.data[offset + 12] >> 4) * 4U;
  return length >= SMALLEST_TCP_HEADER && offset + length <= frame.length ? length : 0;
}

// A UDP header whose length is the packet's: all the datagrams' together.
uint32_t udp_header_length(const dp::frame &frame, uint32_t offset) {
  if (offset + UDP_HEADER > frame.length)
    return 0;
  uint32_t length = frame.data[offset + 4] << 8U | frame.data[offset + 5];
  return offset + length == frame.length ? UDP_HEADER : 0;
}

uint8_t without_ecn(uint8_t type) {
  return type & static_cast<uint8_t>(~VNET_GSO_ECN);
}

// The header of a super-packet of this type; 0 where there is none such, or of another family.
uint32_t transport_header_length(uint8_t type, const dp::frame &frame, uint32_t offset) {
  switch (type) {
  case VNET_GSO_TCPV4:
  case VNET_GSO_TCPV6:
    return is_ipv6(frame) == (type == VNET_GSO_TCPV6) ? tcp_header_length(frame, offset) : 0;
  case VNET_GSO_UDP_L4:
    return udp_header_length(frame, offset);
  default:
    return 0;
  }
}

} // namespace

bool take_offloads(const VnetHeader &header, dp::frame &frame) {
  frame.partial_checksum = (header.flags & VNET_NEEDS_CSUM) != 0;
  frame.segments = 1;
  frame.segment_size = 0;
  if (frame.partial_checksum && header.csum_start + header.csum_offset + 2U > frame.length)
    return false;
  uint8_t type = without_ecn(header.gso_type);
  if (type == VNET_GSO_NONE)
    return true;
  if (type == VNET_GSO_UDP_L4 && type != header.gso_type) // TCP alone has such a mark
    return false;
  // Segments get their checksums from the partial one, so there is one.
  if (!frame.partial_checksum || header.gso_size == 0)
    return false;
  uint32_t transport = transport_header_length(type, frame, header.csum_start);
  if (transport == 0)
    return false;
  uint32_t payload = frame.length - header.csum_start - transport;
  frame.transport = header.csum_start;
  frame.segment_size = header.gso_size;
  frame.segments = payload == 0 ? 1 : (payload + header.gso_size - 1) / header.gso_size;
  return true;
}

bool must_be_taken_apart(const VnetHeader &header, const dp::frame &frame) {
  return header.gso_type == VNET_GSO_UDP_L4 && !is_ipv6(frame) && !(frame.data[6] & IPV4_DF) &&
         IPV6_HEADER + UDP_HEADER + frame.segment_size > SMALLEST_IPV6_MTU;
}

bool give_offloads(VnetHeader &header, const dp::frame &frame, uint32_t old_length) {
  uint32_t old_transport = old_length - (frame.length - frame.transport);
  uint8_t protocol = protocol_of(frame);
  if (frame.partial_checksum &&
      (header.csum_start != old_transport || header.csum_offset != checksum_offset(protocol)))
    return false;
  // The kernel verified a whole checksum or not; after translation it is as right as it was.
  header.flags &= VNET_NEEDS_CSUM;
  if (frame.partial_checksum)
    header.csum_start = static_cast<uint16_t>(frame.transport);
  if (without_ecn(header.gso_type) == VNET_GSO_NONE) {
    header.gso_type = VNET_GSO_NONE;
    header.gso_size = 0;
    header.hdr_len = 0;
    return true;
  }
  bool udp = header.gso_type == VNET_GSO_UDP_L4;
  if (protocol != (udp ? dp::PROTOCOL_UDP : dp::PROTOCOL_TCP))
    return false;
  header.gso_size = static_cast<uint16_t>(frame.segment_size);
  uint8_t ecn = header.gso_type & VNET_GSO_ECN;
  if (!udp)
    header.gso_type = (is_ipv6(frame) ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4) | ecn;
  uint32_t transport = udp ? UDP_HEADER : tcp_header_length(frame, frame.transport);
  header.hdr_len = static_cast<uint16_t>(frame.transport + transport);
  return true;
}

} // namespace viaduct::nvi
