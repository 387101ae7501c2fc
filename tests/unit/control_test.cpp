// SPDX-License-Identifier: MIT
//
// The control socket: the real server on a real socket with made-up tables, against clients that
// are good, slow, greedy and hostile.
#include "control/client.h"
#include "control/conversation.h"
#include "control/server.h"
#include "tests/cli/fake_daemon.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <poll.h>
#include <set>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>

namespace viaduct::control {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

// A directory of its own, removed with what is in it.
class TemporaryDirectory {
public:
  TemporaryDirectory() {
    std::string name = "/tmp/viaduct-control-XXXXXX";
    path_ = mkdtemp(name.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory &) = delete;
  TemporaryDirectory &operator=(const TemporaryDirectory &) = delete;
  std::string file(const std::string &name) const { return path_ + "/" + name; }

private:
  std::string path_;
};

// The server on its own thread; everything of it is made and destroyed while the loop rests.
class RunningServer {
public:
  explicit RunningServer(const std::string &path, uint64_t sessions = 3, const Limits &limits = {},
                         const std::string &reload_error = {})
      : tables(sessions), loop_(std::move(*EventLoop::make())) {
    auto server = Server::start(*loop_, path, test::fake_handler(tables, reload_error), limits);
    if (!server) {
      ADD_FAILURE() << server.failure().message;
      return;
    }
    server_ = std::move(*server);
    thread_ = std::thread([this] { EXPECT_TRUE(loop_->run()); });
  }
  ~RunningServer() { stop(); }
  RunningServer(const RunningServer &) = delete;
  RunningServer &operator=(const RunningServer &) = delete;

  void stop() {
    loop_->stop();
    if (thread_.joinable())
      thread_.join();
    server_.reset();
  }

  test::FakeTables tables;

private:
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

// A client that may say anything.
class RawClient {
public:
  explicit RawClient(const std::string &path) : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr *>(&address), sizeof address), 0)
        << strerror(errno);
  }
  void say(std::string_view text) const {
    (void)send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }
  void end() const { shutdown(fd_.get(), SHUT_WR); }
  // All until the server closes; "TIMEOUT" at the end if it does not within five seconds.
  std::string rest() const {
    std::string all;
    for (;;) {
      pollfd watched{fd_.get(), POLLIN, 0};
      if (poll(&watched, 1, 5000) <= 0)
        return all + "TIMEOUT";
      char buffer[4096];
      ssize_t length = recv(fd_.get(), buffer, sizeof buffer, 0);
      if (length <= 0)
        return all;
      all.append(buffer, static_cast<size_t>(length));
    }
  }
  std::string line() const {
    std::string text;
    pollfd watched{fd_.get(), POLLIN, 0};
    char c = 0;
    while (poll(&watched, 1, 5000) > 0 && recv(fd_.get(), &c, 1, 0) == 1 && c != '\n')
      text += c;
    return text;
  }
  int get() const { return fd_.get(); }

private:
  Fd fd_;
};

// All items of an answer.
std::vector<json> ask(const std::string &path, const std::string &command) {
  std::vector<json> items;
  auto client = Client::connect(path, 5s);
  if (!client) {
    ADD_FAILURE() << client.failure().message;
    return items;
  }
  EXPECT_TRUE(client->ask(command));
  for (;;) {
    auto item = client->next();
    if (!item) {
      ADD_FAILURE() << item.failure().message;
      return items;
    }
    if (!*item)
      return items;
    items.push_back(**item);
  }
}

class Control : public testing::Test {
protected:
  TemporaryDirectory directory_;
  std::string path_ = directory_.file("control.sock");
};

// --- items ---------------------------------------------------------------------------------------

TEST_F(Control, sessions_are_as_the_protocol_says) {
  RunningServer server(path_);
  auto items = ask(path_, "sessions");
  ASSERT_EQ(items.size(), 3U);
  EXPECT_EQ(items[0], json::parse(R"({
    "protocol": "tcp",
    "inside": {"source": "[2001:db8:1::64]:1024", "destination": "[64:ff9b::c000:250]:443"},
    "outside": {"source": "203.0.113.10:1024", "destination": "192.0.2.80:443"},
    "state": "established", "expires_seconds": 252, "packets": 7, "bytes": 1536})"));
  EXPECT_EQ(items[1]["protocol"], "udp");
  EXPECT_EQ(items[1]["state"], "open");
  // ICMP: the identifier is the sources' port, the destinations have none.
  EXPECT_EQ(items[2], json::parse(R"({
    "protocol": "icmp",
    "inside": {"source": "[2001:db8:1::64]:1026", "destination": "64:ff9b::c000:250"},
    "outside": {"source": "203.0.113.10:1026", "destination": "192.0.2.80"},
    "state": "open", "expires_seconds": 252, "packets": 7, "bytes": 1536})"));
}

TEST(ControlViews, an_expired_session_has_zero_seconds_left) {
  auto row = test::FakeTables::session_row(0);
  EXPECT_EQ(session_item(row, row.value.expires)["expires_seconds"], 0);
  EXPECT_EQ(session_item(row, row.value.expires + 5)["expires_seconds"], 0);
}

TEST(ControlViews, the_destination_lies_in_the_prefix_the_host_used) {
  auto row = test::FakeTables::session_row(0);
  row.value.prefix = test::dp_address("2001:db8:122::");
  row.value.prefix_length = 48;
  row.key.remote_address = test::ipv4("192.0.2.33"); // RFC 6052 2.4's example
  EXPECT_EQ(session_item(row, 0)["inside"]["destination"], "[2001:db8:122:c000:2:2100::]:443");
}

TEST(ControlViews, states_have_their_words) {
  auto row = test::FakeTables::session_row(0);
  const char *words[] = {"open",       "v4_init",    "v6_init",           "established",
                         "v4_fin_rcv", "v6_fin_rcv", "v4_fin_v6_fin_rcv", "trans"};
  for (uint8_t state = 0; state < dp::STATE_COUNT; state++) {
    row.value.state = state;
    EXPECT_EQ(session_item(row, 0)["state"], words[state]);
  }
}

TEST_F(Control, bindings_are_as_the_protocol_says) {
  RunningServer server(path_);
  auto items = ask(path_, "bindings");
  ASSERT_EQ(items.size(), 3U);
  EXPECT_EQ(items[0], json::parse(R"({"protocol": "tcp", "inside": "[2001:db8:1::64]:1024",
                                      "outside": "203.0.113.10:1024", "sessions": 2})"));
}

TEST(ControlViews, a_binding_that_the_sweep_has_taken_is_not_shown_or_counted) {
  test::FakeTables tables(3);
  tables.second_is_dead = true;
  json item;
  int shown = 0;
  auto bindings = bindings_answer(tables);
  for (Answer::Step step; (step = bindings->next(item)) != Answer::Step::end;)
    shown += step == Answer::Step::item ? 1 : 0;
  EXPECT_EQ(shown, 2);
  auto pools = pools_answer(tables, test::fake_pool());
  while (pools->next(item) == Answer::Step::again)
    ;
  EXPECT_EQ(item["udp"], 0);
  EXPECT_EQ(item["tcp"], 1);
}

TEST_F(Control, pools_count_what_is_in_use) {
  RunningServer server(path_, 8); // 3 tcp, 3 udp, 2 icmp, all on the first address
  auto items = ask(path_, "pools");
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[0], json::parse(R"({"address": "203.0.113.10", "ports": "1024-65535",
                                      "tcp": 3, "udp": 3, "icmp": 2,
                                      "most": {"tcp": 11, "udp": 12, "icmp": 13}})"));
  EXPECT_EQ(items[1], json::parse(R"({"address": "203.0.113.11", "ports": "2000-2999",
                                      "tcp": 0, "udp": 0, "icmp": 0,
                                      "most": {"tcp": 0, "udp": 0, "icmp": 0}})"));
}

TEST_F(Control, maps_are_pairs_of_prefixes) {
  RunningServer server(path_);
  auto items = ask(path_, "maps");
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[0], json::parse(R"({"inside": "2001:db8:a::7/128", "outside": "192.0.2.7/32"})"));
  EXPECT_EQ(items[1],
            json::parse(R"({"inside": "2001:db8:a::/64", "outside": "198.51.100.0/24"})"));
}

TEST_F(Control, counters_are_the_list_of_reasons) {
  RunningServer server(path_);
  auto items = ask(path_, "counters");
  ASSERT_EQ(items.size(), size_t{dp::REASON_COUNT} - 1);
  EXPECT_EQ(items[0], json::parse(R"({"name": "translated_6to4", "value": 123456, "kind": "done",
                                      "help": "IPv6 packets sent on as IPv4"})"));
  std::set<std::string> kinds;
  for (const auto &item : items) {
    kinds.insert(item["kind"]);
    EXPECT_EQ(item["value"] == 3, item["name"] == "no_port") << item;
    EXPECT_FALSE(item["help"].get<std::string>().empty()) << item;
  }
  EXPECT_EQ(kinds, (std::set<std::string>{"event", "done", "held", "pass", "drop", "punt"}));
}

TEST_F(Control, status_version_and_reload) {
  RunningServer server(path_);
  auto items = ask(path_, "status");
  ASSERT_EQ(items.size(), 1U);
  std::set<std::string> names;
  for (const auto &[name, value] : items[0].items())
    names.insert(name);
  EXPECT_EQ(names, (std::set<std::string>{
                       "version",          "engine",           "interface",    "pid",
                       "uptime_seconds",   "configuration",    "workers",      "offloads",
                       "offloads_refused", "offloads_missing", "prefixes",     "sessions",
                       "sessions_limit",   "bindings",         "entries_lost", "dns64",
                       "handed_up",        "why_not_bpf",      "why_mortal",   "direct"}));
  EXPECT_EQ(items[0]["engine"], "tun");
  EXPECT_EQ(items[0]["prefixes"], json::parse(R"(["64:ff9b::/96"])"));
  EXPECT_EQ(items[0]["sessions_limit"], 1000000);
  EXPECT_EQ(items[0]["entries_lost"], 2);
  EXPECT_EQ(items[0]["dns64"],
            json::parse(R"({"state": "healthy", "restarts": 1, "detail": "unbound answers"})"));
  items = ask(path_, "version");
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].size(), 1U);
  EXPECT_EQ(items[0]["version"], status_item({})["version"]);
  EXPECT_TRUE(ask(path_, "reload").empty());
}

TEST(HandedUp, is_a_share_of_what_has_been_counted_since) {
  tables::Counters before{}, now{};
  EXPECT_EQ(handed_up_share(now, before), 0.0);
  now[dp::REASON_translated_6to4] = 90;
  now[dp::REASON_no_port] = 10;
  now[dp::REASON_punt_fragment] = 25;
  now[dp::REASON_session_made] = 1000; // no packet's end
  EXPECT_EQ(handed_up_share(now, before), 0.25);
  before = now;
  EXPECT_EQ(handed_up_share(now, before), 0.0);
  now[dp::REASON_translated_6to4] += 10;
  now[dp::REASON_punt_icmp_error] += 1;
  EXPECT_EQ(handed_up_share(now, before), 0.1);
}

TEST_F(Control, a_failed_command_says_its_sentence) {
  RunningServer server(path_, 0, {}, "viaduct.toml:3:1: found \"prefx\"");
  auto client = Client::connect(path_, 5s);
  ASSERT_TRUE(client);
  ASSERT_TRUE(client->ask("reload"));
  auto item = client->next();
  ASSERT_FALSE(item);
  EXPECT_EQ(item.failure().message, "viaduct.toml:3:1: found \"prefx\"");
}

TEST_F(Control, text_that_is_not_utf8_goes_out_as_json) {
  json item = {{"detail", "bad \xff\xfe byte"}};
  Handler handler = [&](const std::string &, const json &) -> Result<std::unique_ptr<Answer>> {
    return one_item(item);
  };
  Conversation talk(handler, 4096);
  talk.receive("{\"command\":\"x\"}\n");
  talk.advance(10);
  auto line = talk.output().substr(0, talk.output().find('\n'));
  EXPECT_TRUE(json::parse(line, nullptr, false).is_object()) << line;
}

// --- requests ------------------------------------------------------------------------------------

TEST_F(Control, one_connection_asks_one_thing_after_another) {
  RunningServer server(path_);
  auto client = Client::connect(path_, 5s);
  ASSERT_TRUE(client);
  for (int i = 0; i < 3; i++) {
    ASSERT_TRUE(client->ask("version"));
    ASSERT_TRUE(*client->next());
    auto end = client->next();
    ASSERT_TRUE(end);
    EXPECT_FALSE(*end);
  }
}

TEST_F(Control, requests_sent_ahead_are_answered_in_order) {
  RunningServer server(path_, 1000);
  RawClient client(path_);
  client.say("{\"command\":\"sessions\"}\n{\"command\":\"version\"}\r\n{\"command\":\"reload\"}\n");
  client.end();
  std::string all = client.rest();
  size_t lines = static_cast<size_t>(std::count(all.begin(), all.end(), '\n'));
  EXPECT_EQ(lines, 1000U + 1 + 1 + 1 + 1) << all.substr(0, 200);
  EXPECT_TRUE(all.ends_with("{\"end\":true}\n{\"end\":true}\n")) << all.substr(all.size() - 100);
}

TEST_F(Control, a_request_may_come_in_pieces) {
  RunningServer server(path_);
  RawClient client(path_);
  for (char c : std::string("{\"command\":\"reload\"}\n")) {
    client.say({&c, 1});
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(client.line(), "{\"end\":true}");
}

struct Garbage {
  const char *name;
  std::string bytes;
  const char *says;
};

std::vector<Garbage> garbage() {
  using namespace std::string_literals;
  return {
      {"an empty line", "\n", "not JSON"},
      {"no JSON", "status\n", "not JSON"},
      {"half JSON", "{\"command\":\"status\"\n", "not JSON"},
      {"two objects", "{\"command\":\"status\"}{}\n", "not JSON"},
      {"an array", "[\"status\"]\n", "not a JSON object"},
      {"a string", "\"status\"\n", "not a JSON object"},
      {"null", "null\n", "not a JSON object"},
      {"no command", "{}\n", "has no \\\"command\\\""},
      {"a number as command", "{\"command\":7}\n", "is not a string"},
      {"an object as command", "{\"command\":{\"command\":\"status\"}}\n", "is not a string"},
      {"an unknown command", "{\"command\":\"halt\"}\n", "unknown command \\\"halt\\\""},
      {"an empty command", "{\"command\":\"\"}\n", "unknown command"},
      {"a command with an escaped NUL", "{\"command\":\"status\\u0000\"}\n", "unknown command"},
      {"a NUL behind the request", "{\"command\":\"status\"}\0\n"s, "NUL"},
      {"a NUL before the request", "\0{\"command\":\"status\"}\n"s, "NUL"},
      {"bytes that are not UTF-8", "{\"command\":\"\xff\xfe\"}\n", "not JSON"},
      {"an overlong UTF-8 form", "{\"command\":\"\xc0\xaf\"}\n", "not JSON"},
      {"a huge number", "{\"command\":\"status\",\"x\":1e999}\n", "not JSON"},
      {"deep arrays", "{\"x\":" + std::string(2000, '[') + std::string(2000, ']') + "}\n",
       "nested deeper"},
      {"deep arrays without end", std::string(4000, '[') + "\n", "nested deeper"},
      {"deep objects", "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}},\"command\":\"status\"}\n",
       "nested deeper"},
      {"one byte too many", std::string(4097, ' ') + "\n", "longer than 4096 bytes"},
      {"a line without end", std::string(100000, 'x'), "longer than 4096 bytes"},
      {"a long unknown command", "{\"command\":\"" + std::string(4000, 'y') + "\"}\n",
       "unknown command"},
      {"binary", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\n"s, "NUL"},
      {"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not JSON"},
  };
}

TEST_F(Control, garbage_is_refused_and_closed_and_disturbs_nobody) {
  RunningServer server(path_);
  auto bystander = Client::connect(path_, 5s);
  ASSERT_TRUE(bystander);
  for (const auto &bad : garbage()) {
    SCOPED_TRACE(bad.name);
    RawClient client(path_);
    client.say(bad.bytes);
    std::string answer = client.rest();
    EXPECT_TRUE(answer.ends_with("\n")) << answer;
    EXPECT_EQ(std::count(answer.begin(), answer.end(), '\n'), 1) << answer;
    auto reply = json::parse(answer, nullptr, false);
    ASSERT_TRUE(reply.is_object()) << answer;
    EXPECT_TRUE(reply.contains("error")) << answer;
    EXPECT_NE(answer.find(bad.says), std::string::npos) << answer;
    EXPECT_LT(answer.size(), 300U) << answer;
    ASSERT_TRUE(bystander->ask("version"));
    auto item = bystander->next();
    EXPECT_TRUE(item && *item);
    EXPECT_TRUE(bystander->next());
  }
}

TEST_F(Control, the_longest_request_is_taken) {
  RunningServer server(path_);
  RawClient client(path_);
  std::string request = "{\"command\":\"reload\"}";
  client.say(request + std::string(4096 - request.size(), ' ') + "\n");
  EXPECT_EQ(client.line(), "{\"end\":true}");
}

TEST_F(Control, a_request_that_ends_without_newline_is_refused) {
  RunningServer server(path_);
  RawClient client(path_);
  client.say("{\"command\":\"status\"}");
  client.end();
  EXPECT_EQ(client.rest(), "{\"error\":\"the request does not end with a newline\"}\n");
}

// --- limits --------------------------------------------------------------------------------------

TEST_F(Control, the_thirty_third_connection_is_refused) {
  RunningServer server(path_);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 32; i++) {
    clients.push_back(std::make_unique<RawClient>(path_));
    clients.back()->say("{\"command\":\"reload\"}\n");
    ASSERT_EQ(clients.back()->line(), "{\"end\":true}") << i;
  }
  auto refused = Client::connect(path_, 5s);
  ASSERT_TRUE(refused);
  ASSERT_TRUE(refused->ask("status"));
  auto item = refused->next();
  ASSERT_FALSE(item);
  EXPECT_EQ(item.failure().message, "viaductd has 32 control connections already: try again");
  clients[7]->say("{\"command\":\"reload\"}\n");
  EXPECT_EQ(clients[7]->line(), "{\"end\":true}");
  clients.pop_back(); // and now there is room again
  for (int tries = 0;; tries++) {
    ASSERT_LT(tries, 500) << "the place of a closed connection is not given away";
    RawClient next(path_);
    next.say("{\"command\":\"reload\"}\n");
    if (next.line() == "{\"end\":true}")
      break;
    std::this_thread::sleep_for(10ms);
  }
}

TEST_F(Control, silent_and_slow_clients_are_dropped) {
  Limits limits;
  limits.patience = 300ms;
  RunningServer server(path_, 1'000'000, limits);
  RawClient silent(path_);
  RawClient dribbling(path_); // half requests give no more time
  RawClient deaf(path_);
  deaf.say("{\"command\":\"sessions\"}\n");
  auto begin = std::chrono::steady_clock::now();
  pollfd closed{dribbling.get(), POLLIN, 0};
  while (poll(&closed, 1, 50) == 0 && std::chrono::steady_clock::now() - begin < 5s)
    dribbling.say(" ");
  EXPECT_EQ(dribbling.rest(), "");
  EXPECT_EQ(silent.rest(), "");
  std::this_thread::sleep_for(limits.patience);
  auto answer = deaf.rest(); // what was in the kernel's buffer, not the whole
  EXPECT_FALSE(answer.ends_with("TIMEOUT"));
  EXPECT_EQ(answer.find("\"end\""), std::string::npos);
  EXPECT_EQ(ask(path_, "version").size(), 1U);
}

TEST_F(Control, a_client_that_does_not_read_delays_nobody) {
  RunningServer server(path_, 1'000'000);
  std::vector<std::unique_ptr<RawClient>> deaf;
  for (int i = 0; i < 20; i++) {
    deaf.push_back(std::make_unique<RawClient>(path_));
    deaf.back()->say("{\"command\":\"sessions\"}\n");
  }
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; i++)
    EXPECT_EQ(ask(path_, "status").size(), 1U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

// The sanitizers keep freed memory for a while, and are slow.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

size_t resident_kib() {
  std::ifstream status("/proc/self/statm");
  size_t total = 0;
  size_t resident = 0;
  status >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE)) / 1024;
}

TEST_F(Control, a_long_dump_streams_in_bounded_memory) {
  constexpr uint64_t rows = sanitized ? 20'000 : 200'000;
  RunningServer server(path_, rows);
  ASSERT_EQ(ask(path_, "version").size(), 1U); // what is allocated once is there
  size_t before = resident_kib();
  auto client = Client::connect(path_, 5s);
  ASSERT_TRUE(client && client->ask("sessions"));
  uint64_t count = 0;
  size_t most = before;
  for (;; count++) {
    auto item = client->next();
    ASSERT_TRUE(item) << item.failure().message;
    if (!*item)
      break;
    ASSERT_EQ((**item)["outside"]["source"], fmt::format("203.0.113.10:{}", 1024 + count % 60000));
    if (count % 10'000 == 0)
      most = std::max(most, resident_kib());
  }
  EXPECT_EQ(count, rows);
  EXPECT_TRUE(sanitized || most - before < 16U * 1024)
      << (most - before) << " KiB; the whole answer is over 50 MiB";
  server.stop();
  EXPECT_LE(server.tables.largest_limit, 100U);
}

TEST(ControlConversation, a_client_that_does_not_read_costs_one_buffer) {
  test::FakeTables tables(1'000'000);
  auto handler = test::fake_handler(tables);
  Conversation talk(handler, 4096);
  talk.receive("{\"command\":\"sessions\"}\n");
  for (int turn = 0; turn < 1000; turn++)
    talk.advance(100);
  EXPECT_GE(talk.output().size(), output_ceiling);
  EXPECT_LT(talk.output().size(), output_ceiling + 4096);
  EXPECT_FALSE(talk.wants_input());
}

TEST_F(Control, without_free_descriptors_it_waits_and_does_not_spin) {
  RunningServer server(path_);
  rlimit old{};
  getrlimit(RLIMIT_NOFILE, &old);
  RawClient waiting_before(path_);
  waiting_before.say("{\"command\":\"reload\"}\n");
  ASSERT_EQ(waiting_before.line(), "{\"end\":true}");
  auto socket_for_later = std::make_unique<RawClient>(path_);
  // From here on no descriptor can be made; the connect below needs none, its socket exists.
  Fd late(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit none{0, old.rlim_max};
  socket_for_later->say("{\"command\":\"reload\"}\n");
  ASSERT_EQ(socket_for_later->line(), "{\"end\":true}");
  setrlimit(RLIMIT_NOFILE, &none);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  int connected = connect(late.get(), reinterpret_cast<sockaddr *>(&address), sizeof address);
  std::string request = "{\"command\":\"reload\"}\n";
  (void)send(late.get(), request.data(), request.size(), MSG_NOSIGNAL);
  timespec cpu_before{};
  timespec cpu_after{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_before);
  std::this_thread::sleep_for(1500ms);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_after);
  setrlimit(RLIMIT_NOFILE, &old);
  ASSERT_EQ(connected, 0);
  double used = static_cast<double>(cpu_after.tv_sec - cpu_before.tv_sec) +
                static_cast<double>(cpu_after.tv_nsec - cpu_before.tv_nsec) / 1e9;
  EXPECT_LT(used, 0.5);
  pollfd watched{late.get(), POLLIN, 0};
  EXPECT_EQ(poll(&watched, 1, 5000), 1) << "not accepted once descriptors were free again";
}

// --- the socket file -----------------------------------------------------------------------------

mode_t mode_of(const std::string &path) {
  struct stat status {};
  return lstat(path.c_str(), &status) < 0 ? 0 : status.st_mode & 07777;
}

TEST_F(Control, socket_and_directory_have_their_modes_whatever_the_umask) {
  std::string path = directory_.file("run/control.sock");
  for (mode_t mask : {mode_t{0}, mode_t{022}, mode_t{0777}}) {
    mode_t old = umask(mask);
    {
      RunningServer server(path, 1);
      umask(old);
      EXPECT_EQ(mode_of(path), 0660U) << std::oct << mask;
      EXPECT_EQ(mode_of(directory_.file("run")), 0755U) << std::oct << mask;
    }
    EXPECT_FALSE(std::filesystem::exists(directory_.file("run"))) << "left behind";
  }
}

TEST_F(Control, a_directory_that_was_there_stays) {
  std::filesystem::create_directory(directory_.file("run"));
  { RunningServer server(directory_.file("run/control.sock")); }
  EXPECT_TRUE(std::filesystem::exists(directory_.file("run")));
  EXPECT_FALSE(std::filesystem::exists(directory_.file("run/control.sock")));
}

Fd dead_socket(const std::string &path) {
  Fd fd(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
  return fd;
}

TEST_F(Control, a_dead_daemons_socket_is_replaced) {
  dead_socket(path_).reset();
  ASSERT_TRUE(std::filesystem::exists(path_));
  RunningServer server(path_);
  EXPECT_EQ(ask(path_, "version").size(), 1U);
}

TEST_F(Control, a_second_server_is_refused_and_the_first_goes_on) {
  RunningServer server(path_);
  auto loop = EventLoop::make();
  auto second = Server::start(**loop, path_, test::fake_handler(server.tables));
  ASSERT_FALSE(second);
  EXPECT_TRUE(second.failure().message.starts_with("another viaductd listens on " + path_))
      << second.failure().message;
  EXPECT_EQ(ask(path_, "version").size(), 1U);
}

TEST_F(Control, what_is_no_socket_is_left_alone) {
  std::ofstream(path_) << "precious";
  auto loop = EventLoop::make();
  test::FakeTables tables(1);
  auto server = Server::start(**loop, path_, test::fake_handler(tables));
  ASSERT_FALSE(server);
  EXPECT_NE(server.failure().message.find("is not a socket"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
}

TEST_F(Control, bad_paths_are_refused) {
  auto loop = EventLoop::make();
  test::FakeTables tables(1);
  auto message = [&](const std::string &path) {
    auto server = Server::start(**loop, path, test::fake_handler(tables));
    return server ? std::string("accepted") : server.failure().message;
  };
  EXPECT_NE(message("/tmp/" + std::string(200, 'x')).find("longer than 107 bytes"),
            std::string::npos);
  EXPECT_NE(message("").find("empty"), std::string::npos);
  EXPECT_NE(message(directory_.file("a/b/control.sock")).find("directory"), std::string::npos);
}

TEST_F(Control, only_its_own_file_is_removed) {
  RunningServer server(path_);
  std::filesystem::rename(path_, path_ + ".old");
  Fd other = dead_socket(path_);
  server.stop();
  EXPECT_TRUE(std::filesystem::exists(path_)) << "removed another program's socket";
}

// --- answers that wait ----------------------------------------------------------------------------

// Says one item for each that it is given, and waits for the next.
class Drip : public Answer {
public:
  Drip(std::atomic<int> &given, std::atomic<int> &living) : given_(given), living_(living) {
    living_++;
  }
  ~Drip() override { living_--; }
  Step next(json &item) override {
    if (given_ == 0)
      return Step::wait;
    item = {{"left", --given_}};
    return Step::item;
  }
  bool endless() const override { return true; }

private:
  std::atomic<int> &given_, &living_;
};

TEST_F(Control, an_answer_may_wait_and_ends_with_its_client) {
  auto loop = std::move(*EventLoop::make());
  std::atomic<int> given = 2, living = 0;
  Limits limits;
  limits.patience = 50ms;
  auto server = Server::start(
      *loop, path_,
      [&](const std::string &, const json &) -> Result<std::unique_ptr<Answer>> {
        std::unique_ptr<Answer> answer = std::make_unique<Drip>(given, living);
        return answer;
      },
      limits);
  ASSERT_TRUE(server);
  auto timer = loop->timer(5ms, 5ms, [&] { (*server)->resume(); });
  ASSERT_TRUE(timer);
  std::thread thread([&] { EXPECT_TRUE(loop->run()); });
  {
    auto client = Client::connect(path_);
    ASSERT_TRUE(client && client->ask("drip"));
    EXPECT_TRUE(client->next() && client->next());
    std::this_thread::sleep_for(300ms); // silence is no reason to end it
    given = 1;
    auto item = client->next();
    ASSERT_TRUE(item && *item);
    EXPECT_EQ((**item)["left"], 0);
    EXPECT_EQ(living, 1);
  }
  for (int i = 0; i < 200 && living != 0; i++)
    std::this_thread::sleep_for(10ms);
  EXPECT_EQ(living, 0) << "the client has left, its answer has not";
  loop->stop();
  thread.join();
}

// --- the client ----------------------------------------------------------------------------------

TEST_F(Control, the_client_says_that_nobody_listens) {
  for (int i = 0; i < 2; i++) {
    auto client = Client::connect(path_);
    ASSERT_FALSE(client);
    EXPECT_EQ(client.failure().message,
              "nothing listens on " + path_ +
                  ": viaductd is not running, or listens elsewhere (--socket)");
    dead_socket(path_ + (i == 0 ? "" : "2")).reset();
  }
}

// A daemon of one sentence: what it says to the first client before it goes away.
std::string client_hears(const std::string &path, const std::string &sentence,
                         std::chrono::milliseconds patience = 5s, bool stay = false) {
  Fd listener = dead_socket(path);
  EXPECT_EQ(listen(listener.get(), 1), 0);
  auto client = Client::connect(path, patience);
  Fd peer(accept(listener.get(), nullptr, nullptr));
  EXPECT_TRUE(client && client->ask("status"));
  (void)send(peer.get(), sentence.data(), sentence.size(), MSG_NOSIGNAL);
  if (!stay)
    peer.reset();
  for (;;) {
    auto item = client->next();
    if (!item)
      return item.failure().message;
    if (!*item)
      return "end";
  }
}

TEST_F(Control, the_client_tells_a_broken_answer_from_a_whole_one) {
  int number = 0;
  auto hears = [&](const std::string &sentence) {
    return client_hears(path_ + std::to_string(number++), sentence);
  };
  EXPECT_EQ(hears("{\"item\":{}}\n{\"end\":true}\n"), "end");
  EXPECT_EQ(hears("{\"item\":{}}\n{\"error\":\"no\"}\n"), "no");
  for (const char *cut : {"", "{\"item\":{}}\n", "{\"item\":{}}\n{\"end\":tr"})
    EXPECT_NE(hears(cut).find("before the answer was whole"), std::string::npos) << cut;
  for (const char *bad : {"hello\n", "[]\n", "{}\n", "{\"item\":5}\n", "{\"end\":false}\n", "\n"})
    EXPECT_NE(hears(bad).find("control-protocol"), std::string::npos) << bad;
}

TEST_F(Control, the_client_does_not_wait_for_ever) {
  EXPECT_NE(client_hears(path_, "{\"item\":", 100ms, true).find("did not answer within"),
            std::string::npos);
}

} // namespace
} // namespace viaduct::control
