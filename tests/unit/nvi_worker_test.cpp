// SPDX-License-Identifier: MIT
//
// The tun engine's threads, with one end of a socket pair in the place of each tun queue (the other
// end is the kernel's side; SOCK_SEQPACKET keeps the borders of packets).
#include "nvi/vnet.h"
#include "nvi/worker.h"

#include "lib/addresses.h"
#include "lib/packet.h"
#include "lib/vector.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <thread>
#include <vector>

namespace viaduct::nvi {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;
using test::Bytes;

struct EngineFree {
  void operator()(dp::engine *engine) const { dp::engine_free(engine); }
};

struct Received {
  VnetHeader header;
  Bytes packet;
};

Bytes datagram(uint16_t from, size_t size = 8) {
  return (test::ip6(test::client6, test::pref64(test::server4)) / test::udp(from, 53) /
          test::payload(size))
      .bytes();
}

class WorkersTest : public testing::Test {
protected:
  void SetUp() override {
    engine_.reset(dp::engine_new(1000));
    ASSERT_NE(engine_, nullptr);
    dp::policy policy = test::default_policy();
    policy.max_sessions_per_subscriber = 1000;
    ASSERT_EQ(dp::engine_set_policy(engine_.get(), &policy), 0);
  }

  void start(size_t queues, const Workers::Settings &settings = {std::chrono::microseconds(20)}) {
    make_queues(queues);
    start_workers(settings);
  }

  void make_queues(size_t queues) {
    for (size_t i = 0; i < queues; i++) {
      std::array<int, 2> pair{};
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()),
                0);
      queue_.emplace_back(pair[0]);
      kernel_.emplace_back(pair[1]);
      int room = 1 << 20; // for the largest packets
      ASSERT_EQ(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
      ASSERT_EQ(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    }
  }

  // For the last `make_queues`.
  void start_workers(const Workers::Settings &settings) {
    std::vector<int> ours;
    for (size_t i = started_; i < queue_.size(); i++)
      ours.push_back(queue_[i].get());
    started_ = queue_.size();
    auto started = Workers::start(engine_.get(), ours, settings);
    ASSERT_TRUE(started) << started.failure().message;
    workers_ = std::move(*started);
    ASSERT_EQ(workers_->count(), ours.size());
  }

  // As the kernel: false when there is no room.
  bool put(const Bytes &packet, const VnetHeader &header = {}, size_t queue = 0) {
    return put_raw({&header, sizeof header}, packet, queue);
  }
  bool put_raw(std::pair<const void *, size_t> head, const Bytes &packet, size_t queue = 0) {
    std::array<iovec, 2> parts{{{const_cast<void *>(head.first), head.second},
                                {const_cast<uint8_t *>(packet.data()), packet.size()}}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    return sendmsg(kernel_[queue].get(), &message, MSG_NOSIGNAL) >= 0;
  }

  std::optional<Received> get(size_t queue = 0, milliseconds patience = seconds(10)) {
    pollfd ready{kernel_[queue].get(), POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(patience.count())) != 1)
      return std::nullopt;
    Received received{{}, Bytes(70000)};
    std::array<iovec, 2> parts{
        {{&received.header, sizeof received.header}, {received.packet.data(), 70000}}};
    ssize_t got = readv(kernel_[queue].get(), parts.data(), parts.size());
    if (got < static_cast<ssize_t>(sizeof received.header))
      return std::nullopt;
    received.packet.resize(static_cast<size_t>(got) - sizeof received.header);
    return received;
  }

  uint64_t counter(dp::reason reason) const {
    std::array<__u64, dp::REASON_COUNT> counters{};
    dp::engine_counters(engine_.get(), counters.data());
    return counters[reason];
  }
  bool reaches(dp::reason reason, uint64_t count) const {
    auto end = Clock::now() + seconds(10);
    while (counter(reason) < count && Clock::now() < end)
      std::this_thread::sleep_for(milliseconds(1));
    return counter(reason) == count;
  }

  milliseconds stopping() {
    auto before = Clock::now();
    workers_.reset();
    return std::chrono::duration_cast<milliseconds>(Clock::now() - before);
  }

  std::unique_ptr<dp::engine, EngineFree> engine_;
  std::vector<Fd> queue_, kernel_;
  size_t started_ = 0;
  std::unique_ptr<Workers> workers_;
};

constexpr milliseconds QUICK{2000}; // on a machine that is busy with other things as well

uint16_t source_port(const Bytes &packet4) {
  return static_cast<uint16_t>(packet4[20] << 8 | packet4[21]);
}

// --- packets -------------------------------------------------------------------------------------

TEST_F(WorkersTest, TranslateThereAndBack) {
  start(1);
  ASSERT_TRUE(put(datagram(1000)));
  auto out = get();
  ASSERT_TRUE(out);
  uint16_t port = source_port(out->packet);
  EXPECT_GE(port, 1024);
  Bytes expected = (test::ip4(test::pool4, test::server4).ttl(out->packet[8]).tos(out->packet[1]) /
                    test::udp(port, 53) / test::payload(8))
                       .bytes();
  EXPECT_EQ(Bytes(out->packet.begin() + 12, out->packet.end()),
            Bytes(expected.begin() + 12, expected.end())); // addresses, and the datagram whole
  EXPECT_EQ(out->header.flags, 0);
  EXPECT_EQ(out->header.gso_type, VNET_GSO_NONE);

  Bytes answer =
      (test::ip4(test::server4, test::pool4) / test::udp(53, port) / test::payload(20)).bytes();
  ASSERT_TRUE(put(answer));
  auto back = get();
  ASSERT_TRUE(back);
  expected = (test::ip6(test::pref64(test::server4), test::client6) / test::udp(53, 1000) /
              test::payload(20))
                 .bytes();
  EXPECT_EQ(Bytes(back->packet.begin() + 8, back->packet.end()),
            Bytes(expected.begin() + 8, expected.end()));
}

// What IPv6 may not carry whole is written as fragments, one packet each.
TEST_F(WorkersTest, WriteEachFragment) {
  start(1);
  ASSERT_TRUE(put(datagram(1000)));
  auto out = get();
  ASSERT_TRUE(out);
  uint16_t port = source_port(out->packet);
  const test::Ip4 header = test::ip4(test::server4, test::pool4).id(7);
  ASSERT_TRUE(put((header / test::udp(53, port) / test::payload(60000)).bytes()));
  const Bytes whole = (test::ip6(test::pref64(test::server4), test::client6) / test::udp(53, 1000) /
                       test::payload(60000))
                          .bytes();
  Bytes payload;
  for (bool more = true; more;) {
    auto piece = get();
    ASSERT_TRUE(piece);
    ASSERT_LE(piece->packet.size(), 1280U);
    ASSERT_GT(piece->packet.size(), 48U);
    EXPECT_EQ(piece->header.flags, 0);
    EXPECT_EQ((piece->packet[42] << 8 | piece->packet[43]) & ~7, static_cast<int>(payload.size()));
    more = piece->packet[43] & 1;
    payload.insert(payload.end(), piece->packet.begin() + 48, piece->packet.end());
  }
  EXPECT_EQ(payload, Bytes(whole.begin() + 40, whole.end()));
}

TEST_F(WorkersTest, CarrySuperPacketsWhole) {
  start(1);
  auto packet = (test::ip6(test::client6, test::pref64(test::server4)) / test::tcp(1000, 80).syn() /
                 test::payload(60000));
  auto partial = test::Packet(packet).with_partial_checksum();
  ASSERT_TRUE(partial);
  ASSERT_TRUE(put(partial->bytes(), {VNET_NEEDS_CSUM, VNET_GSO_TCPV6, 60, 1400, 40, 16}));
  auto out = get();
  ASSERT_TRUE(out);
  EXPECT_EQ(out->packet.size(), 20U + 20U + 60000U);
  EXPECT_EQ(out->header.flags, VNET_NEEDS_CSUM);
  EXPECT_EQ(out->header.gso_type, VNET_GSO_TCPV4);
  EXPECT_EQ(out->header.gso_size, 1400);
  EXPECT_EQ(out->header.hdr_len, 40);
  EXPECT_EQ(out->header.csum_start, 20);
  EXPECT_EQ(out->header.csum_offset, 16);
  auto expected = test::Packet(test::ip4(test::pool4, test::server4) /
                               test::tcp(source_port(out->packet), 80).syn() / test::payload(60000))
                      .with_partial_checksum();
  ASSERT_TRUE(expected);
  Bytes bytes = expected->bytes();
  EXPECT_EQ(Bytes(out->packet.begin() + 12, out->packet.end()),
            Bytes(bytes.begin() + 12, bytes.end()));
}

TEST_F(WorkersTest, CarrySuperPacketsOfUdpWhole) {
  start(1);
  auto partial = [](const test::Packet &packet) { return packet.with_partial_checksum()->bytes(); };
  ASSERT_TRUE(put(partial(test::ip6(test::client6, test::pref64(test::server4)) /
                          test::udp(1000, 53) / test::payload(12000)),
                  {VNET_NEEDS_CSUM, VNET_GSO_UDP_L4, 48, 1200, 40, 6}));
  auto out = get();
  ASSERT_TRUE(out);
  const uint16_t port = source_port(out->packet);
  EXPECT_EQ(out->header.flags, VNET_NEEDS_CSUM);
  EXPECT_EQ(out->header.gso_type, VNET_GSO_UDP_L4);
  EXPECT_EQ(out->header.gso_size, 1200);
  EXPECT_EQ(out->header.hdr_len, 28);
  EXPECT_EQ(out->header.csum_start, 20);
  EXPECT_EQ(out->header.csum_offset, 6);
  Bytes bytes =
      partial(test::ip4(test::pool4, test::server4) / test::udp(port, 53) / test::payload(12000));
  EXPECT_EQ(out->packet[6] & 0x40, 0); // a datagram has 1228 bytes: RFC 7915 5, DF is clear
  EXPECT_EQ(Bytes(out->packet.begin() + 12, out->packet.end()),
            Bytes(bytes.begin() + 12, bytes.end()));

  ASSERT_TRUE(put(partial(test::ip4(test::server4, test::pool4).df() / test::udp(53, port) /
                          test::payload(7000)),
                  {VNET_NEEDS_CSUM, VNET_GSO_UDP_L4, 28, 1400, 20, 6}));
  out = get();
  ASSERT_TRUE(out);
  EXPECT_EQ(out->header.gso_type, VNET_GSO_UDP_L4);
  EXPECT_EQ(out->header.gso_size, 1400);
  EXPECT_EQ(out->header.hdr_len, 48);
  bytes = partial(test::ip6(test::pref64(test::server4), test::client6) / test::udp(53, 1000) /
                  test::payload(7000));
  EXPECT_EQ(Bytes(out->packet.begin() + 8, out->packet.end()),
            Bytes(bytes.begin() + 8, bytes.end()));
}

// What is in the queue at once: neighbours of one flow leave together, and nothing changes its place.
TEST_F(WorkersTest, GatherDatagramsOfOneFlow) {
  make_queues(1);
  for (uint16_t from : {1000, 1000, 1000, 1001, 1000, 1000})
    ASSERT_TRUE(put(datagram(from, 50)));
  ASSERT_TRUE(put(
      (test::ip6(test::client6, test::pref64(test::server4)) / test::tcp(1000, 80).syn()).bytes()));
  ASSERT_TRUE(put(datagram(1000, 50)));
  ASSERT_TRUE(put(datagram(1000, 40)));
  start_workers({.gather_udp = true});
  struct Expected {
    size_t size;
    uint8_t gso_type;
  };
  uint16_t port = 0;
  for (const Expected &expected : std::vector<Expected>{{28 + 150, VNET_GSO_UDP_L4},
                                                        {28 + 50, VNET_GSO_NONE},
                                                        {28 + 100, VNET_GSO_UDP_L4},
                                                        {40, VNET_GSO_NONE},
                                                        {28 + 90, VNET_GSO_UDP_L4}}) {
    auto out = get();
    ASSERT_TRUE(out);
    EXPECT_EQ(out->packet.size(), expected.size);
    EXPECT_EQ(out->header.gso_type, expected.gso_type);
    EXPECT_EQ(out->header.gso_size, expected.gso_type == VNET_GSO_NONE ? 0 : 50);
    if (port == 0)
      port = source_port(out->packet);
    EXPECT_EQ(source_port(out->packet) == port, expected.gso_type != VNET_GSO_NONE);
  }
  EXPECT_TRUE(reaches(dp::REASON_datagrams_gathered, 7));
  EXPECT_EQ(counter(dp::REASON_translated_6to4), 9U);
}

TEST_F(WorkersTest, GatherNothingUnasked) {
  make_queues(1);
  for (int i = 0; i < 5; i++)
    ASSERT_TRUE(put(datagram(1000, 50)));
  start_workers({});
  for (int i = 0; i < 5; i++) {
    auto out = get();
    ASSERT_TRUE(out);
    EXPECT_EQ(out->packet.size(), 78U);
  }
  EXPECT_EQ(counter(dp::REASON_datagrams_gathered), 0U);
}

// Datagrams that IPv6 may not carry whole are fragmented each by itself.
TEST_F(WorkersTest, TakeSuperPacketsOfLongDatagramsApart) {
  start(1);
  ASSERT_TRUE(put(datagram(1000)));
  auto out = get();
  ASSERT_TRUE(out);
  const uint16_t port = source_port(out->packet);
  auto super = test::Packet(test::ip4(test::server4, test::pool4).id(7) / test::udp(53, port) /
                            test::payload(3000))
                   .with_partial_checksum();
  ASSERT_TRUE(super);
  ASSERT_TRUE(put(super->bytes(), {VNET_NEEDS_CSUM, VNET_GSO_UDP_L4, 28, 1400, 20, 6}));
  std::vector<std::pair<size_t, int>> pieces; // size, identification
  for (int i = 0; i < 5; i++) {
    auto piece = get();
    ASSERT_TRUE(piece);
    EXPECT_EQ(piece->header.flags, 0);
    EXPECT_EQ(piece->header.gso_type, VNET_GSO_NONE);
    pieces.emplace_back(piece->packet.size(),
                        piece->packet[6] == 44 ? piece->packet[46] << 8 | piece->packet[47] : 0);
  }
  // 1400 and 8 bytes: 1232 and 176 behind 48 bytes of headers; the last datagram of 200 is whole.
  EXPECT_EQ(pieces, (std::vector<std::pair<size_t, int>>{
                        {1280, 7}, {224, 7}, {1280, 8}, {224, 8}, {248, 0}}));
  EXPECT_FALSE(get(0, milliseconds(20)));
  EXPECT_EQ(counter(dp::REASON_translated_4to6), 3U);

  // What is no UDP header is not taken for one.
  auto tcp = test::Packet(test::ip4(test::server4, test::pool4) / test::tcp(53, port) /
                          test::payload(3000))
                 .with_partial_checksum()
                 ->bytes();
  tcp[24] = static_cast<uint8_t>(3020 >> 8); // where UDP has its length
  tcp[25] = static_cast<uint8_t>(3020);
  ASSERT_TRUE(put(tcp, {VNET_NEEDS_CSUM, VNET_GSO_UDP_L4, 28, 1400, 20, 6}));
  EXPECT_TRUE(reaches(dp::REASON_tun_bad_frame, 1));
}

// A socket that takes no more than so many bytes at once refuses super-packets (EMSGSIZE), and takes
// their segments.
TEST_F(WorkersTest, CutSuperPacketsThatAreRefused) {
  start(1);
  int room = 20000; // the kernel doubles it: two and a half segments
  ASSERT_EQ(setsockopt(queue_[0].get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
  auto partial = test::Packet(test::ip6(test::client6, test::pref64(test::server4)) /
                              test::tcp(1000, 80).seq(77).syn() / test::payload(42000))
                     .with_partial_checksum();
  ASSERT_TRUE(partial);
  const Bytes super = partial->bytes();
  for (uint32_t round = 0; round < Refusals::LIMIT; round++) {
    EXPECT_TRUE(workers_->refused().empty());
    ASSERT_TRUE(put(partial->bytes(), {VNET_NEEDS_CSUM, VNET_GSO_TCPV6, 60, 14000, 40, 16}));
    Bytes payload;
    for (uint32_t i = 0; i < 3; i++) {
      auto out = get();
      ASSERT_TRUE(out) << "segment " << i << " of round " << round;
      EXPECT_EQ(out->header.flags, 0);
      EXPECT_EQ(out->header.gso_type, VNET_GSO_NONE);
      Bytes data(out->packet.begin() + 40, out->packet.end());
      const auto id = static_cast<uint16_t>(out->packet[4] << 8 | out->packet[5]);
      test::Ip4 header = test::ip4(test::pool4, test::server4).id(id).df();
      EXPECT_EQ(out->packet,
                (header / test::tcp(source_port(out->packet), 80).seq(77 + i * 14000).syn() /
                 test::raw(data))
                    .bytes());
      payload.insert(payload.end(), data.begin(), data.end());
    }
    EXPECT_EQ(payload, Bytes(super.begin() + 60, super.end()));
  }
  EXPECT_TRUE(reaches(dp::REASON_super_packet_refused, Refusals::LIMIT));
  EXPECT_EQ(workers_->refused(), std::vector<std::string>{"tso4"});

  // Not tried any more: the room is there again, and it is still cut. Other kinds are not.
  room = 1 << 20;
  ASSERT_EQ(setsockopt(queue_[0].get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
  ASSERT_TRUE(put(partial->bytes(), {VNET_NEEDS_CSUM, VNET_GSO_TCPV6, 60, 14000, 40, 16}));
  for (int i = 0; i < 3; i++)
    EXPECT_TRUE(get());
  auto udp = test::Packet(test::ip6(test::client6, test::pref64(test::server4)) /
                          test::udp(1000, 53) / test::payload(3000))
                 .with_partial_checksum();
  ASSERT_TRUE(put(udp->bytes(), {VNET_NEEDS_CSUM, VNET_GSO_UDP_L4, 48, 1000, 40, 6}));
  auto out = get();
  ASSERT_TRUE(out);
  EXPECT_EQ(out->header.gso_type, VNET_GSO_UDP_L4);
  EXPECT_EQ(counter(dp::REASON_super_packet_refused), uint64_t{Refusals::LIMIT});
  EXPECT_EQ(counter(dp::REASON_tun_write_failed), 0U);
}

// A queue that takes nothing says nothing about super-packets.
TEST_F(WorkersTest, ADeadQueueSwitchesNothingOff) {
  start(1);
  ASSERT_EQ(shutdown(kernel_[0].get(), SHUT_RD), 0);
  auto partial = test::Packet(test::ip6(test::client6, test::pref64(test::server4)) /
                              test::tcp(1000, 80).syn() / test::payload(30000))
                     .with_partial_checksum();
  for (uint32_t i = 0; i < 2 * Refusals::LIMIT; i++)
    ASSERT_TRUE(put(partial->bytes(), {VNET_NEEDS_CSUM, VNET_GSO_TCPV6, 60, 1000, 40, 16}));
  EXPECT_TRUE(reaches(dp::REASON_tun_write_failed, 2 * Refusals::LIMIT));
  EXPECT_TRUE(workers_->refused().empty());
  EXPECT_EQ(counter(dp::REASON_super_packet_refused), 0U);
}

TEST_F(WorkersTest, CountFramesThatAreNoPackets) {
  start(1);
  const std::array<uint8_t, 9> short_header{};
  uint64_t bad = 0;
  ASSERT_TRUE(put_raw({short_header.data(), 1}, {}));
  ASSERT_TRUE(put_raw({short_header.data(), short_header.size()}, {}));
  bad += 2;
  ASSERT_TRUE(put(datagram(1000), {VNET_NEEDS_CSUM, 0, 0, 0, 1000, 6}));
  ASSERT_TRUE(put(datagram(1000), {0, VNET_GSO_TCPV6, 0, 100, 0, 0}));
  ASSERT_TRUE(put(datagram(1000), {0, 77, 0, 0, 0, 0}));
  bad += 3;
  ASSERT_TRUE(put(Bytes(65536 + 128, 0x60))); // longer than any packet: it came cut
  bad += 1;
  EXPECT_TRUE(reaches(dp::REASON_tun_bad_frame, bad));

  ASSERT_TRUE(put({})); // a header and nothing behind it: for the data path to say
  EXPECT_TRUE(reaches(dp::REASON_truncated, 1));
  ASSERT_TRUE(put(datagram(1000), {VNET_NEEDS_CSUM, 0, 0, 0, 30, 6}));
  EXPECT_TRUE(reaches(dp::REASON_bad_offload, 1));
  EXPECT_FALSE(get(0, milliseconds(20))); // none of it came back

  ASSERT_TRUE(put(datagram(1000))); // and it goes on
  EXPECT_TRUE(get());
  EXPECT_EQ(counter(dp::REASON_tun_bad_frame), bad);
}

TEST_F(WorkersTest, EachAnswerOnItsOwnQueueInOrder) {
  start(3);
  constexpr size_t flows = 20;
  for (size_t i = 0; i < flows; i++)
    for (size_t queue = 0; queue < 3; queue++)
      ASSERT_TRUE(put(datagram(static_cast<uint16_t>(1000 + queue), i), {}, queue));
  for (size_t queue = 0; queue < 3; queue++) {
    uint16_t port = 0;
    for (size_t i = 0; i < flows; i++) {
      auto out = get(queue);
      ASSERT_TRUE(out);
      EXPECT_EQ(out->packet.size(), 28 + i);
      EXPECT_TRUE(port == 0 || port == source_port(out->packet));
      port = source_port(out->packet);
    }
  }
  EXPECT_EQ(counter(dp::REASON_translated_6to4), 3 * flows);
  EXPECT_EQ(counter(dp::REASON_binding_made), 3U);
}

TEST_F(WorkersTest, CountWhatIsNotTakenBack) {
  start(1);
  ASSERT_EQ(shutdown(kernel_[0].get(), SHUT_RD), 0); // writing fails from now on
  // Writing to such a socket raises SIGPIPE, which a tun does not: the daemon ignores it.
  for (int i = 0; i < 5; i++)
    ASSERT_TRUE(put(datagram(1000)));
  EXPECT_TRUE(reaches(dp::REASON_tun_write_failed, 5));
  EXPECT_EQ(counter(dp::REASON_translated_6to4), 5U);
}

// --- the end -------------------------------------------------------------------------------------

TEST_F(WorkersTest, StopWhileTheySleep) {
  start(4);
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_LT(stopping(), QUICK);
}

TEST_F(WorkersTest, StopWhilePacketsFlow) {
  start(2);
  std::atomic<bool> enough = false;
  std::vector<std::thread> kernels;
  for (size_t queue = 0; queue < 2; queue++)
    kernels.emplace_back([&, queue] {
      Bytes packet = datagram(static_cast<uint16_t>(1000 + queue));
      std::array<uint8_t, 256> drain{};
      while (!enough) {
        put(packet, {}, queue);
        while (recv(kernel_[queue].get(), drain.data(), drain.size(), 0) > 0)
          ;
      }
    });
  auto end = Clock::now() + seconds(10);
  while (counter(dp::REASON_translated_6to4) < 1000 && Clock::now() < end)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_LT(stopping(), QUICK);
  uint64_t at_the_end = counter(dp::REASON_translated_6to4);
  EXPECT_GE(at_the_end, 1000U);
  enough = true;
  for (auto &kernel : kernels)
    kernel.join();
  EXPECT_EQ(counter(dp::REASON_translated_6to4), at_the_end);
}

TEST_F(WorkersTest, CanBeStartedAgain) {
  for (int i = 0; i < 300; i++) { // more than there are readers at once
    start(1);
    ASSERT_FALSE(HasFatalFailure());
    workers_.reset();
  }
  start(1);
  ASSERT_TRUE(put(datagram(1000), {}, queue_.size() - 1));
  EXPECT_TRUE(get(queue_.size() - 1));
}

TEST_F(WorkersTest, SayWhenThereAreTooMany) {
  std::vector<int> queues(300, -1);
  auto started = Workers::start(engine_.get(), queues, {});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.failure().message,
            "cannot make worker 256 of 300: not enough memory, or too many queues");
}

// The interface was taken away: nothing will come, and nobody burns a processor waiting for it.
TEST_F(WorkersTest, SleepWhenTheQueueIsGone) {
  start(2);
  kernel_.clear();
  std::this_thread::sleep_for(milliseconds(50));
  auto used = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return milliseconds(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
  };
  milliseconds before = used();
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_LT(used() - before, milliseconds(60));
  EXPECT_LT(stopping(), QUICK);
}

class IgnoreSigpipe : public testing::Environment {
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }
};
[[maybe_unused]] auto *const environment = testing::AddGlobalTestEnvironment(new IgnoreSigpipe);

} // namespace
} // namespace viaduct::nvi
