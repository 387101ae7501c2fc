// SPDX-License-Identifier: MIT
//
// Datagrams of one flow as one super-packet: which ones join, and that cutting the train again
// gives what went in.
#include "nvi/train.h"

#include "lib/addresses.h"
#include "lib/packet.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

namespace viaduct::nvi {
namespace {

using test::Bytes;
using test::payload;

const test::Ip4 four = test::ip4(test::pool4, test::server4).id(100);
const test::Ip6 six = test::ip6(test::pref64(test::server4), test::client6);

test::Udp udp() {
  return test::udp(53, 1000);
}

struct Datagram {
  Bytes bytes;
  VnetHeader header{};
  dp::frame frame() {
    dp::frame frame{};
    frame.data = bytes.data();
    frame.length = static_cast<uint32_t>(bytes.size());
    frame.transport = bytes[0] >> 4 == 6 ? 40 : 20;
    frame.segments = 1;
    return frame;
  }
};

Datagram whole(const test::Packet &packet) {
  return {packet.bytes(), {}};
}
Datagram partial(const test::Packet &packet, uint16_t transport) {
  return {packet.with_partial_checksum()->bytes(), {VNET_NEEDS_CSUM, 0, 0, 0, transport, 6}};
}

// A train that begins with `first`, in memory of its own.
class TrainTest : public testing::Test {
protected:
  bool begin(Datagram first) {
    memory_.assign(70000, 0xff);
    std::copy(first.bytes.begin(), first.bytes.end(), memory_.begin());
    dp::frame frame = first.frame();
    frame.data = memory_.data();
    if (!Train::may_begin(first.header, frame))
      return false;
    train_ = Train();
    train_.begin(first.header, frame);
    return true;
  }
  bool join(Datagram next) { return train_.join(next.header, next.frame()); }

  std::vector<Bytes> cut() {
    VnetHeader header{};
    dp::frame frame{};
    train_.finish(header, frame);
    EXPECT_EQ(header.gso_type, VNET_GSO_UDP_L4);
    EXPECT_EQ(header.flags, VNET_NEEDS_CSUM);
    EXPECT_EQ(header.csum_start, frame.transport);
    EXPECT_EQ(header.csum_offset, 6);
    EXPECT_EQ(header.hdr_len, frame.transport + 8);
    EXPECT_EQ(header.gso_size, frame.segment_size);
    std::vector<Bytes> all;
    dp::segment segment{};
    while (dp::frame_segment(&frame, &segment)) {
      Bytes one(segment.header, segment.header + segment.header_length);
      one.insert(one.end(), segment.data, segment.data + segment.length);
      all.push_back(one);
    }
    return all;
  }

  std::vector<uint8_t> memory_;
  Train train_;
};

TEST_F(TrainTest, OfIpv4CountsIdentificationsUp) {
  ASSERT_TRUE(begin(whole(test::Ip4(four) / udp() / payload(100))));
  EXPECT_TRUE(join(whole(test::Ip4(four).id(7) / udp() / payload(100))));
  EXPECT_TRUE(join(partial(test::Ip4(four).id(8) / udp() / payload(99), 20)));
  EXPECT_EQ(train_.count(), 3U);
  EXPECT_EQ(cut(), (std::vector<Bytes>{(test::Ip4(four) / udp() / payload(100)).bytes(),
                                       (test::Ip4(four).id(101) / udp() / payload(100)).bytes(),
                                       (test::Ip4(four).id(102) / udp() / payload(99)).bytes()}));
  EXPECT_TRUE(train_.empty());
}

TEST_F(TrainTest, OfIpv6IsAsItWas) {
  ASSERT_TRUE(begin(partial(six / udp() / payload(33), 40)));
  EXPECT_TRUE(join(whole(six / udp() / payload(33))));
  EXPECT_TRUE(join(whole(six / udp() / payload(1))));
  const Bytes each = (six / udp() / payload(33)).bytes();
  EXPECT_EQ(cut(), (std::vector<Bytes>{each, each, (six / udp() / payload(1)).bytes()}));
}

// What the kernel is given: lengths of the whole, and the pseudo-header's sum.
TEST_F(TrainTest, HasAPartialChecksum) {
  for (const test::Packet &ip : {test::Packet(four), test::Packet(six)}) {
    ASSERT_TRUE(begin(whole(ip / udp() / payload(10))));
    Bytes ten = (ip / payload(10)).bytes();
    EXPECT_TRUE(join(whole(ip / udp() / payload(10))));
    VnetHeader header{};
    dp::frame frame{};
    train_.finish(header, frame);
    Bytes twice(ten.end() - 10, ten.end());
    twice.insert(twice.end(), ten.end() - 10, ten.end());
    EXPECT_EQ(Bytes(frame.data, frame.data + frame.length),
              test::Packet(ip / udp() / test::raw(twice)).with_partial_checksum()->bytes());
    EXPECT_EQ(frame.segments, 2U);
    EXPECT_EQ(frame.segment_size, 10U);
  }
}

TEST_F(TrainTest, OneAloneStaysAsItIs) {
  Datagram one = partial(test::Ip4(four) / udp() / payload(100), 20);
  ASSERT_TRUE(begin(one));
  VnetHeader header{};
  dp::frame frame{};
  train_.finish(header, frame);
  EXPECT_EQ(Bytes(frame.data, frame.data + frame.length), one.bytes);
  EXPECT_EQ(header.gso_type, VNET_GSO_NONE);
  EXPECT_EQ(header.csum_start, 20);
}

TEST_F(TrainTest, AShorterOneIsTheLast) {
  ASSERT_TRUE(begin(whole(six / udp() / payload(100))));
  EXPECT_FALSE(join(whole(six / udp() / payload(101))));
  EXPECT_TRUE(join(whole(six / udp() / payload(99))));
  EXPECT_FALSE(join(whole(six / udp() / payload(99))));
  EXPECT_EQ(train_.count(), 2U);
}

TEST_F(TrainTest, HasAnEnd) {
  ASSERT_TRUE(begin(whole(six / udp() / payload(1))));
  for (uint32_t i = 1; i < Train::LONGEST; i++)
    EXPECT_TRUE(join(whole(six / udp() / payload(1))));
  EXPECT_FALSE(join(whole(six / udp() / payload(1))));

  ASSERT_TRUE(begin(whole(six / udp() / payload(20000))));
  EXPECT_TRUE(join(whole(six / udp() / payload(20000))));
  EXPECT_TRUE(join(whole(six / udp() / payload(20000))));
  EXPECT_FALSE(join(whole(six / udp() / payload(20000)))); // no packet is so long
}

TEST_F(TrainTest, OthersDoNotJoin) {
  auto refused = [this](const test::Packet &ip, const test::Packet &one, const test::Packet &next) {
    EXPECT_TRUE(begin(whole(ip / one / payload(10))));
    return !join(whole(next));
  };
  const test::Packet p = payload(10);
  EXPECT_TRUE(
      refused(six, udp(), test::ip6(test::pref64(test::server4b), test::client6) / udp() / p));
  EXPECT_TRUE(
      refused(six, udp(), test::ip6(test::pref64(test::server4), test::client6b) / udp() / p));
  EXPECT_TRUE(refused(six, udp(), six / test::udp(54, 1000) / p));
  EXPECT_TRUE(refused(six, udp(), six / test::udp(53, 1001) / p));
  EXPECT_TRUE(refused(six, udp(), test::Ip6(six).hop_limit(9) / udp() / p));
  EXPECT_TRUE(refused(six, udp(), test::Ip6(six).traffic_class(1) / udp() / p));
  EXPECT_TRUE(refused(six, udp(), four / udp() / p));
  EXPECT_TRUE(refused(four, udp(), test::ip4(test::pool4, test::server4b) / udp() / p));
  EXPECT_TRUE(refused(four, udp(), test::ip4(test::pool4b, test::server4) / udp() / p));
  EXPECT_TRUE(refused(four, udp(), test::Ip4(four).df() / udp() / p));
  EXPECT_TRUE(refused(four, udp(), test::Ip4(four).ttl(9) / udp() / p));
  EXPECT_TRUE(refused(four, udp(), test::Ip4(four).tos(1) / udp() / p));
  EXPECT_TRUE(refused(four, udp(), test::Ip4(four).mf() / udp() / p));
  EXPECT_TRUE(refused(four, udp(), four / test::tcp(53, 1000) / p));
  EXPECT_FALSE(refused(four, udp(), four / udp() / p));
  EXPECT_FALSE(refused(six, udp(), six / udp() / p));
}

TEST_F(TrainTest, WhatMayNotBegin) {
  EXPECT_FALSE(begin(whole(four / test::tcp(53, 1000) / payload(10))));
  EXPECT_FALSE(begin(whole(test::Ip4(four).mf() / udp() / payload(16))));
  EXPECT_FALSE(begin(whole(test::Ip4(four).offset(16) / udp() / payload(16))));
  EXPECT_FALSE(begin(whole(four / udp()))); // nothing to put one behind the other
  EXPECT_FALSE(begin(whole(four / udp().checksum(0) / payload(10))));
  EXPECT_FALSE(begin(whole(four / udp().length(10) / payload(10)))); // UDP options
  EXPECT_FALSE(begin(
      {(six / udp() / payload(99)).bytes(), {VNET_NEEDS_CSUM, VNET_GSO_UDP_L4, 48, 33, 40, 6}}));
}

// What was wrong must arrive wrong.
TEST_F(TrainTest, WrongChecksumsStayAlone) {
  ASSERT_TRUE(begin(whole(six / udp() / payload(10))));
  EXPECT_FALSE(join(whole(six / udp().bad_checksum() / payload(10))));
  EXPECT_TRUE(join(whole(six / udp() / payload(10))));

  Datagram wrong = whole(six / udp().bad_checksum() / payload(10));
  ASSERT_TRUE(begin(wrong));
  EXPECT_FALSE(join(whole(six / udp() / payload(10))));
  EXPECT_FALSE(join(whole(six / udp() / payload(10))));
  VnetHeader header{};
  dp::frame frame{};
  train_.finish(header, frame);
  EXPECT_EQ(Bytes(frame.data, frame.data + frame.length), wrong.bytes);
}

} // namespace
} // namespace viaduct::nvi
