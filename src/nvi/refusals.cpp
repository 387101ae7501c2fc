// SPDX-License-Identifier: MIT
#include "nvi/refusals.h"

namespace viaduct::nvi {

namespace {
constexpr std::array<const char *, 4> names = {"tso4", "tso6", "uso4", "uso6"};
} // namespace

Super uso_of(const dp::frame &frame) {
  return frame.data[0] >> 4 == 6 ? Super::uso6 : Super::uso4;
}

Super kind_of(const VnetHeader &header, const dp::frame &frame) {
  if (header.gso_type == VNET_GSO_UDP_L4)
    return uso_of(frame);
  return frame.data[0] >> 4 == 6 ? Super::tso6 : Super::tso4;
}

// Written for each super-packet, and hardly ever needed: only read as long as all is well.
void Refusals::taken(Super kind) {
  std::atomic<uint32_t> &count = in_a_row_[static_cast<size_t>(kind)];
  if (count.load(std::memory_order_relaxed) != 0)
    count.store(0, std::memory_order_relaxed);
}

void Refusals::refused(Super kind) {
  in_a_row_[static_cast<size_t>(kind)].fetch_add(1, std::memory_order_relaxed);
}

std::vector<std::string> Refusals::off() const {
  std::vector<std::string> result;
  for (size_t i = 0; i < names.size(); i++)
    if (off(static_cast<Super>(i)))
      result.emplace_back(names[i]);
  return result;
}

} // namespace viaduct::nvi
