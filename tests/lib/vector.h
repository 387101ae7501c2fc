// SPDX-License-Identifier: MIT
//
// A packet test as a value: what is given, the packet that comes in, what must come of it.
//
//   Vector{
//       .name = "a reply to a binding comes back to the host behind it",
//       .rfc = "RFC 6146 3.5.1",
//       .given = {.sessions = {session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53})}},
//       .in = ip4(server4, pool4) / udp(53, 40001) / payload(20),
//       .expect = FORWARD,
//       .out = ip6(pref64(server4), client6) / udp(53, 1234) / payload(20),
//   },
//
// Nothing else may happen: every counter that is not named must stay as it was, and the reason of
// the verdict is counted once. More packets follow in `.then`. One list of vectors runs on every
// build of the data path; what the BPF build hands up says so with `.bpf = punt(REASON)`.
#pragma once

#include "datapath/event.h"
#include "datapath/types.h"
#include "lib/addresses.h"
#include "lib/packet.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace viaduct::test {

enum Protocol : uint8_t { // as in a table's key: ICMP stands for ICMPv6 too
  ICMP = dp::PROTOCOL_ICMP,
  TCP = dp::PROTOCOL_TCP,
  UDP = dp::PROTOCOL_UDP,
};

// --- state, given or expected --------------------------------------------------------------------

struct End6 {
  Ipv6 address;
  Number port;
};

struct End4 {
  Ipv4 address;
  Number port;
};

// What is not said is not compared; in given state it has the value that a fresh session has.
struct SessionState {
  Protocol protocol;
  End6 inside;
  End4 pool;
  End4 remote; // port 0 for ICMP
  bool exists_ = true;
  Prefix6 prefix_ = well_known_prefix;
  std::optional<dp::session_state> state_ = {};
  std::optional<uint32_t> expires_in_ = {}; // seconds from the packet's time
  std::optional<uint64_t> packets_ = {}, bytes_ = {};
  std::optional<uint32_t> sequence6_ = {}, sequence4_ = {};

  SessionState &prefix(const Prefix6 &value) { return prefix_ = value, *this; }
  SessionState &state(dp::session_state value) { return state_ = value, *this; }
  SessionState &expires_in(uint32_t seconds) { return expires_in_ = seconds, *this; }
  SessionState &packets(uint64_t value) { return packets_ = value, *this; }
  SessionState &bytes(uint64_t value) { return bytes_ = value, *this; }
  SessionState &sequences(uint32_t six, uint32_t four) {
    return sequence6_ = six, sequence4_ = four, *this;
  }
};

struct BindingState {
  Protocol protocol;
  End6 inside;
  End4 pool;
  bool exists_ = true;
  std::optional<uint32_t> sessions_ = {};

  BindingState &sessions(uint32_t value) { return sessions_ = value, *this; }
};

struct SubscriberState {
  Ipv6 inside; // any host of it
  Ipv4 pool;   // the address all its bindings use
  uint32_t sessions = 0;
};

SessionState session(Protocol protocol, End6 inside, End4 pool, End4 remote);
SessionState no_session(Protocol protocol, End4 pool, End4 remote);
BindingState binding(Protocol protocol, End6 inside, End4 pool);
BindingState no_binding(Protocol protocol, End6 inside);

using Check = std::variant<SessionState, BindingState>;

// --- policy --------------------------------------------------------------------------------------

using PolicyChange = std::function<void(dp::policy &)>;

struct PoolRange {
  Ipv4 address;
  uint16_t low = 1024, high = 65535;
  bool draining = false;
};

// 64:ff9b::/96, pool4 with ports 1024 to 65535, both subscribers allowed, RFC 6146's timers,
// subscribers by /64.
dp::policy default_policy();

PolicyChange with_prefixes(const std::vector<Prefix6> &prefixes);
PolicyChange with_pool(const std::vector<PoolRange> &pool); // in ascending order
PolicyChange with_allowed(const std::vector<Prefix6> &allow);
struct MapPair {
  const char *inside;
  const char *outside; // prefixes
};
PolicyChange with_maps(const std::vector<MapPair> &maps);
PolicyChange with_error_sources(const std::vector<Ipv4> &sources);
PolicyChange with_quota(uint32_t sessions);
PolicyChange with_subscriber_prefix(uint8_t bits);
PolicyChange with_private_ipv4_allowed();
PolicyChange with_lowest_ipv6_mtu(uint32_t bytes);
PolicyChange with_zero_traffic_class();
PolicyChange with_zero_checksum_dropped();
PolicyChange with_icmp_error_rate(uint32_t a_second);
PolicyChange with_mtu(uint32_t mtu);               // of the interface
PolicyChange with_largest_segment(uint16_t bytes); // of TCP, which SYNs may announce
PolicyChange without_accounting();
PolicyChange with_binding_quota(uint32_t bindings);
PolicyChange with_port_rest(uint32_t seconds);
PolicyChange with_filtering(dp::filtering filtering);
PolicyChange without_rst_check();
PolicyChange with_outbound_refresh_only();

struct Given {
  std::vector<PolicyChange> policy = {};
  uint32_t max_sessions = 64;
  std::vector<SessionState> sessions = {}; // brings its binding and its subscriber
  std::vector<BindingState> bindings = {}; // counts as one that is in use
  std::vector<SubscriberState> subscribers = {};
};

// --- what happens --------------------------------------------------------------------------------

struct Expect {
  dp::verdict verdict;
  dp::reason reason; // REASON_none with FORWARD: the translation that fits the packet's family
};

inline constexpr Expect FORWARD{dp::VERDICT_FORWARD, dp::REASON_none};
inline constexpr Expect PASS{dp::VERDICT_PASS, dp::REASON_not_ours};
inline constexpr Expect HELD{dp::VERDICT_HELD, dp::REASON_fragment_held};
constexpr Expect drop(dp::reason reason) {
  return {dp::VERDICT_DROP, reason};
}

struct OnBpf {
  dp::reason reason = dp::REASON_none; // none: handled, with the same result as everywhere
};

inline constexpr OnBpf handled{};
constexpr OnBpf punt(dp::reason reason) {
  return {reason};
}

using Counts = std::map<dp::reason, uint64_t>;

inline const Counts a_new_flow{{dp::REASON_binding_made, 1}, {dp::REASON_session_made, 1}};
// The fragment that makes a datagram whole is counted, too.
inline const Counts a_last_fragment{{dp::REASON_fragment_held, 1}};
inline const Counts a_new_session{{dp::REASON_session_made, 1}};

struct Step {
  uint32_t after = 0; // seconds since the step before
  Packet in = {};
  Expect expect = FORWARD;
  Packet out = {};    // only with FORWARD
  Counts counts = {}; // besides the verdict's own reason
  // The ICMP error that a drop is answered with: addresses, hop limit and the quoted packet follow
  // from it, so only the message is said; it is counted as sent. The BPF build
  // hands such a packet up (punt_answer) where `bpf` names no other reason.
  std::optional<Icmp> answer = {};
  OnBpf bpf = handled;
  std::vector<Check> leaves = {}; // state afterwards
  uint32_t segments = 1;
  uint32_t segment_size = 0;                     // TCP payload of each segment; 0: no super-packet
  std::vector<Packet> pieces = {};               // instead of `out`: it leaves in these fragments
  std::optional<uint32_t> out_segment_size = {}; // where it is not that of `in`
  bool partial_checksum = false;                 // says so to the data path whatever `in` holds
  // Instead of a packet: the sweep, and what it sends. The BPF build has none, a vector ends there.
  bool sweep = false;
  std::vector<Packet> sends = {};
  dp::event_why cause = dp::WHY_NONE; // for all sessions to end
};

// What happens when nothing happens for some seconds.
Step sweep_after(uint32_t seconds, Counts counts, std::vector<Check> leaves,
                 std::vector<Packet> sends = {});

// Somebody ends all sessions.
Step all_end(dp::event_why cause, Counts counts, std::vector<Check> leaves);

// What is counted when a session ends for that reason, and its binding with it.
Counts one_ends(dp::event_why why);

struct Vector {
  std::string name;
  std::string rfc = {};
  Given given = {};
  uint32_t now = 1000;
  uint32_t random = 0x5eed1234;
  // The first step.
  Packet in = {};
  Expect expect = FORWARD;
  Packet out = {};
  Counts counts = {};
  std::optional<Icmp> answer = {};
  OnBpf bpf = handled;
  std::vector<Check> leaves = {};
  uint32_t segments = 1;
  uint32_t segment_size = 0;                     // TCP payload of each segment; 0: no super-packet
  std::vector<Packet> pieces = {};               // instead of `out`: it leaves in these fragments
  std::optional<uint32_t> out_segment_size = {}; // where it is not that of `in`
  bool partial_checksum = false;
  // The others.
  std::vector<Step> then = {};

  std::vector<Step> steps() const;
};

} // namespace viaduct::test
