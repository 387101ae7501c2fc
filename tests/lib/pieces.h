// SPDX-License-Identifier: MIT
//
// The fragments that a translated frame leaves in.
#pragma once

#include "datapath/native/native.h"
#include "lib/packet.h"

#include <cstring>
#include <utility>
#include <vector>

namespace viaduct::test {

// Each fragment that a frame leaves in; none where it leaves whole.
inline std::vector<Bytes> pieces_of(const dp::frame &frame) {
  std::vector<Bytes> pieces;
  dp::fragment fragment{};
  while (frame.longest_piece != 0 && dp::frame_cut(&frame, &fragment)) {
    Bytes piece(sizeof fragment.header + fragment.length);
    std::memcpy(piece.data(), fragment.header, sizeof fragment.header);
    std::memcpy(piece.data() + sizeof fragment.header, fragment.data, fragment.length);
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

} // namespace viaduct::test
