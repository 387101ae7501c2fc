// SPDX-License-Identifier: MIT
#include "nvi/train.h"

#include <cstring>

namespace viaduct::nvi {

namespace {

constexpr uint32_t IPV4_HEADER = 20;
constexpr uint32_t IPV6_HEADER = 40;
constexpr uint32_t UDP_HEADER = 8;
constexpr uint32_t CHECKSUM_AT = 6; // in the UDP header
constexpr uint32_t LONGEST_IP = 65535;

bool same(const uint8_t *a, const uint8_t *b, uint32_t from, uint32_t size) {
  return std::memcmp(a + from, b + from, size) == 0;
}

uint32_t payload_of(const dp::frame &frame) {
  return frame.length - frame.transport - UDP_HEADER;
}

// A whole checksum that is right. One that is left to hardware cannot be wrong.
bool checksum_is_good(const VnetHeader &header, const dp::frame &frame) {
  return (header.flags & VNET_NEEDS_CSUM) || dp::frame_checksum_right(&frame);
}

} // namespace

bool Train::may_begin(const VnetHeader &header, const dp::frame &frame) {
  const uint8_t *ip = frame.data;
  if (header.gso_type != VNET_GSO_NONE || frame.length < frame.transport + UDP_HEADER + 1)
    return false;
  if (ip[0] >> 4 == 6 ? frame.transport != IPV6_HEADER || ip[6] != dp::PROTOCOL_UDP
                      : frame.transport != IPV4_HEADER || ip[9] != dp::PROTOCOL_UDP ||
                            (ip[6] & 0x3f) != 0 || ip[7] != 0) // a fragment
    return false;
  const uint8_t *udp = ip + frame.transport;
  const uint32_t length = udp[4] << 8U | udp[5]; // less than the packet's where UDP has options
  return frame.transport + length == frame.length && (udp[6] | udp[7]) != 0;
}

void Train::begin(const VnetHeader &header, const dp::frame &frame) {
  header_ = header;
  frame_ = frame;
  count_ = 1;
  size_ = payload_of(frame);
  closed_ = false;
  checked_ = false;
}

bool Train::fits(const dp::frame &frame) const {
  const uint8_t *a = frame_.data;
  const uint8_t *b = frame.data;
  const uint32_t payload = payload_of(frame);
  if (frame.transport != frame_.transport || payload > size_ ||
      frame_.length + payload > LONGEST_IP || !same(a, b, frame.transport, 4)) // ports
    return false;
  if (a[0] >> 4 == 6) // all but the length
    return same(a, b, 0, 4) && same(a, b, 6, 34);
  // all but length, identification and checksum; transport offsets differ between families
  return same(a, b, 0, 2) && same(a, b, 6, 4) && same(a, b, 12, 8);
}

bool Train::join(const VnetHeader &header, const dp::frame &frame) {
  if (empty() || closed_ || count_ == LONGEST || !may_begin(header, frame) || !fits(frame) ||
      !checksum_is_good(header, frame))
    return false;
  if (!checked_ && !checksum_is_good(header_, frame_)) {
    closed_ = true; // it goes on as it is
    return false;
  }
  checked_ = true;
  const uint32_t payload = payload_of(frame);
  std::memcpy(frame_.data + frame_.length, frame.data + frame.transport + UDP_HEADER, payload);
  frame_.length += payload;
  closed_ = payload < size_;
  count_++;
  return true;
}

void Train::finish(VnetHeader &header, dp::frame &frame) {
  header = header_;
  frame = frame_;
  if (count_ > 1) {
    frame.segments = count_;
    frame.segment_size = size_;
    frame.partial_checksum = 1;
    dp::frame_finish_train(&frame);
    header = {VNET_NEEDS_CSUM,
              VNET_GSO_UDP_L4,
              static_cast<uint16_t>(frame.transport + UDP_HEADER),
              static_cast<uint16_t>(size_),
              static_cast<uint16_t>(frame.transport),
              CHECKSUM_AT};
  }
  count_ = 0;
}

} // namespace viaduct::nvi
