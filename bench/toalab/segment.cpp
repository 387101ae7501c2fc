// SPDX-License-Identifier: MIT
#include "segment.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

namespace viaduct::toalab {

namespace {

constexpr uint8_t hops = 64;
constexpr uint16_t window = 65535;

uint32_t sum_of(std::span<const uint8_t> bytes, uint32_t sum) {
  size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2)
    sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  if (i < bytes.size())
    sum += static_cast<uint32_t>(bytes[i] << 8);
  return sum;
}

uint16_t folded(uint32_t sum) {
  while (sum >> 16 != 0)
    sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

size_t length_of(const Host &host) {
  return host.six ? 16 : 4;
}

size_t write_ip(const Segment &segment, size_t payload, uint8_t *at) {
  if (segment.source.six) {
    ip6_hdr header{};
    header.ip6_flow = htonl(6U << 28);
    header.ip6_plen = htons(static_cast<uint16_t>(payload));
    header.ip6_nxt = IPPROTO_TCP;
    header.ip6_hlim = hops;
    memcpy(&header.ip6_src, segment.source.bytes.data(), sizeof header.ip6_src);
    memcpy(&header.ip6_dst, segment.target.bytes.data(), sizeof header.ip6_dst);
    memcpy(at, &header, sizeof header);
    return sizeof header;
  }
  iphdr header{};
  header.version = 4;
  header.ihl = 5;
  header.tot_len = htons(static_cast<uint16_t>(sizeof header + payload));
  header.ttl = hops;
  header.protocol = IPPROTO_TCP;
  memcpy(&header.saddr, segment.source.bytes.data(), sizeof header.saddr);
  memcpy(&header.daddr, segment.target.bytes.data(), sizeof header.daddr);
  memcpy(at, &header, sizeof header);
  header.check = folded(sum_of({at, sizeof header}, 0));
  memcpy(at, &header, sizeof header);
  return sizeof header;
}

size_t write_tcp(const Segment &segment, uint8_t *at) {
  size_t header_length = sizeof(tcphdr) + segment.options.size();
  size_t length = header_length + segment.data.size();
  tcphdr header{};
  header.th_sport = htons(segment.source_port);
  header.th_dport = htons(segment.target_port);
  header.th_seq = htonl(segment.sequence);
  header.th_ack = htonl(segment.acknowledged);
  header.th_off = static_cast<uint8_t>(header_length / 4) & 15;
  header.th_flags = segment.flags;
  header.th_win = htons(window);
  memcpy(at, &header, sizeof header);
  std::copy(segment.options.begin(), segment.options.end(), at + sizeof header);
  std::copy(segment.data.begin(), segment.data.end(), at + header_length);
  uint32_t sum = IPPROTO_TCP + static_cast<uint32_t>(length);
  sum = sum_of({segment.source.bytes.data(), length_of(segment.source)}, sum);
  sum = sum_of({segment.target.bytes.data(), length_of(segment.target)}, sum);
  header.th_sum = folded(sum_of({at, length}, sum));
  memcpy(at, &header, sizeof header);
  return length;
}

// What is behind the network header; nothing where it is not TCP.
std::optional<std::span<const uint8_t>> read_ip(std::span<const uint8_t> packet, bool six,
                                                Segment &segment) {
  segment.source.six = segment.target.six = six;
  if (six) {
    ip6_hdr header{};
    if (packet.size() < sizeof header)
      return std::nullopt;
    memcpy(&header, packet.data(), sizeof header);
    size_t payload = ntohs(header.ip6_plen);
    if (header.ip6_nxt != IPPROTO_TCP || sizeof header + payload > packet.size())
      return std::nullopt;
    memcpy(segment.source.bytes.data(), &header.ip6_src, sizeof header.ip6_src);
    memcpy(segment.target.bytes.data(), &header.ip6_dst, sizeof header.ip6_dst);
    return packet.subspan(sizeof header, payload);
  }
  iphdr header{};
  if (packet.size() < sizeof header)
    return std::nullopt;
  memcpy(&header, packet.data(), sizeof header);
  size_t total = ntohs(header.tot_len);
  if (header.ihl != 5 || header.protocol != IPPROTO_TCP || total < sizeof header ||
      total > packet.size())
    return std::nullopt;
  memcpy(segment.source.bytes.data(), &header.saddr, sizeof header.saddr);
  memcpy(segment.target.bytes.data(), &header.daddr, sizeof header.daddr);
  return packet.subspan(sizeof header, total - sizeof header);
}

} // namespace

size_t write(const Segment &segment, const Mac &source, const Mac &target, Frame &frame) {
  ethhdr ethernet{};
  memcpy(ethernet.h_dest, target.data(), target.size());
  memcpy(ethernet.h_source, source.data(), source.size());
  ethernet.h_proto = htons(segment.source.six ? ETH_P_IPV6 : ETH_P_IP);
  memcpy(frame.data(), &ethernet, sizeof ethernet);
  size_t at = sizeof ethernet;
  at += write_ip(segment, sizeof(tcphdr) + segment.options.size() + segment.data.size(),
                 frame.data() + at);
  return at + write_tcp(segment, frame.data() + at);
}

std::optional<Segment> read(std::span<const uint8_t> frame) {
  ethhdr ethernet{};
  if (frame.size() < sizeof ethernet)
    return std::nullopt;
  memcpy(&ethernet, frame.data(), sizeof ethernet);
  if (ethernet.h_proto != htons(ETH_P_IP) && ethernet.h_proto != htons(ETH_P_IPV6))
    return std::nullopt;
  Segment segment;
  auto tcp =
      read_ip(frame.subspan(sizeof ethernet), ethernet.h_proto == htons(ETH_P_IPV6), segment);
  tcphdr header{};
  if (!tcp || tcp->size() < sizeof header)
    return std::nullopt;
  memcpy(&header, tcp->data(), sizeof header);
  size_t header_length = size_t{header.th_off} * 4;
  if (header_length < sizeof header || header_length > tcp->size())
    return std::nullopt;
  segment.source_port = ntohs(header.th_sport);
  segment.target_port = ntohs(header.th_dport);
  segment.sequence = ntohl(header.th_seq);
  segment.acknowledged = ntohl(header.th_ack);
  segment.flags = header.th_flags;
  segment.data = tcp->subspan(header_length);
  return segment;
}

} // namespace viaduct::toalab
