// SPDX-License-Identifier: MIT
//
// Each check of the doctor with facts that are made up: a healthy gateway, of which one thing at a
// time is changed. netns/doctor looks whether the facts are seen on a real one.
#include "doctor/checks.h"
#include "doctor/look.h"

#include "config/config.h"
#include "datapath/types.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <set>

namespace viaduct::doctor {
namespace {

nvi::Link port(int index, const std::string &name, unsigned mtu = 1500) {
  nvi::Link link;
  link.index = index;
  link.name = name;
  link.type = ARPHRD_ETHER;
  link.flags = IFF_UP;
  link.mtu = mtu;
  return link;
}

// Everything as it should be, viaductd running.
struct Doctor : testing::Test {
  Doctor() {
    auto outcome = config::parse("[nat64]\nprefix = \"64:ff9b::/96\"\npool4 = [\"203.0.113.10\"]\n"
                                 "[dns64]\nlisten = [\"2001:db8::53\"]\n",
                                 "viaduct.toml");
    facts.config = outcome.config;
    facts.path = "viaduct.toml";
    facts.socket = "/run/viaduct/control.sock";
    facts.socket_folder = true;
    facts.presence = Presence::running;
    facts.program_version = facts.daemon.version = "1.2.3";
    facts.daemon.interface = "nvi0";
    facts.daemon.configuration = "viaduct.toml";
    facts.daemon.engine = "bpf";
    facts.daemon.offloads = {"csum", "tso4", "tso6"};
    facts.daemon.sessions = 100;
    facts.daemon.sessions_limit = 1000;
    facts.daemon.dns64_state = "healthy";
    facts.daemon.pools = {{"203.0.113.10", 64512, {{"tcp", 10}, {"udp", 20}, {"icmp", 0}}, {}}};
    facts.daemon.files = Running::Files{20, 1024};
    facts.kernel = "6.1.0-28-amd64";
    facts.tun = TunDevice{true, true, true};
    facts.bpf = Result<void>();
    facts.bpf_unknown = false;
    facts.sysctl = [this](const std::string &name) -> Result<std::string> {
      auto found = settings.find(name);
      return found == settings.end() ? Result<std::string>(error("no {}", name)) : found->second;
    };
    settings = {{"net/ipv4/ip_forward", "1"}, {"net/ipv6/conf/all/forwarding", "1"}};
    Network network;
    network.links = {port(2, "lan"), port(3, "wan"), port(4, "nvi0")};
    for (const char *part : {"interface", "pool", "mapped", "prefixes", "routes"})
      network.parts.push_back({part, {}, {}});
    network.connected = {*Prefix6::parse("2001:db8:64::/64")};
    network.destinations = {{"64:ff9b::/96", "64:ff9b::c000:aa", "nvi0"},
                            {"203.0.113.10/32", "203.0.113.10", "nvi0"}};
    network.default_routes = {"wan"};
    network.offloads = {{"lan", true, false}, {"wan", true, false}};
    facts.network = network;
    facts.firewall = Firewall{};
    facts.conntrack = Conntrack{100, 65536};
    facts.programs = std::vector<Program>{{"nvi:[17]", true, true}};
    facts.memory = Memory{uint64_t{4} << 30, uint64_t{400} << 20};
    facts.clock = {1'800'000'000, 1'700'000'000};
    Resolver resolver;
    resolver.installed = true;
    resolver.occupied = {"2001:db8::53"}; // our own unbound
    resolver.answers = {{"2001:db8::53", {}}};
    facts.resolver = resolver;
  }

  void absent() {
    facts.presence = Presence::absent;
    facts.why_no_daemon = "nothing listens";
    facts.resolver->occupied.clear();
    facts.resolver->answers.clear();
  }

  // The only check that says more than ok, with what it says in `words`.
  void only(const char *name, Level level, std::initializer_list<const char *> words) const {
    for (const Check &check : checks()) {
      const Finding found = check.examine(facts);
      if (std::string(check.name) != name) {
        EXPECT_EQ(found.level, Level::ok) << check.name << ": " << found.text;
        continue;
      }
      EXPECT_EQ(found.level, level) << name << ": " << found.text;
      EXPECT_EQ(found.advice.empty(), level == Level::skip || level == Level::ok) << name;
      for (const char *word : words)
        EXPECT_NE((found.text + " | " + found.advice).find(word), std::string::npos)
            << name << " says \"" << found.text << "\" and advises \"" << found.advice
            << "\" without \"" << word << "\"";
    }
  }

  Facts facts;
  std::map<std::string, std::string> settings;
};

TEST_F(Doctor, KnowsWhichPortsAreNotDirect) {
  facts.daemon.direct = {{"eth0", "tc", ""}, {"eth1", "tc", ""}};
  only("direct ports", Level::ok, {"eth0 (tc), eth1 (tc)"});
  facts.daemon.direct[1] = {"eth1", "", "there is no interface of this name"};
  only("direct ports", Level::warn, {"eth1: there is no interface of this name", "[nvi] direct"});
}

TEST_F(Doctor, HasNothingToSayOfAHealthyGateway) {
  for (const Check &check : checks()) {
    const Finding found = check.examine(facts);
    EXPECT_EQ(found.level, Level::ok) << check.name << ": " << found.text;
    EXPECT_FALSE(found.text.empty()) << check.name;
    EXPECT_TRUE(found.advice.empty()) << check.name;
  }
}

TEST_F(Doctor, HasOneNameForEachCheck) {
  std::set<std::string> names;
  for (const Check &check : checks())
    EXPECT_TRUE(names.insert(check.name).second) << check.name;
  EXPECT_GE(names.size(), 28U);
}

// What was not looked at is no reason to fail, and none of the checks may stumble over it.
TEST_F(Doctor, KnowsWhatItCannotKnow) {
  Facts nothing;
  for (const Check &check : checks()) {
    const Finding found = check.examine(nothing);
    EXPECT_FALSE(found.text.empty()) << check.name;
    EXPECT_TRUE(found.level == Level::skip || std::string(check.name) == "configuration" ||
                std::string(check.name) == "daemon" || std::string(check.name) == "tun" ||
                std::string(check.name) == "forwarding")
        << check.name << ": " << found.text;
  }
}

TEST_F(Doctor, LooksAtAMachineBeforeTheFirstStart) {
  absent();
  settings["net/ipv4/ip_forward"] = settings["net/ipv6/conf/all/forwarding"] = "0";
  facts.network->links.pop_back(); // nvi0
  facts.network->destinations.clear();
  std::map<std::string, Level> levels;
  for (const Check &check : checks())
    levels[check.name] = check.examine(facts).level;
  EXPECT_EQ(levels["daemon"], Level::warn);
  for (const char *unknown :
       {"engine", "direct ports", "files", "programs", "sessions", "ports", "dns64"}) {
    EXPECT_EQ(levels[unknown], Level::skip) << unknown;
    levels.erase(unknown);
  }
  levels.erase("daemon");
  for (const auto &[name, level] : levels)
    EXPECT_EQ(level, Level::ok) << name;
}

// --- the configuration and the daemon ------------------------------------------------------------

TEST_F(Doctor, ConfigurationThatIsWrong) {
  facts.config.reset();
  facts.problems = {"viaduct.toml:1:1: found nonsense", "viaduct.toml:2:1: found more"};
  const Finding found = check_configuration(facts);
  EXPECT_EQ(found.level, Level::fail);
  EXPECT_EQ(found.text, "viaduct.toml:1:1: found nonsense (and 1 more)");
  EXPECT_NE(found.advice.find("viaduct check viaduct.toml"), std::string::npos);
}

TEST_F(Doctor, DaemonThatDoesNotRun) {
  absent();
  Finding found = check_daemon(facts);
  EXPECT_EQ(found.level, Level::warn);
  EXPECT_NE(found.advice.find("start"), std::string::npos);
  facts.socket_folder = false;
  EXPECT_NE(check_daemon(facts).text.find("folder"), std::string::npos);
  facts.presence = Presence::unreachable;
  facts.why_no_daemon = "no permission";
  EXPECT_EQ(check_daemon(facts).level, Level::skip);
}

TEST_F(Doctor, DaemonOfAnotherVersion) {
  facts.daemon.version = "1.2.2";
  only("daemon", Level::warn, {"1.2.2", "1.2.3", "restart"});
}

TEST_F(Doctor, DaemonWithAnotherConfiguration) {
  facts.daemon.configuration = "/etc/other.toml";
  only("daemon", Level::warn, {"/etc/other.toml"});
}

TEST_F(Doctor, DaemonWithAnotherInterface) {
  facts.daemon.interface = "nvi7";
  only("daemon", Level::warn, {"nvi7", "nvi0"});
}

TEST_F(Doctor, SessionsThatFillTheTable) {
  facts.daemon.sessions = 899;
  only("sessions", Level::ok, {});
  facts.daemon.sessions = 900;
  only("sessions", Level::warn, {"900 of 1000", "max_sessions"});
  facts.daemon.sessions = 1000;
  only("sessions", Level::fail, {"1000 of 1000"});
}

TEST_F(Doctor, PortsThatRunOut) {
  facts.daemon.pools.push_back({"203.0.113.11", 1000, {{"tcp", 899}, {"udp", 3}, {"icmp", 0}}, {}});
  only("ports", Level::ok, {});
  facts.daemon.pools.back().in_use["tcp"] = 900;
  only("ports", Level::warn, {"900 of 1000", "203.0.113.11", "tcp", "pool4"});
  facts.daemon.pools.front().in_use["udp"] = 64512;
  only("ports", Level::fail, {"203.0.113.10", "udp"});
}

TEST_F(Doctor, PortsThatWereAllInUseOnce) {
  facts.daemon.pools[0].most = {{"tcp", 64511}, {"udp", 30}};
  only("ports", Level::ok, {});
  facts.daemon.pools[0].most["tcp"] = 64512;
  only("ports", Level::warn, {"all 64512 ports of 203.0.113.10", "tcp", "pool4"});
}

// --- the machine ---------------------------------------------------------------------------------

TEST_F(Doctor, KernelThatIsOld) {
  facts.kernel = "5.10.0";
  only("kernel", Level::warn, {"5.10.0", "6.1"});
  facts.kernel = "6.0.1";
  only("kernel", Level::warn, {"6.0.1"});
  facts.kernel = "7.0";
  only("kernel", Level::ok, {});
}

TEST_F(Doctor, TunThatIsMissing) {
  facts.tun = error("cannot open /dev/net/tun: No such file or directory");
  only("tun", Level::fail, {"/dev/net/tun", "modprobe tun"});
  facts.tun = TunDevice{true, true, false};
  only("tun", Level::fail, {"vnet_hdr"});
  facts.tun = TunDevice{true, false, true};
  only("tun", Level::fail, {"queues"});
  facts.tun = TunDevice{false, false, false};
  only("tun", Level::skip, {"root"});
}

TEST_F(Doctor, BpfThatDoesNotLoad) {
  facts.bpf = error("no program loads: Operation not supported");
  only("bpf", Level::warn, {"no program loads", "tun engine", "CONFIG_BPF_SYSCALL"});
  facts.config->nvi.engine = config::Engine::bpf;
  only("bpf", Level::fail, {"no program loads", "auto"});
  facts.config->nvi.engine = config::Engine::tun;
  only("bpf", Level::ok, {"not needed"});
  facts.config->nvi.engine = config::Engine::automatic;
  facts.bpf_unknown = true;
  only("bpf", Level::skip, {"no program loads"});
}

TEST_F(Doctor, BpfThatIsNotCompiled) {
  settings["net/core/bpf_jit_enable"] = "0";
  only("bpf", Level::warn, {"refuses to interpret", "tun engine", "bpf_jit_enable=1"});
  facts.config->nvi.engine = config::Engine::bpf;
  only("bpf", Level::fail, {"refuses to interpret", "bpf_jit_enable=1"});
  settings["net/core/bpf_jit_enable"] = "1";
  only("bpf", Level::ok, {"load"});
}

TEST_F(Doctor, AnEngineThatWasNotMeant) {
  facts.daemon.engine = "tun";
  only("engine", Level::ok, {"tun"});
  facts.daemon.why_not_bpf = "the kernel refused the BPF programs: Permission denied";
  only("engine", Level::warn, {"tun", "Permission denied", "restart viaductd"});
}

TEST_F(Doctor, SessionsThatEndWithTheDaemon) {
  facts.daemon.why_mortal = "no BPF file system is mounted at /sys/fs/bpf";
  only("engine", Level::warn, {"end with viaductd", "no BPF file system", "restart viaductd"});
  facts.daemon.engine = "tun";
  only("engine", Level::ok, {"tun"});
}

TEST_F(Doctor, MuchThatIsHandedUp) {
  facts.daemon.handed_up = 0.01;
  only("engine", Level::ok, {"1.00 %"});
  facts.daemon.handed_up = 0.25;
  only("engine", Level::warn, {"25.00 %", "show counters"});
}

TEST_F(Doctor, TablesLargerThanTheMemory) {
  facts.memory = Memory{uint64_t{700} << 20, uint64_t{400} << 20};
  only("memory", Level::warn, {"400 MiB", "700 MiB", "max_sessions"});
  facts.memory = Memory{uint64_t{300} << 20, uint64_t{400} << 20};
  only("memory", Level::fail, {"300 MiB", "end viaductd"});
  facts.memory->in_kernel = true;
  only("memory", Level::fail, {"400 MiB of the kernel", "300 MiB", "bpf engine"});
}

// What Linux 6.18 says of all maps of a daemon that has just started (memlock in fdinfo), and what full
// tables of subscribers and peers take besides, which have their memory as they fill.
TEST(KernelMemory, IsWhatTheKernelSays) {
  const auto later = [](uint64_t most) { return 80 * SUBSCRIBERS_OF(most) + 72 * most; };
  for (auto [sessions, said] :
       {std::pair(uint64_t{65'536}, 35'155'600.0), {1'000'000, 257'089'168.0}}) {
    const double expected = said + static_cast<double>(later(sessions));
    EXPECT_NEAR(static_cast<double>(kernel_memory(static_cast<uint32_t>(sessions))), expected,
                expected / 50);
  }
}

TEST_F(Doctor, FewDescriptorsLeft) {
  facts.daemon.files = Running::Files{920, 1024};
  only("files", Level::ok, {});
  facts.daemon.files = Running::Files{921, 1024};
  only("files", Level::warn, {"921 of 1024", "LimitNOFILE"});
  facts.daemon.files = error("needs root");
  only("files", Level::skip, {"needs root"});
}

TEST_F(Doctor, ClockBeforeTheProgram) {
  facts.clock.now = facts.clock.program - 3600; // another time zone's mistake
  only("clock", Level::ok, {});
  facts.clock.now = facts.clock.program - 2 * 86400;
  only("clock", Level::fail, {"DNSSEC"});
}

TEST_F(Doctor, ConntrackAlmostFull) {
  facts.conntrack = Conntrack{58983, 65536};
  only("conntrack", Level::warn, {"58983 of 65536", "nf_conntrack_max"});
  facts.conntrack = Conntrack{65536, 65536};
  only("conntrack", Level::fail, {});
  facts.conntrack = Conntrack{0, 0};
  only("conntrack", Level::ok, {});
}

// --- a packet's way ------------------------------------------------------------------------------

TEST_F(Doctor, ForwardingThatSomebodySwitchedOff) {
  settings["net/ipv4/ip_forward"] = "0";
  only("forwarding", Level::fail, {"net/ipv4/ip_forward"});
  settings["net/ipv4/ip_forward"] = "1";
  settings["net/ipv6/conf/all/forwarding"] = "0";
  only("forwarding", Level::fail, {"net/ipv6/conf/all/forwarding"});
  settings.erase("net/ipv6/conf/all/forwarding");
  only("forwarding", Level::fail, {"ipv6.disable"});
}

TEST_F(Doctor, StrictReversePathFilterWithTwoWays) {
  settings["net/ipv4/conf/wan/rp_filter"] = "1";
  only("rp_filter", Level::ok, {});
  facts.network->default_routes.emplace_back("wan2");
  only("rp_filter", Level::warn, {"wan", "wan2", "rp_filter=2"});
  settings["net/ipv4/conf/all/rp_filter"] = "2"; // the larger of the two counts
  only("rp_filter", Level::ok, {});
}

TEST_F(Doctor, DefaultRouteFromRouterAdvertisements) {
  facts.network->advertised_defaults = {"lan"};
  only("router advertisements", Level::warn, {"lan", "accept_ra=2"});
}

TEST_F(Doctor, ProgramsOfOthers) {
  facts.programs->push_back({"matchall", true, false});
  facts.programs->push_back({"peek.o:[tc]", false, false});
  only("programs", Level::warn, {"matchall (egress), peek.o:[tc] (ingress)", "tc filter show"});
  facts.programs = std::vector<Program>{{"matchall", true, false}};
  only("programs", Level::warn, {"not on nvi0 any more", "restart viaductd"});
  facts.programs = error("there is no interface nvi0");
  only("programs", Level::skip, {"no interface"});
  facts.daemon.engine = "tun";
  facts.programs = std::vector<Program>{};
  only("programs", Level::ok, {"no program"});
}

TEST_F(Doctor, RoutesThatVanishWithTheReader) {
  settings["net/ipv6/conf/nvi0/ignore_routes_with_linkdown"] = "1";
  only("link down", Level::warn, {"net/ipv6/conf/nvi0/ignore_routes_with_linkdown"});
  settings["net/ipv6/conf/nvi0/ignore_routes_with_linkdown"] = "0";
  settings["net/ipv4/conf/all/ignore_routes_with_linkdown"] = "1";
  only("link down", Level::warn, {"net/ipv4/conf/all"});
}

TEST_F(Doctor, InterfaceThatIsGone) {
  facts.network->links.pop_back();
  only("interface", Level::fail, {"nvi0 is gone"});
}

TEST_F(Doctor, InterfaceThatIsDown) {
  facts.network->links.back().flags = 0;
  only("interface", Level::fail, {"ip link set nvi0 up"});
}

TEST_F(Doctor, InterfaceThatSomebodyElseReads) {
  absent();
  facts.network->links.back().tun = nvi::TunDetails{.queues = 2};
  EXPECT_EQ(check_interface(facts).level, Level::fail);
  EXPECT_NE(check_interface(facts).text.find("another program reads nvi0"), std::string::npos);
  facts.network->links.back().tun->queues = 0;
  EXPECT_EQ(check_interface(facts).level, Level::ok);
  facts.network->parts.front().good = error("interface nvi0 exists and is not a tun");
  EXPECT_EQ(check_interface(facts).level, Level::fail);
}

TEST_F(Doctor, MtusThatDoNotFit) {
  facts.network->links[0].mtu = 1200;
  only("mtu", Level::warn, {"lan", "1200", "1280"});
  facts.network->links[0].mtu = 9000;
  only("mtu", Level::warn, {"nvi0", "lan 9000"});
  facts.network->links[2].mtu = 9000;
  only("mtu", Level::ok, {});
}

TEST_F(Doctor, WhatThePlanMeets) {
  const std::map<std::string, const char *> names = {{"pool", "pool addresses"},
                                                     {"mapped", "mapped addresses"},
                                                     {"prefixes", "prefixes"},
                                                     {"routes", "routes"},
                                                     {"interface", "interface"}};
  for (nvi::Network::Part &part : facts.network->parts) {
    part.good = error("{} is in the way", part.name);
    only(names.at(part.name), Level::fail, {"is in the way"});
    part.good = {};
    part.warnings = {"one", "two"};
    only(names.at(part.name), Level::warn, {"one; two"});
    part.warnings.clear();
  }
}

TEST_F(Doctor, RoutesThatLeadElsewhere) {
  facts.network->destinations[0].interface = "wan";
  only("routes", Level::fail, {"64:ff9b::/96 leads to wan", "ip route get 64:ff9b::c000:aa"});
  facts.network->destinations[0].interface = "";
  only("routes", Level::fail, {"nowhere"});
}

TEST_F(Doctor, Detours) {
  facts.network->detours = {{"64:ff9b::c000:200/120", "wan"}, {"64:ff9b::/112", "nowhere"}};
  only("detours", Level::warn, {"64:ff9b::c000:200/120 to wan, 64:ff9b::/112 to nowhere"});
}

TEST_F(Doctor, NobodyMayUseIt) {
  facts.network->connected.clear();
  only("allow", Level::warn, {"nobody", "[nat64] allow"});
  facts.config->nat64.allow = {*Prefix6::parse("2001:db8::/32")};
  only("allow", Level::ok, {});
}

TEST_F(Doctor, Offloads) {
  facts.network->offloads[1].gro = false;
  only("offloads", Level::warn, {"wan", "ethtool -K wan gro on"});
  facts.network->offloads[0].lro = true;
  only("offloads", Level::warn, {"ethtool -K lan lro off"});
  facts.daemon.offloads = {"csum"};
  only("offloads", Level::warn, {"gives the interface no TCP super-packets"});
  facts.daemon.offloads_refused = {"tso4", "tso6"};
  only("offloads", Level::warn, {"does not take them back (tso4, tso6)", "restarting viaductd"});
}

TEST_F(Doctor, FirewallThatDropsWhatIsForwarded) {
  facts.firewall->forward_drop = {{"inet filter forward", false}};
  only("forward chain", Level::warn, {"inet filter forward", "nvi0", "viaduct.nft"});
  facts.firewall->forward_drop[0].names_us = true;
  only("forward chain", Level::ok, {});
  facts.firewall->source_nat = {{"ip nat postrouting", false}};
  only("source nat", Level::warn, {"ip nat postrouting", "iifname \"nvi0\" accept"});
  facts.firewall->source_nat[0].names_us = true;
  only("source nat", Level::ok, {});
}

TEST_F(Doctor, FirewallThatCannotBeRead) {
  facts.firewall->legacy = true;
  EXPECT_EQ(check_forward_chain(facts).level, Level::skip);
  EXPECT_EQ(check_source_nat(facts).level, Level::skip);
  facts.firewall = error("reading the firewall's rules needs root");
  EXPECT_NE(check_forward_chain(facts).text.find("needs root"), std::string::npos);
  EXPECT_EQ(check_source_nat(facts).level, Level::skip);
}

// --- names ---------------------------------------------------------------------------------------

TEST_F(Doctor, ResolverThatFails) {
  facts.daemon.dns64_state = "failing";
  facts.daemon.dns64_detail = "no answer";
  only("resolver", Level::fail, {"failing", "no answer"});
  facts.daemon.dns64_state = "starting";
  only("resolver", Level::warn, {"starting"});
}

TEST_F(Doctor, ResolverThatIsNotInstalled) {
  facts.resolver->installed = false;
  only("resolver", Level::fail, {"apt install unbound"});
  facts.config->dns64.reset();
  only("resolver", Level::ok, {});
}

TEST_F(Doctor, PortOfTheResolverTaken) {
  absent();
  EXPECT_EQ(check_resolver(facts).level, Level::ok);
  facts.resolver->occupied = {"127.0.0.54"};
  EXPECT_EQ(check_resolver(facts).level, Level::ok);
  for (const char *taken : {"2001:db8::53", "::"}) {
    facts.resolver->occupied = {taken};
    EXPECT_EQ(check_resolver(facts).level, Level::fail) << taken;
    EXPECT_NE(check_resolver(facts).advice.find("systemd-resolved"), std::string::npos);
  }
  facts.config->dns64->listen = {"::"};
  facts.resolver->occupied = {"127.0.0.53"};
  EXPECT_EQ(check_resolver(facts).level, Level::fail);
}

TEST_F(Doctor, Dns64WithoutAnswer) {
  facts.resolver->answers[0].good = error("no answer within 1000 ms");
  only("dns64", Level::fail, {"2001:db8::53", "no answer"});
}

} // namespace
} // namespace viaduct::doctor
