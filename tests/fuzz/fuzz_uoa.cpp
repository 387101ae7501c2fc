// SPDX-License-Identifier: MIT
//
// Any packet: its first bytes, and how many are known. What protocol 248 becomes must be UDP with the
// same options, found by a reading that shares nothing with datapath/uoa.h; nothing else may change;
// and a header's checksum is afterwards as right or wrong as it was.
#include "datapath/native/uoa.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace viaduct;

namespace {

using Bytes = std::vector<uint8_t>;

void must(bool truth) {
  if (!truth)
    abort();
}

unsigned word(const Bytes &packet, size_t at) {
  return unsigned{packet[at]} << 8 | packet[at + 1];
}

// The Internet checksum of RFC 1071, up to a factor: 0 if it is right.
unsigned remainder_of(const Bytes &packet, size_t length) {
  unsigned long sum = 0;
  for (size_t at = 0; at < length; at += 2)
    sum += word(packet, at);
  return static_cast<unsigned>(sum % 0xffff);
}

bool can_be_walked(const uint8_t *at, const uint8_t *end) {
  while (at < end && *at != 0) {
    if (*at == 1) {
      at++;
      continue;
    }
    if (end - at < 2 || at[1] < 2 || at[1] > end - at)
      return false;
    if (*at == 31 && at[1] != 8 && at[1] != 20)
      return false;
    at += at[1];
  }
  return true;
}

// The options' end and all behind it become NOPs.
void open_end(Bytes &packet, size_t header) {
  size_t at = 20;
  while (at < header && packet[at] != 0)
    at += packet[at] == 1 || packet[at + 1] < 2 ? 1 : packet[at + 1];
  for (; at < header; at++)
    packet[at] = 1;
}

bool should_be_taken4(const Bytes &packet) {
  if (packet.size() < 28 || packet[9] != 248 || (word(packet, 6) & 0x3fff) != 0)
    return false;
  size_t header = packet[0] % 16 * 4;
  if (header < 20 || packet.size() < header + 12)
    return false;
  size_t more = word(packet, header + 2), version = packet[header] / 16;
  return packet[header + 1] == 17 && (version == 1 || version == 2) && more >= 12 &&
         more % 4 == 0 && header + more <= 60 && header + more + 8 <= packet.size() &&
         header + more + 8 <= word(packet, 2) &&
         can_be_walked(&packet[header + 4], &packet[header] + more);
}

bool should_be_taken6(const Bytes &packet) {
  return packet.size() >= 72 && packet[6] == 248 && word(packet, 4) >= 32 && packet[40] / 16 == 2 &&
         packet[41] == 17 && word(packet, 42) == 24 && word(packet, 44) == (31U << 8 | 20);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Bytes before(data, data + std::min(size, size_t{dp::UOA_LOOKED_AT}));
  if (before.size() < 28)
    return 0; // such a one is not looked at
  dp::uoa_head head{};
  memset(head.byte, 0xa5, sizeof head.byte);
  memcpy(head.byte, before.data(), before.size());
  bool taken =
      dp::native_uoa_take_off(&head, static_cast<uint32_t>(before.size())) == dp::UOA_TAKEN_OFF;
  Bytes after(head.byte, head.byte + before.size());
  bool four = before[0] / 16 == 4;
  must(taken == (four                  ? should_be_taken4(before)
                 : before[0] / 16 == 6 ? should_be_taken6(before)
                                       : false));
  for (size_t i = before.size(); i < sizeof head.byte; i++)
    must(head.byte[i] == 0xa5);
  if (!taken)
    must(after == before);
  if (taken && four) {
    size_t header = before[0] % 16 * 4, more = word(before, header + 2);
    must(after[0] == before[0] + more / 4 && after[9] == 17);
    must(remainder_of(before, header) == remainder_of(after, header + more));
    Bytes expected = before;
    expected[0] = after[0];
    expected[9] = 17;
    expected[10] = after[10];
    expected[11] = after[11];
    std::fill_n(expected.begin() + long(header), 4, uint8_t{1});
    open_end(expected, header);
    must(after == expected);
  }
  dp::toa found{};
  uint32_t udp = 0;
  bool is_found = dp::native_uoa_find(&head, &found, &udp) == dp::TOA_FOUND;
  must(!is_found || found.family == 4 || found.family == 6);
  must(udp == 0 || (udp >= 24 && udp <= 64));
  return 0;
}
