// SPDX-License-Identifier: MIT
//
// Tables that outlive who made them: the BPF engine's maps are pinned, and a successor takes them
// over, or says why not. In a mount namespace of the test's own, with a BPF file system of its own.
#include "tables/engine_choice.h"

#include "datapath/native/native.h"
#include "tables/pins.h"

#include "lib/addresses.h"
#include "lib/packet.h"
#include "lib/vector.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <sched.h>
#include <set>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace viaduct::tables {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t NOW = 1000;
constexpr uint32_t UDP_TIMEOUT = 300;
constexpr uint32_t SIZE = 64;
const fs::path root = "/sys/fs/bpf";
const fs::path ours = root / "viaduct";

class Pinned : public testing::Test {
protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "only root may mount";
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("bpf", root.c_str(), "bpf", 0, nullptr), 0);
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_)
      umount2(root.c_str(), MNT_DETACH);
  }
  // Also what the machine has there.
  void unmount_all() {
    while (umount2(root.c_str(), MNT_DETACH) == 0)
      ;
    mounted_ = false;
  }
  static std::set<std::string> folders() {
    std::set<std::string> names;
    std::error_code none;
    for (const auto &entry : fs::directory_iterator(ours, none))
      names.insert(entry.path().filename());
    return names;
  }
  // Where the only predecessor has left its maps.
  static fs::path folder() { return ours / *folders().begin(); }

  bool mounted_ = false;
};

// --- the folder
// ----------------------------------------------------------------------------------

TEST_F(Pinned, TheFolderComesAndGoes) {
  auto pins = Pins::of("nvi0");
  ASSERT_TRUE(pins) << pins.failure().message;
  EXPECT_FALSE(fs::exists(ours)) << "nothing is touched yet";
  EXPECT_FALSE(*pins->look());
  ASSERT_TRUE(pins->make());
  ASSERT_TRUE(pins->make()) << "it may be there";
  EXPECT_TRUE(*pins->look());
  EXPECT_TRUE(pins->path("sessions").starts_with(folder().string()));
  auto other = Pins::of("nvi-0.1");
  ASSERT_TRUE(other);
  EXPECT_FALSE(*other->look()) << "each interface has its own";
  ASSERT_TRUE(other->make()) << "the file system takes no dots";
  EXPECT_EQ(folders().size(), 2U);
  other->remove();
  EXPECT_TRUE(*pins->look());
  pins->remove();
  EXPECT_FALSE(fs::exists(ours));
}

TEST_F(Pinned, AnotherLayoutIsNamedAndTakenAway) {
  auto pins = Pins::of("nvi0");
  ASSERT_TRUE(pins && pins->make());
  std::string name = folder().filename();
  fs::rename(folder(), ours / ("999" + name.substr(name.find('-'))));
  auto found = pins->look();
  ASSERT_FALSE(found);
  EXPECT_NE(found.failure().message.find("layout is 999"), std::string::npos)
      << found.failure().message;
  pins->remove();
  EXPECT_FALSE(fs::exists(ours));
}

TEST_F(Pinned, AFolderOfSomebodyElseIsNotOurs) {
  ASSERT_EQ(mkdir(ours.c_str(), 0700), 0);
  ASSERT_EQ(chown(ours.c_str(), 65534, 65534), 0);
  auto pins = Pins::of("nvi0");
  ASSERT_FALSE(pins);
  EXPECT_NE(pins.failure().message.find("/sys/fs/bpf/viaduct"), std::string::npos);
  ASSERT_EQ(chown(ours.c_str(), 0, 0), 0);
  EXPECT_TRUE(Pins::of("nvi0"));
  ASSERT_EQ(chmod(ours.c_str(), 0777), 0);
  EXPECT_FALSE(Pins::of("nvi0"));
}

TEST_F(Pinned, NothingIsMounted) {
  unmount_all();
  auto pins = Pins::of("nvi0");
  ASSERT_FALSE(pins);
  EXPECT_NE(pins.failure().message.find("mount -t bpf"), std::string::npos);
}

// --- a succession of engines
// ---------------------------------------------------------------------

dp::policy make_policy(uint32_t generation = 1) {
  dp::policy policy = test::default_policy();
  policy.generation = generation;
  policy.max_sessions_per_subscriber = 100'000;
  policy.timeouts = {};
  policy.timeouts.udp = UDP_TIMEOUT;
  return policy;
}

class Succession : public Pinned {
protected:
  void start(Wish wish = Wish::bpf, uint32_t max_sessions = SIZE,
             const std::string &interface = "nvi0") {
    auto made = choose_engine(wish, max_sessions, interface);
    ASSERT_TRUE(made) << made.failure().message;
    engine_ = std::move(*made);
    worker_ = dp::worker_new(tables().engine());
    ASSERT_NE(worker_, nullptr);
  }
  void start_first() {
    start();
    ASSERT_EQ(tables().adopted(), nullptr);
    ASSERT_TRUE(tables().set_policy(make_policy(7)));
  }
  // What is left is what kill -9 leaves, too.
  void leave() {
    tables().leave();
    end();
  }
  void end() {
    dp::worker_free(worker_);
    worker_ = nullptr;
    engine_ = {};
  }
  void TearDown() override {
    if (worker_ != nullptr)
      end();
    Pinned::TearDown();
  }
  Tables &tables() { return *engine_.tables; }

  dp::reason send(uint16_t from, uint16_t to, uint32_t now = NOW) {
    const test::Bytes packet = (test::ip6(test::client6, test::pref64(test::server4)) /
                                test::udp(from, to) / test::payload(4))
                                   .bytes();
    std::array<uint8_t, dp::FRAME_HEADROOM + 128> memory{};
    std::copy(packet.begin(), packet.end(), memory.begin() + dp::FRAME_HEADROOM);
    dp::frame frame{};
    frame.data = memory.data() + dp::FRAME_HEADROOM;
    frame.length = static_cast<uint32_t>(packet.size());
    dp::worker_set_now(worker_, now);
    dp::reason reason = dp::REASON_none;
    dp::translate_frame(worker_, &frame, &reason);
    return reason;
  }
  // Keys and values, as bytes.
  std::set<std::string> sessions() {
    std::vector<SessionRow> rows;
    uint64_t cursor = 0;
    do
      cursor = tables().sessions(cursor, 64, rows);
    while (cursor != 0);
    std::set<std::string> all;
    for (const SessionRow &row : rows)
      all.emplace(reinterpret_cast<const char *>(&row), sizeof row);
    return all;
  }
  // What a pinned table has, the dead as well.
  template <typename Entry> static size_t entries(const char *map) {
    const int fd = bpf_obj_get((folder() / map).c_str());
    EXPECT_GE(fd, 0) << map;
    size_t count = 0;
    Entry entry{};
    for (uint32_t i = 0; bpf_map_lookup_elem(fd, &i, &entry) == 0; i++)
      count += entry.head.owner != 0 && (entry.head.owner & ENTRY_FREE) == 0;
    close(fd);
    return count;
  }
  static void reshape(void (*change)(dp::table_shape &)) {
    const int fd = bpf_obj_get((folder() / "shape").c_str());
    const uint32_t zero = 0;
    dp::table_shape shape{};
    ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, &shape), 0);
    change(shape);
    ASSERT_EQ(bpf_map_update_elem(fd, &zero, &shape, BPF_ANY), 0);
    close(fd);
  }
  // As a predecessor does that is killed before the burial.
  static int take_the_dead() {
    const int fd = bpf_obj_get((folder() / "dead").c_str());
    ring_buffer *ring = ring_buffer__new(
        fd, [](void *, void *, size_t) { return 0; }, nullptr, nullptr);
    const int count = ring == nullptr ? -1 : ring_buffer__consume(ring);
    ring_buffer__free(ring);
    close(fd);
    return count;
  }
  void lost(std::initializer_list<const char *> words) {
    EXPECT_EQ(tables().adopted(), nullptr);
    for (const char *word : words)
      EXPECT_NE(engine_.not_adopted.find(word), std::string::npos) << engine_.not_adopted;
    EXPECT_TRUE(sessions().empty());
    EXPECT_EQ(tables().usage().sessions, 0U);
    ASSERT_TRUE(tables().set_policy(make_policy()));
    EXPECT_EQ(send(2000, 80), dp::REASON_translated_6to4);
    EXPECT_EQ(folders().size(), 1U);
  }

  Chosen engine_;
  dp::worker *worker_ = nullptr;
};

BindingEnds static_ends() {
  BindingEnds ends{};
  std::copy(test::client6.bytes.begin(), test::client6.bytes.end(), ends.inside.inside.byte);
  ends.inside.inside_port = htons(80);
  ends.inside.protocol = dp::PROTOCOL_TCP;
  ends.outside.pool_address = test::pool4.network_order();
  ends.outside.pool_port = htons(8080);
  ends.outside.protocol = dp::PROTOCOL_TCP;
  return ends;
}

TEST_F(Succession, KeepsEverySessionAndCounter) {
  start_first();
  EXPECT_EQ(engine_.why_mortal, "");
  for (uint16_t port = 2000; port < 2010; port++)
    ASSERT_EQ(send(port, 80), dp::REASON_translated_6to4);
  for (int generation = 0; generation < 2; generation++) {
    const auto before = sessions();
    const auto made = tables().counters()[dp::REASON_session_made];
    ASSERT_EQ(before.size(), 10U);
    leave();
    start();
    EXPECT_EQ(engine_.not_adopted, "");
    ASSERT_NE(tables().adopted(), nullptr);
    EXPECT_EQ(tables().adopted()->generation, 7U);
    EXPECT_EQ(tables().adopted()->pool[0].address, test::pool4.network_order());
    EXPECT_EQ(sessions(), before);
    EXPECT_EQ(tables().usage().sessions, 10U);
    EXPECT_EQ(tables().usage().bindings, 10U);
    EXPECT_EQ(tables().counters()[dp::REASON_session_made], made);
  }
  EXPECT_EQ(send(2000, 80), dp::REASON_translated_6to4) << "under the policy that was left";
  EXPECT_EQ(sessions().size(), 10U) << "of a session that is there";
  EXPECT_EQ(tables().sweep(NOW + UDP_TIMEOUT + 1), 10U);
  EXPECT_EQ(tables().usage().sessions, 0U);
  end();
  EXPECT_FALSE(fs::exists(ours)) << "who ends takes the pins away";
}

TEST_F(Succession, AnotherVersionsCountersBeginWithWhatThereIs) {
  start_first();
  for (uint16_t port = 2000; port < 2003; port++)
    ASSERT_EQ(send(port, 80), dp::REASON_translated_6to4);
  ASSERT_EQ(send(2000, 81), dp::REASON_translated_6to4);
  leave();
  for (const auto &entry : fs::directory_iterator(folder()))
    if (entry.path().filename().string().starts_with("counters_")) {
      fs::rename(entry.path(), folder() / "counters_of_old");
      break;
    }
  start();
  ASSERT_NE(tables().adopted(), nullptr);
  EXPECT_EQ(tables().usage().sessions, 4U);
  EXPECT_EQ(tables().usage().bindings, 3U);
  EXPECT_EQ(tables().counters()[dp::REASON_translated_6to4], 0U);
  EXPECT_FALSE(fs::exists(folder() / "counters_of_old"));
  leave();
  start();
  EXPECT_EQ(tables().usage().sessions, 4U) << "they are pinned as well";
}

TEST_F(Succession, BuriesTheDeadOfThePredecessor) {
  for (bool taken : {true, false}) { // out of the ring buffer
    start_first();
    ASSERT_TRUE(tables().bind(static_ends()));
    tables().unbind(static_ends());
    if (taken) {
      ASSERT_EQ(take_the_dead(), 1);
    }
    ASSERT_EQ(entries<dp::binding_entry>("bindings"), 1U);
    leave();
    start();
    ASSERT_NE(tables().adopted(), nullptr);
    tables().sweep(NOW);
    EXPECT_EQ(entries<dp::binding_entry>("bindings"), 0U);
    end();
  }
}

TEST_F(Succession, AStaticBindingIsCountedOnce) {
  start_first();
  ASSERT_TRUE(tables().bind(static_ends()));
  leave();
  start();
  EXPECT_TRUE(tables().bind(static_ends())) << "it is there";
  EXPECT_EQ(tables().usage().bindings, 1U);
  tables().unbind(static_ends());
  tables().sweep(NOW);
  EXPECT_EQ(entries<dp::binding_entry>("bindings"), 0U);
  EXPECT_EQ(entries<dp::port_entry>("ports"), 0U);
}

TEST_F(Succession, APoolAddressThatIsGoneLeavesNoHints) {
  start_first();
  ASSERT_EQ(send(2000, 80), dp::REASON_translated_6to4);
  const dp::pool_address pool = make_policy().pool[0];
  leave();
  start();
  ASSERT_EQ(tables().pool_use(pool).used[1], 1U);
  dp::policy other = make_policy(8);
  other.pool[0].address = htonl(0xc6336441);
  ASSERT_TRUE(tables().set_policy(other));
  EXPECT_EQ(tables().pool_use(pool).used[1], 0U);
}

TEST_F(Succession, EventsAreThoseOfWhoWatchesNow) {
  start_first();
  tables().watch(true);
  ASSERT_EQ(send(2000, 80), dp::REASON_translated_6to4);
  leave();
  start();
  ASSERT_EQ(send(2001, 80), dp::REASON_translated_6to4);
  std::vector<dp::event> events;
  EXPECT_EQ(tables().events(100, events), 0U);
  EXPECT_TRUE(events.empty()) << "nobody watches";
  tables().watch(true);
  ASSERT_EQ(send(2002, 80), dp::REASON_translated_6to4);
  tables().events(100, events);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1].session.inside_port, htons(2002));
}

TEST_F(Succession, AnotherInterfaceHasItsOwn) {
  start_first();
  ASSERT_EQ(send(2000, 80), dp::REASON_translated_6to4);
  leave();
  start(Wish::bpf, SIZE, "nvi1");
  EXPECT_EQ(tables().adopted(), nullptr);
  EXPECT_EQ(engine_.not_adopted, "");
  end();
  start();
  EXPECT_NE(tables().adopted(), nullptr);
}

TEST_F(Succession, AnotherSizeBeginsAnew) {
  start_first();
  ASSERT_EQ(send(2000, 80), dp::REASON_translated_6to4);
  leave();
  start(Wish::bpf, 2 * SIZE);
  lost({"max_sessions = 64", "128"});
}

TEST_F(Succession, AnotherLayoutBeginsAnew) {
  start_first();
  ASSERT_EQ(send(2000, 80), dp::REASON_translated_6to4);
  leave();
  std::string name = folder().filename();
  fs::rename(folder(), ours / ("999" + name.substr(name.find('-'))));
  start();
  lost({"layout is 999"});
}

TEST_F(Succession, DamagedPinsBeginAnew) {
  const auto damages = std::to_array<std::pair<void (*)(), const char *>>({
      {[] { fs::remove(folder() / "sessions"); }, "sessions, cannot be had"},
      {[] { fs::rename(folder() / "subscribers", folder() / "sessions"); },
       "sessions, has another form"},
      {[] { fs::rename(folder() / "sessions", folder() / "old"); }, "sessions, cannot be had"},
      {[] { reshape([](dp::table_shape &shape) { shape.most++; }); }, "shape, is for 65 "},
      {[] { reshape([](dp::table_shape &shape) { shape.buckets++; }); }, "shape, is for 64 "},
  });
  for (const auto &[damage, words] : damages) {
    start_first();
    ASSERT_EQ(send(2000, 80), dp::REASON_translated_6to4);
    leave();
    damage();
    start();
    lost({words});
    end();
  }
}

TEST_F(Succession, TheOtherEngineTakesNothingOver) {
  start_first();
  ASSERT_EQ(send(2000, 80), dp::REASON_translated_6to4);
  leave();
  EXPECT_TRUE(is_left_behind("nvi0"));
  start(Wish::tun);
  EXPECT_NE(engine_.not_adopted.find("bpf engine"), std::string::npos);
  EXPECT_NE(engine_.why_mortal, "");
  EXPECT_FALSE(is_left_behind("nvi0"));
  EXPECT_FALSE(fs::exists(ours));
}

TEST_F(Succession, WithoutTheFileSystemSessionsAreMortal) {
  unmount_all();
  start();
  EXPECT_NE(engine_.why_mortal.find("mount -t bpf"), std::string::npos) << engine_.why_mortal;
  ASSERT_TRUE(tables().set_policy(make_policy()));
  EXPECT_EQ(send(2000, 80), dp::REASON_translated_6to4);
}

} // namespace
} // namespace viaduct::tables
