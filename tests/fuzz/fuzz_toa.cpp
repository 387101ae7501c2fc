// SPDX-License-Identifier: MIT
//
// Any TCP header: a first byte that chooses the table of kinds, then the header. The search of
// datapath/toa.h must say what a second reading says that shares nothing with it: one that cuts the
// options into a list first, and looks at the list afterwards.
#include "datapath/native/toa.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

using namespace viaduct;

namespace {

using Option = std::vector<uint8_t>; // kind, length, and what is in it

// Nothing where they cannot be cut.
std::optional<std::vector<Option>> cut(const uint8_t *at, const uint8_t *end) {
  std::vector<Option> options;
  while (at < end && *at != 0) {
    if (*at == 1) {
      at++;
      continue;
    }
    if (end - at < 2 || at[1] < 2 || at[1] > end - at)
      return std::nullopt;
    options.emplace_back(at, at + at[1]);
    at += at[1];
  }
  return options;
}

// Of an IPv6 address that is written as an IPv4 one, that one counts.
bool can_be_a_client(const std::vector<uint8_t> &address) {
  static const std::vector<uint8_t> unspecified(16),
      mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  std::vector<uint8_t> loopback(16);
  loopback[15] = 1;
  if (address.size() == 16 && std::equal(mapped.begin(), mapped.end(), address.begin()))
    return can_be_a_client({address.begin() + 12, address.end()});
  if (address.size() == 16)
    return address != unspecified && address != loopback && address[0] != 0xff;
  return address[0] != 0 && address[0] != 127 && address[0] < 224;
}

// Address and port as one string of bytes: nothing where no client can have them.
std::optional<std::vector<uint8_t>> meaning(const Option &option) {
  bool port = option.size() % 4 == 0;
  std::vector<uint8_t> bytes;
  if (port)
    bytes.assign(option.begin() + 2, option.begin() + 4);
  else
    bytes.assign(2, 0);
  if (port && bytes[0] == 0 && bytes[1] == 0)
    return std::nullopt;
  size_t begin = port ? 4 : 3;
  size_t length = option.size() >= 19 ? 16 : 4;
  std::vector<uint8_t> address(option.begin() + long(begin), option.begin() + long(begin + length));
  if (!can_be_a_client(address))
    return std::nullopt;
  bytes.insert(bytes.end(), address.begin(), address.end());
  return bytes;
}

bool may_be_fast_open(const Option &option) {
  return option[0] >= 253 && option[0] <= 254 && option[2] == 0xf9 && option[3] == 0x89;
}

// What every option says if all say the same, none is in doubt and all can be cut.
std::optional<std::vector<uint8_t>> expected(const dp::toa_header &header,
                                             const dp::toa_kinds &kinds) {
  size_t end = size_t{header.byte[12]} / 16 * 4;
  if (end < 20)
    return std::nullopt;
  auto options = cut(&header.byte[20], &header.byte[0] + end);
  if (!options)
    return std::nullopt;
  std::optional<std::vector<uint8_t>> said;
  size_t size = 0;
  std::vector<uint8_t> rest;
  for (const Option &option : *options) {
    if (kinds.lengths[option[0]] == 0)
      continue;
    if ((kinds.lengths[option[0]] >> option.size() & 1) == 0)
      return std::nullopt;
    auto one = meaning(option);
    bool syn = (header.byte[13] & 2) != 0;
    if (!one || (syn && may_be_fast_open(option)) ||
        (said && (*said != *one || size != option.size())))
      return std::nullopt;
    if (said && !std::equal(option.begin() + 2, option.end(), rest.begin()))
      return std::nullopt; // the virtual address and a version count, too
    rest.assign(option.begin() + 2, option.end());
    size = option.size();
    said = one;
  }
  return said;
}

dp::toa_kinds table(uint8_t choice) {
  dp::toa_kinds kinds{};
  kinds.lengths[254] = 1U << 8 | 1U << 20;
  if ((choice & 1) != 0)
    kinds.lengths[254] |= 1U << 16;
  if ((choice & 2) != 0)
    kinds.lengths[28] = 1U << 7 | 1U << 19;
  if ((choice & 4) != 0)
    kinds.lengths[253] = 1U << 20;
  return kinds;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  dp::toa_kinds kinds = table(data[0]);
  dp::toa_header header{};
  memcpy(header.byte, data + 1, std::min(size - 1, size_t{dp::TOA_LONGEST_HEADER}));
  dp::toa found{};
  bool is_found = dp::native_toa_find(&header, &kinds, &found) == dp::TOA_FOUND;
  auto right = expected(header, kinds);
  if (is_found != right.has_value())
    abort();
  if (!is_found)
    return 0;
  std::vector<uint8_t> said(2);
  memcpy(said.data(), &found.client_port, 2);
  said.insert(said.end(), found.client.byte, found.client.byte + (found.family == 6 ? 16 : 4));
  if (said != *right)
    abort();
  return 0;
}
