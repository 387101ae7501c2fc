// SPDX-License-Identifier: MIT
//
// A packet in the middle of poisoned memory: every byte around it has one value, and what lies
// before its headroom and behind its end is out of bounds for the address sanitizer.
#pragma once

#include "lib/packet.h"

#include <algorithm>
#include <sanitizer/asan_interface.h>
#include <span>
#include <string>

namespace viaduct::test {

class PoisonedBuffer {
public:
  // [ guard | headroom | packet | guard ]
  PoisonedBuffer(std::span<const uint8_t> packet, size_t headroom, uint8_t poison)
      : poison_(poison), start_(guard + headroom), size_(packet.size()),
        memory_(guard + headroom + packet.size() + guard, poison) {
    std::copy(packet.begin(), packet.end(), memory_.begin() + static_cast<ptrdiff_t>(start_));
    ASAN_POISON_MEMORY_REGION(memory_.data(), guard);
    ASAN_POISON_MEMORY_REGION(memory_.data() + start_ + size_, guard);
  }
  ~PoisonedBuffer() { allow(); }
  PoisonedBuffer(const PoisonedBuffer &) = delete;
  PoisonedBuffer &operator=(const PoisonedBuffer &) = delete;

  uint8_t *packet() { return memory_.data() + start_; }

  // Whether an address lies in this memory.
  bool holds(const uint8_t *address) const {
    return address >= memory_.data() && address <= memory_.data() + memory_.size();
  }

  // What happened to memory that is nobody's business: one sentence, or "". Ask when all is done.
  // `result` is where the packet is said to lie now.
  std::string trespass(std::span<const uint8_t> result) {
    allow();
    auto untouched = [this](auto first, auto last) {
      return std::all_of(first, last, [this](uint8_t byte) { return byte == poison_; });
    };
    const uint8_t *end = memory_.data() + start_ + size_;
    if (!untouched(memory_.begin(), memory_.begin() + guard))
      return "memory before the headroom was written";
    if (!untouched(memory_.end() - guard, memory_.end()))
      return "memory behind the packet was written";
    if (result.data() < memory_.data() + guard || result.data() > end ||
        result.size() > static_cast<size_t>(end - result.data()))
      return "the packet that came back is outside its memory";
    return "";
  }

private:
  static constexpr ptrdiff_t guard = 128;
  void allow() { ASAN_UNPOISON_MEMORY_REGION(memory_.data(), memory_.size()); }

  uint8_t poison_;
  size_t start_, size_;
  Bytes memory_;
};

} // namespace viaduct::test
