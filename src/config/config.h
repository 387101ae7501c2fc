// SPDX-License-Identifier: MIT
//
// The configuration: text to struct Config, checked as a whole, without side effects.
// Names and defaults are those of viaduct.toml; every key's meaning stands at its field.
#pragma once

#include "base/address.h"
#include "base/result.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace viaduct::config {

enum class Engine { automatic, tun, bpf };
enum class DirectMode { automatic, tc, xdp, xdp_generic };
enum class Synthesize { missing, always };
enum class Filtering { endpoint, address };
enum class RstCheck { window, off };
enum class ZeroChecksum { calculate, drop };

struct Nvi {
  std::string name = "nvi0";
  Engine engine = Engine::automatic;
  std::vector<std::string> direct; // ports that translate and send by themselves; no name twice
  DirectMode direct_mode = DirectMode::automatic;
  uint16_t spin_us = 0;   // how long at most an empty queue is asked again, in microseconds
  bool gather_udp = true; // datagrams of one flow leave as one super-packet, where the kernel can
  bool operator==(const Nvi &) const = default;
};

// One address of pool4. Ports: both ends belong to the range, host order.
struct PoolAddress {
  Ipv4 address;
  uint16_t port_low = 1024;
  uint16_t port_high = 65535;
  bool drain = false; // what is bound stays, nothing new is
  auto operator<=>(const PoolAddress &) const = default;
};

struct Timeouts {
  std::chrono::seconds udp{300};              // RFC 6146 section 4, UDP_DEFAULT
  std::chrono::seconds tcp_established{7200}; // TCP_EST
  std::chrono::seconds tcp_transitory{240};   // TCP_TRANS
  std::chrono::seconds icmp{60};              // ICMP_DEFAULT
  std::chrono::seconds tcp_incoming_syn{6};   // TCP_INCOMING_SYN
  std::chrono::seconds fragment{2};           // FRAGMENT_MIN
  bool operator==(const Timeouts &) const = default;
};

struct Nat64 {
  std::vector<Prefix6> prefixes;  // at least one; RFC 6052 lengths; none overlaps another
  std::vector<PoolAddress> pool4; // at least one; sorted by address; no address twice
  // What IPv6 routers appear as in ICMP errors about mapped hosts (RFC 6791); empty: as pool4.
  std::vector<Ipv4> router_pool4; // sorted; no address twice; none in a map
  Filtering filtering = Filtering::endpoint;
  std::optional<std::vector<Prefix6>> allow; // not given: the directly connected prefixes
  bool allow_private_ipv4 = false;
  bool copy_traffic_class = true; // to the type of service, and back; else zero
  ZeroChecksum map_udp_zero_checksum = ZeroChecksum::calculate;
  uint32_t icmp_error_rate = 100; // a second and worker; 0: none
  RstCheck rst_check = RstCheck::window;
  bool inbound_refresh = true;
  bool mss_clamp = true;           // SYNs announce no more than the gateway's links carry
  uint16_t lowest_ipv6_mtu = 1280; // RFC 7915 4
  bool accounting = true;
  Timeouts timeouts;
  std::chrono::seconds port_rest{120}; // RFC 6888 REQ-8; 0: none
  uint8_t subscriber_prefix = 64;
  uint32_t max_sessions_per_subscriber = 4096;
  uint32_t max_bindings_per_subscriber = 4096;
  uint32_t max_sessions = 1000000;
  bool operator==(const Nat64 &) const = default;
};

// [[static]] map (RFC 7757): the bits behind `outside` stand behind `inside`, zeros behind them.
struct Map {
  Prefix6 inside;
  Prefix4 outside; // with no more bits behind it than `inside` has
  bool operator==(const Map &) const = default;
};

// [[static]] protocol, outside, inside: a binding that is always there (RFC 6146 3.1).
struct StaticBinding {
  uint8_t protocol = 0; // 6: TCP, 17: UDP
  Ipv4 outside;         // an address of pool4, whatever its range of ports
  uint16_t outside_port = 0;
  Ipv6 inside;
  uint16_t inside_port = 0;
  bool operator==(const StaticBinding &) const = default;
};

struct Dns64 {
  std::vector<std::string>
      listen; // addresses, as given and checked: "::", "2001:db8::1", "192.0.2.1"
  std::optional<std::vector<Prefix6>> allow; // not given: what [nat64] allows
  std::vector<std::string> upstream;         // addresses; empty: resolve from the roots
  Synthesize synthesize = Synthesize::missing;
  bool operator==(const Dns64 &) const = default;
};

struct Listen {
  std::string address; // as canonical text, "127.0.0.1" or "::1"
  uint16_t port = 0;   // never 0
  std::string text() const;
  bool operator==(const Listen &) const = default;
};

struct Control {
  std::string socket = "/run/viaduct/control.sock";
  std::optional<Listen> metrics; // not given: nobody can ask over HTTP
  bool operator==(const Control &) const = default;
};

struct Config {
  Nvi nvi;
  Nat64 nat64;
  std::vector<Map> maps; // no prefix twice on either side; no pool address or prefix in one
  std::vector<StaticBinding> bindings; // no end twice in a protocol
  std::optional<Dns64> dns64;          // absent: no resolver is started
  Control control;
  bool operator==(const Config &) const = default;
};

// Where and what is wrong: `text()` is "FILE:LINE:COLUMN: found ..., expected ...".
struct Problem {
  std::string file;
  unsigned line = 0; // 1-based; 0 where the file as a whole is meant
  unsigned column = 0;
  std::string message;
  std::string text() const;
};

struct Outcome {
  std::optional<Config> config;  // only when there is no problem
  std::vector<Problem> problems; // all of them, not just the first, in file order
};

// `file` is only for messages.
Outcome parse(std::string_view text, const std::string &file);
Outcome load(const std::string &path);

// The checked configuration with every default filled in, as TOML that parses to the same Config.
std::string canonical(const Config &config);

} // namespace viaduct::config
