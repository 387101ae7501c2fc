// SPDX-License-Identifier: MIT
//
// Packets for tests of races, and who takes them through an engine's tables: a worker, or the program
// for tc that hands up to it.
#pragma once

#include "datapath/native/native.h"
#include "lib/addresses.h"
#include "lib/packet.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <gtest/gtest.h>
#include <optional>
#include <sched.h>
#include <stdexcept>
#ifndef VIADUCT_NATIVE_ONLY
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#endif

namespace viaduct::dp {

using test::Bytes;

struct Endpoint {
  Ipv6 address;
  uint16_t port;
};

inline bool operator==(const Endpoint &a, const Endpoint &b) {
  return a.address == b.address && a.port == b.port;
}

inline Bytes outbound(uint8_t protocol, const Endpoint &from, const Ipv4 &to) {
  auto ip = test::ip6(from.address, test::pref64(to));
  if (protocol == PROTOCOL_UDP)
    return (ip / test::udp(from.port, 53) / test::payload(8)).bytes();
  if (protocol == PROTOCOL_TCP)
    return (ip / test::tcp(from.port, 80).syn()).bytes();
  return (ip / test::icmp6_echo_request(from.port, 1)).bytes();
}

inline Bytes inbound(uint8_t protocol, const Ipv4 &from, const Ipv4 &to, uint16_t port) {
  auto ip = test::ip4(from, to);
  if (protocol == PROTOCOL_UDP)
    return (ip / test::udp(53, port) / test::payload(8)).bytes();
  if (protocol == PROTOCOL_TCP)
    return (ip / test::tcp(80, port).syn()).bytes();
  return (ip / test::icmp4_echo_request(port, 1)).bytes();
}

struct Departure {
  verdict said;
  reason why;          // where a worker took it
  uint32_t source = 0; // as they lie in the packet; outbound and forwarded only
  uint16_t port = 0;
  Endpoint host{}; // inbound and forwarded only
};

// Of a packet with all its headers, none of them longer than it must be.
inline void read_ends(const uint8_t *packet, Departure &departure) {
  const bool ipv4 = packet[0] >> 4 == 4;
  const uint8_t *transport = packet + (ipv4 ? 20 : 40);
  const uint8_t protocol = packet[ipv4 ? 9 : 6];
  const bool icmp = protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6;
  if (ipv4) {
    std::memcpy(&departure.source, packet + 12, 4);
    std::memcpy(&departure.port, transport + (icmp ? 4 : 0), 2); // the identifier is the port
  } else {
    std::copy_n(packet + 24, 16, departure.host.address.bytes.begin());
    std::memcpy(&departure.host.port, transport + (icmp ? 4 : 2), 2);
    departure.host.port = ntohs(departure.host.port);
  }
}

#ifndef VIADUCT_NATIVE_ONLY
// Through the program for tc, on this processor; nothing where it hands the packet up.
inline std::optional<Departure> run_program(int program, const Bytes &packet) {
  constexpr size_t ethernet = 14, room = 128;
  Bytes in(ethernet + packet.size(), 2), out(in.size() + room);
  const bool ipv6 = packet[0] >> 4 == 6;
  in[12] = ipv6 ? 0x86 : 0x08;
  in[13] = ipv6 ? 0xdd : 0x00;
  std::ranges::copy(packet, in.begin() + ethernet);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in.data(), .data_out = out.data(),
              .data_size_in = static_cast<uint32_t>(in.size()),
              .data_size_out = static_cast<uint32_t>(out.size()), .repeat = 1);
  if (int code = bpf_prog_test_run_opts(program, &options); code < 0)
    throw std::runtime_error(fmt::format("BPF_PROG_TEST_RUN: {}", std::strerror(-code)));
  Departure departure{};
  departure.said = options.retval == TC_ACT_REDIRECT ? VERDICT_FORWARD : VERDICT_DROP;
  if (departure.said == VERDICT_FORWARD)
    read_ends(out.data() + ethernet, departure);
  return options.retval == TC_ACT_OK ? std::nullopt : std::optional(departure);
}
#else
inline std::optional<Departure> run_program(int, const Bytes &) {
  return std::nullopt;
}
#endif

// On the processor with that number, of those that this process may use.
inline void stay_on(unsigned number) {
  cpu_set_t all, one;
  CPU_ZERO(&one);
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  unsigned left = number % static_cast<unsigned>(CPU_COUNT(&all));
  for (unsigned cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
    if (CPU_ISSET(cpu, &all) && left-- == 0)
      CPU_SET(cpu, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
}

// A worker with the memory for one packet. `program`: which sees each packet first; or -1.
class Traveller {
public:
  Traveller(engine *engine, uint64_t seed, int program = -1)
      : worker_(worker_new(engine)), program_(program) {
    worker_seed(worker_, seed);
  }
  ~Traveller() { worker_free(worker_); }
  Traveller(const Traveller &) = delete;
  Traveller &operator=(const Traveller &) = delete;

  void enter() { worker_enter(worker_); }
  void leave() { worker_leave(worker_); }
  Departure send(const Bytes &packet, uint32_t now) {
    if (auto done = program_ >= 0 ? run_program(program_, packet) : std::nullopt) {
      by_program_++;
      return *done;
    }
    uint8_t *start = memory_.data() + FRAME_HEADROOM;
    std::copy(packet.begin(), packet.end(), start);
    frame frame{};
    frame.data = start;
    frame.length = static_cast<uint32_t>(packet.size());
    worker_set_now(worker_, now);
    Departure departure{};
    departure.said = translate_frame(worker_, &frame, &departure.why);
    if (departure.said == VERDICT_FORWARD)
      read_ends(frame.data, departure);
    return departure;
  }
  int by_program() const { return by_program_; }

private:
  worker *worker_;
  int program_, by_program_ = 0;
  std::array<uint8_t, FRAME_HEADROOM + 256> memory_{};
};

} // namespace viaduct::dp
