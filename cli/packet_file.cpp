// SPDX-License-Identifier: MIT
#include "cli/packet_file.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <pcap/pcap.h>

namespace viaduct::cli {

namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t longest_packet = 65575; // an IPv6 header and the longest payload
constexpr uint32_t ethertype_ipv4 = 0x0800, ethertype_ipv6 = 0x86dd;

uint32_t get16(Bytes bytes, size_t at) {
  return static_cast<uint32_t>(bytes[at]) << 8 | bytes[at + 1];
}

// Behind the Ethernet addresses, and behind VLAN tags (802.1Q, 802.1ad).
std::optional<size_t> behind_ethernet(Bytes frame) {
  size_t at = 12;
  for (int tags = 0; tags < 3 && frame.size() >= at + 2; tags++, at += 4) {
    uint32_t type = get16(frame, at);
    if (type == ethertype_ipv4 || type == ethertype_ipv6)
      return at + 2;
    if (type != 0x8100 && type != 0x88a8)
      break;
  }
  return std::nullopt;
}

// A protocol field at one place, IP at another.
std::optional<size_t> behind(Bytes frame, size_t protocol, size_t header) {
  if (frame.size() < header)
    return std::nullopt;
  uint32_t type = get16(frame, protocol);
  return type == ethertype_ipv4 || type == ethertype_ipv6 ? std::optional(header) : std::nullopt;
}

// Where the IP packet begins.
std::optional<size_t> network_offset(int link, Bytes frame) {
  switch (link) {
  case DLT_RAW:
  case DLT_IPV4:
  case DLT_IPV6:
    return 0;
  case DLT_EN10MB:
    return behind_ethernet(frame);
  case DLT_LINUX_SLL:
    return behind(frame, 14, 16);
  case DLT_LINUX_SLL2:
    return behind(frame, 0, 20);
  case DLT_NULL: // a family in somebody's byte order: the version says it, too
  case DLT_LOOP:
    return 4;
  default:
    return std::nullopt;
  }
}

bool is_known(int link) {
  constexpr std::array known = {DLT_RAW,       DLT_IPV4,       DLT_IPV6, DLT_EN10MB,
                                DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL, DLT_LOOP};
  return std::find(known.begin(), known.end(), link) != known.end();
}

// What the IP header says, 0 where there is none or it does not say (a super-packet of Linux).
size_t stated_length(Bytes packet) {
  if (packet.size() >= 20 && packet[0] >> 4 == 4)
    return get16(packet, 2);
  if (packet.size() >= 40 && packet[0] >> 4 == 6 && get16(packet, 4) != 0)
    return get16(packet, 4) + size_t{40};
  return 0;
}

const char *link_name(int link) {
  const char *name = pcap_datalink_val_to_name(link);
  return name != nullptr ? name : "unknown";
}

} // namespace

Result<FilePacket> packet_from_frame(int link, Bytes frame, size_t length) {
  if (!is_known(link))
    return error("the capture's link type is {}, expected Ethernet, Linux cooked, raw IP or null",
                 link_name(link));
  auto offset = network_offset(link, frame);
  if (!offset || *offset >= frame.size())
    return error("that packet of the capture is not IP");
  Bytes packet = frame.subspan(*offset);
  size_t whole = std::max(length, frame.size()) - *offset;
  if (size_t stated = stated_length(packet); stated != 0)
    whole = std::min(whole, stated);
  if (whole > longest_packet)
    return error("that packet of the capture is longer than IP allows");
  FilePacket result;
  result.missing = whole - std::min(packet.size(), whole);
  result.bytes.resize(whole);
  std::copy_n(packet.begin(), whole - result.missing, result.bytes.begin());
  return result;
}

Result<FilePacket> packet_from_file(const std::string &path, uint64_t number) {
  std::array<char, PCAP_ERRBUF_SIZE> why{};
  std::unique_ptr<pcap_t, decltype(&pcap_close)> file(pcap_open_offline(path.c_str(), why.data()),
                                                      pcap_close);
  if (!file)
    return error("cannot read the capture {}: {}", path, why.data());
  pcap_pkthdr *header = nullptr;
  const u_char *data = nullptr;
  for (uint64_t at = 1;; at++) {
    int got = pcap_next_ex(file.get(), &header, &data);
    if (got == PCAP_ERROR_BREAK)
      return error("the capture {} has {} packets, and no packet {}", path, at - 1, number);
    if (got != 1)
      return error("cannot read the capture {}: {}", path, pcap_geterr(file.get()));
    if (at == number)
      return packet_from_frame(pcap_datalink(file.get()), Bytes(data, header->caplen), header->len);
  }
}

} // namespace viaduct::cli
