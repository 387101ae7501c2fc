// SPDX-License-Identifier: MIT
//
// Packets out of captures: every link that is known, short frames and what is not IP.
#include "cli/packet_file.h"
#include "tests/lib/addresses.h"
#include "tests/lib/packet.h"

#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <pcap/pcap.h>
#include <unistd.h>

namespace viaduct::cli {
namespace {

using namespace viaduct::test;

const Bytes packet6 = (ip6(client6, pref64(server4)) / udp(1, 2) / payload(10)).bytes();
const Bytes packet4 = (ip4(server4, pool4) / udp(1, 2) / payload(3)).bytes();

Bytes behind(Bytes header, const Bytes &packet) {
  header.insert(header.end(), packet.begin(), packet.end());
  return header;
}

Bytes ethernet(std::initializer_list<uint8_t> types) {
  Bytes header(12, 0xee);
  for (uint8_t type : types)
    header.push_back(type);
  return header;
}

Result<FilePacket> of(int link, const Bytes &frame) {
  return packet_from_frame(link, frame, frame.size());
}

TEST(PacketFile, every_link_that_is_known) {
  Bytes cooked(16), cooked2(20);
  cooked[14] = 0x86;
  cooked[15] = 0xdd;
  cooked2[0] = 8;
  const std::vector<std::tuple<int, Bytes, Bytes>> cases = {
      {DLT_RAW, {}, packet6},
      {DLT_IPV6, {}, packet6},
      {DLT_IPV4, {}, packet4},
      {DLT_EN10MB, ethernet({0x86, 0xdd}), packet6},
      {DLT_EN10MB, ethernet({0x08, 0x00}), packet4},
      {DLT_EN10MB, ethernet({0x81, 0, 0, 7, 0x08, 0x00}), packet4},
      {DLT_EN10MB, ethernet({0x88, 0xa8, 0, 7, 0x81, 0, 0, 7, 0x08, 0x00}), packet4},
      {DLT_LINUX_SLL, cooked, packet6},
      {DLT_LINUX_SLL2, cooked2, packet4},
      {DLT_NULL, {2, 0, 0, 0}, packet4},
      {DLT_LOOP, {0, 0, 0, 24}, packet6},
  };
  for (const auto &[link, header, packet] : cases) {
    auto found = of(link, behind(header, packet));
    ASSERT_TRUE(found) << link << ": " << found.failure().message;
    EXPECT_EQ(found->bytes, packet) << link;
    EXPECT_EQ(found->missing, 0U);
  }
}

TEST(PacketFile, padding_of_a_short_frame_is_not_the_packet) {
  Bytes frame = behind(ethernet({0x08, 0x00}), packet4);
  frame.resize(60);
  auto found = of(DLT_EN10MB, frame);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->bytes, packet4);
}

TEST(PacketFile, what_was_not_captured_is_zeros) {
  Bytes frame = behind(ethernet({0x86, 0xdd}), packet6);
  size_t whole = frame.size();
  frame.erase(frame.end() - 10, frame.end());
  auto found = packet_from_frame(DLT_EN10MB, frame, whole);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->missing, 10U);
  Bytes expected = packet6;
  std::fill(expected.end() - 10, expected.end(), uint8_t{0});
  EXPECT_EQ(found->bytes, expected);
}

TEST(PacketFile, what_its_header_says_too_much_of_stays_short) {
  Bytes cut(packet4.begin(), packet4.end() - 1);
  auto found = of(DLT_RAW, cut);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->bytes, cut);
}

TEST(PacketFile, what_is_no_packet_is_refused) {
  for (const auto &[link, frame] : std::vector<std::pair<int, Bytes>>{
           {DLT_EN10MB, {}},
           {DLT_EN10MB, ethernet({0x08, 0x06, 1, 2, 3})}, // ARP
           {DLT_EN10MB, ethernet({0x08, 0x00})},
           {DLT_EN10MB, ethernet({0x81, 0, 0, 7})},
           {DLT_EN10MB, ethernet({0x81, 0, 0, 7, 0x81, 0, 0, 7, 0x81, 0, 0, 7, 0x08, 0, 0x45})},
           {DLT_LINUX_SLL, Bytes(40)},
           {DLT_LINUX_SLL2, Bytes(19)},
           {DLT_NULL, {2, 0, 0, 0}},
           {DLT_RAW, {}}}) {
    auto found = of(link, frame);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.failure().message, "that packet of the capture is not IP");
  }
  auto found = of(DLT_IEEE802_11, packet6);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.failure().message, "the capture's link type is IEEE802_11, expected Ethernet, "
                                     "Linux cooked, raw IP or null");
  EXPECT_FALSE(packet_from_frame(DLT_RAW, Bytes{0x70}, 65576));
}

// A capture of both packets on disk.
class PacketFileOnDisk : public testing::Test {
protected:
  void SetUp() override {
    int fd = mkstemp(path_.data());
    ASSERT_GE(fd, 0);
    close(fd);
    pcap_t *dead = pcap_open_dead(DLT_RAW, 65535);
    pcap_dumper_t *dump = pcap_dump_open(dead, path_.c_str());
    for (const Bytes &packet : {packet6, packet4}) {
      pcap_pkthdr header{};
      header.caplen = header.len = static_cast<uint32_t>(packet.size());
      pcap_dump(reinterpret_cast<u_char *>(dump), &header, packet.data());
    }
    pcap_dump_close(dump);
    pcap_close(dead);
  }
  void TearDown() override { unlink(path_.c_str()); }
  std::string path_ = "/tmp/viaduct-capture-XXXXXX";
};

TEST_F(PacketFileOnDisk, packets_have_numbers) {
  auto first = packet_from_file(path_, 1), second = packet_from_file(path_, 2);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->bytes, packet6);
  EXPECT_EQ(second->bytes, packet4);
  auto third = packet_from_file(path_, 3);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.failure().message, "the capture " + path_ + " has 2 packets, and no packet 3");
}

TEST_F(PacketFileOnDisk, a_file_that_is_none_is_refused) {
  ASSERT_EQ(truncate(path_.c_str(), 70), 0); // in the middle of the first packet
  auto cut = packet_from_file(path_, 1);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.failure().message.rfind("cannot read the capture ", 0), 0U);
  ASSERT_EQ(truncate(path_.c_str(), 0), 0);
  EXPECT_FALSE(packet_from_file(path_, 1));
  EXPECT_FALSE(packet_from_file("/nonexistent", 1));
}

} // namespace
} // namespace viaduct::cli
