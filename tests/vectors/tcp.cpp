// SPDX-License-Identifier: MIT
//
// TCP: what is translated in a segment, and the walk through the states of RFC 6146 3.5.2.2.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);

constexpr uint32_t established = 7200, transitory = 240;

// client6:1234 speaks with server4:80 through pool4:40001.
SessionState flow() {
  return session(TCP, {client6, 1234}, {pool4, 40001}, {server4, 80});
}

Tcp outbound() {
  return tcp(1234, 80);
}
Tcp outbound_translated() {
  return tcp(40001, 80);
}
Tcp inbound() {
  return tcp(80, 40001);
}
Tcp inbound_translated() {
  return tcp(80, 1234);
}

// One segment of flow(), from its state to the next: the whole test.
Vector from_client(std::string name, dp::session_state before, const Tcp &segment,
                   const Tcp &translated, dp::session_state after, uint32_t expires) {
  return {.name = std::move(name),
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.sessions = {flow().state(before).expires_in(50)}},
          .in = ip6(client6, server6) / segment,
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / translated,
          .leaves = {flow().state(after).expires_in(expires)}};
}

Vector from_server(std::string name, dp::session_state before, const Tcp &segment,
                   const Tcp &translated, dp::session_state after, uint32_t expires) {
  return {.name = std::move(name),
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.sessions = {flow().state(before).expires_in(50)}},
          .in = ip4(server4, pool4) / segment,
          .expect = FORWARD,
          .out = ip6(server6, client6) / translated,
          .leaves = {flow().state(after).expires_in(expires)}};
}

constexpr uint32_t unchanged = 50; // what the two above have given

#define CLIENT(what) outbound().what, outbound_translated().what
#define SERVER(what) inbound().what, inbound_translated().what

// Every arrow of the state machine, and what leaves a state as it is.
std::vector<Vector> state_vectors() {
  using namespace dp;
  return {
      from_client("V6 INIT stays on a SYN from IPv6 and its timer starts anew", STATE_V6_INIT,
                  CLIENT(syn()), STATE_V6_INIT, transitory),
      from_client("V6 INIT stays on an ACK from IPv6", STATE_V6_INIT, CLIENT(ack(1)), STATE_V6_INIT,
                  unchanged),
      from_server("V6 INIT becomes ESTABLISHED on a SYN ACK from IPv4", STATE_V6_INIT,
                  SERVER(syn().ack(1)), STATE_ESTABLISHED, established),
      from_server("V6 INIT becomes ESTABLISHED on a SYN from IPv4", STATE_V6_INIT, SERVER(syn()),
                  STATE_ESTABLISHED, established),
      from_server("V6 INIT stays on an RST from IPv4", STATE_V6_INIT, SERVER(rst().ack(1)),
                  STATE_V6_INIT, unchanged),
      from_client("V4 INIT becomes ESTABLISHED on a SYN ACK from IPv6", STATE_V4_INIT,
                  CLIENT(syn().ack(1)), STATE_ESTABLISHED, established),
      from_server("V4 INIT stays on a SYN from IPv4", STATE_V4_INIT, SERVER(syn()), STATE_V4_INIT,
                  unchanged),
      from_client("V4 INIT stays on an RST from IPv6", STATE_V4_INIT, CLIENT(rst().ack(1)),
                  STATE_V4_INIT, unchanged),
      from_client("ESTABLISHED stays on data from IPv6", STATE_ESTABLISHED, CLIENT(psh().ack(1)),
                  STATE_ESTABLISHED, established),
      from_server("ESTABLISHED stays on data from IPv4", STATE_ESTABLISHED, SERVER(psh().ack(1)),
                  STATE_ESTABLISHED, established),
      from_client("ESTABLISHED stays on a SYN from IPv6", STATE_ESTABLISHED, CLIENT(syn()),
                  STATE_ESTABLISHED, established),
      from_server("ESTABLISHED becomes V4 FIN RCV and its timer goes on", STATE_ESTABLISHED,
                  SERVER(fin().ack(1)), STATE_V4_FIN_RCV, unchanged),
      from_client("ESTABLISHED becomes V6 FIN RCV and its timer goes on", STATE_ESTABLISHED,
                  CLIENT(fin().ack(1)), STATE_V6_FIN_RCV, unchanged),
      from_server("ESTABLISHED becomes TRANS on an RST from IPv4", STATE_ESTABLISHED,
                  SERVER(rst().ack(1)), STATE_TRANS, transitory),
      from_client("ESTABLISHED becomes TRANS on an RST from IPv6", STATE_ESTABLISHED, CLIENT(rst()),
                  STATE_TRANS, transitory),
      from_client("V4 FIN RCV ends on a FIN from IPv6", STATE_V4_FIN_RCV, CLIENT(fin().ack(1)),
                  STATE_V4_FIN_V6_FIN_RCV, transitory),
      from_client("V4 FIN RCV stays on data from IPv6", STATE_V4_FIN_RCV, CLIENT(psh().ack(1)),
                  STATE_V4_FIN_RCV, established),
      from_server("V4 FIN RCV stays on its FIN again", STATE_V4_FIN_RCV, SERVER(fin().ack(1)),
                  STATE_V4_FIN_RCV, established),
      from_server("V6 FIN RCV ends on a FIN from IPv4", STATE_V6_FIN_RCV, SERVER(fin().ack(1)),
                  STATE_V4_FIN_V6_FIN_RCV, transitory),
      from_server("V6 FIN RCV stays on data from IPv4", STATE_V6_FIN_RCV, SERVER(psh().ack(1)),
                  STATE_V6_FIN_RCV, established),
      from_client("V6 FIN RCV stays on its FIN again", STATE_V6_FIN_RCV, CLIENT(fin().ack(1)),
                  STATE_V6_FIN_RCV, established),
      from_client("V4 FIN V6 FIN RCV runs out under data from IPv6", STATE_V4_FIN_V6_FIN_RCV,
                  CLIENT(ack(1)), STATE_V4_FIN_V6_FIN_RCV, unchanged),
      from_server("V4 FIN V6 FIN RCV runs out under data from IPv4", STATE_V4_FIN_V6_FIN_RCV,
                  SERVER(ack(1)), STATE_V4_FIN_V6_FIN_RCV, unchanged),
      from_client("V4 FIN V6 FIN RCV runs out under an RST", STATE_V4_FIN_V6_FIN_RCV, CLIENT(rst()),
                  STATE_V4_FIN_V6_FIN_RCV, unchanged),
      from_server("TRANS goes on with another RST and its timer runs", STATE_TRANS, SERVER(rst()),
                  STATE_TRANS, unchanged),
      from_server("TRANS becomes ESTABLISHED on data from IPv4", STATE_TRANS, SERVER(ack(1)),
                  STATE_ESTABLISHED, established),
      from_client("TRANS becomes ESTABLISHED on data from IPv6", STATE_TRANS, CLIENT(ack(1)),
                  STATE_ESTABLISHED, established),
  };
}

// A life from SYN to the last ACK, and one that a reset ends.
std::vector<Vector> life_vectors() {
  SessionState session_p = session(TCP, {client6, 1234}, {pool4, port("p")}, {server4, 80});
  auto client = [](const Tcp &segment) { return ip6(client6, server6) / segment; };
  auto client_out = [](const Tcp &segment) { return ip4(pool4, server4).any_id() / segment; };
  auto server = [](const Tcp &segment) { return ip4(server4, pool4) / segment; };
  auto server_out = [](const Tcp &segment) { return ip6(server6, client6) / segment; };
  return {
      Vector{
          .name = "a connection from SYN to the last ACK",
          .rfc = "RFC 6146 3.5.2",
          .in = client(tcp(1234, 80).seq(100).syn().mss(1440)),
          .expect = FORWARD,
          .out = client_out(tcp(port("p"), 80).seq(100).syn().mss(1440)),
          .counts = a_new_flow,
          .leaves = {session_p.state(dp::STATE_V6_INIT).expires_in(transitory),
                     binding(TCP, {client6, 1234}, {pool4, port("p")}).sessions(1)},
          .then =
              {{.after = 1, // the SYN again
                .in = client(tcp(1234, 80).seq(100).syn().mss(1440)),
                .expect = FORWARD,
                .out = client_out(tcp(port("p"), 80).seq(100).syn().mss(1440)),
                .leaves = {session_p.state(dp::STATE_V6_INIT).expires_in(transitory)}},
               {.after = 1,
                .in = server(tcp(80, port("p")).seq(900).ack(101).syn().mss(1460)),
                .expect = FORWARD,
                .out = server_out(tcp(80, 1234).seq(900).ack(101).syn().mss(1460)),
                .leaves = {session_p.state(dp::STATE_ESTABLISHED).expires_in(established)}},
               {.after = 1,
                .in = client(tcp(1234, 80).seq(101).ack(901)),
                .expect = FORWARD,
                .out = client_out(tcp(port("p"), 80).seq(101).ack(901)),
                .leaves = {session_p.state(dp::STATE_ESTABLISHED).expires_in(established)}},
               {.after = 1,
                .in = client(tcp(1234, 80).seq(101).ack(901).fin()),
                .expect = FORWARD,
                .out = client_out(tcp(port("p"), 80).seq(101).ack(901).fin()),
                .leaves = {session_p.state(dp::STATE_V6_FIN_RCV).expires_in(established - 1)}},
               {.after = 1,
                .in = server(tcp(80, port("p")).seq(901).ack(102).fin()),
                .expect = FORWARD,
                .out = server_out(tcp(80, 1234).seq(901).ack(102).fin()),
                .leaves = {session_p.state(dp::STATE_V4_FIN_V6_FIN_RCV).expires_in(transitory)}},
               {.after = 1,
                .in = client(tcp(1234, 80).seq(102).ack(902)),
                .expect = FORWARD,
                .out = client_out(tcp(port("p"), 80).seq(102).ack(902)),
                .leaves = {session_p.state(dp::STATE_V4_FIN_V6_FIN_RCV)
                               .expires_in(transitory - 1)
                               .packets(7)}}},
      },
      Vector{
          .name = "a forged reset only shortens the timer and data brings the session back",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.sessions = {flow()}},
          .in = server(inbound().seq(12345).rst()),
          .expect = FORWARD,
          .out = server_out(inbound_translated().seq(12345).rst()),
          .leaves = {flow().state(dp::STATE_TRANS).expires_in(transitory)},
          .then = {{.after = 3,
                    .in = client(outbound().seq(5).ack(6)),
                    .expect = FORWARD,
                    .out = client_out(outbound_translated().seq(5).ack(6)),
                    .leaves = {flow().state(dp::STATE_ESTABLISHED).expires_in(established)}}},
      },
      Vector{
          .name = "a SYN from IPv4 to a bound port opens a session of its own",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.sessions = {flow()}},
          .in = ip4(server4b, pool4) / tcp(5555, 40001).syn(),
          .expect = FORWARD,
          .out = ip6(pref64(server4b), client6) / tcp(5555, 1234).syn(),
          .counts = a_new_session,
          .leaves = {session(TCP, {client6, 1234}, {pool4, 40001}, {server4b, 5555})
                         .state(dp::STATE_V4_INIT)
                         .expires_in(transitory),
                     binding(TCP, {client6, 1234}, {pool4, 40001}).sessions(2)},
          .then = {{.after = 1,
                    .in = ip6(client6, pref64(server4b)) / tcp(1234, 5555).syn().ack(1),
                    .expect = FORWARD,
                    .out = ip4(pool4, server4b).any_id() / tcp(40001, 5555).syn().ack(1),
                    .leaves = {session(TCP, {client6, 1234}, {pool4, 40001}, {server4b, 5555})
                                   .state(dp::STATE_ESTABLISHED)
                                   .expires_in(established)}}},
      },
  };
}

// Segments that meet no session.
std::vector<Vector> closed_vectors() {
  return {
      Vector{
          .name = "an ACK from IPv6 without a binding opens nothing",
          .rfc = "RFC 6146 3.5.2.2",
          .in = ip6(client6, server6) / tcp(1234, 80).ack(1),
          .expect = drop(dp::REASON_tcp_not_syn),
          .leaves = {no_binding(TCP, {client6, 1234})},
      },
      Vector{
          .name = "an RST from IPv6 without a binding opens nothing",
          .rfc = "RFC 6146 3.5.2.2",
          .in = ip6(client6, server6) / tcp(1234, 80).rst(),
          .expect = drop(dp::REASON_tcp_not_syn),
          .leaves = {no_binding(TCP, {client6, 1234})},
      },
      Vector{
          .name = "a SYN with RST opens nothing",
          .rfc = "RFC 6146 3.5.2.2",
          .in = ip6(client6, server6) / tcp(1234, 80).syn().rst(),
          .expect = drop(dp::REASON_tcp_not_syn),
          .leaves = {no_binding(TCP, {client6, 1234})},
      },
      Vector{
          .name = "a stray segment from IPv6 with a binding goes on and changes nothing",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, pref64(server4b)) / tcp(1234, 80).ack(1),
          .expect = FORWARD,
          .out = ip4(pool4, server4b).any_id() / tcp(40001, 80).ack(1),
          .leaves = {no_session(TCP, {pool4, 40001}, {server4b, 80}),
                     binding(TCP, {client6, 1234}, {pool4, 40001}).sessions(1)},
      },
      Vector{
          .name = "a stray segment from IPv4 with a binding goes on and changes nothing",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.sessions = {flow()}},
          .in = ip4(server4b, pool4) / tcp(80, 40001).ack(1),
          .expect = FORWARD,
          .out = ip6(pref64(server4b), client6) / tcp(80, 1234).ack(1),
          .leaves = {no_session(TCP, {pool4, 40001}, {server4b, 80})},
      },
      Vector{
          .name = "a SYN from IPv4 to a port nobody has",
          .rfc = "RFC 6146 3.5.2.2",
          .in = ip4(server4, pool4) / tcp(80, 40001).syn(),
          .expect = drop(dp::REASON_syn_held),
          .bpf = punt(dp::REASON_punt_syn),
      },
      Vector{
          .name = "an ACK from IPv4 to a port nobody has",
          .rfc = "RFC 6146 3.5.2.2",
          .in = ip4(server4, pool4) / tcp(80, 40001).ack(1),
          .expect = drop(dp::REASON_no_binding),
      },
  };
}

// What lies in a segment.
std::vector<Vector> segment_vectors() {
  auto rich = [](Tcp segment) {
    return segment.seq(0xfffffff0).ack(0x80000001).psh().urgent(7).window(17).option({1, 1, 8, 10,
                                                                                      1, 2, 3, 4,
                                                                                      5, 6, 7, 8,
                                                                                      1, 1, 5, 10,
                                                                                      0, 0, 0, 1,
                                                                                      0, 0, 0, 9});
  };
  return {
      Vector{
          .name = "sequence numbers flags window and options go to IPv4 as they are",
          .rfc = "RFC 7915 5",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / rich(outbound()) / payload(33),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / rich(outbound_translated()) / payload(33),
      },
      Vector{
          .name = "sequence numbers flags window and options go to IPv6 as they are",
          .rfc = "RFC 7915 4",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / rich(inbound()) / payload(33),
          .expect = FORWARD,
          .out = ip6(server6, client6) / rich(inbound_translated()) / payload(33),
      },
      Vector{
          .name = "forty bytes of TCP options",
          .rfc = "RFC 9293 3.1",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / outbound().ack(1).option(Bytes(40, 1)),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / outbound_translated().ack(1).option(Bytes(40, 1)),
      },
      Vector{
          .name = "a wrong TCP checksum from IPv6 stays wrong",
          .rfc = "RFC 7915 1.2",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / outbound().ack(1).bad_checksum() / payload(9),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / outbound_translated().ack(1).bad_checksum() /
                 payload(9),
      },
      Vector{
          .name = "a wrong TCP checksum from IPv4 stays wrong",
          .rfc = "RFC 7915 1.2",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4) / inbound().ack(1).bad_checksum() / payload(9),
          .expect = FORWARD,
          .out = ip6(server6, client6) / inbound_translated().ack(1).bad_checksum() / payload(9),
      },
      Vector{
          .name = "a super packet of TCP stays whole",
          .rfc = "",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / outbound().ack(1) / payload(60000),
          .expect = FORWARD,
          .out = ip4(pool4, server4).df() / outbound_translated().ack(1) / payload(60000),
          .leaves = {flow().packets(42).bytes(60060)},
          .segments = 42,
          .segment_size = 1440,
      },
      Vector{
          .name = "a super packet of segments of 1260 bytes goes with DF clear",
          .rfc = "RFC 7915 5",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / outbound().ack(1) / payload(12000),
          .expect = FORWARD,
          .out = ip4(pool4, server4).any_id() / outbound_translated().ack(1) / payload(12000),
          .segments = 10,
          .segment_size = 1220,
      },
      Vector{
          .name = "a super packet of segments of 1261 bytes goes with DF set",
          .rfc = "RFC 7915 5",
          .given = {.sessions = {flow()}},
          .in = ip6(client6, server6) / outbound().ack(1) / payload(12000),
          .expect = FORWARD,
          .out = ip4(pool4, server4).df() / outbound_translated().ack(1) / payload(12000),
          .segments = 10,
          .segment_size = 1221,
      },
      Vector{
          .name = "a super packet of TCP from IPv4 stays whole",
          .rfc = "",
          .given = {.sessions = {flow()}},
          .in = ip4(server4, pool4).df() / inbound().ack(1) / payload(60000),
          .expect = FORWARD,
          .out = ip6(server6, client6) / inbound_translated().ack(1) / payload(60000),
          .leaves = {flow().packets(42).bytes(60060)},
          .segments = 42,
          .segment_size = 1440,
      },
  };
}

} // namespace

std::vector<Vector> tcp_vectors() {
  std::vector<Vector> all;
  for (auto some : {state_vectors, life_vectors, closed_vectors, segment_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
