// SPDX-License-Identifier: MIT
//
// The resolver's settings and the text of unbound's configuration that follows from them.
// Pure: no file, no process. Nothing is copied from the settings as text: addresses and prefixes
// are parsed and written anew, a path may have only harmless characters, so nothing that stands in
// viaduct.toml can become a directive of unbound.
#pragma once

#include "base/address.h"
#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace viaduct::dns64 {

struct Settings {
  std::vector<std::string> listen;   // addresses; "::" and "0.0.0.0" are wildcards
  std::vector<Prefix6> allow;        // who may ask, besides the gateway itself
  std::vector<std::string> upstream; // "ADDRESS" or "ADDRESS@PORT"; empty: resolve from the roots
  bool synthesize_always = false;    // also for names that have IPv6 addresses
  Prefix6 prefix;                    // the NAT64 prefix, of an RFC 6052 length
  std::string directory;             // absolute; made at start, removed at stop
  std::string program = "/usr/sbin/unbound";
  uint16_t port = 53;
  std::string trust_anchor = "/usr/share/dns/root.key"; // used when resolving from the roots
  std::string root_hints = "/usr/share/dns/root.hints"; // empty: those compiled into unbound
  bool operator==(const Settings &) const = default;
};

// The name of the health check (RFC 7050 section 2.2, RFC 8880): unbound answers its A records from
// its own zone, so the AAAA records tell whether synthesis works, with or without a network.
constexpr std::string_view HEALTH_NAME = "ipv4only.arpa";

// Where the zone and the configuration lie for unbound: descriptors that it inherits. Debian's
// AppArmor profile lets unbound read no file of ours; what it inherits without a path it may read.
constexpr int CONFIG_DESCRIPTOR = 3;
constexpr int ZONE_DESCRIPTOR = 4;

// The whole configuration, or what is wrong with the settings.
Result<std::string> unbound_config(const Settings &settings);

// The zone of HEALTH_NAME with its two addresses.
std::string ipv4only_zone();

// The address to ask for the health check: the first of `listen`, loopback for a wildcard.
// REQUIRES: settings that unbound_config() accepts.
std::string health_address(const Settings &settings);

} // namespace viaduct::dns64
