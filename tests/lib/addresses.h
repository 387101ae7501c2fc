// SPDX-License-Identifier: MIT
//
// The cast of every packet test: addresses from documentation ranges, named by their role.
#pragma once

#include "base/address.h"

#include <cstdint>
#include <string_view>

namespace viaduct::test {

// For constants in tests; aborts on text that is no address.
Ipv6 address6(std::string_view text);
Ipv4 address4(std::string_view text);
Prefix6 prefix6(std::string_view text);

inline const Prefix6 well_known_prefix = prefix6("64:ff9b::/96"); // RFC 6052 2.1

// Subscriber one is 2001:db8:64::/64, subscriber two 2001:db8:65::/64.
inline const Ipv6 client6 = address6("2001:db8:64::10");
inline const Ipv6 client6b = address6("2001:db8:64::11");   // another host of subscriber one
inline const Ipv6 neighbour6 = address6("2001:db8:65::10"); // a host of subscriber two
inline const Ipv6 stranger6 = address6("2001:db8:bad::10"); // not allowed to use the gateway
inline const Ipv6 router6 = address6("2001:db8:64::1");
inline const Ipv6 elsewhere6 = address6("2001:db8:feed::1"); // in no prefix of ours

inline const Ipv4 server4 = address4("198.51.100.80");
inline const Ipv4 server4b = address4("198.51.100.81");
inline const Ipv4 router4 = address4("198.51.100.1");
inline const Ipv4 pool4 = address4("203.0.113.10");
inline const Ipv4 pool4b = address4("203.0.113.11");
inline const Ipv4 elsewhere4 = address4("192.0.2.99"); // not in the pool

// The IPv4 host as IPv6 hosts see it, under the well-known prefix.
Ipv6 pref64(const Ipv4 &address);

} // namespace viaduct::test
