// SPDX-License-Identifier: MIT
//
// What connection number N is: who sends it, which packets carry which option, and what the server must tell.
// No I/O.
#pragma once

#include "segment.h"
#include "toalab.h"

#include <array>
#include <cstdint>
#include <span>

namespace viaduct::toalab {

// Which packets carry a TOA; `contradicting` has two on the third packet.
enum class Way : uint8_t {
  none,
  syn,
  ack,
  data,
  syn_ack,
  ack_data,
  stranger_syn,
  stranger_ack,
  contradicting,
  ambiguous, // port 63881 in a SYN alone: may be a Fast Open cookie
};
constexpr std::array<const char *, 10> way_names = {
    "none",     "syn",          "ack",          "data",          "syn_ack",
    "ack_data", "stranger_syn", "stranger_ack", "contradicting", "ambiguous"};

class TcpOptions {
public:
  void add(std::span<const uint8_t> option);
  std::span<const uint8_t> all() const { return {bytes_.data(), size_}; }

private:
  std::array<uint8_t, 40> bytes_{};
  size_t size_ = 0;
};

struct Planned {
  Way way = Way::none;
  Host source, server;
  uint16_t source_port = 0, server_port = 0;
  uint32_t sequence = 0;
  TcpOptions syn, ack, data;
  Name own;   // what the server must tell without a TOA
  Name shown; // and with this one
  Name nat64; // where the error is 0
  int32_t nat64_error = 0;
};

struct Mix {
  bool mixed = true;
  bool with_toa = false; // where it is not mixed: on the third packet
  bool until_told = true;
};

class Plan {
public:
  static Result<Plan> make(const Options &options);
  Planned connection(uint64_t number) const;
  const Mix &mix() const { return mix_; }

private:
  Mix mix_;
  Host server4_, server6_, listed4_, listed6_, stranger4_, stranger6_;
  uint16_t port4_ = 0, port6_ = 0;
};

// accept may have answered before the first data came.
bool right(const Planned &planned, const Told &told);

} // namespace viaduct::toalab
