// SPDX-License-Identifier: MIT
//
// The session step against a model of RFC 6146, in virtual time: random packets of a few hosts,
// both directions, with random pauses, and after each of them the whole table must be what the
// model says: which sessions there are, in which state, until when; and what is sent by itself.
//
// The model is a table written from RFC 6146 3.5.2.2 (and 3.5.1, 3.5.3 for UDP and ICMP), and shares
// no code with datapath/tcp_state.h. Where the engine leaves the RFC on purpose, the row says so.
#include "datapath/native/native.h"
#include "lib/packet.h"
#include "lib/runner.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <optional>
#include <rapidcheck.h>
#include <tuple>

namespace viaduct::test {
namespace {

[[maybe_unused]] const int cases = setenv("RC_PARAMS", "max_success=2000", 0);

constexpr uint32_t UDP_TIMER = 300, ICMP_TIMER = 60, EST = 7200, TRANS_TIMER = 240, SYN_TIMER = 6;

// --- the RFC's table -----------------------------------------------------------------------------

enum Event : uint8_t { V6_SYN, V4_SYN, V6_FIN, V4_FIN, V6_RST, V4_RST, V6_OTHER, V4_OTHER, EVENTS };
enum class Timer : uint8_t { keep, established, transitory };

struct Row {
  dp::session_state next;
  Timer timer;
};

constexpr Timer K = Timer::keep, E = Timer::established, T = Timer::transitory;
constexpr dp::session_state I4 = dp::STATE_V4_INIT, I6 = dp::STATE_V6_INIT,
                            ES = dp::STATE_ESTABLISHED, F4 = dp::STATE_V4_FIN_RCV,
                            F6 = dp::STATE_V6_FIN_RCV, FF = dp::STATE_V4_FIN_V6_FIN_RCV,
                            TR = dp::STATE_TRANS;

using Rows = std::array<Row, EVENTS>;

// clang-format off
const std::map<dp::session_state, Rows> machine{
    //      V6 SYN    V4 SYN    V6 FIN    V4 FIN    V6 RST    V4 RST    V6 other  V4 other
    {I4, {{{ES, E}, {I4, K}, {I4, K}, {I4, K}, {I4, K}, {I4, K}, {I4, K}, {I4, K}}}},
    {I6, {{{I6, T}, {ES, E}, {I6, K}, {I6, K}, {I6, K}, {I6, K}, {I6, K}, {I6, K}}}},
    {ES, {{{ES, E}, {ES, E}, {F6, K}, {F4, K}, {TR, T}, {TR, T}, {ES, E}, {ES, E}}}},
    // A reset after one FIN: the RFC's timer is EST, ours TRANS (RFC 7857 2.2).
    {F4, {{{F4, E}, {F4, E}, {FF, T}, {F4, E}, {F4, T}, {F4, T}, {F4, E}, {F4, E}}}},
    {F6, {{{F6, E}, {F6, E}, {F6, E}, {FF, T}, {F6, T}, {F6, T}, {F6, E}, {F6, E}}}},
    // A SYN after both FINs: the RFC's session runs out, ours begins anew.
    {FF, {{{I6, T}, {I4, T}, {FF, K}, {FF, K}, {FF, K}, {FF, K}, {FF, K}, {FF, K}}}},
    {TR, {{{ES, E}, {ES, E}, {ES, E}, {ES, E}, {TR, K}, {TR, K}, {ES, E}, {ES, E}}}},
};
// clang-format on

// --- the model -----------------------------------------------------------------------------------

struct Inside {
  int host;
  auto operator<=>(const Inside &) const = default;
};

using Peer = int; // which remote endpoint

struct Remote {
  Ipv4 address;
  uint16_t port;
};

const std::array<Ipv6, 2> hosts{client6, neighbour6};
const std::array<Remote, 3> remotes{{{server4, 80}, {server4, 81}, {server4b, 80}}};
constexpr uint16_t INSIDE_PORT = 1234, UNBOUND_PORT = 5; // the pool begins at 1024

struct Live {
  dp::session_state state;
  uint32_t until;
};

struct Model {
  dp::filtering filtering{};
  bool outbound_only = false;
  uint32_t now = 1000;
  std::map<std::pair<Protocol, int>, uint16_t> bound;       // host to pool port
  std::map<std::tuple<Protocol, int, Peer>, Live> sessions; // of a host with a remote
  std::map<std::pair<uint16_t, Peer>, uint32_t> held;       // pool port and remote, until
  uint32_t probes = 0, refusals = 0;                        // since the last look

  uint32_t timer(Protocol protocol) const {
    return protocol == UDP ? UDP_TIMER : protocol == ICMP ? ICMP_TIMER : TRANS_TIMER;
  }

  // For ICMP a remote has no port: two endpoints of one address are one.
  static Peer merged(Protocol protocol, Peer peer) {
    return protocol == ICMP && peer == 1 ? 0 : peer;
  }

  bool knows(Protocol protocol, int host, Peer peer) const {
    return std::any_of(sessions.begin(), sessions.end(), [&](const auto &entry) {
      const auto &[p, h, other] = entry.first;
      return p == protocol && h == host && remotes[other].address == remotes[peer].address;
    });
  }

  void pass(uint32_t seconds) {
    now += seconds;
    probes = refusals = 0;
    for (auto at = sessions.begin(); at != sessions.end();) {
      auto &[key, live] = *at;
      bool due = now > live.until;
      if (due && std::get<0>(key) == TCP && live.state == ES) {
        live = {TR, now + TRANS_TIMER};
        probes++;
        due = false;
      }
      at = due ? sessions.erase(at) : std::next(at);
    }
    std::erase_if(bound, [&](const auto &entry) {
      return std::none_of(sessions.begin(), sessions.end(), [&](const auto &session) {
        return std::get<0>(session.first) == entry.first.first &&
               std::get<1>(session.first) == entry.first.second;
      });
    });
    for (auto at = held.begin(); at != held.end();) {
      bool due = now > at->second;
      if (due && !is_open(at->first.first, at->first.second))
        refusals++;
      at = due ? held.erase(at) : std::next(at);
    }
  }

  bool is_open(uint16_t pool_port, Peer peer) const {
    return std::any_of(bound.begin(), bound.end(), [&](const auto &entry) {
      return entry.first.first == TCP && entry.second == pool_port &&
             sessions.contains({TCP, entry.first.second, peer});
    });
  }

  void move(Protocol protocol, Live &live, Event event, bool from6) {
    bool may_refresh = from6 || !outbound_only;
    if (protocol != TCP) {
      if (may_refresh)
        live.until = now + timer(protocol);
      return;
    }
    Row row = machine.at(live.state)[event];
    bool refresh = may_refresh || row.next != live.state || event == V4_RST;
    live.state = row.next;
    if (row.timer != Timer::keep && refresh)
      live.until = now + (row.timer == Timer::established ? EST : TRANS_TIMER);
  }

  // What comes of a packet; REASON_none: it is forwarded.
  dp::reason outbound(Protocol protocol, int host, Peer peer, Event event) {
    peer = merged(protocol, peer);
    auto found = sessions.find({protocol, host, peer});
    if (found != sessions.end()) {
      move(protocol, found->second, event, true);
      return dp::REASON_none;
    }
    if (protocol == TCP && event != V6_SYN)
      return bound.contains({protocol, host}) ? dp::REASON_none : dp::REASON_tcp_not_syn;
    sessions[{protocol, host, peer}] = {protocol == TCP ? I6 : dp::STATE_OPEN,
                                        now + timer(protocol)};
    bound.insert({{protocol, host}, 0}); // the port is learned from the packet
    return dp::REASON_none;
  }

  dp::reason inbound(Protocol protocol, int host, Peer peer, Event event) {
    peer = merged(protocol, peer);
    auto binding = bound.find({protocol, host});
    bool syn = protocol == TCP && event == V4_SYN;
    auto refuse = [&](dp::reason reason) {
      if (!syn)
        return reason;
      held.insert({{binding == bound.end() ? UNBOUND_PORT : binding->second, peer},
                   now + SYN_TIMER}); // a second one changes nothing
      return dp::REASON_syn_held;
    };
    if (binding == bound.end())
      return refuse(dp::REASON_no_binding);
    auto found = sessions.find({protocol, host, peer});
    if (found != sessions.end()) {
      move(protocol, found->second, event, false);
      return dp::REASON_none;
    }
    if (filtering == dp::FILTER_ADDRESS && (protocol == ICMP || !knows(protocol, host, peer)))
      return refuse(dp::REASON_filtered);
    if (protocol == TCP && !syn)
      return dp::REASON_none; // goes on, and makes nothing
    sessions[{protocol, host, peer}] = {protocol == TCP ? I4 : dp::STATE_OPEN,
                                        now + timer(protocol)};
    return dp::REASON_none;
  }
};

// --- the engine ----------------------------------------------------------------------------------

struct Free {
  void operator()(dp::engine *e) const { dp::engine_free(e); }
  void operator()(dp::worker *w) const { dp::worker_free(w); }
};

Tcp with_flags(Tcp segment, Event event) {
  if (event == V6_SYN || event == V4_SYN)
    return *rc::gen::arbitrary<bool>() ? segment.syn() : segment.syn().ack(1);
  if (event == V6_FIN || event == V4_FIN)
    return segment.fin().ack(1);
  if (event == V6_RST || event == V4_RST)
    return *rc::gen::arbitrary<bool>() ? segment.rst() : segment.rst().ack(1);
  return segment.ack(1);
}

class Run {
public:
  Run(dp::filtering filtering, bool outbound_only, uint64_t seed) {
    model_.filtering = filtering;
    model_.outbound_only = outbound_only;
    dp::policy policy = default_policy();
    policy.filtering = static_cast<uint8_t>(filtering);
    policy.outbound_refresh_only = outbound_only;
    policy.rst_window = 0; // the letter of the RFC
    RC_ASSERT(dp::engine_set_policy(engine_.get(), &policy) == 0);
    dp::worker_seed(worker_.get(), seed);
  }

  void pause(uint32_t seconds) {
    model_.pass(seconds);
    uint32_t sent = 0;
    dp::sweep_calls calls{};
    calls.context = &sent;
    calls.send = [](void *context, const dp::frame *) {
      ++*static_cast<uint32_t *>(context);
      return 0;
    };
    dp::engine_sweep(engine_.get(), model_.now, &calls);
    RC_ASSERT(sent == model_.probes + model_.refusals);
    compare();
  }

  void outbound(Protocol protocol, int host, Peer peer, Event event) {
    const Remote &remote = remotes[peer];
    Ip6 ip = ip6(hosts[host], pref64(remote.address));
    Packet packet = protocol == UDP   ? ip / udp(INSIDE_PORT, remote.port)
                    : protocol == TCP ? ip / with_flags(tcp(INSIDE_PORT, remote.port), event)
                                      : ip / icmp6_echo_request(INSIDE_PORT, 1);
    dp::reason expected = model_.outbound(protocol, host, peer, event);
    uint16_t port = send(packet, expected, protocol);
    auto binding = model_.bound.find({protocol, host});
    if (expected == dp::REASON_none) {
      if (binding->second == 0)
        binding->second = port;
      RC_ASSERT(binding->second == port); // endpoint-independent mapping
    }
    compare();
  }

  void inbound(Protocol protocol, int host, Peer peer, Event event) {
    const Remote &remote = remotes[peer];
    auto binding = model_.bound.find({protocol, host});
    uint16_t port = binding == model_.bound.end() ? UNBOUND_PORT : binding->second;
    Ip4 ip = ip4(remote.address, pool4);
    Packet packet = protocol == UDP   ? ip / udp(remote.port, port)
                    : protocol == TCP ? ip / with_flags(tcp(remote.port, port), event)
                                      : ip / icmp4_echo_request(port, 1);
    send(packet, model_.inbound(protocol, host, peer, event), protocol);
    compare();
  }

private:
  // Returns the source port (or identifier) that a packet to IPv4 has left with.
  uint16_t send(const Packet &packet, dp::reason expected, Protocol protocol) {
    Bytes bytes = packet.bytes();
    std::array<uint8_t, dp::FRAME_HEADROOM + 256> memory{};
    std::copy(bytes.begin(), bytes.end(), memory.begin() + dp::FRAME_HEADROOM);
    dp::frame frame{};
    frame.data = memory.data() + dp::FRAME_HEADROOM;
    frame.length = static_cast<uint32_t>(bytes.size());
    dp::worker_set_now(worker_.get(), model_.now);
    dp::reason reason = dp::REASON_none;
    dp::verdict verdict = dp::translate_frame(worker_.get(), &frame, &reason);
    if (expected != dp::REASON_none) {
      RC_ASSERT(std::string(reason_name(reason)) == reason_name(expected));
      return 0;
    }
    if (verdict != dp::VERDICT_FORWARD)
      RC_FAIL(fmt::format("dropped: {}", reason_name(reason)));
    const uint8_t *port = frame.data + frame.transport + (protocol == ICMP ? 4 : 0);
    return static_cast<uint16_t>(port[0] << 8 | port[1]);
  }

  using Listed = std::map<std::string, std::string>;

  static std::string key_text(Protocol protocol, uint16_t pool_port, const Remote &remote) {
    return fmt::format("{} {} {}:{}", static_cast<int>(protocol), pool_port, remote.address.text(),
                       protocol == ICMP ? 0 : remote.port);
  }

  void compare() {
    Listed expected, found;
    for (const auto &[key, live] : model_.sessions) {
      const auto &[protocol, host, peer] = key;
      expected[key_text(protocol, model_.bound.at({protocol, host}), remotes[peer])] =
          fmt::format("state {} until {}", static_cast<int>(live.state), live.until);
    }
    std::array<dp::session_key, 128> keys{};
    std::array<dp::session, 128> values{};
    uint32_t count = 0;
    RC_ASSERT(dp::engine_dump_sessions(engine_.get(), 0, keys.data(), values.data(), 128, &count) ==
              0U);
    for (uint32_t i = 0; i < count; i++)
      found[key_text(
          static_cast<Protocol>(keys[i].protocol), ntohs_(keys[i].pool_port),
          {Ipv4::from_network_order(keys[i].remote_address), ntohs_(keys[i].remote_port)})] =
          fmt::format("state {} until {}", values[i].state, values[i].expires);
    RC_ASSERT(found == expected);
  }

  static uint16_t ntohs_(uint16_t value) { return static_cast<uint16_t>(value << 8 | value >> 8); }

  Model model_;
  std::unique_ptr<dp::engine, Free> engine_{dp::engine_new(64)};
  std::unique_ptr<dp::worker, Free> worker_{dp::worker_new(engine_.get())};
};

// --- chance --------------------------------------------------------------------------------------

// From, and not to, the last.
int below(int limit) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(0, limit));
}

// Mostly short, and around every timer.
uint32_t any_pause() {
  static const std::vector<uint32_t> pauses{0, 0,  0,  1,   1,   2,   3,   5,    6,    7,
                                            9, 59, 60, 61,  239, 240, 241, 299,  300,  301,
                                            1, 0,  6,  120, 1,   0,   600, 7200, 7201, 8000};
  return pauses[static_cast<size_t>(below(static_cast<int>(pauses.size())))];
}

void any_history(dp::filtering filtering) {
  Run run(filtering, below(4) == 0, *rc::gen::arbitrary<uint64_t>());
  int length = below(60) + 1;
  for (int i = 0; i < length; i++) {
    run.pause(any_pause());
    // TCP has the states.
    Protocol protocol = std::array{TCP, TCP, TCP, TCP, UDP, ICMP}[static_cast<size_t>(below(6))];
    int host = below(2), event = below(5); // a SYN counts twice: nothing happens before one
    Peer peer = below(3);
    bool from6 = below(2) == 0;
    auto kind = static_cast<Event>((event == 4 ? 0 : event * 2) + (from6 ? 0 : 1));
    if (from6)
      run.outbound(protocol, host, peer, kind);
    else
      run.inbound(protocol, host, peer, kind);
  }
}

TEST(StateMachine, is_rfc_6146_under_endpoint_independent_filtering) {
  EXPECT_TRUE(rc::check([] { any_history(dp::FILTER_ENDPOINT); }));
}

TEST(StateMachine, is_rfc_6146_under_address_dependent_filtering) {
  EXPECT_TRUE(rc::check([] { any_history(dp::FILTER_ADDRESS); }));
}

} // namespace
} // namespace viaduct::test
