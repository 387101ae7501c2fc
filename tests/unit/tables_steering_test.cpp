// SPDX-License-Identifier: MIT
//
// The program that steers packets to queues, run by the kernel on packets that are sent nowhere.
#include "tables/steering.h"

#include "lib/addresses.h"
#include "lib/packet.h"

#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <set>
#include <unistd.h>

namespace viaduct::tables {
namespace {

using test::client6, test::pool4, test::server4, test::pref64;

class SteeringTest : public testing::Test {
protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "\nSKIP: needs root";
    auto program = load_steering();
    ASSERT_TRUE(program) << program.failure().message;
    program_ = std::move(*program);
  }

  // A run wants an Ethernet header, and takes it off.
  uint32_t steered(const test::Bytes &packet, int program) {
    test::Bytes in(12, 0);
    const bool six = packet.at(0) >> 4 == 6;
    in.insert(in.end(),
              {static_cast<uint8_t>(six ? 0x86 : 0x08), static_cast<uint8_t>(six ? 0xdd : 0)});
    in.insert(in.end(), packet.begin(), packet.end());
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in.data(),
                .data_size_in = static_cast<uint32_t>(in.size()), .repeat = 1);
    EXPECT_EQ(bpf_prog_test_run_opts(program, &options), 0);
    return options.retval;
  }
  uint32_t steered(const test::Packet &packet) { return steered(packet.bytes(), program_.get()); }

  Fd program_;
};

TEST_F(SteeringTest, AFlowHasOneQueueWhateverItsPacketsHold) {
  auto six = test::ip6(client6, pref64(server4));
  auto four = test::ip4(server4, pool4);
  EXPECT_EQ(steered(six / test::udp(1, 2) / test::payload(4)),
            steered(six / test::udp(1, 2) / test::payload(900)));
  EXPECT_EQ(steered(four / test::udp(1, 2) / test::payload(4)),
            steered(four / test::udp(1, 2) / test::payload(900)));
}

TEST_F(SteeringTest, FlowsAreSpread) {
  std::set<uint32_t> queues;
  std::array<int, 4> of_four{};
  for (uint16_t port = 1000; port < 2000; port++)
    for (const test::Packet &packet : {test::ip6(client6, pref64(server4)) / test::udp(port, 53),
                                       test::ip4(server4, pool4) / test::udp(53, port)}) {
      uint32_t hash = steered(packet);
      queues.insert(hash);
      of_four.at(hash % 4)++;
    }
  EXPECT_GT(queues.size(), 1990U);
  for (int count : of_four)
    EXPECT_GT(count, 400);
}

TEST_F(SteeringTest, FragmentsGoByAddressesAlone) {
  auto six = test::ip6(client6, pref64(server4));
  uint32_t first = steered(six / test::fragment6(0, true, 7) / test::udp(1, 2) / test::payload(8));
  EXPECT_EQ(first, steered(six / test::fragment6(16, false, 7) / test::payload(8)));
  EXPECT_EQ(first, steered(six / test::fragment6(0, true, 8) / test::udp(3, 2) / test::payload(8)));
  auto four = test::ip4(server4, pool4);
  first = steered(test::ip4(server4, pool4).mf() / test::udp(1, 2) / test::payload(8));
  EXPECT_EQ(first, steered(test::ip4(server4, pool4).offset(16).protocol(17) / test::payload(8)));
  EXPECT_NE(first, steered(four / test::udp(1, 2) / test::payload(8)));
}

TEST_F(SteeringTest, NobodyKnowsTheQueueBeforehand) {
  auto other = load_steering();
  ASSERT_TRUE(other) << other.failure().message;
  test::Bytes packet = (test::ip6(client6, pref64(server4)) / test::udp(1, 2)).bytes();
  EXPECT_NE(steered(packet, program_.get()), steered(packet, other->get()));
}

TEST_F(SteeringTest, ShortPacketsHaveAQueueToo) {
  test::Bytes six = (test::ip6(client6, pref64(server4)) / test::udp(1, 2)).bytes();
  test::Bytes four = (test::ip4(server4, pool4) / test::udp(1, 2)).bytes();
  // The run itself asks for an IP header.
  for (size_t length = 40; length < six.size(); length++)
    steered(test::Bytes(six.begin(), six.begin() + static_cast<long>(length)), program_.get());
  for (size_t length = 20; length < four.size(); length++)
    steered(test::Bytes(four.begin(), four.begin() + static_cast<long>(length)), program_.get());
}

} // namespace
} // namespace viaduct::tables
