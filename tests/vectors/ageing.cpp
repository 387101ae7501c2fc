// SPDX-License-Identifier: MIT
//
// Every timer of RFC 6146 section 4, in virtual time: what lives until its last second, what ends
// in the next, what keeps it alive, and the probe before an established TCP session ends.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);

constexpr uint32_t established = 7200, transitory = 240;

const Counts one_probe{{dp::REASON_probe_sent, 1}};

SessionState datagrams() {
  return session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53});
}

SessionState ping() {
  return session(ICMP, {client6, 7}, {pool4, 40007}, {server4, 0});
}

SessionState connection() {
  return session(TCP, {client6, 1234}, {pool4, 40001}, {server4, 80});
}

// A host that speaks once more after `silence`, and is silent then until the session ends.
Vector silence(std::string name, const SessionState &flow, const Packet &in, const Packet &out,
               uint32_t timeout, dp::event_why why = dp::WHY_EXPIRED) {
  SessionState gone = flow, there = flow;
  gone.exists_ = false;
  there.state_.reset(); // whatever the packet has made of it
  return {.name = std::move(name),
          .rfc = "RFC 6146 4",
          .given = {.sessions = {flow}},
          .in = in,
          .expect = FORWARD,
          .out = out,
          .then = {sweep_after(timeout, {}, {there}),
                   sweep_after(1, one_ends(why), {gone, no_binding(flow.protocol, flow.inside)})}};
}

// A TCP session in some state that ends without anybody being asked.
Vector ends(std::string name, dp::session_state state, dp::event_why why) {
  return {
      .name = std::move(name),
      .rfc = "RFC 6146 3.5.2.2",
      .given = {.sessions = {connection().state(state).expires_in(50)}},
      // A packet of no concern: vectors begin with one.
      .in = ip4(server4, pool4) / udp(53, 40001),
      .expect = drop(dp::REASON_no_binding),
      .then = {sweep_after(50, {}, {connection().state(state)}),
               sweep_after(1, one_ends(why), {no_session(TCP, {pool4, 40001}, {server4, 80})})}};
}

Packet probe() {
  return ip6(server6, client6) / tcp(80, 1234).seq(0).ack(0).window(0);
}

std::vector<Vector> timer_vectors() {
  return {
      silence("a silent UDP session lives for five minutes", datagrams(),
              ip6(client6, server6) / udp(1234, 53), ip4(pool4, server4).any_id() / udp(40001, 53),
              300),
      silence("a UDP session that only IPv4 speaks in lives for five minutes", datagrams(),
              ip4(server4, pool4) / udp(53, 40001), ip6(server6, client6) / udp(53, 1234), 300),
      silence("a silent ICMP session lives for a minute", ping(),
              ip6(client6, server6) / icmp6_echo_request(7, 1),
              ip4(pool4, server4).any_id() / icmp4_echo_request(40007, 1), 60),
      silence("a SYN that nobody answers lives for four minutes",
              connection().state(dp::STATE_V6_INIT), ip6(client6, server6) / tcp(1234, 80).syn(),
              ip4(pool4, server4).any_id() / tcp(40001, 80).syn(), transitory, dp::WHY_UNANSWERED),
      silence("a connection with both FINs lives for four minutes",
              connection().state(dp::STATE_V6_FIN_RCV),
              ip4(server4, pool4) / tcp(80, 40001).fin().ack(1),
              ip6(server6, client6) / tcp(80, 1234).fin().ack(1), transitory, dp::WHY_CLOSED),
      silence("a connection that was reset lives for four minutes", connection(),
              ip4(server4, pool4) / tcp(80, 40001).rst(),
              ip6(server6, client6) / tcp(80, 1234).rst(), transitory),
      ends("V4 INIT ends unasked", dp::STATE_V4_INIT, dp::WHY_UNANSWERED),
      ends("V6 INIT ends unasked", dp::STATE_V6_INIT, dp::WHY_UNANSWERED),
      ends("V4 FIN RCV ends unasked", dp::STATE_V4_FIN_RCV, dp::WHY_EXPIRED),
      ends("V6 FIN RCV ends unasked", dp::STATE_V6_FIN_RCV, dp::WHY_EXPIRED),
      ends("V4 FIN V6 FIN RCV ends unasked", dp::STATE_V4_FIN_V6_FIN_RCV, dp::WHY_CLOSED),
      ends("TRANS ends unasked", dp::STATE_TRANS, dp::WHY_EXPIRED),
  };
}

std::vector<Vector> probe_vectors() {
  return {
      Vector{
          .name = "an established connection that is silent for two hours is probed and ends",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.sessions = {connection()}},
          .in = ip6(client6, server6) / tcp(1234, 80).ack(1),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / tcp(40001, 80).ack(1),
          .then = {sweep_after(established, {}, {connection().state(dp::STATE_ESTABLISHED)}),
                   sweep_after(1, one_probe,
                               {connection().state(dp::STATE_TRANS).expires_in(transitory)},
                               {probe()}),
                   sweep_after(transitory, {}, {connection().state(dp::STATE_TRANS)}),
                   sweep_after(1, one_ends(dp::WHY_EXPIRED),
                               {no_session(TCP, {pool4, 40001}, {server4, 80})})},
      },
      Vector{
          .name = "a host that answers the probe keeps its connection",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.sessions = {connection()}},
          .in = ip6(client6, server6) / tcp(1234, 80).seq(5).ack(1),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / tcp(40001, 80).seq(5).ack(1),
          .then = {sweep_after(established + 1, one_probe, {connection().state(dp::STATE_TRANS)},
                               {probe()}),
                   {.after = 1,
                    .in = ip6(client6, server6) / tcp(1234, 80).seq(5).ack(1),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / tcp(40001, 80).seq(5).ack(1),
                    .leaves = {connection().state(dp::STATE_ESTABLISHED).expires_in(established)}}},
      },
      Vector{
          .name = "a host that resets at the probe ends its connection in four minutes",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.sessions = {connection()}},
          .in = ip6(client6, server6) / tcp(1234, 80).ack(1),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / tcp(40001, 80).ack(1),
          .then = {sweep_after(established + 1, one_probe, {}, {probe()}),
                   {.after = 10,
                    .in = ip6(client6, server6) / tcp(1234, 80).seq(0).rst(),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / tcp(40001, 80).seq(0).rst(),
                    .leaves = {connection().state(dp::STATE_TRANS).expires_in(transitory - 10)}},
                   sweep_after(transitory - 9, one_ends(dp::WHY_EXPIRED), {})},
      },
      Vector{
          .name = "a probe comes from the prefix that the host has used",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.policy = {with_prefixes({well_known_prefix, prefix6("2001:db8:100::/40")})},
                    .sessions = {connection().prefix(prefix6("2001:db8:100::/40")).expires_in(1)}},
          .in = ip4(server4, pool4) / udp(53, 40001),
          .expect = drop(dp::REASON_no_binding),
          .then = {sweep_after(
              2, one_probe, {},
              {ip6(address6("2001:db8:1c6:3364:50::"), client6) / tcp(80, 1234).ack(0).window(0)})},
      },
  };
}

// A session that somebody ends, whatever its state and its timer.
Vector is_ended(std::string name, const SessionState &flow, dp::event_why cause) {
  SessionState gone = flow;
  gone.exists_ = false;
  return {
      .name = std::move(name),
      .given = {.sessions = {flow}},
      .in = ip4(server4b, pool4) / udp(53, 5),
      .expect = drop(dp::REASON_no_binding),
      .then = {all_end(cause, one_ends(cause), {gone, no_binding(flow.protocol, flow.inside)})}};
}

std::vector<Vector> cause_vectors() {
  const SessionState closed = connection().state(dp::STATE_V4_FIN_V6_FIN_RCV);
  return {
      is_ended("a UDP session is cleared", datagrams(), dp::WHY_CLEARED),
      is_ended("an ICMP session is not allowed any more", ping(), dp::WHY_DISALLOWED),
      is_ended("an established connection is cleared unasked", connection(), dp::WHY_CLEARED),
      is_ended("a connection is not allowed any more", connection(), dp::WHY_DISALLOWED),
      is_ended("a closed connection is cleared before its timer runs out", closed, dp::WHY_CLEARED),
      Vector{
          .name = "a port that a new connection has taken over ends unanswered",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.sessions = {closed}},
          .in = ip6(client6, server6) / tcp(1234, 80).syn(),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / tcp(40001, 80).syn(),
          .leaves = {connection().state(dp::STATE_V6_INIT)},
          .then = {sweep_after(transitory + 1, one_ends(dp::WHY_UNANSWERED), {})},
      },
  };
}

// Who keeps a session alive.
std::vector<Vector> refresh_vectors() {
  const PolicyChange outbound_only = with_outbound_refresh_only();
  return {
      Vector{
          .name = "with inbound refresh off IPv4 does not keep a UDP session alive",
          .rfc = "RFC 4787 REQ-6, RFC 6146 5.3",
          .given = {.policy = {outbound_only}, .sessions = {datagrams().expires_in(50)}},
          .in = ip4(server4, pool4) / udp(53, 40001),
          .expect = FORWARD,
          .out = ip6(server6, client6) / udp(53, 1234),
          .leaves = {datagrams().expires_in(50)},
          .then = {{.in = ip6(client6, server6) / udp(1234, 53),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / udp(40001, 53),
                    .leaves = {datagrams().expires_in(300)}}},
      },
      Vector{
          .name = "with inbound refresh off IPv4 does not keep an ICMP session alive",
          .rfc = "RFC 4787 REQ-6",
          .given = {.policy = {outbound_only}, .sessions = {ping().expires_in(50)}},
          .in = ip4(server4, pool4) / icmp4_echo_reply(40007, 1),
          .expect = FORWARD,
          .out = ip6(server6, client6) / icmp6_echo_reply(7, 1),
          .leaves = {ping().expires_in(50)},
      },
      Vector{
          .name = "with inbound refresh off IPv4 does not keep a connection alive",
          .rfc = "RFC 4787 REQ-6",
          .given = {.policy = {outbound_only}, .sessions = {connection().expires_in(50)}},
          .in = ip4(server4, pool4) / tcp(80, 40001).ack(1),
          .expect = FORWARD,
          .out = ip6(server6, client6) / tcp(80, 1234).ack(1),
          .leaves = {connection().state(dp::STATE_ESTABLISHED).expires_in(50)},
          .then = {{.in = ip6(client6, server6) / tcp(1234, 80).ack(1),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4).any_id() / tcp(40001, 80).ack(1),
                    .leaves = {connection().expires_in(established)}}},
      },
      Vector{
          .name = "with inbound refresh off the answer to a SYN still establishes",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.policy = {outbound_only},
                    .sessions = {connection().state(dp::STATE_V6_INIT).expires_in(50)}},
          .in = ip4(server4, pool4) / tcp(80, 40001).syn().ack(1),
          .expect = FORWARD,
          .out = ip6(server6, client6) / tcp(80, 1234).syn().ack(1),
          .leaves = {connection().state(dp::STATE_ESTABLISHED).expires_in(established)},
      },
  };
}

} // namespace

std::vector<Vector> ageing_vectors() {
  std::vector<Vector> all;
  for (auto some : {timer_vectors, probe_vectors, cause_vectors, refresh_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
