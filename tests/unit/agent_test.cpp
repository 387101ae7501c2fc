// SPDX-License-Identifier: MIT
//
// The agent's configuration, and what it reads of /proc.
#include "agent/cgroup.h"
#include "agent/config.h"
#include "agent/listeners.h"

#include <gtest/gtest.h>
#include <string>

namespace viaduct::agent {
namespace {

Config good(const std::string &text) {
  auto outcome = parse(text, "agent.toml");
  for (const auto &problem : outcome.problems)
    ADD_FAILURE() << problem.text();
  return outcome.config.value_or(Config{});
}

// The one problem of a text, as it is told.
std::string problem(const std::string &text) {
  auto outcome = parse(text, "agent.toml");
  EXPECT_FALSE(outcome.config);
  EXPECT_EQ(outcome.problems.size(), 1U);
  return outcome.problems.empty() ? "" : outcome.problems[0].text();
}

TEST(AgentConfig, TheIssuesOwnExample) {
  Config config = good(R"([agent]
senders = ["192.0.2.0/24", "2001:db8::/32"]
kinds = ["254/8", "254/20"]
nat64_getsockopt = true
udp_ports = ["eth0"]
[control]
socket = "/run/viaduct-agent/control.sock"
metrics = "127.0.0.1:9465"
)");
  ASSERT_EQ(config.senders4.size(), 1U);
  EXPECT_EQ(config.senders4[0].text(), "192.0.2.0/24");
  ASSERT_EQ(config.senders6.size(), 1U);
  EXPECT_EQ(config.senders6[0].text(), "2001:db8::/32");
  EXPECT_EQ(config.kinds, (std::vector<Kind>{{254, 8}, {254, 20}}));
  EXPECT_TRUE(config.nat64_getsockopt);
  EXPECT_TRUE(config.udp);
  EXPECT_EQ(config.udp_ports, std::vector<std::string>{"eth0"});
  ASSERT_TRUE(config.metrics);
  EXPECT_EQ(config.metrics->text(), "127.0.0.1:9465");
  EXPECT_TRUE(warnings(config).empty());
}

TEST(AgentConfig, Defaults) {
  Config config = good("");
  EXPECT_EQ(config, Config{});
  EXPECT_EQ(config.socket, "/run/viaduct-agent/control.sock");
  EXPECT_FALSE(config.nat64_getsockopt);
  ASSERT_EQ(warnings(config).size(), 1U);
  EXPECT_NE(warnings(config)[0].find("no TOA is believed"), std::string::npos);
}

TEST(AgentConfig, AnyIsAllAndWarns) {
  Config config = good("agent.senders = [\"192.0.2.1\", \"any\"]");
  ASSERT_EQ(config.senders4.size(), 1U);
  EXPECT_EQ(config.senders4[0].text(), "0.0.0.0/0");
  EXPECT_EQ(config.senders6[0].text(), "::/0");
  EXPECT_EQ(warnings(config).size(), 1U);
}

// Whoever believes everybody says so in a word, and is warned; what never matches is a mistake.
TEST(AgentConfig, EverybodyIsAWordAndNoPrefix) {
  for (const char *all : {"0.0.0.0/0", "::/0"})
    EXPECT_EQ(problem(fmt::format("agent.senders = [\"192.0.2.1\", \"{}\"]", all)),
              fmt::format("agent.toml:1:31: agent.senders: found \"{}\", which is everybody: write "
                          "\"any\" if that is meant",
                          all));
  for (const char *mapped : {"::ffff:192.0.2.1", "::ffff:192.0.2.0/120", "::ffff:0:0/96"})
    EXPECT_NE(problem(fmt::format("agent.senders = [\"{}\"]", mapped)).find("write the IPv4"),
              std::string::npos)
        << mapped;
  EXPECT_EQ(good("agent.senders = [\"0.0.0.0/1\", \"::/95\", \"::/96\"]").senders6.size(), 2U);
}

TEST(AgentConfig, AddressesArePrefixesOfFullLength) {
  Config config = good("agent.senders = [\"192.0.2.1\", \"2001:db8::1\", \"192.0.2.1/32\"]");
  ASSERT_EQ(config.senders4.size(), 1U); // the same twice
  EXPECT_EQ(config.senders4[0].text(), "192.0.2.1/32");
  EXPECT_EQ(config.senders6[0].text(), "2001:db8::1/128");
}

TEST(AgentConfig, KindsAreSortedAndKnownByName) {
  Config config = good("agent.kinds = [\"254/8\", \"200/8\", \"28/7\", \"254/8\", \"254/16\"]");
  EXPECT_EQ(config.kinds, (std::vector<Kind>{{28, 7}, {200, 8}, {254, 8}, {254, 16}}));
  EXPECT_NE(vendors_of({200, 8}).find("Tencent"), std::string_view::npos);
  EXPECT_EQ(vendors_of({77, 8}), "");
}

TEST(AgentConfig, ProblemsAreToldWithTheirPlace) {
  EXPECT_EQ(problem("[agent]\nsender = []"),
            "agent.toml:2:1: found the unknown key \"sender\" in agent, did you mean \"senders\"?");
  EXPECT_EQ(problem("[agent]\nkinds = [\"254/8\", \"8/10\"]"),
            "agent.toml:2:19: agent.kinds: found \"8/10\", which is a kind of TCP itself, expected "
            "one that TCP does not use, such as \"254/8\"");
  EXPECT_EQ(problem("agent.kinds = [\"254/9\"]"),
            "agent.toml:1:16: agent.kinds: found \"254/9\", which has a length without a meaning, "
            "expected 7, 8, 16, 19 or 20");
  for (const char *wrong :
       {"", "254", "254/", "/8", "254/8 ", "256/8", "254/8/8", "-1/8", "0xfe/8"})
    EXPECT_NE(problem(fmt::format("agent.kinds = [\"{}\"]", wrong)).find("expected an option's"),
              std::string::npos)
        << wrong;
  EXPECT_NE(problem("agent.senders = [\"192.0.2.1/24\"]").find("bits set behind its length"),
            std::string::npos);
  EXPECT_NE(problem("agent.senders = [\"host.example\"]").find("expected a prefix or address"),
            std::string::npos);
  EXPECT_NE(problem("agent.kinds = []").find("an empty list"), std::string::npos);
  EXPECT_NE(problem("agent.udp_ports = \"eth0\"").find("a list of names"), std::string::npos);
  for (const char *wrong : {"", ".", "..", "a/b", "a b", "a:b", "veth%d", "sixteen-letters-"})
    EXPECT_NE(problem(fmt::format("agent.udp_ports = [\"{}\"]", wrong)).find("name of a port"),
              std::string::npos)
        << wrong;
  EXPECT_NE(problem("agent.cgroup = \"relative\"").find("absolute path"), std::string::npos);
  EXPECT_NE(problem("control.metrics = \"9465\"").find("127.0.0.1:9465"), std::string::npos);
}

// Options that look like a TOA and are none: believed, they would be wrong addresses.
TEST(AgentConfig, KindsWithAnotherMeaningAreRefused) {
  for (const char *kind : {"202/8", "250/8", "252/20"})
    EXPECT_NE(problem(fmt::format("agent.kinds = [\"{}\"]", kind)).find("which holds"),
              std::string::npos);
}

TEST(AgentConfig, UdpPortsAreSortedAndMayBeNone) {
  EXPECT_TRUE(good("agent.udp_ports = []").udp_ports.empty());
  EXPECT_EQ(good("agent.udp_ports = [\"eth1\", \"eth0.5\", \"eth1\"]").udp_ports,
            (std::vector<std::string>{"eth0.5", "eth1"}));
  Config config = good("[agent]\nsenders = [\"192.0.2.1\"]\nudp = false\nudp_ports = [\"eth0\"]");
  EXPECT_FALSE(config.udp);
  ASSERT_EQ(warnings(config).size(), 1U);
  EXPECT_NE(warnings(config)[0].find("udp_ports does nothing"), std::string::npos);
}

TEST(AgentConfig, UdpIsForWhoAsksForIt) {
  EXPECT_FALSE(good("").udp);
  EXPECT_FALSE(good("agent.udp_ports = []").udp);
  EXPECT_TRUE(good("agent.udp = true").udp);
  EXPECT_TRUE(good("agent.udp_ports = [\"eth0\"]").udp);
  EXPECT_TRUE(good("agent.uoa_getsockopt = true").udp);
}

TEST(AgentConfig, ListenersByPortAndNetworkNamespace) {
  EXPECT_TRUE(good("").ports.empty());
  EXPECT_EQ(good("agent.ports = [443, 80, 443]").ports, (std::vector<uint16_t>{80, 443}));
  for (const char *wrong : {"[0]", "[65536]", "[\"80\"]", "80", "[]"})
    EXPECT_FALSE(problem(fmt::format("agent.ports = {}", wrong)).empty()) << wrong;
  EXPECT_FALSE(good("agent.network_namespace = \"any\"").own_network_namespace);
  EXPECT_TRUE(good("agent.network_namespace = \"own\"").own_network_namespace);
  EXPECT_NE(problem("agent.network_namespace = \"web\"").find("\"own\""), std::string::npos);
  EXPECT_TRUE(good("agent.getsockname = true").getsockname);
}

TEST(AgentCgroup, IsFoundWhereItIsMounted) {
  EXPECT_EQ(cgroup2_in("25 1 0:5 / /sys rw - sysfs sysfs rw\n"
                       "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"),
            "/sys/fs/cgroup");
  EXPECT_EQ(cgroup2_in("30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                       "31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"),
            "/sys/fs/cgroup/unified");
  EXPECT_EQ(cgroup2_in("31 25 0:27 / /a\\040b rw - cgroup2 cgroup2 rw\n"), "/a b");
  EXPECT_EQ(cgroup2_in("31 25 0:27 /part /part rw - cgroup2 cgroup2 rw\n"), ""); // not all of it
  EXPECT_EQ(cgroup2_in("nonsense\n31 25 - cgroup2\n\n"), "");
  EXPECT_EQ(cgroup2_in(""), "");
}

TEST(AgentListeners, AreReadFromProc) {
  Listeners listeners;
  listeners_in(
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
      "timeout inode\n"
      "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0   "
      "     0 4711 1 0 100 0 0 10 0\n"
      "   1: 0100007F:1F91 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0   "
      "     0 4712 1 0 100 0 0 10 0\n",
      listeners);
  listeners_in(
      "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A "
      "00000000:00000000 00:00000000 00000000 0 0 4713 1 0 100 0 0 10 0\n"
      "   1: 00:0050 00:0000 0A 0:0 0:0 0 0 0 4714 1\n"
      "   2: 0100007G:0050 00:0000 0A 0:0 0:0 0 0 0 4715 1\n",
      listeners);
  EXPECT_EQ(listeners, (Listeners{{4711, "127.0.0.1:8080"}, {4713, "[::]:80"}}));
  EXPECT_EQ(still_there(listeners, {{4713, "[::]:80"}, {1, "0.0.0.0:1"}}, {}),
            std::vector<std::string>{"[::]:80"});
  EXPECT_EQ(still_there(listeners, listeners, {8080}), std::vector<std::string>{"127.0.0.1:8080"});
  EXPECT_TRUE(still_there(listeners, listeners, {0, 808}).empty());
}

} // namespace
} // namespace viaduct::agent
