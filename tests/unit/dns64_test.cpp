// SPDX-License-Identifier: MIT
//
// DNS64: the text of unbound's configuration, the parser of its answers, and the supervisor with a
// real unbound. Every process of this test has a network namespace of its own with nothing but
// loopback in it, so no question can leave the machine and ports never collide:
//
//     supervisor's unbound (::1, 127.0.0.1 port 5300) --forward--> "upstream" unbound (127.0.0.1
//     port 5301)
//        ^ dig-like questions of the test                             with local-data only
#include "dns64/child.h"
#include "dns64/dns_message.h"
#include "dns64/files.h"
#include "dns64/health_check.h"
#include "dns64/log_lines.h"
#include "dns64/supervisor.h"
#include "dns64/unbound_config.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <net/if.h>
#include <netinet/in.h>
#include <optional>
#include <poll.h>
#include <sched.h>
#include <sstream>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace viaduct;
using namespace viaduct::dns64;
using namespace std::chrono_literals;

namespace {

constexpr uint16_t PORT = 5300;
constexpr uint16_t UPSTREAM_PORT = 5301;
constexpr const char *UNBOUND = "/usr/sbin/unbound";

Prefix6 prefix6(std::string_view text) {
  return *Prefix6::parse(text);
}

Settings settings() {
  Settings settings;
  settings.listen = {"::1"};
  settings.prefix = prefix6("64:ff9b::/96");
  settings.directory = fmt::format("/run/viaduct-test-{}/dns64", getpid());
  settings.port = PORT;
  return settings;
}

// ---- the configuration's text ------------------------------------------------------------------

// The lines of a part of the text that are neither comments nor the same for everybody.
bool has_line(const std::string &text, const std::string &line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(UnboundConfig, WholeTextWithAnUpstream) {
  Settings given;
  given.listen = {"2001:db8:64::1", "192.0.2.1"};
  given.allow = {prefix6("2001:db8:64::/64"), prefix6("2001:db8:65::/64")};
  given.upstream = {"192.0.2.53", "2001:db8::53@5353"};
  given.prefix = prefix6("64:ff9b::/96");
  given.directory = "/run/viaduct/dns64";
  auto text = unbound_config(given);
  ASSERT_TRUE(text) << text.failure().message;
  EXPECT_EQ(*text, R"(# Written by viaductd, which hands unbound the same text through a descriptor;
# changes made here are read by nobody. Change [dns64] in viaduct.toml instead.
server:
  # The process: in the foreground under viaductd, which also drops its privileges.
  directory: "/run/viaduct/dns64"
  do-daemonize: no
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 0
  num-threads: 1
  so-reuseport: no
  # Where it listens, and who may ask.
  port: 53
  interface: 2001:db8:64::1
  interface: 192.0.2.1
  access-control: 0.0.0.0/0 refuse
  access-control: ::/0 refuse
  access-control: 127.0.0.0/8 refuse
  access-control: 127.0.0.1/32 allow
  access-control: ::1/128 allow
  access-control: 2001:db8:64::1/128 allow
  access-control: 192.0.2.1/32 allow
  access-control: 2001:db8:64::/64 allow
  access-control: 2001:db8:65::/64 allow
  # DNS64 (RFC 6147).
  module-config: "dns64 iterator"
  dns64-prefix: 64:ff9b::/96
  dns64-synthall: no
  # AAAA records with IPv4-mapped addresses count as absent (RFC 6147 5.1.4).
  private-address: ::ffff:0:0/96
  # The prefix's reverse names reach dns64 also where unbound has a default zone above.
  local-zone: "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa." transparent
  # How it resolves.
  do-ip4: yes
  do-ip6: yes
  qname-minimisation: no
  # Hardening.
  hide-identity: yes
  hide-version: yes
  harden-glue: yes
  harden-dnssec-stripped: yes
  harden-below-nxdomain: yes
  harden-short-bufsize: yes
  harden-large-queries: yes
  deny-any: yes
  minimal-responses: yes
  unwanted-reply-threshold: 10000000
  edns-buffer-size: 1232
  max-udp-size: 1232
  # Sizes.
  msg-cache-size: 16m
  rrset-cache-size: 32m
  key-cache-size: 4m
  neg-cache-size: 1m
  infra-cache-numhosts: 10000
  so-rcvbuf: 4m
  outgoing-range: 2048
  num-queries-per-thread: 1024
  incoming-num-tcp: 64
  outgoing-num-tcp: 32
remote-control:
  control-enable: no
auth-zone:
  name: "ipv4only.arpa."
  zonefile: "/proc/self/fd/4"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
forward-zone:
  name: "ipv4only.arpa."
forward-zone:
  name: "."
  forward-addr: 192.0.2.53@53
  forward-addr: 2001:db8::53@5353
)");
}

TEST(UnboundConfig, FromTheRootsValidates) {
  auto text = unbound_config(settings());
  ASSERT_TRUE(text);
  EXPECT_TRUE(has_line(*text, "  module-config: \"dns64 validator iterator\""));
  EXPECT_TRUE(has_line(*text, "  trust-anchor-file: \"/usr/share/dns/root.key\""));
  EXPECT_TRUE(has_line(*text, "  root-hints: \"/usr/share/dns/root.hints\""));
  EXPECT_TRUE(has_line(*text, "  domain-insecure: \"ipv4only.arpa.\""));
  EXPECT_EQ(text->find("forward-zone"), std::string::npos);
}

TEST(UnboundConfig, AWildcardRepliesFromTheAddressThatWasAsked) {
  auto given = settings();
  given.listen = {"::"};
  auto text = unbound_config(given);
  ASSERT_TRUE(text);
  EXPECT_TRUE(has_line(*text, "  interface-automatic: yes"));
  EXPECT_EQ(health_address(given), "::1");
  given.listen = {"0.0.0.0"};
  EXPECT_EQ(health_address(given), "127.0.0.1");
  given.listen = {"192.0.2.1", "::"};
  EXPECT_EQ(health_address(given), "192.0.2.1");
}

TEST(UnboundConfig, SynthesizeAlwaysAndAnUpstreamOnLoopback) {
  auto given = settings();
  given.synthesize_always = true;
  given.upstream = {"127.0.0.1@5301"};
  auto text = unbound_config(given);
  ASSERT_TRUE(text);
  EXPECT_TRUE(has_line(*text, "  dns64-synthall: yes"));
  EXPECT_TRUE(has_line(*text, "  do-not-query-localhost: no"));
}

TEST(UnboundConfig, NothingInjectsADirective) {
  const std::string directive = "\n  interface: 0.0.0.0\n";
  for (const auto &bad :
       std::vector<std::string>{"::1" + directive, "\"", "::1 # x", "::1@53", "fe80::1%eth0", "",
                                std::string{"::1\0x", 5}, "ns.example.net", "::1/64"}) {
    auto given = settings();
    given.listen = {bad};
    EXPECT_FALSE(unbound_config(given)) << bad;
  }
  for (const auto &bad : std::vector<std::string>{
           "192.0.2.53" + directive, "192.0.2.53@", "192.0.2.53@0", "192.0.2.53@65536", "@53",
           "::", "192.0.2.53@53 x", "192.0.2.53@5\n3", "192.0.2.53#name", "", "192.0.2.53@+53"}) {
    auto given = settings();
    given.upstream = {bad};
    EXPECT_FALSE(unbound_config(given)) << bad;
  }
  for (const auto &bad : std::vector<std::string>{"/run/x\"\n  chroot: \"/", "run/x", "",
                                                  "/run/x y", "/" + std::string(300, 'a')}) {
    auto given = settings();
    given.directory = bad;
    EXPECT_FALSE(unbound_config(given)) << bad;
    given = settings();
    given.trust_anchor = bad;
    EXPECT_FALSE(unbound_config(given)) << bad;
  }
}

TEST(UnboundConfig, RefusesWhatCannotWork) {
  auto refused = [](auto change) {
    auto given = settings();
    change(given);
    return !unbound_config(given);
  };
  EXPECT_FALSE(refused([](Settings &) {}));
  EXPECT_TRUE(refused([](Settings &s) { s.listen.clear(); }));
  EXPECT_TRUE(refused([](Settings &s) { s.listen.assign(65, "::1"); }));
  EXPECT_TRUE(refused([](Settings &s) { s.upstream.assign(17, "192.0.2.53"); }));
  EXPECT_TRUE(refused([](Settings &s) { s.allow.resize(1025); }));
  EXPECT_TRUE(refused([](Settings &s) { s.port = 0; }));
  EXPECT_TRUE(refused([](Settings &s) { s.prefix.length = 95; }));
  EXPECT_TRUE(refused([](Settings &s) { s.prefix = prefix6("64:ff9b:0:0:100::/96"); }));
  // A resolver that asks itself.
  EXPECT_TRUE(refused([](Settings &s) { s.upstream = {"::1@5300"}; }));
  EXPECT_TRUE(refused([](Settings &s) {
    s.listen = {"::"};
    s.upstream = {"127.0.0.1@5300"};
  }));
  EXPECT_FALSE(refused([](Settings &s) { s.upstream = {"::1@5301"}; }));
}

// ---- the parser of answers ---------------------------------------------------------------------

// An answer as a value; bytes() writes it.
struct Message {
  uint16_t id = 0x1234, flags = 0x8180, questions = 1, answers = 0;
  std::vector<uint8_t> rest;

  Message &name(std::string_view text) {
    auto query = aaaa_query(0, text);
    rest.insert(rest.end(), query.begin() + 12, query.end() - 4);
    return *this;
  }
  Message &raw(std::initializer_list<int> bytes) {
    for (int byte : bytes)
      rest.push_back(static_cast<uint8_t>(byte));
    return *this;
  }
  Message &question() { return name("ipv4only.arpa").raw({0, 28, 0, 1}); }
  Message &ttl_and_data(std::string_view address) {
    raw({0, 0, 14, 16, 0, 16});
    auto bytes = Ipv6::parse(address)->bytes;
    rest.insert(rest.end(), bytes.begin(), bytes.end());
    return *this;
  }
  // A record whose owner is a pointer to the question's name.
  Message &aaaa(std::string_view address) {
    answers++;
    return raw({0xc0, 12, 0, 28, 0, 1}).ttl_and_data(address);
  }
  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> all;
    for (unsigned value : {id, flags, questions, answers, uint16_t{0}, uint16_t{0}}) {
      all.push_back(static_cast<uint8_t>(value >> 8));
      all.push_back(static_cast<uint8_t>(value));
    }
    all.insert(all.end(), rest.begin(), rest.end());
    return all;
  }
  Result<Answer> parse() const { return parse_answer(bytes(), 0x1234, HEALTH_NAME); }
};

TEST(DnsMessage, TheQueryIsByteForByteWhatRfc1035Says) {
  const std::vector<uint8_t> expected = {0x12, 0x34, // id
                                         0x01, 0x00, // recursion desired
                                         0,    1,    0,   0,   0,   0,   0,   0, // one question
                                         8,    'i',  'p', 'v', '4', 'o', 'n', 'l', 'y', // its name
                                         4,    'a',  'r', 'p', 'a', 0,                  //
                                         0,    28,                                      // AAAA
                                         0,    1};                                      // IN
  EXPECT_EQ(aaaa_query(0x1234, HEALTH_NAME), expected);
}

TEST(DnsMessage, ReadsAddressesThroughPointersAndWithoutCase) {
  Message message;
  message.question().aaaa("64:ff9b::c000:aa");
  message.answers++;
  message.name("IPv4Only.ARPA").raw({0, 28, 0, 1}).ttl_and_data("64:ff9b::c000:ab");
  auto answer = message.parse();
  ASSERT_TRUE(answer) << answer.failure().message;
  ASSERT_EQ(answer->addresses.size(), 2U);
  EXPECT_EQ(answer->addresses[0].text(), "64:ff9b::c000:aa");
  EXPECT_EQ(answer->addresses[1].text(), "64:ff9b::c000:ab");
}

TEST(DnsMessage, IgnoresRecordsOfOtherNamesAndTypes) {
  Message message;
  message.question();
  message.answers = 2;
  message.name("example.net").raw({0, 28, 0, 1}).ttl_and_data("64:ff9b::c000:aa");
  message.raw({0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 0, 170});
  auto answer = message.parse();
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->addresses.empty());
}

TEST(DnsMessage, EveryTruncationOfAGoodAnswerIsRefused) {
  Message message;
  message.question().aaaa("64:ff9b::c000:aa").aaaa("64:ff9b::c000:ab");
  auto bytes = message.bytes();
  ASSERT_TRUE(parse_answer(bytes, 0x1234, HEALTH_NAME));
  for (size_t length = 0; length < bytes.size(); length++)
    EXPECT_FALSE(parse_answer(std::span(bytes).first(length), 0x1234, HEALTH_NAME)) << length;
}

TEST(DnsMessage, RefusesMalformedAnswers) {
  auto refused = [](auto change) {
    Message message;
    message.question();
    change(message);
    return !message.parse();
  };
  EXPECT_FALSE(refused([](Message &m) { m.aaaa("64:ff9b::1"); }));
  EXPECT_TRUE(refused([](Message &m) { m.id = 0x1235; }));
  EXPECT_TRUE(refused([](Message &m) { m.flags = 0x0180; })) << "a query, not an answer";
  EXPECT_TRUE(refused([](Message &m) { m.flags = 0x8980; })) << "another opcode";
  EXPECT_TRUE(refused([](Message &m) { m.questions = 0; }));
  EXPECT_TRUE(refused([](Message &m) { m.questions = 2; }));
  EXPECT_TRUE(refused([](Message &m) { m.answers = 65; }));
  EXPECT_TRUE(refused([](Message &m) { m.rest[3] ^= 1; })) << "another name";
  EXPECT_TRUE(refused([](Message &m) { m.rest[m.rest.size() - 3] = 1; })) << "another type";
  EXPECT_TRUE(refused([](Message &m) { m.rest.resize(4096); })) << "longer than allowed";
  // A record with a name that ...
  auto record = [&](std::initializer_list<int> owner) {
    return refused([&](Message &m) {
      m.answers = 1;
      m.raw(owner).raw({0, 28, 0, 1}).ttl_and_data("64:ff9b::c000:aa");
    });
  };
  EXPECT_FALSE(record({0xc0, 12})) << "is right: the helper works";
  EXPECT_TRUE(record({0xc0, 31})) << "points at itself";
  EXPECT_TRUE(record({0xc0, 40})) << "points forward";
  EXPECT_TRUE(record({0xff, 0xff})) << "points out of the message";
  EXPECT_TRUE(record({0x40, 12})) << "has a label type nobody defined";
  EXPECT_TRUE(record({0x80, 12}));
  // A record with data of another length.
  EXPECT_TRUE(refused([](Message &m) {
    m.answers = 1;
    m.raw({0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 0, 170});
  }));
  EXPECT_TRUE(refused([](Message &m) {
    m.answers = 1;
    m.raw({0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 192, 0, 0, 170});
  }));
}

TEST(DnsMessage, AnErrorMayBeAHeaderAlone) {
  Message message;
  message.questions = 0;
  message.flags = 0x8185;
  auto answer = message.parse();
  ASSERT_TRUE(answer) << answer.failure().message;
  EXPECT_EQ(answer->rcode, RCODE_REFUSED);
  EXPECT_TRUE(answer->addresses.empty());
  message.answers = 1;
  EXPECT_FALSE(message.parse());
}

TEST(DnsMessage, ANameLongerThan255BytesIsRefused) {
  Message message;
  message.question();
  message.answers = 1;
  for (int label = 0; label < 5; label++) {
    message.rest.push_back(63);
    message.rest.insert(message.rest.end(), 63, 'a');
  }
  message.raw({0, 0, 28, 0, 1}).ttl_and_data("64:ff9b::c000:aa");
  EXPECT_FALSE(message.parse());
}

TEST(DnsMessage, AChainOfPointersIsBounded) {
  Message message; // each label-less name points to the one before it
  message.question();
  size_t previous = 12;
  for (int i = 0; i < 40; i++) {
    size_t here = 12 + message.rest.size();
    message.answers++;
    message.raw({static_cast<int>(0xc0 | previous >> 8), static_cast<int>(previous & 0xff)});
    message.raw({0, 99, 0, 1, 0, 0, 0, 9, 0, 0});
    previous = here;
  }
  EXPECT_FALSE(message.parse());
}

TEST(HealthCheck, JudgesAnswers) {
  auto judge = [](const Message &message, std::string_view prefix) {
    return judge_answer(message.bytes(), 0x1234, prefix6(prefix));
  };
  Message right;
  right.question().aaaa("64:ff9b::c000:ab");
  EXPECT_TRUE(judge(right, "64:ff9b::/96"));
  EXPECT_FALSE(judge(right, "2001:db8:64::/96")) << "another prefix";
  Message wide;
  wide.question().aaaa("2001:db8:64:c0:0:aa:0:0");
  EXPECT_TRUE(judge(wide, "2001:db8:64::/56")) << "the address around the u octet (RFC 6052 2.2)";
  Message empty;
  empty.question();
  EXPECT_FALSE(judge(empty, "64:ff9b::/96"));
  Message refused = right;
  refused.flags = 0x8185;
  EXPECT_FALSE(judge(refused, "64:ff9b::/96"));
}

TEST(LogLines, AreBoundedPrintableAndWithoutStamp) {
  std::vector<std::string> got;
  LogLines lines([&](Severity severity, const std::string &line) {
    got.push_back(fmt::format("{}|{}", static_cast<int>(severity), line));
  });
  lines.add("[1700000000] unbound[4711:0] error: can't", 1);
  lines.add(" bind\n[17] unbound[1:0] warning: a\x1b[31m\nplain\n\n", 1);
  EXPECT_EQ(got, (std::vector<std::string>{"2|error: can't bind", "1|warning: a?[31m", "0|plain"}));
  got.clear();
  lines.add(std::string(100000, 'x') + "\n", 2);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].size(), LogLines::MAX_LINE + 2);
  got.clear();
  for (int i = 0; i < 1000; i++)
    lines.add("again\n", 3);
  EXPECT_EQ(got.size(), LogLines::MAX_PER_SECOND);
  lines.finish(4);
  EXPECT_EQ(got.back(), "1|980 lines of unbound were left out");
}

// ---- the supervisor, with a real unbound
// ---------------------------------------------------------

// A namespace with only loopback; without the right to one, the host's loopback must do.
class Namespace : public ::testing::Environment {
  void SetUp() override {
    if (unshare(CLONE_NEWNET) < 0)
      return;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    ASSERT_EQ(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    close(fd);
  }
};
const auto *const NAMESPACE = ::testing::AddGlobalTestEnvironment(new Namespace);

// The seconds of production in milliseconds.
Timing quick() {
  Timing timing;
  timing.first_check = 50ms;
  timing.check_starting = 50ms;
  timing.check = 100ms;
  timing.answer = 300ms;
  timing.start_limit = 5000ms;
  timing.backoff_first = 100ms;
  timing.backoff_last = 400ms;
  timing.steady = 60000ms;
  return timing;
}

struct Reply {
  int rcode = -1; // no answer
  std::vector<std::string> addresses;
};

class SupervisorTest : public ::testing::Test {
protected:
  void SetUp() override {
    if (access(UNBOUND, X_OK) < 0)
      GTEST_SKIP() << "\nSKIP: unbound is not installed";
    auto made = EventLoop::make();
    ASSERT_TRUE(made);
    loop_ = std::move(*made);
  }

  void TearDown() override {
    supervisor_.reset();
    auto parent = std::filesystem::path(settings().directory).parent_path();
    EXPECT_FALSE(std::filesystem::exists(settings().directory)) << "stop() leaves no file";
    std::filesystem::remove(parent);
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), upstream_ ? 0 : -1) << "stop() leaves no process";
  }

  void make(const Settings &given, const Timing &timing = quick()) {
    auto log = [this](Severity, const std::string &line) { log_ += line + "\n"; };
    supervisor_.emplace(*loop_, given, log, timing);
  }

  void start(const Settings &given, const Timing &timing = quick()) {
    make(given, timing);
    auto started = supervisor_->start();
    ASSERT_TRUE(started) << started.failure().message;
    EXPECT_EQ(supervisor_->state(), State::starting);
    ASSERT_TRUE(comes_to(State::healthy)) << supervisor_->detail() << "\n" << log_;
  }

  // Runs the loop until the condition holds; false after ten seconds.
  template <typename Condition> bool run_until(Condition condition) {
    bool held = condition();
    auto deadline = std::chrono::steady_clock::now() + 10s;
    auto timer = loop_->timer(5ms, 5ms, [&] {
      held = condition();
      if (held || std::chrono::steady_clock::now() > deadline)
        loop_->stop();
    });
    if (!held && !loop_->run())
      return false;
    loop_->cancel(*timer);
    return held;
  }
  bool comes_to(State state) {
    return run_until([&] { return supervisor_->state() == state; });
  }

  // A second unbound that knows a few names and nobody else.
  void start_upstream() {
    auto text = fmt::format("server:\n  interface: 127.0.0.1\n  port: {}\n  do-daemonize: no\n"
                            "  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n"
                            "  directory: \"/\"\n  module-config: \"iterator\"\n"
                            "  num-threads: 1\n  local-zone: \"example.net.\" static\n"
                            "  local-zone: \"2.0.192.in-addr.arpa.\" static\n"
                            "  local-data: \"four.example.net. A 192.0.2.80\"\n"
                            "  local-data: \"both.example.net. A 192.0.2.81\"\n"
                            "  local-data: \"both.example.net. AAAA 2001:db8::81\"\n"
                            "  local-data: \"mapped.example.net. A 192.0.2.82\"\n"
                            "  local-data: \"mapped.example.net. AAAA ::ffff:192.0.2.82\"\n"
                            "  local-data-ptr: \"192.0.2.80 four.example.net.\"\n"
                            "remote-control:\n  control-enable: no\n",
                            UPSTREAM_PORT);
    auto file = MemoryFile::make("upstream", text);
    ASSERT_TRUE(file);
    ChildPlan plan;
    plan.command = {UNBOUND, "-d", "-c", "/proc/self/fd/3"};
    plan.descriptors = {file->reader()};
    auto child = Child::start(plan);
    ASSERT_TRUE(child) << child.failure().message;
    upstream_.emplace(std::move(*child));
    auto deadline = std::chrono::steady_clock::now() + 5s;
    while (ask("four.example.net", "127.0.0.1", UPSTREAM_PORT).rcode < 0) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the upstream does not answer";
      usleep(10000);
    }
  }

  // Sends a question as a client would and returns what comes back within two seconds.
  static std::vector<uint8_t> exchange(const std::vector<uint8_t> &query, const std::string &server,
                                       uint16_t port, const std::string &source) {
    bool six = server.find(':') != std::string::npos;
    Fd fd(socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!source.empty()) {
      sockaddr_in from{};
      from.sin_family = AF_INET;
      inet_pton(AF_INET, source.c_str(), &from.sin_addr);
      EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr *>(&from), sizeof from), 0);
    }
    sockaddr_in6 to6{};
    to6.sin6_family = AF_INET6;
    to6.sin6_port = htons(port);
    inet_pton(AF_INET6, server.c_str(), &to6.sin6_addr);
    sockaddr_in to4{};
    to4.sin_family = AF_INET;
    to4.sin_port = htons(port);
    inet_pton(AF_INET, server.c_str(), &to4.sin_addr);
    auto *to = six ? reinterpret_cast<sockaddr *>(&to6) : reinterpret_cast<sockaddr *>(&to4);
    // Connected: only a reply from the address that was asked arrives.
    EXPECT_EQ(connect(fd.get(), to, six ? sizeof to6 : sizeof to4), 0);
    std::vector<uint8_t> reply(4096);
    pollfd ready{fd.get(), POLLIN, 0};
    ssize_t length = -1;
    if (send(fd.get(), query.data(), query.size(), 0) > 0 && poll(&ready, 1, 2000) > 0)
      length = recv(fd.get(), reply.data(), reply.size(), 0);
    reply.resize(static_cast<size_t>(std::max<ssize_t>(0, length)));
    return reply;
  }

  // The answer to an AAAA question; the supervisor's loop is not needed for it.
  static Reply ask(const std::string &name, const std::string &server = "::1", uint16_t port = PORT,
                   const std::string &source = "") {
    auto bytes = exchange(aaaa_query(0x4242, name), server, port, source);
    Reply reply;
    if (bytes.empty())
      return reply;
    auto answer = parse_answer(bytes, 0x4242, name);
    EXPECT_TRUE(answer) << answer.failure().message;
    if (!answer)
      return reply;
    reply.rcode = answer->rcode;
    for (const auto &address : answer->addresses)
      reply.addresses.push_back(address.text());
    return reply;
  }

  std::unique_ptr<EventLoop> loop_;
  std::string log_;
  std::optional<Supervisor> supervisor_;
  std::optional<Child> upstream_;
};

using Texts = std::vector<std::string>;

TEST_F(SupervisorTest, IsHealthyWithoutAnyNetworkAndLeavesNothing) {
  start(settings()); // from the roots, which cannot be reached
  auto got = ask("ipv4only.arpa").addresses;
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, (Texts{"64:ff9b::c000:aa", "64:ff9b::c000:ab"}));
  struct stat status {};
  ASSERT_EQ(stat(settings().directory.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0755U);
  ASSERT_EQ(stat((settings().directory + "/unbound.conf").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644U);
  EXPECT_EQ(supervisor_->restarts(), 0U);
  EXPECT_EQ(supervisor_->detail(), "");
  auto pid = supervisor_->pid();
  supervisor_->stop();
  EXPECT_EQ(supervisor_->state(), State::off);
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_FALSE(std::filesystem::exists(settings().directory));
  EXPECT_EQ(log_.find("killed"), std::string::npos) << "SIGTERM is enough: " << log_;
}

TEST_F(SupervisorTest, UnboundHasNoPrivilegesAndNoDescriptorsOfOurs) {
  Fd ours(open("/dev/null", O_RDONLY)); // not even close-on-exec
  start(settings());
  std::ifstream file(fmt::format("/proc/{}/status", supervisor_->pid()));
  std::stringstream text;
  text << file.rdbuf();
  if (geteuid() == 0) {
    EXPECT_EQ(text.str().find("\nUid:\t0"), std::string::npos) << text.str();
    EXPECT_NE(text.str().find("\nCapPrm:\t0000000000000000"), std::string::npos) << text.str();
  }
  EXPECT_NE(text.str().find("\nNoNewPrivs:\t1"), std::string::npos);
  EXPECT_NE(text.str().find("\nSigBlk:\t0000000000000000"), std::string::npos);
  EXPECT_EQ(getpgid(supervisor_->pid()), supervisor_->pid());
  for (const auto &entry :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", supervisor_->pid()))) {
    auto number = std::stoi(entry.path().filename());
    std::error_code code;
    auto target = std::filesystem::read_symlink(entry.path(), code).string();
    EXPECT_TRUE(number < 3 || target != "/dev/null") << number;
  }
}

TEST_F(SupervisorTest, BindsALowPortWithoutBeingRoot) {
  if (geteuid() != 0)
    GTEST_SKIP() << "\nSKIP: needs root";
  auto given = settings();
  given.port = 53;
  start(given);
  std::ifstream file(fmt::format("/proc/{}/status", supervisor_->pid()));
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str().find("\nUid:\t0"), std::string::npos);
  EXPECT_NE(text.str().find("\nCapPrm:\t0000000000000400"), std::string::npos)
      << "CAP_NET_BIND_SERVICE and nothing else: " << text.str();
  EXPECT_FALSE(ask("ipv4only.arpa", "::1", 53).addresses.empty());
}

TEST_F(SupervisorTest, EveryPrefixLengthIsHealthy) {
  for (const char *prefix : {"2001:db8::/32", "2001:db8::/40", "2001:db8:64::/48",
                             "2001:db8:64::/56", "2001:db8:64::/64", "fd00:64::/96"}) {
    auto given = settings();
    given.prefix = prefix6(prefix);
    start(given);
    EXPECT_EQ(supervisor_->state(), State::healthy) << prefix;
    supervisor_.reset();
  }
}

TEST_F(SupervisorTest, AKilledUnboundComesBack) {
  start(settings());
  auto first = supervisor_->pid();
  kill(first, SIGKILL);
  ASSERT_TRUE(comes_to(State::failing));
  EXPECT_EQ(supervisor_->detail(), "unbound was ended by signal 9");
  ASSERT_TRUE(comes_to(State::healthy)) << supervisor_->detail();
  EXPECT_NE(supervisor_->pid(), first);
  EXPECT_EQ(supervisor_->restarts(), 1U);
  EXPECT_FALSE(ask("ipv4only.arpa").addresses.empty());
}

TEST_F(SupervisorTest, BackOffDoublesUpToItsLimit) {
  start(settings());
  for (int i = 0; i < 5; i++) {
    kill(supervisor_->pid(), SIGKILL);
    ASSERT_TRUE(comes_to(State::failing));
    ASSERT_TRUE(comes_to(State::healthy));
  }
  for (const char *words : {"next start in 100 ms", "next start in 200 ms", "next start in 400 ms"})
    EXPECT_NE(log_.find(words), std::string::npos) << words;
  EXPECT_EQ(log_.find("next start in 800 ms"), std::string::npos);
  EXPECT_EQ(supervisor_->restarts(), 5U);
}

TEST_F(SupervisorTest, BackOffStartsAnewAfterSteadyHealth) {
  auto timing = quick();
  timing.steady = 250ms;
  start(settings(), timing);
  for (int i = 0; i < 2; i++) {
    kill(supervisor_->pid(), SIGKILL);
    ASSERT_TRUE(comes_to(State::failing));
    ASSERT_TRUE(comes_to(State::healthy));
    auto from = std::chrono::steady_clock::now();
    run_until([&] { return std::chrono::steady_clock::now() - from > 600ms; });
  }
  EXPECT_EQ(log_.find("next start in 200 ms"), std::string::npos) << log_;
}

TEST_F(SupervisorTest, AnUnboundThatHangsIsKilledAfterThreeChecks) {
  start(settings());
  auto first = supervisor_->pid();
  kill(first, SIGSTOP);
  ASSERT_TRUE(comes_to(State::failing));
  EXPECT_NE(supervisor_->detail().find("no answer from ::1 port 5300"), std::string::npos)
      << supervisor_->detail();
  ASSERT_TRUE(comes_to(State::healthy));
  EXPECT_NE(supervisor_->pid(), first);
}

TEST_F(SupervisorTest, AStoppedUnboundCanStillBeEnded) {
  start(settings());
  kill(supervisor_->pid(), SIGSTOP);
  auto from = std::chrono::steady_clock::now();
  supervisor_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - from, 4s);
}

TEST_F(SupervisorTest, UnboundDiesWithAKilledParent) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  prctl(PR_SET_CHILD_SUBREAPER, 1); // so that we can see the orphan end
  pid_t daemon = fork();
  if (daemon == 0) {
    auto loop = EventLoop::make();
    Supervisor supervisor(
        **loop, settings(), [](Severity, const std::string &) {}, quick());
    pid_t pid = supervisor.start() ? supervisor.pid() : -1;
    if (write(ends[1], &pid, sizeof pid) < 0)
      _exit(1);
    pause();
    _exit(0);
  }
  pid_t unbound = -1;
  ASSERT_EQ(read(ends[0], &unbound, sizeof unbound), static_cast<ssize_t>(sizeof unbound));
  ASSERT_GT(unbound, 0);
  kill(daemon, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(daemon, nullptr, 0), daemon);
  EXPECT_EQ(waitpid(unbound, &status, 0), unbound);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  close(ends[0]);
  close(ends[1]);
  // Another process wrote them: getpid() was its own there, so the path is the daemon's.
  auto left = fmt::format("/run/viaduct-test-{}", daemon);
  EXPECT_TRUE(std::filesystem::exists(left))
      << "kill -9 leaves files; the next start replaces them";
  std::filesystem::remove_all(left);
}

TEST_F(SupervisorTest, AMissingProgramIsSaid) {
  auto given = settings();
  given.program = "/nowhere/unbound";
  make(given);
  auto started = supervisor_->start();
  ASSERT_FALSE(started);
  EXPECT_TRUE(
      started.failure().message.starts_with("unbound is not installed: apt install unbound"))
      << started.failure().message;
  EXPECT_EQ(supervisor_->state(), State::off);
}

TEST_F(SupervisorTest, AMissingTrustAnchorIsSaid) {
  auto given = settings();
  given.trust_anchor = "/nowhere/root.key";
  make(given);
  auto started = supervisor_->start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.failure().message.find("apt install dns-root-data"), std::string::npos);
  supervisor_.reset();
  given.upstream = {"192.0.2.53"}; // then it is not needed
  start(given);
}

TEST_F(SupervisorTest, ATakenPortIsSaidAndWaitedFor) {
  Fd other(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(PORT);
  address.sin6_addr = in6addr_loopback;
  ASSERT_EQ(bind(other.get(), reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
  ASSERT_EQ(listen(other.get(), 1), 0);
  make(settings());
  ASSERT_TRUE(supervisor_->start());
  ASSERT_TRUE(comes_to(State::failing));
  EXPECT_TRUE(supervisor_->detail().starts_with("::1 port 5300 is in use by another program"))
      << supervisor_->detail();
  other.reset();
  EXPECT_TRUE(comes_to(State::healthy)) << supervisor_->detail();
}

TEST_F(SupervisorTest, AnAddressThatIsNotHereIsSaid) {
  auto given = settings();
  given.listen = {"2001:db8::1"};
  make(given);
  ASSERT_TRUE(supervisor_->start());
  ASSERT_TRUE(comes_to(State::failing));
  EXPECT_TRUE(
      supervisor_->detail().starts_with("2001:db8::1 port 5300 is no address of this machine"))
      << supervisor_->detail();
}

TEST_F(SupervisorTest, SynthesizesOnlyWhatIsMissing) {
  start_upstream();
  auto given = settings();
  given.upstream = {"127.0.0.1@5301"};
  start(given);
  EXPECT_EQ(ask("four.example.net").addresses, Texts{"64:ff9b::c000:250"});
  EXPECT_EQ(ask("both.example.net").addresses, Texts{"2001:db8::81"});
  EXPECT_EQ(ask("mapped.example.net").addresses, Texts{"64:ff9b::c000:252"}) << "RFC 6147 5.1.4";
  EXPECT_EQ(ask("absent.example.net").rcode, 3) << "NXDOMAIN stays";
}

// Under the well-known prefix, and under one for whose reverse names unbound has a default zone.
TEST_F(SupervisorTest, TheReverseNameOfASynthesizedAddressIsThatOfTheIpv4Address) {
  start_upstream();
  for (const auto &[prefix, reverse] :
       {std::pair("64:ff9b::/96", "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0"),
        std::pair("fd00:64::/96", "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.6.0.0.0.0.d.f")}) {
    auto given = settings();
    given.upstream = {"127.0.0.1@5301"};
    given.prefix = prefix6(prefix);
    start(given);
    auto query = aaaa_query(0x4242, fmt::format("0.5.2.0.0.0.0.c.{}.ip6.arpa", reverse));
    query[query.size() - 3] = 12; // PTR
    auto reply = exchange(query, "::1", PORT, "");
    std::string text(reply.begin(), reply.end());
    EXPECT_NE(text.find("\4four\7example\3net"), std::string::npos) << prefix;
    supervisor_.reset();
  }
}

TEST_F(SupervisorTest, SynthesizesAlways) {
  start_upstream();
  auto given = settings();
  given.upstream = {"127.0.0.1@5301"};
  given.synthesize_always = true;
  start(given);
  EXPECT_EQ(ask("four.example.net").addresses, Texts{"64:ff9b::c000:250"});
  EXPECT_EQ(ask("both.example.net").addresses, Texts{"64:ff9b::c000:251"});
  EXPECT_EQ(ask("absent.example.net").rcode, 3);
}

TEST_F(SupervisorTest, RefusesWhoIsNotAllowed) {
  start_upstream();
  auto given = settings();
  given.listen = {"127.0.0.1"};
  given.upstream = {"127.0.0.1@5301"};
  start(given);
  EXPECT_EQ(ask("four.example.net", "127.0.0.1", PORT, "127.0.0.1").rcode, 0);
  EXPECT_EQ(ask("four.example.net", "127.0.0.1", PORT, "127.0.0.2").rcode, 5);
}

TEST_F(SupervisorTest, AWildcardAnswersFromEveryAddress) {
  auto given = settings();
  given.listen = {"::"};
  start(given);
  EXPECT_EQ(ask("ipv4only.arpa", "::1").rcode, 0);
  // A connected socket: the reply must come from 127.0.0.3, not from the address routing prefers.
  EXPECT_EQ(ask("ipv4only.arpa", "127.0.0.3", PORT, "127.0.0.1").rcode, 0);
}

TEST_F(SupervisorTest, ReloadKeepsTheProcessWhereItListensUnchanged) {
  start_upstream();
  auto given = settings();
  given.upstream = {"127.0.0.1@5301"};
  start(given);
  auto pid = supervisor_->pid();
  ASSERT_TRUE(supervisor_->reload(given));
  EXPECT_EQ(supervisor_->state(), State::healthy) << "the same settings change nothing";
  given.prefix = prefix6("2001:db8:64::/96");
  ASSERT_TRUE(supervisor_->reload(given));
  EXPECT_EQ(supervisor_->state(), State::starting);
  ASSERT_TRUE(comes_to(State::healthy)) << supervisor_->detail() << log_;
  EXPECT_EQ(supervisor_->pid(), pid);
  EXPECT_EQ(ask("four.example.net").addresses, Texts{"2001:db8:64::c000:250"});
  EXPECT_EQ(supervisor_->restarts(), 0U);
}

TEST_F(SupervisorTest, ReloadStartsAnewWhereItListensChanged) {
  start(settings());
  auto pid = supervisor_->pid();
  auto given = settings();
  given.listen = {"127.0.0.1"};
  ASSERT_TRUE(supervisor_->reload(given));
  ASSERT_TRUE(comes_to(State::healthy)) << supervisor_->detail();
  EXPECT_NE(supervisor_->pid(), pid);
  EXPECT_EQ(ask("ipv4only.arpa", "127.0.0.1").rcode, 0);
  EXPECT_EQ(ask("ipv4only.arpa", "::1").rcode, -1);
}

TEST_F(SupervisorTest, ReloadOfBadSettingsChangesNothing) {
  start(settings());
  auto pid = supervisor_->pid();
  auto bad = settings();
  bad.upstream = {"nobody"};
  EXPECT_FALSE(supervisor_->reload(bad));
  bad = settings();
  bad.trust_anchor = "/etc/hostname"; // readable, and no trust anchor: unbound itself refuses it
  auto refused = supervisor_->reload(bad);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.failure().message.starts_with("unbound refuses the configuration"))
      << refused.failure().message;
  EXPECT_EQ(supervisor_->state(), State::healthy);
  EXPECT_EQ(supervisor_->pid(), pid);
  EXPECT_FALSE(ask("ipv4only.arpa").addresses.empty());
}

TEST_F(SupervisorTest, ReloadWhileItWaitsStartsAtOnce) {
  auto timing = quick();
  timing.backoff_first = 60000ms;
  auto given = settings();
  given.listen = {"2001:db8::1"};
  make(given, timing);
  ASSERT_TRUE(supervisor_->start());
  ASSERT_TRUE(comes_to(State::failing));
  ASSERT_TRUE(supervisor_->reload(settings()));
  EXPECT_TRUE(comes_to(State::healthy)) << supervisor_->detail();
}

TEST_F(SupervisorTest, ADirectoryOthersCanWriteIsRefused) {
  auto given = settings();
  std::filesystem::create_directories(given.directory);
  chmod(given.directory.c_str(), 0777);
  make(given);
  auto started = supervisor_->start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.failure().message.find("only this user can write"), std::string::npos);
  std::filesystem::remove(given.directory);
}

} // namespace
