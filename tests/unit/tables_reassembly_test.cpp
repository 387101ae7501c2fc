// SPDX-License-Identifier: MIT
//
// Fragments that wait for the rest: whatever their order, a datagram comes out whole and once; no
// memory is lost on any way; no source takes all of it.
#include "datapath/native/reassembly.h"

#include "lib/addresses.h"
#include "lib/decode.h"
#include "lib/packet.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <vector>

namespace viaduct::dp {
namespace {

using test::Bytes;

constexpr uint32_t timeout = 2;

struct Free {
  void operator()(reassembly *all) const { reassembly_free(all); }
};

struct Result {
  gathering outcome;
  Bytes whole; // empty: not yet
  uint32_t given_up;
};

// Who sends: a /64 is one source.
piece_key key_of(uint32_t source, uint32_t id) {
  piece_key key{};
  key.source.byte[0] = 0x20;
  key.source.byte[6] = static_cast<uint8_t>(source >> 8);
  key.source.byte[7] = static_cast<uint8_t>(source);
  key.source.byte[15] = 1;
  key.destination.byte[15] = 2;
  key.identification = id;
  key.family = 6;
  return key;
}

class ReassemblyTest : public testing::Test {
protected:
  Result add(const piece_key &key, const Bytes &data, uint32_t from, uint32_t to, bool last,
             uint32_t now = 100) {
    piece piece{};
    piece.key = key;
    piece.data = data.data() + from;
    piece.length = to - from;
    piece.offset = from;
    piece.last = last;
    piece.hop_limit = 64;
    piece.next = 17;
    Result result{};
    uint32_t length = 0;
    result.outcome =
        reassembly_add(all_.get(), &piece, now, timeout, whole_.data(), &length, &result.given_up);
    result.whole.assign(whole_.begin(), whole_.begin() + length);
    return result;
  }

  // Sends datagrams of one fragment out of two until there is no room; returns how many fitted.
  uint32_t fill(uint32_t source, uint32_t size) {
    const Bytes data(size, 0x5a);
    for (uint32_t id = 0;; id++)
      if (add(key_of(source, id), data, 0, size, false).outcome == GATHERING_FULL)
        return id;
  }

  std::unique_ptr<reassembly, Free> all_{reassembly_new()};
  Bytes whole_ = Bytes(LONGEST_WHOLE);
};

struct Cut {
  uint32_t datagram, from, to;
  bool last;
};

TEST_F(ReassemblyTest, AnyOrderGivesTheDatagramOnce) {
  std::minstd_rand random(7);
  for (int round = 0; round < 300; round++) {
    std::vector<Bytes> sent;
    std::vector<Cut> cuts;
    for (uint32_t d = 0; d < 5; d++) {
      uint32_t size = 1 + static_cast<uint32_t>(random() % (round % 10 == 0 ? 65000 : 4000));
      Bytes data(size);
      std::generate(data.begin(), data.end(), [&] { return static_cast<uint8_t>(random()); });
      for (uint32_t from = 0; from < size;) {
        uint32_t most = size > 30000 ? 8 * 1000 : 8 * 40;
        uint32_t to = std::min(size, from + 8 * (1 + static_cast<uint32_t>(random() % (most / 8))));
        cuts.push_back({d, from, to, to == size});
        if (random() % 8 == 0)
          cuts.push_back(cuts.back()); // comes twice
        from = to;
      }
      sent.push_back(std::move(data));
    }
    std::shuffle(cuts.begin(), cuts.end(), random);
    std::vector<int> got(sent.size());
    for (const Cut &cut : cuts) {
      Result result = add(key_of(1, cut.datagram), sent[cut.datagram], cut.from, cut.to, cut.last);
      ASSERT_EQ(result.outcome, GATHERING);
      if (result.whole.empty())
        continue;
      got[cut.datagram]++;
      ASSERT_EQ(result.whole.size(), 48 + sent[cut.datagram].size());
      ASSERT_TRUE(std::equal(sent[cut.datagram].begin(), sent[cut.datagram].end(),
                             result.whole.begin() + 48));
    }
    // What comes again after the whole begins anew, and may even become whole again.
    for (int times : got)
      ASSERT_GE(times, 1);
    reassembly_expire(all_.get(), 1000); // the next round uses the same identifications
  }
}

TEST_F(ReassemblyTest, EveryOverlapGivesUp) {
  const Bytes data(4000, 1);
  const Cut second[] = {{0, 0, 8, false},   {0, 8, 24, false},  {0, 0, 4000, true},
                        {0, 16, 24, true},  {0, 24, 32, false}, {0, 8, 16, false},
                        {0, 0, 1000, false}};
  uint32_t id = 0;
  for (const Cut &cut : second) {
    piece_key key = key_of(1, id++);
    ASSERT_EQ(add(key, data, 16, 32, false).outcome, GATHERING);
    bool overlaps = cut.from < 32 && cut.to > 16;
    EXPECT_EQ(add(key, data, cut.from, cut.to, cut.last).outcome,
              overlaps ? GATHERING_OVERLAP : GATHERING)
        << cut.from << " to " << cut.to;
    EXPECT_EQ(add(key, data, 1000, 1008, false).outcome, overlaps ? GATHERING_OVERLAP : GATHERING)
        << "nothing of it is taken any more";
  }
}

TEST_F(ReassemblyTest, ASourceHasItsShareAndNoMore) {
  EXPECT_EQ(fill(1, 8), uint32_t{REASSEMBLY_DATAGRAMS / REASSEMBLY_SHARE});
  EXPECT_GT(fill(2, 8), 0U) << "another source has room";
}

TEST_F(ReassemblyTest, LongFragmentsFillTheChunksOfASource) {
  EXPECT_EQ(fill(1, 60000), uint32_t{REASSEMBLY_CHUNKS / REASSEMBLY_SHARE / 30});
}

TEST_F(ReassemblyTest, ADatagramOfTooManyPiecesIsRefused) {
  const Bytes data(65000, 1);
  uint32_t taken = 0;
  while (add(key_of(1, 1), data, 16 * taken, 16 * taken + 8, false).outcome == GATHERING)
    taken++;
  EXPECT_EQ(taken, uint32_t{REASSEMBLY_PIECES});
}

TEST_F(ReassemblyTest, NothingIsLost) {
  const uint32_t datagrams = fill(1, 8);
  for (int round = 0; round < 100; round++) {
    // Ends of three kinds: too late, given up after an overlap, refused.
    const Bytes data(64, 1);
    ASSERT_EQ(add(key_of(1, 0), data, 0, 16, false).outcome, GATHERING_OVERLAP);
    ASSERT_EQ(reassembly_expire(all_.get(), 1000), datagrams - 1) << "round " << round;
    ASSERT_EQ(fill(1, 60000), uint32_t{REASSEMBLY_CHUNKS / REASSEMBLY_SHARE / 30});
    ASSERT_NE(reassembly_expire(all_.get(), 1000), 0U);
    ASSERT_EQ(fill(1, 8), datagrams);
  }
}

TEST_F(ReassemblyTest, AllSourcesTogetherMeetTheCeiling) {
  uint32_t taken = 0;
  for (uint32_t source = 0; source < 2000; source++)
    taken += fill(source, 8);
  EXPECT_EQ(taken, uint32_t{REASSEMBLY_DATAGRAMS});
  EXPECT_EQ(reassembly_expire(all_.get(), 103), uint32_t{REASSEMBLY_DATAGRAMS});
  EXPECT_EQ(reassembly_expire(all_.get(), 103), 0U);
}

// Identifications are free for whoever sends: what is kept does not grow with them, what has expired
// makes room, and the last has no less than the first had.
TEST_F(ReassemblyTest, AMillionIdentificationsTakeNoMoreThanTheCeiling) {
  constexpr uint32_t identifications = 1'000'000, sources = 1000, seconds = 100;
  const Bytes data(64, 1);
  uint64_t taken = 0, refused = 0, given_up = 0, expired = 0;
  for (uint32_t id = 0; id < identifications; id++) {
    const uint32_t now = 100 + id / (identifications / seconds);
    const Result result = add(key_of(id % sources, id), data, 0, 64, false, now);
    (result.outcome == GATHERING_FULL ? refused : taken)++;
    given_up += result.given_up;
    ASSERT_LE(taken - given_up, uint64_t{REASSEMBLY_DATAGRAMS}) << "after " << id;
  }
  expired = reassembly_expire(all_.get(), 1000);
  EXPECT_LE(expired, uint64_t{REASSEMBLY_DATAGRAMS});
  EXPECT_EQ(taken, given_up + expired);
  EXPECT_EQ(taken + refused, uint64_t{identifications});
  EXPECT_GE(taken, seconds / (timeout + 1) * uint64_t{REASSEMBLY_DATAGRAMS} * 9 / 10)
      << "room comes back";
  EXPECT_EQ(fill(1, 8), uint32_t{REASSEMBLY_DATAGRAMS / REASSEMBLY_SHARE});
}

TEST_F(ReassemblyTest, WhatIsTooLateIsToldByTheNextFragment) {
  const Bytes data(64, 1);
  EXPECT_EQ(add(key_of(1, 1), data, 0, 16, false, 100).given_up, 0U);
  EXPECT_EQ(add(key_of(1, 2), data, 0, 16, false, 102).given_up, 0U);
  EXPECT_EQ(add(key_of(1, 3), data, 0, 16, false, 103).given_up, 1U);
}

} // namespace
} // namespace viaduct::dp
