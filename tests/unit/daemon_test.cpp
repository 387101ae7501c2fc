// SPDX-License-Identifier: MIT
//
// The daemon's pure parts: the policy that the data path reads, which sessions outlive a change of
// it, and what a line of the log looks like.
#include "log/log.h"
#include "viaductd/policy.h"

#include "lib/addresses.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace viaduct {
namespace {

using test::prefix6;

config::Nat64 checked(const std::string &text) {
  auto outcome = config::parse(text, "test.toml");
  for (const auto &problem : outcome.problems)
    ADD_FAILURE() << problem.text();
  return outcome.config ? outcome.config->nat64 : config::Nat64{};
}

config::Nat64 smallest() {
  return checked("[nat64]\nprefix = \"64:ff9b::/96\"\npool4 = [\"203.0.113.10\"]\n");
}

std::string text(const dp::prefix6 &prefix) {
  std::array<uint8_t, 16> bytes{};
  std::copy(std::begin(prefix.address.byte), std::end(prefix.address.byte), bytes.begin());
  return Prefix6{Ipv6{bytes}, prefix.length}.text();
}

// --- from the configuration to the policy --------------------------------------------------------

TEST(MakePolicy, TakesEveryLimit) {
  config::Nat64 nat64 = smallest();
  nat64.allow_private_ipv4 = true;
  nat64.accounting = false;
  nat64.copy_traffic_class = false;
  nat64.map_udp_zero_checksum = config::ZeroChecksum::drop;
  nat64.icmp_error_rate = 7;
  nat64.subscriber_prefix = 56;
  nat64.max_sessions_per_subscriber = 77;
  using std::chrono::seconds;
  nat64.timeouts = {seconds(301), seconds(7201), seconds(241), seconds(61), seconds(7)};
  nat64.filtering = config::Filtering::address;
  nat64.rst_check = config::RstCheck::off;
  nat64.inbound_refresh = false;
  nat64.port_rest = seconds(8);
  nat64.max_bindings_per_subscriber = 55;
  dp::policy policy = make_policy(nat64, {}, 9);
  EXPECT_EQ(policy.generation, 9U);
  EXPECT_EQ(policy.max_sessions_per_subscriber, 77U);
  EXPECT_EQ(policy.subscriber_prefix, 56);
  EXPECT_EQ(policy.allow_private_ipv4, 1);
  EXPECT_EQ(policy.accounting, 0);
  EXPECT_EQ(policy.zero_traffic_class, 1);
  EXPECT_EQ(policy.drop_zero_checksum, 1);
  EXPECT_EQ(policy.icmp_error_rate, 7u);
  EXPECT_EQ(policy.timeouts.udp, 301U);
  EXPECT_EQ(policy.timeouts.tcp_established, 7201U);
  EXPECT_EQ(policy.timeouts.tcp_transitory, 241U);
  EXPECT_EQ(policy.timeouts.icmp, 61U);
  EXPECT_EQ(policy.timeouts.tcp_incoming_syn, 7U);
  EXPECT_EQ(policy.filtering, dp::FILTER_ADDRESS);
  EXPECT_EQ(policy.rst_window, 0);
  EXPECT_EQ(policy.outbound_refresh_only, 1);
  EXPECT_EQ(policy.timeouts.port_rest, 8U);
  EXPECT_EQ(policy.max_bindings_per_subscriber, 55U);
}

TEST(MakePolicy, HasTheDefaultsOfTheRfc) {
  dp::policy policy = make_policy(smallest(), {}, 1);
  EXPECT_EQ(policy.timeouts.udp, 300U); // RFC 6146 4
  EXPECT_EQ(policy.timeouts.tcp_established, 7200U);
  EXPECT_EQ(policy.timeouts.tcp_transitory, 240U);
  EXPECT_EQ(policy.timeouts.icmp, 60U);
  EXPECT_EQ(policy.timeouts.tcp_incoming_syn, 6U);
  EXPECT_EQ(policy.filtering, dp::FILTER_ENDPOINT);
  EXPECT_EQ(policy.rst_window, 1);
  EXPECT_EQ(policy.outbound_refresh_only, 0);
  EXPECT_EQ(policy.timeouts.port_rest, 120U);
  EXPECT_EQ(policy.subscriber_prefix, 64);
  EXPECT_EQ(policy.allow_private_ipv4, 0);
  EXPECT_EQ(policy.accounting, 1);
}

TEST(MakePolicy, TakesNothingNewFromAnAddressThatDrains) {
  dp::policy policy = make_policy(
      checked("[nat64]\nprefix = \"64:ff9b::/96\"\n"
              "pool4 = [\"203.0.113.12\", { address = \"203.0.113.10\", drain = true }, "
              "\"203.0.113.11\"]\n"),
      {}, 1);
  ASSERT_EQ(policy.pool_count, 3);
  EXPECT_EQ(policy.pool[0].draining, 1U);
  EXPECT_EQ(policy.pool[1].draining, 0U);
  ASSERT_EQ(policy.usable_count, 2);
  EXPECT_EQ(policy.usable[0], 1);
  EXPECT_EQ(policy.usable[1], 2);
}

TEST(KeepSlots, GivesAnAddressTheSamePlaceAgain) {
  const auto policy_of = [](const std::string &pool) {
    return make_policy(checked("[nat64]\nprefix = \"64:ff9b::/96\"\npool4 = [" + pool + "]\n"), {},
                       1);
  };
  const auto places = [](const dp::policy &policy) {
    std::map<std::string, unsigned> slots;
    for (int i = 0; i < policy.pool_count; i++)
      slots[Ipv4::from_network_order(policy.pool[i].address).text()] = policy.pool[i].slot;
    return slots;
  };
  using Places = std::map<std::string, unsigned>;
  const dp::policy first = policy_of("\"203.0.113.20\", \"203.0.113.30\"");
  dp::policy next = policy_of("\"203.0.113.10\", \"203.0.113.30\", \"203.0.113.40\"");
  keep_slots(first, next);
  // .20's place stays free for now: who still uses it may be writing there.
  EXPECT_EQ(places(next), (Places{{"203.0.113.30", 1}, {"203.0.113.10", 2}, {"203.0.113.40", 3}}));
  dp::policy last = policy_of("\"203.0.113.20\", \"203.0.113.40\"");
  keep_slots(next, last);
  EXPECT_EQ(places(last), (Places{{"203.0.113.40", 3}, {"203.0.113.20", 0}}));

  // A full pool that is replaced by another has to take the places of those that go.
  const auto many = [](int net) {
    std::string list;
    for (int i = 1; i <= dp::MAX_POOL; i++)
      list += fmt::format("{}\"198.51.{}.{}\"", i == 1 ? "" : ", ", net, i);
    return list;
  };
  const dp::policy full = policy_of(many(100));
  dp::policy other = policy_of(many(101));
  keep_slots(full, other);
  std::set<unsigned> slots;
  for (const auto &[address, slot] : places(other))
    slots.insert(slot);
  EXPECT_EQ(slots.size(), size_t{dp::MAX_POOL});
  EXPECT_LT(*slots.rbegin(), unsigned{dp::MAX_POOL});
}

// The data path halves its way through the pool: in host order, whatever order was written.
TEST(MakePolicy, SortsThePool) {
  dp::policy policy = make_policy(
      checked("[nat64]\nprefix = \"64:ff9b::/96\"\n"
              "pool4 = [\"203.0.113.200\", { address = \"198.51.100.7\", ports = \"2000-2999\" }, "
              "\"203.0.113.10\", \"198.51.100.130\"]\n"),
      {}, 1);
  ASSERT_EQ(policy.pool_count, 4);
  std::vector<std::string> addresses;
  addresses.reserve(policy.pool_count);
  for (int i = 0; i < policy.pool_count; i++)
    addresses.push_back(Ipv4::from_network_order(policy.pool[i].address).text());
  EXPECT_EQ(addresses, (std::vector<std::string>{"198.51.100.7", "198.51.100.130", "203.0.113.10",
                                                 "203.0.113.200"}));
  EXPECT_EQ(policy.pool[0].port_low, 2000);
  EXPECT_EQ(policy.pool[0].port_high, 2999);
  EXPECT_EQ(policy.pool[1].port_low, 1024);
  EXPECT_EQ(policy.pool[1].port_high, 65535);
}

// The first prefix is the one for hosts that speak first from the IPv4 side.
TEST(MakePolicy, KeepsTheOrderOfPrefixes) {
  config::Nat64 nat64 = smallest();
  nat64.prefixes = {prefix6("2001:db8:ffff::/96"), prefix6("64:ff9b::/96"),
                    prefix6("2001:db8::/32")};
  dp::policy policy = make_policy(nat64, {}, 1);
  ASSERT_EQ(policy.prefix_count, 3);
  EXPECT_EQ(text(policy.prefix[0]), "2001:db8:ffff::/96");
  EXPECT_EQ(text(policy.prefix[1]), "64:ff9b::/96");
  EXPECT_EQ(text(policy.prefix[2]), "2001:db8::/32");
}

TEST(MakePolicy, AllowsWhatIsConnectedUnlessToldOtherwise) {
  std::vector<Prefix6> connected{prefix6("2001:db8:64::/64"), prefix6("2001:db8:65::/64")};
  config::Nat64 nat64 = smallest();
  ASSERT_FALSE(nat64.allow);
  dp::policy policy = make_policy(nat64, connected, 1);
  ASSERT_EQ(policy.allow_count, 2);
  EXPECT_EQ(text(policy.allow[0]), "2001:db8:64::/64");
  EXPECT_EQ(text(policy.allow[1]), "2001:db8:65::/64");

  nat64.allow = {{prefix6("2001:db8:1::/48")}};
  policy = make_policy(nat64, connected, 1);
  ASSERT_EQ(policy.allow_count, 1);
  EXPECT_EQ(text(policy.allow[0]), "2001:db8:1::/48");

  nat64.allow = std::vector<Prefix6>{}; // nobody: not the same as not given
  EXPECT_EQ(make_policy(nat64, connected, 1).allow_count, 0);
  nat64.allow.reset();
  EXPECT_EQ(make_policy(nat64, {}, 1).allow_count, 0); // nothing is connected: never the world
}

TEST(MakePolicy, TakesNoMoreThanThereIsRoomFor) {
  std::vector<Prefix6> connected;
  for (int i = 0; i < 300; i++) { // 300 does not fit its 8-bit count either
    Prefix6 prefix = prefix6("2001:db8::/64");
    prefix.address.bytes[6] = static_cast<uint8_t>(i >> 8);
    prefix.address.bytes[7] = static_cast<uint8_t>(i);
    connected.push_back(prefix);
  }
  dp::policy policy = make_policy(smallest(), connected, 1);
  ASSERT_EQ(policy.allow_count, dp::MAX_ALLOW);
  EXPECT_EQ(text(policy.allow[dp::MAX_ALLOW - 1]), "2001:db8:0:3f::/64");
  EXPECT_EQ(policy.prefix_count, 1);
  EXPECT_EQ(policy.pool_count, 1);
}

config::Config mapping(const std::string &maps) {
  auto outcome = config::parse("[nat64]\nprefix = \"64:ff9b::/96\"\npool4 = [\"203.0.113.10\"]\n"
                               "router_pool4 = [\"203.0.113.251\", \"203.0.113.250\"]\n" +
                                   maps,
                               "test.toml");
  for (const auto &problem : outcome.problems)
    ADD_FAILURE() << problem.text();
  return outcome.config ? *outcome.config : config::Config{};
}

std::string map_line(const char *inside, const char *outside) {
  return fmt::format("[[static]]\nmap = {{ inside = \"{}\", outside = \"{}\" }}\n", inside,
                     outside);
}

TEST(MakePolicy, SortsMapsByLengthOnEitherSide) {
  auto config = mapping(map_line("2001:db8:a::/64", "198.51.100.0/25") +
                        map_line("2001:db8:b::/120", "192.0.2.0/24") +
                        map_line("2001:db8:a::7/128", "198.51.100.7/32"));
  dp::policy policy = make_policy(config, {}, 1);
  ASSERT_EQ(policy.map_count, 3);
  for (auto [at, inside, outside] : {std::tuple{0, 128, 32}, {1, 120, 25}, {2, 64, 24}}) {
    EXPECT_EQ(policy.map_by_inside[at].inside_length, inside);
    EXPECT_EQ(policy.map_by_outside[at].outside_length, outside);
  }
  const dp::mapping &range = policy.map_by_inside[2];
  EXPECT_EQ(range.outside, test::address4("198.51.100.0").network_order());
  EXPECT_EQ(range.outside_mask, htonl(0xffffff80));
  EXPECT_EQ(range.inside_mask.byte[7], 0xff);
  EXPECT_EQ(range.inside_mask.byte[8], 0);
  ASSERT_EQ(policy.error_source_count, 2);
  EXPECT_EQ(policy.error_source[0], test::address4("203.0.113.250").network_order());
}

// --- which sessions stay -------------------------------------------------------------------------

class StillAllowed : public testing::Test {
protected:
  StillAllowed() {
    nat64.prefixes = {test::well_known_prefix, prefix6("2001:db8:ffff::/96")};
    nat64.pool4 = {{test::pool4, 2000, 2999}, {test::pool4b, 1024, 65535}};
    nat64.allow = {{prefix6("2001:db8:64::/64")}};
    key.pool_address = test::pool4.network_order();
    key.pool_port = htons(2000);
    key.remote_address = test::server4.network_order();
    key.remote_port = htons(443);
    key.protocol = dp::PROTOCOL_TCP;
    std::copy(test::client6.bytes.begin(), test::client6.bytes.end(), value.inside.byte);
    set_prefix(test::well_known_prefix);
  }
  void set_prefix(const Prefix6 &prefix) {
    std::copy(prefix.address.bytes.begin(), prefix.address.bytes.end(), value.prefix.byte);
    value.prefix_length = prefix.length;
  }
  bool stays() const { return still_allowed(make_policy(nat64, {}, 2), key, value); }

  config::Nat64 nat64 = smallest();
  dp::session_key key{};
  dp::session value{};
};

TEST_F(StillAllowed, WhereNothingChanged) {
  EXPECT_TRUE(stays());
}

TEST_F(StillAllowed, OnlyOnAPoolAddressThatIsStillThere) {
  nat64.pool4 = {{test::pool4b, 1024, 65535}};
  EXPECT_FALSE(stays());
}

TEST_F(StillAllowed, OnlyOnAPortThatIsStillThere) {
  for (auto [port, good] : {std::pair{1999, false}, {2000, true}, {2999, true}, {3000, false}}) {
    key.pool_port = htons(static_cast<uint16_t>(port));
    EXPECT_EQ(stays(), good) << port;
  }
  key.pool_address = test::pool4b.network_order(); // each address has its own range
  EXPECT_TRUE(stays());
}

TEST_F(StillAllowed, OnlyUnderItsOwnPrefix) {
  set_prefix(prefix6("2001:db8:ffff::/96"));
  EXPECT_TRUE(stays());
  set_prefix(prefix6("2001:db8:fffe::/96"));
  EXPECT_FALSE(stays());
  set_prefix(prefix6("2001:db8:ffff::/64")); // the same bits, another length
  EXPECT_FALSE(stays());
}

TEST_F(StillAllowed, OnlyForAHostThatMayStill) {
  nat64.allow = {{prefix6("2001:db8:65::/64")}};
  EXPECT_FALSE(stays());
  nat64.allow = {{prefix6("2001:db8:65::/64"), prefix6("2001:db8:64::10/128")}};
  EXPECT_TRUE(stays());
  nat64.allow = std::vector<Prefix6>{};
  EXPECT_FALSE(stays());
}

TEST_F(StillAllowed, OnlyForAHostThatIsNotMappedNow) {
  config::Config config;
  config.nat64 = nat64;
  config.maps = {{prefix6("2001:db8:64::20/128"), *Prefix4::parse("192.0.2.20/32")}};
  EXPECT_TRUE(still_allowed(make_policy(config, {}, 2), key, value));
  config.maps.push_back({prefix6("2001:db8:64::/120"), *Prefix4::parse("192.0.2.0/28")});
  EXPECT_FALSE(still_allowed(make_policy(config, {}, 2), key, value));
}

TEST_F(StillAllowed, OnAStaticBindingWhateverTheRangeAndTheHost) {
  config::StaticBinding binding{dp::PROTOCOL_TCP, test::pool4, 443, test::neighbour6, 8443};
  key.pool_port = htons(443);
  std::copy(test::neighbour6.bytes.begin(), test::neighbour6.bytes.end(), value.inside.byte);
  value.inside_port = htons(8443);
  dp::policy policy = make_policy(nat64, {}, 2);
  EXPECT_FALSE(still_allowed(policy, key, value));
  EXPECT_TRUE(still_allowed(policy, key, value, StaticBindings({binding})));
}

TEST_F(StillAllowed, NotWithOneEndOfAStaticBinding) {
  dp::policy policy = make_policy(nat64, {}, 2);
  value.inside_port = htons(1234);
  // The same pool port for another host.
  config::StaticBinding taken{dp::PROTOCOL_TCP, test::pool4, 2000, test::client6b, 1234};
  EXPECT_FALSE(still_allowed(policy, key, value, StaticBindings({taken})));
  // The same host and port by another pool port.
  config::StaticBinding moved{dp::PROTOCOL_TCP, test::pool4, 443, test::client6, 1234};
  EXPECT_FALSE(still_allowed(policy, key, value, StaticBindings({moved})));
  // Another protocol is no concern of it.
  moved.protocol = taken.protocol = dp::PROTOCOL_UDP;
  EXPECT_TRUE(still_allowed(policy, key, value, StaticBindings({taken, moved})));
}

TEST_F(StillAllowed, ToAPrivateAddressOnlyWhileThatIsAllowed) {
  key.remote_address = test::address4("10.1.2.3").network_order();
  EXPECT_FALSE(stays());
  nat64.allow_private_ipv4 = true;
  EXPECT_TRUE(stays());
  nat64.allow_private_ipv4 = false;
  set_prefix(prefix6("2001:db8:ffff::/96")); // RFC 6052 3.1 speaks of the well-known prefix only
  EXPECT_TRUE(stays());
}

TEST_F(StillAllowed, KnowsThePrivateRangesByTheirEdges) {
  for (auto [address, good] :
       std::initializer_list<std::pair<const char *, bool>>{{"9.255.255.255", true},
                                                            {"10.0.0.0", false},
                                                            {"10.255.255.255", false},
                                                            {"11.0.0.0", true},
                                                            {"100.63.255.255", true},
                                                            {"100.64.0.0", false},
                                                            {"100.127.255.255", false},
                                                            {"100.128.0.0", true},
                                                            {"169.253.255.255", true},
                                                            {"169.254.0.0", false},
                                                            {"169.255.0.0", true},
                                                            {"172.15.255.255", true},
                                                            {"172.16.0.0", false},
                                                            {"172.31.255.255", false},
                                                            {"172.32.0.0", true},
                                                            {"192.167.255.255", true},
                                                            {"192.168.0.0", false},
                                                            {"192.169.0.0", true}}) {
    key.remote_address = test::address4(address).network_order();
    EXPECT_EQ(stays(), good) << address;
  }
}

// --- the log -------------------------------------------------------------------------------------

TEST(LogLine, IsAnEventAndItsFields) {
  EXPECT_EQ(log::line("started", {}), "started");
  EXPECT_EQ(log::line("started", {{"engine", "tun"}, {"workers", 2}, {"ok", true}}),
            "started engine=tun workers=2 ok=true");
}

TEST(LogLine, QuotesWhatIsNotOneWord) {
  struct Case {
    std::string value, written;
  };
  const std::string nul("a\0b", 3);
  for (const Case &one : std::initializer_list<Case>{
           {"", "\"\""},
           {"plain-1.2:3/4,[5]", "plain-1.2:3/4,[5]"},
           {"two words", "\"two words\""},
           {"a=b", "\"a=b\""},
           {"say \"hi\"", R"("say \"hi\"")"},
           {"back\\slash", R"("back\\slash")"},
           {"a\nevent forged=1", R"("a\x0aevent forged=1")"},
           {"a\r\n", R"("a\x0d\x0a")"},
           {"\t", R"("\x09")"},
           {nul, R"("a\x00b")"},
           {"\x1b[2J", R"("\x1b[2J")"},
           {"\x7f", R"("\x7f")"},
           {"\"", R"("\"")"},
           {"\\x0a", R"("\\x0a")"}, // cannot be taken for an escape of ours
           {"caf\xc3\xa9", "\"caf\xc3\xa9\""},
           {"\xc2\x9b"
            "2J",
            R"("\xc2\x9b2J")"}, // U+009B steers a terminal as ESC [ does
           {"\xc2\x85"
            "x",
            R"("\xc2\x85x")"}, // U+0085 ends a line
           {"\xc2\xa0"
            "x",
            "\"\xc2\xa0x\""}, // the first behind them
           {"\x9b"
            "2J",
            R"("\x9b2J")"},       // the same byte alone, for who reads Latin-1
           {"\xc3", R"("\xc3")"}, // cut in the middle of a character
       })
    EXPECT_EQ(log::line("e", {{"v", one.value}}), "e v=" + one.written);
}

// Whatever a value holds, it is one line, and it ends with the quote that ends its field.
TEST(LogLine, NoByteLeavesItsField) {
  for (int byte = 0; byte < 256; byte++) {
    std::string line = log::line("e", {{"v", std::string(1, static_cast<char>(byte))}, {"w", 1}});
    EXPECT_EQ(line.find('\n'), std::string::npos) << byte;
    EXPECT_EQ(line.substr(line.size() - 4), " w=1") << byte;
    EXPECT_TRUE(std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c < 0x7f; }))
        << byte;
  }
}

} // namespace
} // namespace viaduct
