// SPDX-License-Identifier: MIT
//
// Addresses and prefixes from text to text, RFC 6052's table, and what the event loop promises
// about callbacks that change what is watched.
#include "base/address.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/fd.h"
#include "base/result.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <random>
#include <sys/epoll.h>
#include <thread>
#include <unistd.h>

namespace viaduct {
namespace {

using namespace std::chrono_literals;

// --- addresses -----------------------------------------------------------------------------------

template <typename Address, size_t Size> Address random_address(std::mt19937 &random) {
  Address address;
  for (size_t i = 0; i < Size; i++) {
    // Every other byte is often zero, so that texts with "::" come up.
    bool zero = random() % 2 == 0;
    address.bytes[i] = zero ? 0 : static_cast<uint8_t>(random());
  }
  return address;
}

TEST(Ipv4, text_reads_back) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; i++) {
    auto address = random_address<Ipv4, 4>(random);
    auto again = Ipv4::parse(address.text());
    ASSERT_TRUE(again) << address.text();
    EXPECT_EQ(*again, address);
    EXPECT_EQ(Ipv4::from_host_order(address.host_order()), address);
    EXPECT_EQ(Ipv4::from_network_order(address.network_order()), address);
  }
}

TEST(Ipv4, byte_orders_are_what_their_names_say) {
  auto address = Ipv4::parse("192.0.2.1");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->host_order(), 0xc0000201U);
  uint32_t wire = address->network_order();
  std::array<uint8_t, 4> bytes{};
  memcpy(bytes.data(), &wire, sizeof wire);
  EXPECT_EQ(bytes, (std::array<uint8_t, 4>{192, 0, 2, 1}));
}

TEST(Ipv4, sorts_as_numbers) {
  EXPECT_LT(*Ipv4::parse("9.255.255.255"), *Ipv4::parse("10.0.0.0"));
  EXPECT_LT(*Ipv4::parse("127.255.255.255"), *Ipv4::parse("128.0.0.0"));
}

TEST(Ipv4, refuses_other_texts) {
  for (std::string_view bad : {"", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", " 1.2.3.4",
                               "1.2.3.4 ", "1.2.3.4/32", "0x1.2.3.4", "1..2.3", "::1", "a.b.c.d"})
    EXPECT_FALSE(Ipv4::parse(bad)) << bad;
  EXPECT_FALSE(Ipv4::parse(std::string_view("1.2.3.4\0", 8)));
  EXPECT_FALSE(Ipv4::parse(std::string(1000, '1')));
}

TEST(Ipv6, text_reads_back) {
  std::mt19937 random(2);
  for (int i = 0; i < 20000; i++) {
    auto address = random_address<Ipv6, 16>(random);
    auto again = Ipv6::parse(address.text());
    ASSERT_TRUE(again) << address.text();
    EXPECT_EQ(*again, address);
    EXPECT_EQ(Ipv6::from_bytes(address.bytes), address);
  }
}

struct Spelling {
  const char *in;
  const char *out;
};

// RFC 5952 section 4: no leading zeros, "::" for the longest run (the first of equals, never a
// single field), lower case.
TEST(Ipv6, text_is_rfc5952) {
  for (Spelling spelling : {Spelling{"2001:0db8::0001", "2001:db8::1"},
                            {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},
                            {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
                            {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
                            {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
                            {"2001:DB8::ABCD", "2001:db8::abcd"},
                            {"0:0:0:0:0:0:0:0", "::"},
                            {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"}}) {
    auto address = Ipv6::parse(spelling.in);
    ASSERT_TRUE(address) << spelling.in;
    EXPECT_EQ(address->text(), spelling.out);
  }
}

TEST(Ipv6, refuses_other_texts) {
  for (std::string_view bad : {"", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
                               "12345::", "g::", "::1/128", "fe80::1%lo", "[::1]", "192.0.2.1"})
    EXPECT_FALSE(Ipv6::parse(bad)) << bad;
  EXPECT_FALSE(Ipv6::parse(std::string_view("::\0", 3)));
}

TEST(Endpoint, ipv6_stands_in_brackets) {
  EXPECT_EQ(endpoint_text(*Ipv4::parse("192.0.2.1"), 80), "192.0.2.1:80");
  EXPECT_EQ(endpoint_text(*Ipv6::parse("2001:db8::1"), 65535), "[2001:db8::1]:65535");
}

// --- prefixes ------------------------------------------------------------------------------------

// The first `length` bits of `bytes`.
template <size_t Size> void cut(std::array<uint8_t, Size> &bytes, unsigned length) {
  for (unsigned bit = length; bit < Size * 8; bit++)
    bytes[bit / 8] &= static_cast<uint8_t>(~(0x80U >> (bit % 8)));
}

TEST(Prefix6, text_reads_back_for_every_length) {
  std::mt19937 random(3);
  for (unsigned length = 0; length <= 128; length++)
    for (int i = 0; i < 50; i++) {
      Prefix6 prefix{random_address<Ipv6, 16>(random), static_cast<uint8_t>(length)};
      cut(prefix.address.bytes, length);
      auto again = Prefix6::parse(prefix.text());
      ASSERT_TRUE(again) << prefix.text();
      EXPECT_EQ(*again, prefix);
      EXPECT_TRUE(prefix.contains(prefix.address));
      EXPECT_TRUE(prefix.overlaps(prefix));
    }
}

TEST(Prefix4, text_reads_back_for_every_length) {
  std::mt19937 random(4);
  for (unsigned length = 0; length <= 32; length++)
    for (int i = 0; i < 50; i++) {
      Prefix4 prefix{random_address<Ipv4, 4>(random), static_cast<uint8_t>(length)};
      cut(prefix.address.bytes, length);
      auto again = Prefix4::parse(prefix.text());
      ASSERT_TRUE(again) << prefix.text();
      EXPECT_EQ(*again, prefix);
    }
}

// Turning any bit of the prefix leaves it, turning any bit behind it does not.
TEST(Prefix6, contains_looks_at_exactly_its_bits) {
  std::mt19937 random(5);
  for (unsigned length = 0; length <= 128; length++) {
    Ipv6 host = random_address<Ipv6, 16>(random);
    Prefix6 prefix{host, static_cast<uint8_t>(length)};
    cut(prefix.address.bytes, length);
    for (unsigned bit = 0; bit < 128; bit++) {
      Ipv6 other = host;
      other.bytes[bit / 8] ^= static_cast<uint8_t>(0x80U >> (bit % 8));
      EXPECT_EQ(prefix.contains(other), bit >= length) << prefix.text() << " bit " << bit;
    }
  }
}

TEST(Prefix4, contains_looks_at_exactly_its_bits) {
  std::mt19937 random(6);
  for (unsigned length = 0; length <= 32; length++) {
    Ipv4 host = random_address<Ipv4, 4>(random);
    Prefix4 prefix{host, static_cast<uint8_t>(length)};
    cut(prefix.address.bytes, length);
    for (unsigned bit = 0; bit < 32; bit++) {
      Ipv4 other = host;
      other.bytes[bit / 8] ^= static_cast<uint8_t>(0x80U >> (bit % 8));
      EXPECT_EQ(prefix.contains(other), bit >= length) << prefix.text() << " bit " << bit;
    }
  }
}

TEST(Prefix6, overlap_is_one_inside_the_other) {
  auto wide = *Prefix6::parse("2001:db8::/32");
  auto inside = *Prefix6::parse("2001:db8:1::/48");
  auto beside = *Prefix6::parse("2001:db9::/32");
  EXPECT_TRUE(wide.overlaps(inside));
  EXPECT_TRUE(inside.overlaps(wide));
  EXPECT_FALSE(wide.overlaps(beside));
  EXPECT_FALSE(inside.overlaps(beside));
  EXPECT_TRUE(Prefix6::parse("::/0")->overlaps(beside));
}

TEST(Prefix6, refuses_other_texts) {
  for (std::string_view bad :
       {"", "/", "::", "::/", "::/129", "::/-1", "::/+1", "::/ 1", "::/1x", "::1/127",
        "2001:db8::1/64", "192.0.2.0/24", "::/0/0", "::/99999999999999999999"})
    EXPECT_FALSE(Prefix6::parse(bad)) << bad;
}

TEST(Prefix4, refuses_other_texts) {
  for (std::string_view bad :
       {"", "192.0.2.0", "192.0.2.0/33", "192.0.2.1/24", "::/0", "192.0.2/24"})
    EXPECT_FALSE(Prefix4::parse(bad)) << bad;
}

// --- RFC 6052 ------------------------------------------------------------------------------------

struct Embedding {
  const char *prefix;
  const char *result;
};

// Both tables of section 2.4, with 192.0.2.33.
TEST(Embed, rfc6052_section_2_4) {
  auto address = *Ipv4::parse("192.0.2.33");
  for (Embedding row : {Embedding{"2001:db8::/32", "2001:db8:c000:221::"},
                        {"2001:db8:100::/40", "2001:db8:1c0:2:21::"},
                        {"2001:db8:122::/48", "2001:db8:122:c000:2:2100::"},
                        {"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"},
                        {"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"},
                        {"2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"},
                        {"64:ff9b::/96", "64:ff9b::192.0.2.33"}}) {
    auto prefix = Prefix6::parse(row.prefix);
    ASSERT_TRUE(prefix) << row.prefix;
    EXPECT_EQ(embed(*prefix, address), *Ipv6::parse(row.result)) << row.prefix;
  }
}

TEST(Embed, keeps_the_prefix_and_a_zero_u_octet) {
  std::mt19937 random(7);
  for (unsigned length : {32U, 40U, 48U, 56U, 64U, 96U})
    for (int i = 0; i < 1000; i++) {
      Prefix6 prefix{random_address<Ipv6, 16>(random), static_cast<uint8_t>(length)};
      cut(prefix.address.bytes, length);
      prefix.address.bytes[8] = 0;
      Ipv6 result = embed(prefix, random_address<Ipv4, 4>(random));
      EXPECT_TRUE(prefix.contains(result));
      EXPECT_EQ(result.bytes[8], 0);
    }
}

// --- results -------------------------------------------------------------------------------------

TEST(Result, holds_a_value_or_a_sentence) {
  Result<int> good = 5;
  Result<int> bad = error("found {}, expected {}", 1, "2");
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, 5);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.failure().message, "found 1, expected 2");
  EXPECT_EQ(system_error("cannot open x", ENOENT).message,
            "cannot open x: No such file or directory");
}

TEST(Fd, closes_once_and_moves) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  Fd writer(pipes[1]);
  {
    Fd first(pipes[0]);
    Fd second(std::move(first));
    EXPECT_EQ(second.get(), pipes[0]);
    EXPECT_EQ(fcntl(pipes[0], F_GETFD), 0);
  }
  EXPECT_EQ(fcntl(pipes[0], F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
}

// --- the event loop
// --------------------------------------------------------------------------------

class Loop : public testing::Test {
protected:
  void SetUp() override {
    auto made = EventLoop::make();
    ASSERT_TRUE(made) << made.failure().message;
    loop_ = std::move(*made);
    // Nothing here waits for long: a loop that hangs ends the test with a failure.
    auto guard = loop_->timer(10s, 0ms, [this] {
      ADD_FAILURE() << "the loop did not come to its end";
      loop_->stop();
    });
    ASSERT_TRUE(guard);
  }
  void run() {
    auto done = loop_->run();
    EXPECT_TRUE(done) << done.failure().message;
  }
  // A pipe with one byte in it, so that its reading end is ready.
  std::array<Fd, 2> ready_pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    EXPECT_EQ(write(ends[1], "x", 1), 1);
    return {Fd(ends[0]), Fd(ends[1])};
  }

  std::unique_ptr<EventLoop> loop_;
};

TEST_F(Loop, a_timer_fires_once_after_its_delay) {
  int fired = 0;
  auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(loop_->timer(20ms, 0ms, [&] {
    fired++;
    EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  }));
  ASSERT_TRUE(loop_->timer(80ms, 0ms, [&] { loop_->stop(); }));
  run();
  EXPECT_EQ(fired, 1);
}

TEST_F(Loop, a_periodic_timer_goes_on_until_it_cancels_itself) {
  int fired = 0;
  EventLoop::TimerId id = 0;
  auto made = loop_->timer(0ms, 2ms, [&] {
    if (++fired == 3)
      loop_->cancel(id);
  });
  ASSERT_TRUE(made);
  id = *made;
  ASSERT_TRUE(loop_->timer(60ms, 0ms, [&] { loop_->stop(); }));
  run();
  EXPECT_EQ(fired, 3);
}

TEST_F(Loop, a_cancelled_timer_is_silent) {
  auto made = loop_->timer(5ms, 0ms, [] { ADD_FAILURE() << "fired"; });
  ASSERT_TRUE(made);
  loop_->cancel(*made);
  loop_->cancel(*made); // and again: nothing
  ASSERT_TRUE(loop_->timer(30ms, 0ms, [&] { loop_->stop(); }));
  run();
}

TEST_F(Loop, a_timer_makes_the_next_one) {
  int left = 5;
  std::function<void()> next = [&] {
    if (--left == 0)
      return loop_->stop();
    ASSERT_TRUE(loop_->timer(1ms, 0ms, next));
  };
  ASSERT_TRUE(loop_->timer(1ms, 0ms, next));
  run();
  EXPECT_EQ(left, 0);
}

TEST_F(Loop, a_descriptor_that_is_ready_is_told) {
  auto ends = ready_pipe();
  uint32_t seen = 0;
  ASSERT_TRUE(loop_->watch(ends[0].get(), EPOLLIN, [&](uint32_t events) {
    seen = events;
    loop_->stop();
  }));
  run();
  EXPECT_TRUE(seen & EPOLLIN);
}

TEST_F(Loop, change_replaces_what_is_waited_for) {
  auto ends = ready_pipe();
  ASSERT_TRUE(loop_->watch(ends[0].get(), EPOLLIN, [](uint32_t) { ADD_FAILURE() << "called"; }));
  ASSERT_TRUE(loop_->change(ends[0].get(), 0));
  ASSERT_TRUE(loop_->timer(20ms, 0ms, [&] { loop_->stop(); }));
  run();
}

// Two are ready in the same round; whichever comes first removes the other.
TEST_F(Loop, one_callback_unwatches_the_other_of_its_round) {
  auto one = ready_pipe();
  auto two = ready_pipe();
  int called = 0;
  auto only = [&](uint32_t) {
    called++;
    loop_->unwatch(one[0].get());
    loop_->unwatch(two[0].get());
  };
  ASSERT_TRUE(loop_->watch(one[0].get(), EPOLLIN, only));
  ASSERT_TRUE(loop_->watch(two[0].get(), EPOLLIN, only));
  ASSERT_TRUE(loop_->timer(20ms, 0ms, [&] { loop_->stop(); }));
  run();
  EXPECT_EQ(called, 1);
}

// The closure must outlive its own removal: it still uses what it captured.
TEST_F(Loop, a_callback_removes_itself_and_goes_on) {
  auto ends = ready_pipe();
  auto captured = std::make_shared<std::string>("still here");
  std::weak_ptr<std::string> watcher = captured;
  ASSERT_TRUE(loop_->watch(ends[0].get(), EPOLLIN, [this, fd = ends[0].get(), captured](uint32_t) {
    loop_->unwatch(fd);
    EXPECT_EQ(*captured, "still here");
    loop_->stop();
  }));
  captured.reset();
  run();
  EXPECT_TRUE(watcher.expired());
}

TEST_F(Loop, a_signal_arrives_as_a_call) {
  int seen = 0;
  auto done = loop_->signals({SIGUSR1, SIGUSR2}, [&](int number) {
    seen = number;
    loop_->stop();
  });
  ASSERT_TRUE(done) << done.failure().message;
  ASSERT_EQ(raise(SIGUSR2), 0);
  run();
  EXPECT_EQ(seen, SIGUSR2);
}

TEST_F(Loop, another_thread_stops_it) {
  std::thread other([this] {
    std::this_thread::sleep_for(10ms);
    loop_->stop();
  });
  run();
  other.join();
}

TEST_F(Loop, a_descriptor_that_cannot_be_watched_is_an_error) {
  auto done = loop_->watch(-1, EPOLLIN, [](uint32_t) {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.failure().message, "cannot watch a descriptor: Bad file descriptor");
}

TEST(Clock, goes_forward_in_both_units) {
  uint64_t before = monotonic_ns();
  uint32_t seconds = monotonic_seconds();
  uint64_t after = monotonic_ns();
  EXPECT_LE(before, after);
  EXPECT_GE(seconds, before / 1'000'000'000U);
  EXPECT_LE(seconds, after / 1'000'000'000U);
}

} // namespace
} // namespace viaduct
