// SPDX-License-Identifier: MIT
//
// Nothing is allocated for a packet (datapath/native/native.h): whatever kind it is, whether its flow is new or known,
// forwarded, held, dropped or answered; nor by the sweep.
#include "allocations.h"
#include "native_target.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <gtest/gtest.h>
#include <memory>

namespace viaduct::test {
namespace {

const Ipv6 server6 = pref64(server4);
constexpr uint32_t START = 1000, ROUNDS = 8334;

TEST(Allocations, AreCounted) {
  Allocations seen;
  // Through volatile pointers: the compiler must not leave them out.
  void *volatile memory = std::malloc(1);
  memory = std::realloc(memory, 1000);
  std::free(memory);
  memory = std::calloc(1, 10);
  std::free(memory);
  memory = ::operator new(1);
  ::operator delete(memory);
  EXPECT_GE(seen.count(), 4U);
}

class Allocation : public testing::Test {
protected:
  void SetUp() override {
    const Given given{.policy = {with_quota(4 * ROUNDS), with_icmp_error_rate(1'000'000)},
                      .max_sessions = 4 * ROUNDS};
    auto ready = target_.reset(tables_of(given, START));
    ASSERT_TRUE(ready) << ready.failure().message;
    worker_.reset(dp::worker_new(target_.engine()));
    ASSERT_TRUE(worker_);
    dp::worker_seed(worker_.get(), 1);
    dp::worker_set_now(worker_.get(), START);
  }

  // Sends it through, and counts. Its source port afterwards.
  uint16_t carry(const Packet &packet, dp::verdict expected = dp::VERDICT_FORWARD) {
    const Bytes bytes = packet.bytes();
    std::copy(bytes.begin(), bytes.end(), memory_.begin() + dp::FRAME_HEADROOM);
    dp::frame frame{};
    frame.data = memory_.data() + dp::FRAME_HEADROOM;
    frame.length = static_cast<uint32_t>(bytes.size());
    frame.segments = 1;
    const dp::packet_ahead ahead{frame.data, frame.length};
    dp::reason reason{};
    dp::verdict verdict{};
    {
      Allocations seen;
      dp::worker_enter(worker_.get());
      dp::worker_expect(worker_.get(), &ahead, 1);
      verdict = dp::translate_frame(worker_.get(), &frame, &reason);
      dp::worker_leave(worker_.get());
      allocated_ += seen.count();
    }
    packets_++;
    EXPECT_EQ(verdict, expected) << reason_name(reason);
    if (verdict != dp::VERDICT_FORWARD)
      return 0;
    const uint8_t *port = frame.data + frame.transport;
    return static_cast<uint16_t>(port[0] << 8 | port[1]);
  }

  struct Free {
    void operator()(dp::worker *worker) const { dp::worker_free(worker); }
  };
  NativeTarget target_;
  std::unique_ptr<dp::worker, Free> worker_; // of the target's engine: freed before it
  std::array<uint8_t, dp::FRAME_HEADROOM + 2048> memory_{};
  uint64_t allocated_ = 0, packets_ = 0;
};

// Half of a datagram.
Packet half6(uint16_t port, uint32_t id, bool first) {
  const Bytes whole = (ip6(client6, server6) / udp(port, 53) / payload(56)).bytes();
  const auto begin = whole.begin() + (first ? 40 : 72);
  return ip6(client6, server6) / fragment6(first ? 0 : 32, first, id).next_header(17) /
         raw(Bytes(begin, begin + 32));
}

// Twelve packets, a hundred thousand times over all: three flows are made, used from both sides, told an error, and
// others come to nothing.
TEST_F(Allocation, IsNotForPackets) {
  for (uint32_t round = 0; round < ROUNDS && !HasFailure(); round++) {
    const auto port = static_cast<uint16_t>(10'000 + round);
    const uint16_t datagrams = carry(ip6(client6, server6) / udp(port, 53) / payload(30));
    carry(ip6(client6, server6) / udp(port, 53) / payload(30));
    carry(ip4(server4, pool4) / udp(53, datagrams) / payload(200));
    carry(half6(port, round, true), dp::VERDICT_HELD);
    carry(half6(port, round, false));
    carry(ip4(router4, pool4) / icmp4_time_exceeded() / ip4(pool4, server4) / udp(datagrams, 53) /
          payload(20));

    const uint16_t connection = carry(ip6(client6, server6) / tcp(port, 80).syn());
    carry(ip4(server4, pool4) / tcp(80, connection).syn().ack(1));
    carry(ip6(client6, server6) / tcp(port, 80).ack(1) / payload(100));

    carry(ip6(client6, server6) / icmp6_echo_request(port, 1) / payload(56));

    carry(ip4(server4, pool4) / udp(53, 1023), dp::VERDICT_DROP);
    carry(ip6(client6, pref64(address4("10.1.2.3"))) / udp(port, 53), dp::VERDICT_DROP);
  }
  EXPECT_GE(packets_, 100'000U);
  EXPECT_EQ(allocated_, 0U) << "in " << packets_ << " packets";

  uint64_t ended = 0;
  Allocations seen;
  for (uint32_t later = 0; later < 20; later++)
    ended += dp::engine_sweep(target_.engine(), START + 20'000 + 1000 * later, nullptr);
  EXPECT_EQ(seen.count(), 0U) << "by the sweep";
  EXPECT_EQ(ended, uint64_t{3} * ROUNDS);
}

} // namespace
} // namespace viaduct::test
