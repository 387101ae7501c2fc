// SPDX-License-Identifier: MIT
//
// rst_check = "window": resets and ICMP errors that somebody off the path has guessed change
// nothing, genuine ones do what RFC 6146 says.
#include "vectors.h"

namespace viaduct::test {

namespace {

const Ipv6 server6 = pref64(server4);

constexpr uint32_t established = 7200, transitory = 240;
constexpr uint32_t SIX = 1'000'000, FOUR = 0xffffff00; // what the sides send next
constexpr uint32_t WINDOW = 65535;

const Counts ignored{{dp::REASON_reset_ignored, 1}};

SessionState flow() {
  return session(TCP, {client6, 1234}, {pool4, 40001}, {server4, 80}).sequences(SIX, FOUR);
}

Packet client(const Tcp &segment) {
  return ip6(client6, server6) / segment;
}
Packet client_out(const Tcp &segment) {
  return ip4(pool4, server4).any_id() / segment;
}
Packet server(const Tcp &segment) {
  return ip4(server4, pool4) / segment;
}
Packet server_out(const Tcp &segment) {
  return ip6(server6, client6) / segment;
}

Vector from_server(std::string name, uint32_t sequence, bool genuine) {
  return {.name = std::move(name),
          .rfc = "RFC 5961 3, RFC 6146 3.5.2.2",
          .given = {.sessions = {flow().expires_in(5000)}},
          .in = server(tcp(80, 40001).seq(sequence).rst()),
          .expect = FORWARD,
          .out = server_out(tcp(80, 1234).seq(sequence).rst()),
          .counts = genuine ? Counts{} : ignored,
          .leaves = {genuine ? flow().state(dp::STATE_TRANS).expires_in(transitory)
                             : flow().state(dp::STATE_ESTABLISHED).expires_in(5000)}};
}

Vector from_client(std::string name, uint32_t sequence, bool genuine) {
  return {.name = std::move(name),
          .rfc = "RFC 5961 3, RFC 6146 3.5.2.2",
          .given = {.sessions = {flow().expires_in(5000)}},
          .in = client(tcp(1234, 80).seq(sequence).rst()),
          .expect = FORWARD,
          .out = client_out(tcp(40001, 80).seq(sequence).rst()),
          .counts = genuine ? Counts{} : ignored,
          .leaves = {genuine ? flow().state(dp::STATE_TRANS).expires_in(transitory)
                             : flow().state(dp::STATE_ESTABLISHED).expires_in(5000)}};
}

std::vector<Vector> shortening_vectors() {
  return {
      from_server("a reset from IPv4 with the next number is genuine", FOUR, true),
      from_server("a reset from IPv4 a window behind is genuine", FOUR - WINDOW, true),
      from_server("a reset from IPv4 a window ahead is genuine", FOUR + WINDOW, true),
      from_server("a reset from IPv4 more than a window behind is ignored", FOUR - WINDOW - 1,
                  false),
      from_server("a reset from IPv4 more than a window ahead is ignored", FOUR + WINDOW + 1,
                  false),
      from_server("a reset from IPv4 with a guessed number is ignored", 0x12345678, false),
      from_client("a reset from IPv6 with the next number is genuine", SIX, true),
      from_client("a reset from IPv6 with a guessed number is ignored", 0x12345678, false),
      Vector{
          .name = "with rst check off any reset shortens the timer",
          .rfc = "RFC 6146 3.5.2.2",
          .given = {.policy = {without_rst_check()}, .sessions = {flow()}},
          .in = server(tcp(80, 40001).seq(0x12345678).rst()),
          .expect = FORWARD,
          .out = server_out(tcp(80, 1234).seq(0x12345678).rst()),
          .leaves = {flow().state(dp::STATE_TRANS).expires_in(transitory)},
      },
      Vector{
          .name = "an outbound reset after a FIN leaves the short timer",
          .rfc = "RFC 7857 2.2, 7.1",
          .given = {.sessions = {flow().state(dp::STATE_V4_FIN_RCV).expires_in(5000)}},
          .in = client(tcp(1234, 80).seq(SIX).rst()),
          .expect = FORWARD,
          .out = client_out(tcp(40001, 80).seq(SIX).rst()),
          .leaves = {flow().state(dp::STATE_V4_FIN_RCV).expires_in(transitory)},
      },
      Vector{
          .name = "an inbound reset after a FIN leaves the short timer",
          .rfc = "RFC 7857 2.2",
          .given = {.sessions = {flow().state(dp::STATE_V6_FIN_RCV).expires_in(5000)}},
          .in = server(tcp(80, 40001).seq(FOUR).rst()),
          .expect = FORWARD,
          .out = server_out(tcp(80, 1234).seq(FOUR).rst()),
          .leaves = {flow().state(dp::STATE_V6_FIN_RCV).expires_in(transitory)},
      },
      Vector{
          .name = "a new connection with the ports of one that has ended",
          .rfc = "RFC 6146 3.5.2.2, RFC 6191",
          .given = {.sessions = {flow().state(dp::STATE_V4_FIN_V6_FIN_RCV).expires_in(9)}},
          .in = client(tcp(1234, 80).seq(5).syn()),
          .expect = FORWARD,
          .out = client_out(tcp(40001, 80).seq(5).syn()),
          .leaves = {flow().state(dp::STATE_V6_INIT).expires_in(transitory).sequences(6, 0)},
          .then = {{.in = server(tcp(80, 40001).seq(70).ack(6).syn()),
                    .expect = FORWARD,
                    .out = server_out(tcp(80, 1234).seq(70).ack(6).syn()),
                    .leaves = {flow()
                                   .state(dp::STATE_ESTABLISHED)
                                   .expires_in(established)
                                   .sequences(6, 71)}}},
      },
      Vector{
          .name = "a new connection from IPv4 with the ports of one that has ended",
          .rfc = "RFC 6146 3.5.2.2, RFC 6191",
          .given = {.sessions = {flow().state(dp::STATE_V4_FIN_V6_FIN_RCV).expires_in(9)}},
          .in = server(tcp(80, 40001).seq(5).syn()),
          .expect = FORWARD,
          .out = server_out(tcp(80, 1234).seq(5).syn()),
          .leaves = {flow().state(dp::STATE_V4_INIT).expires_in(transitory).sequences(0, 6)},
      },
  };
}

// How the numbers are followed.
std::vector<Vector> follow_vectors() {
  return {
      Vector{
          .name = "a handshake teaches both sequence numbers",
          .rfc = "RFC 9293 3.4",
          .in = client(tcp(1234, 80).seq(100).syn()),
          .expect = FORWARD,
          .out = client_out(tcp(port("p"), 80).seq(100).syn()),
          .counts = a_new_flow,
          .then = {{.in = server(tcp(80, port("p")).seq(900).ack(101).syn()),
                    .expect = FORWARD,
                    .out = server_out(tcp(80, 1234).seq(900).ack(101).syn())},
                   {.in = client(tcp(1234, 80).seq(101).ack(901)) / payload(50),
                    .expect = FORWARD,
                    .out = client_out(tcp(port("p"), 80).seq(101).ack(901)) / payload(50),
                    .leaves = {session(TCP, {client6, 1234}, {pool4, port("p")}, {server4, 80})
                                   .sequences(151, 901)}},
                   {.in = client(tcp(1234, 80).seq(0x40000000).rst()),
                    .expect = FORWARD,
                    .out = client_out(tcp(port("p"), 80).seq(0x40000000).rst()),
                    .counts = ignored}},
      },
      Vector{
          .name = "a segment carries its side's number on over zero",
          .rfc = "RFC 9293 3.4",
          .given = {.sessions = {flow()}},
          .in = server(tcp(80, 40001).seq(FOUR).ack(SIX)) / payload(1000),
          .expect = FORWARD,
          .out = server_out(tcp(80, 1234).seq(FOUR).ack(SIX)) / payload(1000),
          .leaves = {flow().sequences(SIX, FOUR + 1000)},
      },
      Vector{
          .name = "a segment sent again carries nothing back",
          .rfc = "RFC 9293 3.4",
          .given = {.sessions = {flow()}},
          .in = server(tcp(80, 40001).seq(FOUR - 5000).ack(SIX - 9)) / payload(1000),
          .expect = FORWARD,
          .out = server_out(tcp(80, 1234).seq(FOUR - 5000).ack(SIX - 9)) / payload(1000),
          .leaves = {flow().sequences(SIX, FOUR)},
      },
      Vector{
          .name = "a forged segment far away carries nothing with it",
          .rfc = "RFC 5961 5",
          .given = {.sessions = {flow()}},
          .in = server(tcp(80, 40001).seq(0x12345678).ack(0x55555555)) / payload(10),
          .expect = FORWARD,
          .out = server_out(tcp(80, 1234).seq(0x12345678).ack(0x55555555)) / payload(10),
          .leaves = {flow().sequences(SIX, FOUR)},
          .then = {{.in = server(tcp(80, 40001).seq(0x12345678 + 10).rst()),
                    .expect = FORWARD,
                    .out = server_out(tcp(80, 1234).seq(0x12345678 + 10).rst()),
                    .counts = ignored}},
      },
      Vector{
          .name = "what the other side acknowledges closes a gap of lost segments",
          .rfc = "RFC 9293 3.4",
          .given = {.sessions = {flow()}},
          .in = client(tcp(1234, 80).seq(SIX + 500'000).ack(FOUR)) / payload(100),
          .expect = FORWARD,
          .out = client_out(tcp(40001, 80).seq(SIX + 500'000).ack(FOUR)) / payload(100),
          .leaves = {flow().sequences(SIX, FOUR)},
          .then = {{.in = server(tcp(80, 40001).seq(FOUR).ack(SIX + 500'100)),
                    .expect = FORWARD,
                    .out = server_out(tcp(80, 1234).seq(FOUR).ack(SIX + 500'100)),
                    .leaves = {flow().sequences(SIX + 500'100, FOUR)}}},
      },
      Vector{
          .name = "a SYN in the middle of a connection carries nothing with it",
          .rfc = "RFC 5961 4",
          .given = {.sessions = {flow()}},
          .in = server(tcp(80, 40001).seq(0x12345678).syn()),
          .expect = FORWARD,
          .out = server_out(tcp(80, 1234).seq(0x12345678).syn()),
          .leaves = {flow().sequences(SIX, FOUR)},
      },
  };
}

Packet router_says(const Icmp &message, uint32_t sequence) {
  return ip4(router4, pool4) / message / ip4(pool4, server4) / tcp(40001, 80).seq(sequence);
}

// Errors about segments.
std::vector<Vector> error_vectors() {
  constexpr uint32_t FARTHEST = 8U << 20;
  auto genuine = [](std::string name, uint32_t sequence) {
    return Vector{.name = std::move(name),
                  .rfc = "RFC 5927 4.1",
                  .given = {.sessions = {flow().expires_in(50)}},
                  .in = router_says(icmp4_time_exceeded(), sequence),
                  .expect = {dp::VERDICT_FORWARD, dp::REASON_translated_error_4to6},
                  .out = ip6(pref64(router4), client6) / icmp6_time_exceeded() /
                         ip6(client6, server6) / tcp(1234, 80).seq(sequence),
                  .bpf = punt(dp::REASON_punt_icmp_error),
                  .leaves = {flow().state(dp::STATE_ESTABLISHED).expires_in(50)}};
  };
  auto forged = [](std::string name, uint32_t sequence) {
    return Vector{.name = std::move(name),
                  .rfc = "RFC 5927 4.1",
                  .given = {.sessions = {flow().expires_in(50)}},
                  .in = router_says(icmp4_frag_needed(1300), sequence),
                  .expect = drop(dp::REASON_error_out_of_window),
                  .bpf = punt(dp::REASON_punt_icmp_error),
                  .leaves = {flow().state(dp::STATE_ESTABLISHED).expires_in(50)}};
  };
  return {
      genuine("an error about the newest segment", SIX - 1),
      genuine("an error about a segment that is long under way", SIX - FARTHEST),
      forged("an error about a segment older than what can be under way", SIX - FARTHEST - 1),
      forged("an error about a segment that was never sent", SIX + 1),
      forged("an error with a guessed sequence number", 0xabcdef01),
      Vector{
          .name = "an error from IPv6 with a guessed sequence number",
          .rfc = "RFC 5927 4.1",
          .given = {.sessions = {flow()}},
          .in = ip6(router6, server6) / icmp6_too_big(1400) / ip6(server6, client6) /
                tcp(80, 1234).seq(0x12345678),
          .expect = drop(dp::REASON_error_out_of_window),
          .bpf = punt(dp::REASON_punt_icmp_error),
      },
      Vector{
          .name = "with rst check off an error with any sequence number is translated",
          .rfc = "RFC 6146 3.5",
          .given = {.policy = {without_rst_check()}, .sessions = {flow()}},
          .in = router_says(icmp4_time_exceeded(), 0xabcdef01),
          .expect = {dp::VERDICT_FORWARD, dp::REASON_translated_error_4to6},
          .out = ip6(pref64(router4), client6) / icmp6_time_exceeded() / ip6(client6, server6) /
                 tcp(1234, 80).seq(0xabcdef01),
          .bpf = punt(dp::REASON_punt_icmp_error),
      },
  };
}

} // namespace

std::vector<Vector> reset_vectors() {
  std::vector<Vector> all;
  for (auto some : {shortening_vectors, follow_vectors, error_vectors}) {
    std::vector<Vector> vectors = some();
    all.insert(all.end(), vectors.begin(), vectors.end());
  }
  return all;
}

} // namespace viaduct::test
