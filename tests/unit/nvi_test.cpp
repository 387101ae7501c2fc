// SPDX-License-Identifier: MIT
//
// The tun device, netlink, sysctls and the network around the interface, against the kernel itself.
// Every test that touches the machine runs in fresh network namespaces:
//
//   gateway (the test's own)                     peer
//     nvi0 --- Tun
//     lan0 192.0.2.1/24, 2001:db8:1::1/64 ------ lan1 192.0.2.2/24
//
// It is skipped where namespaces may not be made.
#include "nvi/netlink.h"
#include "nvi/network.h"
#include "nvi/sysctl.h"
#include "nvi/tun.h"

#include "lib/addresses.h"
#include "lib/packet.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <map>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sched.h>
#include <set>
#include <sstream>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

namespace viaduct::nvi {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using testing::AssertionFailure;
using testing::AssertionResult;
using testing::AssertionSuccess;

Ipv4 four(const char *text) {
  return *Ipv4::parse(text);
}
Prefix6 prefix(const char *text) {
  return *Prefix6::parse(text);
}

template <typename T> AssertionResult succeeds(const Result<T> &result) {
  if (result)
    return AssertionSuccess();
  return AssertionFailure() << result.failure().message;
}

template <typename T> AssertionResult says(const Result<T> &result, const std::string &words) {
  if (result)
    return AssertionFailure() << "it succeeded";
  if (result.failure().message.find(words) == std::string::npos)
    return AssertionFailure() << "\"" << result.failure().message << "\" does not say \"" << words
                              << "\"";
  return AssertionSuccess();
}

// What a command prints; a failing command fails the test.
std::string output(const std::string &command) {
  FILE *pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) {
    ADD_FAILURE() << "cannot run " << command;
    return {};
  }
  std::string text;
  std::array<char, 4096> buffer;
  while (const size_t count = ::fread(buffer.data(), 1, buffer.size(), pipe))
    text.append(buffer.data(), count);
  const int status = ::pclose(pipe);
  EXPECT_EQ(status, 0) << command << ": " << text;
  return text;
}

bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

void write_setting(const std::string &name, const std::string &value) {
  std::ofstream file("/proc/sys/" + name);
  file << value << std::flush;
  ASSERT_TRUE(file.good()) << name;
}

// Runs `body` in a child that may give up rights or hide files; its sentence comes back.
std::string in_child(const std::function<std::string()> &body) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0)
    return "pipe failed";
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string text = body();
    const ssize_t written = ::write(ends[1], text.data(), text.size());
    ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 1024> buffer;
  for (ssize_t count = 0; (count = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<size_t>(count));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return text;
}

bool drop_net_admin() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0)
    return false;
  data[0].effective &= ~(1U << CAP_NET_ADMIN);
  return ::syscall(SYS_capset, &header, data.data()) == 0;
}

template <typename T> std::string sentence(const Result<T> &result) {
  return result ? "it succeeded" : result.failure().message;
}

class InNamespace : public testing::Test {
protected:
  void SetUp() override {
    home_ = Fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!home_ || ::unshare(CLONE_NEWNET) != 0) {
      const std::string reason =
          std::string("no network namespace can be made: ") + std::strerror(errno);
      home_.reset();
      printf("SKIP: %s\n", reason.c_str());
      GTEST_SKIP() << reason;
    }
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) {
      printf("SKIP: /dev/net/tun is not there\n");
      GTEST_SKIP() << "/dev/net/tun is not there";
    }
    gateway_ = Fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    output("ip link set lo up");
  }
  void TearDown() override {
    if (home_) {
      ASSERT_EQ(::setns(home_.get(), CLONE_NEWNET), 0);
    }
  }

  // lan0 here, lan1 in the peer.
  void make_lan() {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    peer_ = Fd(::open("/proc/self/ns/net", O_RDONLY));
    ASSERT_EQ(::setns(gateway_.get(), CLONE_NEWNET), 0);
    output("ip link add lan0 type veth peer name lan1");
    output(fmt::format("ip link set lan1 netns /proc/{}/fd/{}", ::getpid(), peer_.get()));
    // No link-local addresses: they come and go on their own, and the tests compare.
    output("ip link set lan0 addrgenmode none up; ip addr add 192.0.2.1/24 dev lan0; "
           "ip addr add 2001:db8:1::1/64 dev lan0 nodad");
    in_peer([] {
      output("ip link set lan1 addrgenmode none up; ip addr add 192.0.2.2/24 dev lan1");
      return 0;
    });
    // The kernel notices the cable some time later; from then on nothing changes on its own.
    const auto end = Clock::now() + milliseconds(5000);
    while (contains(output("ip route show dev lan0"), "linkdown") ||
           !contains(output("ip -6 route show table local dev lan0"), "2001:db8:1::1") ||
           !contains(output("ip -6 route show table local dev lan0"), "ff00::/8") ||
           !contains(output("ip link show lan0"), "state UP")) {
      ASSERT_LT(Clock::now(), end) << "lan0 does not come up";
      ::usleep(10'000);
    }
  }

  template <typename Body> std::invoke_result_t<Body> in_peer(Body body) {
    EXPECT_EQ(::setns(peer_.get(), CLONE_NEWNET), 0);
    auto result = body();
    EXPECT_EQ(::setns(gateway_.get(), CLONE_NEWNET), 0);
    return result;
  }

  // A socket in the peer that sees every frame of lan1 with this Ethernet type.
  Fd listen_in_peer(uint16_t type) {
    return in_peer([&] {
      Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
      sockaddr_ll to{};
      to.sll_family = AF_PACKET;
      to.sll_protocol = htons(type);
      to.sll_ifindex = static_cast<int>(if_nametoindex("lan1"));
      EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr *>(&to), sizeof(to)), 0);
      return fd;
    });
  }

  Fd home_, gateway_, peer_;
};

// Everything that Network touches, as text.
std::map<std::string, std::string> snapshot() {
  std::map<std::string, std::string> state;
  state["routes"] = output("ip -j route show table all | sed 's/\"linkdown\"//g'");
  state["routes6"] = output("ip -j -6 route show table all");
  state["proxies"] = output("ip neigh show proxy; ip -6 neigh show proxy");
  state["links"] = output("ip -br link; ip -br addr");
  for (const char *folder : {"net/ipv4", "net/ipv6"})
    for (const auto &entry :
         std::filesystem::recursive_directory_iterator(std::string("/proc/sys/") + folder)) {
      std::ifstream file(entry.path());
      std::stringstream text;
      if (entry.is_regular_file() && file && text << file.rdbuf())
        state[entry.path()] = text.str();
    }
  state.erase("/proc/sys/net/ipv6/conf/nvi0/addr_gen_mode"); // see Network::apply_settings
  return state;
}

AssertionResult same(const std::map<std::string, std::string> &before,
                     const std::map<std::string, std::string> &after) {
  std::string differences;
  for (const auto &[name, value] : before)
    if (const auto now = after.find(name); now == after.end() || now->second != value)
      differences +=
          fmt::format("{} was {}, is {}\n", name, value, now == after.end() ? "gone" : now->second);
  for (const auto &[name, value] : after)
    if (!before.contains(name))
      differences += fmt::format("{} is new: {}\n", name, value);
  if (differences.empty())
    return AssertionSuccess();
  return AssertionFailure() << differences;
}

// Waits for a frame that `wanted` likes; false when the time is over.
bool arrives(const Fd &fd, milliseconds patience,
             const std::function<bool(std::span<const uint8_t>)> &wanted) {
  const auto end = Clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
    pollfd waiting{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) != 1)
      return false;
    std::array<uint8_t, 2048> frame;
    const ssize_t length = ::recv(fd.get(), frame.data(), frame.size(), 0);
    if (length > 0 && wanted({frame.data(), static_cast<size_t>(length)}))
      return true;
  }
}

ether_arp arp_of(std::span<const uint8_t> frame) {
  ether_arp arp{};
  if (frame.size() >= sizeof(ether_header) + sizeof(arp))
    std::memcpy(&arp, frame.data() + sizeof(ether_header), sizeof(arp));
  return arp;
}

// --- Tun -----------------------------------------------------------------------------------------

using TunDevice = InNamespace;

// USO came with Linux 6.2.
std::vector<std::string> offloads_of_this_kernel() {
  std::vector<std::string> names = {"csum", "tso4", "tso6", "tso_ecn"};
  utsname about{};
  uname(&about);
  unsigned major = 0, minor = 0;
  EXPECT_EQ(sscanf(about.release, "%u.%u", &major, &minor), 2);
  if (major > 6 || (major == 6 && minor >= 2))
    names.insert(names.end(), {"uso4", "uso6"});
  return names;
}

TEST_F(TunDevice, opens_with_queues_and_offloads) {
  auto tun = Tun::open("nvi0", 2);
  ASSERT_TRUE(succeeds(tun));
  EXPECT_FALSE(tun->adopted());
  EXPECT_EQ(tun->name(), "nvi0");
  EXPECT_EQ(tun->ifindex(), static_cast<int>(if_nametoindex("nvi0")));
  EXPECT_EQ(tun->queues().size(), 2U);
  EXPECT_EQ(tun->offloads().given, offloads_of_this_kernel());
  for (const int queue : tun->queues()) {
    char byte = 0;
    EXPECT_EQ(::read(queue, &byte, 1), -1);
    EXPECT_EQ(errno, EAGAIN);
  }
  const std::string seen = output("ip -d link show nvi0");
  EXPECT_TRUE(contains(seen, "tun type tun pi off vnet_hdr on multi_queue numqueues 2")) << seen;
  EXPECT_TRUE(contains(seen, "persist on")) << seen;
}

// The kernel leaves a flow to the queue it was last written to, so each packet that send() writes
// has the next queue, and the answer shows which.
TEST_F(TunDevice, sends_by_each_queue_in_turn_and_says_what_was_not_taken) {
  auto tun = Tun::open("nvi0", 3);
  ASSERT_TRUE(succeeds(tun));
  auto packet = [](uint16_t port) {
    return (test::ip4(test::server4, test::pool4) / test::udp(7, port) / test::payload(4)).bytes();
  };
  EXPECT_FALSE(tun->send(packet(1000))); // it is down
  output("ip address add 203.0.113.10/32 dev lo; ip link set nvi0 up; "
         "ip route add 198.51.100.0/24 dev nvi0");
  std::set<size_t> used;
  for (uint16_t port = 1000; port < 1003; port++) {
    const Fd host(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in here{AF_INET, htons(port), {test::pool4.network_order()}, {}};
    sockaddr_in there{AF_INET, htons(7), {test::server4.network_order()}, {}};
    ASSERT_EQ(::bind(host.get(), reinterpret_cast<sockaddr *>(&here), sizeof here), 0);
    ASSERT_EQ(::connect(host.get(), reinterpret_cast<sockaddr *>(&there), sizeof there), 0);
    EXPECT_TRUE(tun->send(packet(port)));
    ASSERT_EQ(::write(host.get(), "word", 4), 4);
    std::array<uint8_t, 2000> buffer{};
    const std::vector<int> queues = tun->queues();
    for (size_t i = 0; i < queues.size(); i++)
      while (::read(queues[i], buffer.data(), buffer.size()) > 0)
        if (buffer[10] >> 4 == 4) // not a router solicitation
          used.insert(i);
  }
  EXPECT_EQ(used.size(), 3U);
}

TEST_F(TunDevice, stays_after_a_crash_is_adopted_and_vanishes_on_request) {
  auto first = Tun::open("nvi0", 2);
  ASSERT_TRUE(succeeds(first));
  const int index = first->ifindex();
  first = error("the daemon died");
  ASSERT_EQ(if_nametoindex("nvi0"), static_cast<unsigned>(index));

  auto second = Tun::open("nvi0", 1); // the machine may have another number of processors now
  ASSERT_TRUE(succeeds(second));
  EXPECT_TRUE(second->adopted());
  EXPECT_EQ(second->ifindex(), index);
  EXPECT_EQ(second->offloads().given, offloads_of_this_kernel());
  ASSERT_TRUE(succeeds(second->remove()));
  EXPECT_NE(if_nametoindex("nvi0"), 0U) << "still open";
  second = error("closed");
  EXPECT_EQ(if_nametoindex("nvi0"), 0U);
}

TEST_F(TunDevice, refuses_a_second_reader) {
  auto first = Tun::open("nvi0", 2);
  ASSERT_TRUE(succeeds(first));
  EXPECT_TRUE(says(Tun::open("nvi0", 2),
                   "nvi0 is already in use by another viaductd or another program: stop it"));
  EXPECT_TRUE(contains(output("ip -d link show nvi0"), "numqueues 2"));
  EXPECT_TRUE(succeeds(Tun::open("nvi1", 1)));
}

TEST_F(TunDevice, refuses_interfaces_of_other_kinds) {
  output("ip link add nvi0 type veth peer name other");
  EXPECT_TRUE(says(Tun::open("nvi0", 1), "nvi0 exists and is an interface of kind veth"));
  output("ip tuntap add tap0 mode tap multi_queue vnet_hdr");
  EXPECT_TRUE(says(Tun::open("tap0", 1), "tap0 exists and is a tap interface"));
  output("ip tuntap add tun0 mode tun vnet_hdr");
  EXPECT_TRUE(says(Tun::open("tun0", 1), "another program made (with a single queue)"));
  output("ip tuntap add tun1 mode tun multi_queue");
  EXPECT_TRUE(says(Tun::open("tun1", 1), "another program made (without vnet_hdr)"));
  EXPECT_TRUE(says(Tun::open("lo", 1), "lo exists and is a network port"));
  EXPECT_TRUE(contains(output("ip -d link show tun1"), "vnet_hdr off")) << "it was touched";
}

TEST_F(TunDevice, refuses_impossible_requests) {
  for (const char *name : {"", "averyveryverylongname", "a/b", "nvi%d", "a b", "."})
    EXPECT_TRUE(says(Tun::open(name, 1), "is no name for an interface")) << name;
  EXPECT_TRUE(says(Tun::open("nvi0", 0), "1 to 256 are possible"));
  EXPECT_TRUE(says(Tun::open("nvi0", 257), "1 to 256 are possible"));
  EXPECT_EQ(if_nametoindex("nvi0"), 0U);
}

TEST_F(TunDevice, says_what_to_do_without_the_capability) {
  const std::string text = in_child([] {
    return drop_net_admin() ? sentence(Tun::open("nvi0", 1)) : std::string("cannot drop it");
  });
  EXPECT_TRUE(contains(text, "needs CAP_NET_ADMIN: run as root")) << text;
}

TEST_F(TunDevice, says_what_to_do_without_the_device_file) {
  const std::string text = in_child([] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", "/dev/net", "tmpfs", 0, nullptr) != 0)
      return std::string("cannot hide the device");
    return sentence(Tun::open("nvi0", 1));
  });
  EXPECT_TRUE(contains(text, "load the tun module with \"modprobe tun\"")) << text;
}

// --- Netlink -------------------------------------------------------------------------------------

using NetlinkSocket = InNamespace;

TEST_F(NetlinkSocket, knows_links_and_those_that_are_not_there) {
  auto netlink = Netlink::open();
  ASSERT_TRUE(succeeds(netlink));
  auto lo = netlink->link("lo");
  ASSERT_TRUE(succeeds(lo));
  EXPECT_EQ(lo->index, 1);
  EXPECT_EQ(lo->type, unsigned{ARPHRD_LOOPBACK});
  auto by_index = netlink->link(1);
  ASSERT_TRUE(succeeds(by_index));
  EXPECT_EQ(by_index->name, "lo");
  auto none = netlink->link("nvi0");
  ASSERT_TRUE(succeeds(none));
  EXPECT_EQ(none->index, 0);
  EXPECT_TRUE(says(netlink->link("averyveryverylongname"), "is no interface name"));
}

// A machine that has not got its first address yet: the kernel has no main table to list.
TEST_F(NetlinkSocket, a_table_that_never_had_a_route_has_none) {
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0); // where even lo is down
  auto netlink = Netlink::open();
  ASSERT_TRUE(succeeds(netlink));
  for (int family : {AF_INET, AF_INET6}) {
    Netlink::RouteFilter filter;
    filter.family = family;
    filter.table = RT_TABLE_MAIN;
    auto routes = netlink->routes(filter);
    ASSERT_TRUE(succeeds(routes));
    EXPECT_TRUE(routes->empty());
  }
}

TEST_F(NetlinkSocket, dumps_large_tables_whole_and_keeps_what_is_wanted) {
  std::string commands;
  for (int i = 0; i < 3000; ++i)
    commands += fmt::format("route add 198.18.{}.{}/32 dev lo\n", i / 250, i % 250);
  FILE *ip = ::popen("ip -batch -", "w");
  ASSERT_NE(ip, nullptr);
  ASSERT_EQ(::fwrite(commands.data(), 1, commands.size(), ip), commands.size());
  ASSERT_EQ(::pclose(ip), 0);

  auto netlink = Netlink::open();
  ASSERT_TRUE(succeeds(netlink));
  auto all = netlink->routes({.family = AF_INET, .table = 254, .keep = {}});
  ASSERT_TRUE(succeeds(all));
  EXPECT_EQ(all->size(), 3000U);
  auto one = netlink->routes({.family = AF_INET, .keep = [](const Route &route) {
                                return text(route.destination) == "198.18.3.7/32";
                              }});
  ASSERT_TRUE(succeeds(one));
  ASSERT_EQ(one->size(), 1U);
  EXPECT_EQ(one->front().interface, 1);
}

TEST_F(NetlinkSocket, passes_the_kernels_own_words_on) {
  auto netlink = Netlink::open();
  ASSERT_TRUE(succeeds(netlink));
  const Route route{.destination = Prefix4{four("198.51.100.7"), 32}, .interface = 1};
  ASSERT_TRUE(succeeds(netlink->add(route)));
  EXPECT_TRUE(says(netlink->add(route), "cannot add the route 198.51.100.7/32: File exists"));
  EXPECT_TRUE(succeeds(netlink->remove(route)));
  EXPECT_TRUE(succeeds(netlink->remove(route))) << "what is not there need not be removed";
  const Route odd{.destination = Prefix4{four("198.51.100.7"), 24}, .interface = 1};
  EXPECT_TRUE(says(netlink->add(odd), "Invalid argument (Invalid prefix for given prefix length)"));
  const std::string text = in_child([&]() -> std::string {
    return drop_net_admin() ? sentence(netlink->add(route)) : "cannot drop it";
  });
  EXPECT_TRUE(contains(text, "needs CAP_NET_ADMIN")) << text;
}

TEST_F(NetlinkSocket, monitor_says_what_kind_of_thing_changed) {
  auto monitor = Monitor::open();
  ASSERT_TRUE(succeeds(monitor));
  auto drained = monitor->drain();
  ASSERT_TRUE(succeeds(drained));
  EXPECT_FALSE(drained->any());

  auto after = [&](const std::string &command) {
    output(command);
    pollfd waiting{.fd = monitor->fd(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&waiting, 1, 1000), 1) << command;
    auto changes = monitor->drain();
    EXPECT_TRUE(succeeds(changes));
    return changes ? *changes : Changes{};
  };
  EXPECT_TRUE(after("ip link add a0 type veth peer name a1").links);
  EXPECT_TRUE(after("ip addr add 192.0.2.1/32 dev lo").addresses);
  const Changes changes = after("ip route add 198.51.100.0/24 dev lo");
  EXPECT_TRUE(changes.routes);
  EXPECT_FALSE(changes.addresses || changes.links || changes.ours || changes.lost);
  EXPECT_FALSE(after("ip route del 198.51.100.0/24 dev lo").ours);
  EXPECT_FALSE(after("ip route add 198.51.100.0/24 dev lo proto 86").ours);
  EXPECT_TRUE(after("ip route del 198.51.100.0/24 dev lo").ours);
  EXPECT_FALSE(after("tc qdisc add dev lo clsact").filters);
  EXPECT_TRUE(after("tc qdisc del dev lo clsact").filters);
}

TEST_F(NetlinkSocket, monitor_survives_lost_messages) {
  auto monitor = Monitor::open();
  ASSERT_TRUE(succeeds(monitor));
  const int smallest = 1;
  ASSERT_EQ(::setsockopt(monitor->fd(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest)), 0);
  output("for i in $(seq 100); do echo route add 198.51.100.$i/32 dev lo; done | ip -batch -");
  auto changes = monitor->drain();
  ASSERT_TRUE(succeeds(changes));
  EXPECT_TRUE(changes->lost && changes->links && changes->addresses && changes->routes);
  changes = monitor->drain();
  ASSERT_TRUE(succeeds(changes));
  EXPECT_FALSE(changes->any());
  output("ip addr add 192.0.2.1/32 dev lo");
  changes = monitor->drain();
  ASSERT_TRUE(succeeds(changes));
  EXPECT_TRUE(changes->addresses);
}

// --- Sysctl --------------------------------------------------------------------------------------

using SysctlFiles = InNamespace;

TEST_F(SysctlFiles, sets_remembers_and_puts_back) {
  const auto before = snapshot();
  Sysctl sysctl;
  ASSERT_TRUE(succeeds(sysctl.set("net/ipv4/conf/all/send_redirects", "0")));
  ASSERT_TRUE(succeeds(sysctl.set("net/ipv4/conf/lo/rp_filter", "0"))); // right already
  EXPECT_EQ(sysctl.changed(), std::vector<std::string>{"net/ipv4/conf/all/send_redirects"});
  EXPECT_EQ(*Sysctl::read("net/ipv4/conf/all/send_redirects"), "0");
  ASSERT_TRUE(succeeds(sysctl.restore_all()));
  EXPECT_TRUE(same(before, snapshot()));
}

TEST_F(SysctlFiles, leaves_what_somebody_else_set_since) {
  Sysctl sysctl;
  ASSERT_TRUE(succeeds(sysctl.set("net/ipv4/conf/lo/rp_filter", "1")));
  write_setting("net/ipv4/conf/lo/rp_filter", "2");
  ASSERT_TRUE(succeeds(sysctl.restore_all()));
  EXPECT_EQ(*Sysctl::read("net/ipv4/conf/lo/rp_filter"), "2");
}

TEST_F(SysctlFiles, forwarding_is_put_back_with_all_that_it_changed) {
  make_lan();
  write_setting("net/ipv4/conf/lan0/forwarding", "1"); // before us
  write_setting("net/ipv6/conf/lan0/forwarding", "1");
  const auto before = snapshot();
  Sysctl sysctl;
  ASSERT_TRUE(succeeds(sysctl.set("net/ipv4/ip_forward", "1")));
  ASSERT_TRUE(succeeds(sysctl.set("net/ipv6/conf/all/forwarding", "1")));
  EXPECT_FALSE(same(before, snapshot()));
  ASSERT_TRUE(succeeds(sysctl.restore_all()));
  EXPECT_TRUE(same(before, snapshot()));
}

TEST_F(SysctlFiles, says_what_to_do_where_nothing_can_be_written) {
  const std::string text = in_child([] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("/proc/sys", "/proc/sys", nullptr, MS_BIND, nullptr) != 0 ||
        ::mount(nullptr, "/proc/sys", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0)
      return std::string("cannot make /proc/sys read-only");
    Sysctl sysctl;
    if (!sysctl.set("net/ipv4/ip_forward", "0"))
      return std::string("it wrote what was right already");
    return sentence(sysctl.set("net/ipv4/ip_forward", "1"));
  });
  EXPECT_TRUE(contains(text, "cannot set net.ipv4.ip_forward to 1: Read-only file system")) << text;
  EXPECT_TRUE(contains(text, "\"sysctl -w net.ipv4.ip_forward=1\"")) << text;
  Sysctl sysctl;
  EXPECT_TRUE(says(sysctl.set("net/ipv4/conf/no.such/rp_filter", "0"),
                   "net.ipv4.conf.no/such.rp_filter to 0: No such file"));
}

// --- Network -------------------------------------------------------------------------------------

class AroundTheInterface : public InNamespace {
protected:
  void SetUp() override {
    InNamespace::SetUp();
    if (IsSkipped() || HasFatalFailure())
      return;
    make_lan();
    tun_ = std::make_unique<Result<Tun>>(Tun::open("nvi0", 1));
    ASSERT_TRUE(succeeds(*tun_));
    auto opened = Network::open();
    ASSERT_TRUE(succeeds(opened));
    network_ = std::make_unique<Network>(std::move(*opened));
  }
  void TearDown() override {
    network_.reset();
    tun_.reset();
    InNamespace::TearDown();
  }

  Plan plan_{.interface = "nvi0",
             .prefixes = {prefix("64:ff9b::/96")},
             .pool = {four("192.0.2.64"), four("203.0.113.10")}};
  std::unique_ptr<Result<Tun>> tun_;
  std::unique_ptr<Network> network_;
};

TEST_F(AroundTheInterface, the_mtu_is_that_of_the_largest_port) {
  const std::string small = "203.0.113.10 proto 86 scope link mtu 1480 \n",
                    large = "203.0.113.10 proto 86 scope link mtu 8980 \n";
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  EXPECT_TRUE(contains(output("ip link show nvi0"), "mtu 1500"));
  EXPECT_EQ(output("ip route show 203.0.113.10 dev nvi0"), small);

  output("ip link set lan0 mtu 9000");
  ASSERT_TRUE(succeeds(network_->refresh()));
  EXPECT_TRUE(contains(output("ip link show nvi0"), "mtu 9000"));
  EXPECT_EQ(output("ip route show 203.0.113.10 dev nvi0"), large);

  output("ip link add unused mtu 16000 type veth peer name unused1"); // but it is down
  output("ip link set lan0 mtu 1280");
  ASSERT_TRUE(succeeds(network_->refresh()));
  EXPECT_TRUE(contains(output("ip link show nvi0"), "mtu 1500"));
  EXPECT_EQ(output("ip route show 203.0.113.10 dev nvi0"), small);
}

TEST_F(AroundTheInterface, the_largest_segment_is_what_every_port_with_an_address_carries) {
  const auto carried = [&](const std::string &change) {
    output(change);
    EXPECT_TRUE(succeeds(network_->refresh()));
    return network_->largest_segment();
  };
  EXPECT_EQ(network_->largest_segment(), 0U);
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  EXPECT_EQ(network_->largest_segment(), 1440U);
  EXPECT_EQ(carried("ip link set lan0 mtu 1400"), 1340U);
  EXPECT_EQ(carried("ip link set lan0 mtu 9000"), 8940U);

  const std::string six = "ip addr add fe80::2/64 dev small0 nodad",
                    four = "ip addr add 198.51.100.1/24 dev small0";
  EXPECT_EQ(carried("ip link add small0 mtu 1300 type veth peer name small1"), 8940U); // it is down
  output("ip link set small0 addrgenmode none");
  EXPECT_EQ(carried("ip link set small0 up"), 8940U); // and has no address
  EXPECT_EQ(carried(four), 1260U);
  EXPECT_EQ(carried(six), 1240U);
  EXPECT_EQ(carried("ip addr flush dev small0; " + four + "; ip link set small0 mtu 1000"), 960U);
  EXPECT_EQ(carried("ip link set small0 mtu 300"), 536U);
  EXPECT_EQ(carried("ip link set small0 down"), 8940U);
}

TEST_F(AroundTheInterface, apply_changes_only_differences_and_remove_leaves_nothing) {
  const auto before = snapshot();
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  EXPECT_EQ(network_->warnings(), std::vector<std::string>{});
  EXPECT_EQ(
      output("ip route show dev nvi0"),
      "192.0.2.64 proto 86 scope link mtu 1480 \n203.0.113.10 proto 86 scope link mtu 1480 \n");
  EXPECT_EQ(output("ip -6 route show dev nvi0"), "64:ff9b::/96 proto 86 metric 1024 pref medium\n");
  EXPECT_EQ(output("ip neigh show proxy"), "192.0.2.64 dev lan0 proxy proto 86 \n");
  EXPECT_EQ(*Sysctl::read("net/ipv4/ip_forward"), "1");
  EXPECT_EQ(*Sysctl::read("net/ipv6/conf/all/forwarding"), "1");
  const auto applied = snapshot();

  auto monitor = Monitor::open();
  ASSERT_TRUE(succeeds(monitor));
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  ASSERT_TRUE(succeeds(network_->refresh()));
  EXPECT_FALSE(monitor->drain()->any()) << "applied again, something was written";
  EXPECT_TRUE(same(applied, snapshot()));

  Plan other = plan_;
  other.mtu = 1400;
  other.prefixes.push_back(prefix("2001:db8:64::/96"));
  other.pool = {four("192.0.2.65"), four("203.0.113.10")};
  ASSERT_TRUE(succeeds(network_->apply(other)));
  EXPECT_EQ(
      output("ip route show dev nvi0"),
      "192.0.2.65 proto 86 scope link mtu 1380 \n203.0.113.10 proto 86 scope link mtu 1380 \n");
  EXPECT_EQ(output("ip neigh show proxy"), "192.0.2.65 dev lan0 proxy proto 86 \n");
  EXPECT_TRUE(contains(output("ip -6 route show dev nvi0"), "2001:db8:64::/96 proto 86"));
  EXPECT_TRUE(contains(output("ip link show nvi0"), "mtu 1400"));

  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  EXPECT_TRUE(same(applied, snapshot())) << "back to the first plan";
  ASSERT_TRUE(succeeds(network_->remove()));
  EXPECT_TRUE(same(before, snapshot()));
  ASSERT_TRUE(succeeds(network_->remove())) << "twice is no harm";
  ASSERT_TRUE(succeeds((*tun_)->remove()));
  tun_.reset();
  EXPECT_EQ(if_nametoindex("nvi0"), 0U);
}

TEST_F(AroundTheInterface, settings_that_the_operator_had_already_stay) {
  write_setting("net/ipv4/ip_forward", "1");
  write_setting("net/ipv6/conf/all/forwarding", "1");
  write_setting("net/ipv4/conf/lan0/send_redirects", "0");
  const auto before = snapshot();
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  EXPECT_EQ(*Sysctl::read("net/ipv4/conf/lan0/send_redirects"), "0");
  ASSERT_TRUE(succeeds(network_->remove()));
  EXPECT_TRUE(same(before, snapshot()));
}

TEST_F(AroundTheInterface, works_where_ipv6_is_off_by_default_on_new_interfaces) {
  write_setting("net/ipv6/conf/nvi0/disable_ipv6", "1");
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  EXPECT_TRUE(contains(output("ip -6 route show dev nvi0"), "64:ff9b::/96"));
}

TEST_F(AroundTheInterface, a_failure_in_the_middle_puts_everything_back) {
  const auto before = snapshot();
  Plan twice = plan_; // the kernel refuses the second route to the same address
  twice.pool.push_back(four("203.0.113.10"));
  EXPECT_TRUE(says(network_->apply(twice), "cannot add the route 203.0.113.10/32: File exists"));
  EXPECT_TRUE(same(before, snapshot()));

  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  const auto applied = snapshot();
  Plan other{.interface = "nvi0",
             .prefixes = {prefix("2001:db8:64::/96")},
             .pool = {four("192.0.2.65"), four("203.0.113.11"), four("203.0.113.11")},
             .mtu = 1300};
  EXPECT_TRUE(says(network_->apply(other), "File exists"));
  EXPECT_TRUE(same(applied, snapshot())) << "the plan before is still in force";
  EXPECT_EQ(network_->warnings(), std::vector<std::string>{}) << "undoing went well";
}

TEST_F(AroundTheInterface, check_names_the_interface_and_what_to_do) {
  auto refused = [&](const Plan &plan, const std::string &words) {
    const auto before = snapshot();
    EXPECT_TRUE(says(network_->check(plan), words));
    EXPECT_TRUE(says(network_->apply(plan), words));
    EXPECT_TRUE(same(before, snapshot()));
  };
  auto pool = [&](const char *address) {
    Plan plan = plan_;
    plan.pool.push_back(four(address));
    return plan;
  };
  ASSERT_TRUE(succeeds(network_->check(plan_)));
  refused(pool("192.0.2.1"), "192.0.2.1 is a local address of lan0, so its packets would never "
                             "reach nvi0: remove it there (ip address del 192.0.2.1 dev lan0)");
  refused(pool("192.0.2.255"), "192.0.2.255/32, which is a broadcast address of lan0");
  refused(pool("127.0.0.9"), "127.0.0.0/8, which is local to lo");
  output("ip route add 203.0.113.20/32 via 192.0.2.2");
  refused(pool("203.0.113.20"), "203.0.113.20/32 is already routed through lan0: remove that route "
                                "(ip route del 203.0.113.20/32 dev lan0)");
  output("ip route add blackhole 203.0.113.21/32");
  refused(pool("203.0.113.21"), "203.0.113.21/32 is already routed (blackhole)");

  Plan plan = plan_;
  plan.prefixes = {prefix("2001:db8:64::/96")};
  output("ip -6 route add 2001:db8:64::/96 dev lan0 metric 5");
  refused(plan, "2001:db8:64::/96 is already routed through lan0");
  plan.prefixes = {prefix("2001:db8:1::/64")};
  refused(plan, "2001:db8:1::/64 holds 2001:db8:1::1, a local address of lan0");
  plan = plan_;
  plan.mtu = 1279;
  refused(plan, "MTU of 1279 is not possible");
  plan = plan_;
  plan.interface = "lan0";
  refused(plan, "lan0 exists and is not a tun");
  plan.interface = "nvi7";
  EXPECT_TRUE(succeeds(network_->check(plan))) << "it need not exist yet";
  EXPECT_TRUE(says(network_->apply(plan), "nvi7 is not there"));
}

TEST_F(AroundTheInterface, mapped_prefixes_are_routed_and_single_ones_answered_for) {
  plan_.mapped = {*Prefix4::parse("198.51.100.0/24"), *Prefix4::parse("192.0.2.99/32"),
                  *Prefix4::parse("198.51.100.7/32")};
  const auto before = snapshot();
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  EXPECT_EQ(output("ip route show 198.51.100.0/24"),
            "198.51.100.0/24 dev nvi0 proto 86 scope link mtu 1480 \n");
  EXPECT_TRUE(contains(output("ip route get 192.0.2.99"), "dev nvi0"));
  EXPECT_TRUE(contains(output("ip neigh show proxy"), "192.0.2.99 dev lan0"));
  EXPECT_FALSE(contains(output("ip neigh show proxy"), "198.51.100")) << "not on this link";
  EXPECT_EQ(network_->warnings(), std::vector<std::string>{});
  plan_.mapped = {*Prefix4::parse("198.51.100.0/24")};
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  EXPECT_FALSE(contains(output("ip neigh show proxy; ip route"), "192.0.2.99"));
  ASSERT_TRUE(succeeds(network_->remove()));
  EXPECT_TRUE(same(before, snapshot()));
}

TEST_F(AroundTheInterface, a_map_of_what_is_the_machines_own_is_refused) {
  auto refused = [&](const char *mapped, const std::string &words) {
    const auto before = snapshot();
    plan_.mapped = {*Prefix4::parse("198.51.100.0/24"), *Prefix4::parse(mapped)};
    EXPECT_TRUE(says(network_->check(plan_), words));
    EXPECT_TRUE(says(network_->apply(plan_), words));
    EXPECT_TRUE(same(before, snapshot()));
  };
  refused("192.0.2.0/28",
          "192.0.2.0/28 of [[static]] map holds 192.0.2.1, a local address of lan0");
  refused("192.0.2.255/32", "192.0.2.255/32, which is a broadcast address of lan0");
  refused("127.1.0.0/24", "127.1.0.0/24 of [[static]] map holds 127.0.0.0/8, which is local to lo");
  plan_.mapped = {*Prefix4::parse("192.0.2.128/26")};
  ASSERT_TRUE(succeeds(network_->check(plan_)));
  ASSERT_EQ(network_->warnings().size(), 1U);
  EXPECT_TRUE(contains(network_->warnings()[0], "lies in 192.0.2.0/24, the subnet of lan0"));
}

TEST_F(AroundTheInterface, a_prefix_inside_a_ports_subnet_is_worth_a_warning) {
  plan_.prefixes = {prefix("2001:db8:1:0:64::/96")};
  ASSERT_TRUE(succeeds(network_->check(plan_)));
  ASSERT_EQ(network_->warnings().size(), 1U);
  EXPECT_TRUE(contains(network_->warnings()[0], "lies in 2001:db8:1::/64, the subnet of lan0"));
}

TEST_F(AroundTheInterface, the_interfaces_name_stays_while_running) {
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  plan_.interface = "nvi1";
  EXPECT_TRUE(says(network_->apply(plan_), "cannot become nvi1 while running"));
}

TEST_F(AroundTheInterface, somebody_elses_route_and_proxy_entry_stay) {
  output("ip link set nvi0 addrgenmode none up; ip -6 route add 64:ff9b::/96 dev nvi0; "
         "ip neigh add proxy 192.0.2.64 dev lan0");
  const auto before = snapshot();
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  ASSERT_EQ(network_->warnings().size(), 1U);
  EXPECT_TRUE(contains(network_->warnings()[0], "made by somebody else"));
  ASSERT_TRUE(succeeds(network_->remove()));
  EXPECT_EQ(output("ip neigh show proxy"), "192.0.2.64 dev lan0 proxy \n");
  EXPECT_TRUE(contains(output("ip -6 route show dev nvi0"), "64:ff9b::/96"));
}

TEST_F(AroundTheInterface, a_successor_takes_over_and_cleans_up_after_a_crash) {
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  network_.reset(); // without remove()
  tun_.reset();
  // Another instance's entries, which are not the successor's to touch.
  output("ip neigh add proxy 192.0.2.99 dev lan0 protocol 86");

  tun_ = std::make_unique<Result<Tun>>(Tun::open("nvi0", 1));
  ASSERT_TRUE(succeeds(*tun_));
  auto successor = Network::open();
  ASSERT_TRUE(succeeds(successor));
  plan_.pool = {four("192.0.2.65"), four("203.0.113.10")};
  ASSERT_TRUE(succeeds(successor->apply(plan_)));
  const std::string proxies = output("ip neigh show proxy");
  EXPECT_FALSE(contains(proxies, "192.0.2.64")) << proxies;
  EXPECT_TRUE(contains(proxies, "192.0.2.65")) << proxies;
  EXPECT_FALSE(contains(output("ip route"), "192.0.2.64"));
  ASSERT_TRUE(succeeds(successor->remove()));
  EXPECT_EQ(output("ip neigh show proxy"), "192.0.2.99 dev lan0 proxy proto 86 \n");
  EXPECT_EQ(output("ip route show dev nvi0; ip -6 route show dev nvi0 proto 86"), "");
}

TEST_F(AroundTheInterface, refresh_follows_addresses_and_heals) {
  ASSERT_TRUE(succeeds(network_->refresh())) << "nothing to do before apply";
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  const auto applied = snapshot();
  output("ip addr add 203.0.113.1/24 dev lan0");
  ASSERT_TRUE(succeeds(network_->refresh()));
  EXPECT_TRUE(contains(output("ip neigh show proxy"), "203.0.113.10 dev lan0"));
  output("ip addr del 203.0.113.1/24 dev lan0");
  ASSERT_TRUE(succeeds(network_->refresh()));
  EXPECT_TRUE(same(applied, snapshot()));

  output("ip link set nvi0 down"); // takes the routes along
  EXPECT_FALSE(contains(output("ip route"), "nvi0"));
  ASSERT_TRUE(succeeds(network_->refresh()));
  EXPECT_TRUE(same(applied, snapshot()));

  output("ip addr add 203.0.113.10/32 dev lan0");
  EXPECT_TRUE(says(network_->refresh(), "203.0.113.10 is a local address of lan0"));

  output("ip addr flush dev lan0");
  ASSERT_TRUE(succeeds(network_->refresh()));
  EXPECT_EQ(output("ip neigh show proxy"), "");
  EXPECT_EQ(*Sysctl::read("net/ipv4/neigh/lan0/proxy_delay"), "80") << "given back with the last";
}

TEST_F(AroundTheInterface, answers_arp_for_pool_addresses_and_announces_them) {
  const Fd listener = listen_in_peer(ETH_P_ARP);
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  auto netlink = Netlink::open();
  ASSERT_TRUE(succeeds(netlink));
  const Link lan0 = *netlink->link("lan0");
  auto speaks_for = [&](const char *address, uint16_t operation) {
    return [&lan0, wanted = four(address), operation](std::span<const uint8_t> frame) {
      const ether_arp arp = arp_of(frame);
      return arp.ea_hdr.ar_op == htons(operation) &&
             std::memcmp(arp.arp_spa, wanted.bytes.data(), 4) == 0 &&
             std::memcmp(arp.arp_sha, lan0.hardware_address.data(), 6) == 0 &&
             (operation == ARPOP_REPLY || (std::memcmp(arp.arp_tpa, arp.arp_spa, 4) == 0 &&
                                           frame[0] == 0xff && frame[5] == 0xff));
    };
  };
  EXPECT_TRUE(arrives(listener, milliseconds(1000), speaks_for("192.0.2.64", ARPOP_REQUEST)));
  EXPECT_FALSE(arrives(listener, milliseconds(100), speaks_for("203.0.113.10", ARPOP_REQUEST)))
      << "not on this link";

  // A ping makes the peer's kernel ask; nobody answers the ping itself.
  auto ask = [&](const char *address) {
    in_peer([&] { return output(fmt::format("ping -c 1 -W 0.1 {} || true", address)); });
  };
  ask("192.0.2.64");
  EXPECT_TRUE(arrives(listener, milliseconds(500), speaks_for("192.0.2.64", ARPOP_REPLY)));
  ask("192.0.2.65");
  EXPECT_FALSE(arrives(listener, milliseconds(1000), speaks_for("192.0.2.65", ARPOP_REPLY)));
}

TEST_F(AroundTheInterface, translated_packets_pass_strict_reverse_path_filtering) {
  const Fd listener = listen_in_peer(ETH_P_IP);
  write_setting("net/ipv4/conf/all/rp_filter", "1");
  ASSERT_TRUE(succeeds(network_->apply(plan_)));

  // As a translator writes it: virtio_net_hdr, IPv4 from the pool to the peer, some protocol.
  struct {
    std::array<uint8_t, 10> vnet{};
    iphdr ip{};
    std::array<uint8_t, 8> payload{};
  } packet;
  auto send_from = [&](const char *source) {
    packet.ip = {};
    packet.ip.version = 4;
    packet.ip.ihl = 5;
    packet.ip.tot_len = htons(28);
    packet.ip.ttl = 64;
    packet.ip.protocol = 253;
    packet.ip.saddr = four(source).network_order();
    packet.ip.daddr = four("192.0.2.2").network_order();
    uint32_t sum = 0;
    std::array<uint16_t, 10> words;
    std::memcpy(words.data(), &packet.ip, sizeof(packet.ip));
    for (const uint16_t word : words)
      sum += word;
    sum = (sum & 0xffff) + (sum >> 16);
    packet.ip.check = static_cast<uint16_t>(~(sum + (sum >> 16)));
    std::array<uint8_t, 38> bytes{};
    std::memcpy(bytes.data() + 10, &packet.ip, sizeof(packet.ip));
    EXPECT_EQ(::write((*tun_)->queues()[0], bytes.data(), bytes.size()), 38);
  };
  auto from = [](const char *source) {
    return [wanted = four(source)](std::span<const uint8_t> frame) {
      return frame.size() >= 34 && std::memcmp(frame.data() + 26, wanted.bytes.data(), 4) == 0;
    };
  };
  send_from("192.0.2.64");
  EXPECT_TRUE(arrives(listener, milliseconds(1000), from("192.0.2.64")));
  send_from("203.0.113.10");
  EXPECT_TRUE(arrives(listener, milliseconds(1000), from("203.0.113.10")));
  send_from("192.0.2.77"); // the filter is at work: this one's route leads to lan0
  EXPECT_FALSE(arrives(listener, milliseconds(200), from("192.0.2.77")));
}

TEST_F(AroundTheInterface, nothing_comes_out_of_the_interface_unasked) {
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  EXPECT_FALSE(contains(output("ip addr show dev nvi0"), "inet6"));
  pollfd waiting{.fd = (*tun_)->queues()[0], .events = POLLIN, .revents = 0};
  std::string seen;
  const auto end = Clock::now() + milliseconds(2500);
  while (Clock::now() < end && ::poll(&waiting, 1, 500) >= 0) {
    std::array<uint8_t, 2048> packet;
    const ssize_t length = ::read(waiting.fd, packet.data(), packet.size());
    for (ssize_t i = 0; i < length; ++i)
      seen += fmt::format("{:02x}", packet[static_cast<size_t>(i)]);
  }
  EXPECT_EQ(seen, "");
}

TEST_F(AroundTheInterface, connected_prefixes_are_those_of_ports) {
  output("ip addr add fe80::1/64 dev lan0 nodad; ip addr add 2001:db8:2::1/48 dev lan0 nodad; "
         "ip addr add 2001:db8:2:3::1/64 dev lan0 nodad; ip addr add 2001:db8:9::1/64 dev lo; "
         "ip addr add 2001:db8:5::1/64 dev lan0 nodad noprefixroute; "
         "ip addr add 2001:db8:6::1/64 dev lan0 nodad noprefixroute; "
         "ip -6 route add 2001:db8:6::/64 dev lan0; "
         "ip link set nvi0 up; ip addr add 2001:db8:7::1/64 dev nvi0 nodad");
  auto prefixes = network_->connected_prefixes("nvi0");
  ASSERT_TRUE(succeeds(prefixes));
  EXPECT_EQ(*prefixes, (std::vector<Prefix6>{prefix("2001:db8:1::/64"), prefix("2001:db8:2::/48"),
                                             prefix("2001:db8:6::/64")}));
  output("ip link set lan0 down");
  prefixes = network_->connected_prefixes("nvi0");
  ASSERT_TRUE(succeeds(prefixes));
  EXPECT_TRUE(prefixes->empty());
}

TEST_F(AroundTheInterface, losing_a_default_route_from_advertisements_is_worth_a_warning) {
  output("ip -6 route add default via 2001:db8:1::9 dev lan0 proto ra");
  ASSERT_TRUE(succeeds(network_->apply(plan_)));
  ASSERT_EQ(network_->warnings().size(), 1U);
  EXPECT_TRUE(contains(network_->warnings()[0], "set net.ipv6.conf.lan0.accept_ra=2"));
}

} // namespace
} // namespace viaduct::nvi
