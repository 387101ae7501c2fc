// SPDX-License-Identifier: MIT
//
// What rtnetlink's messages say: from the kernel's bytes to the values of netlink.h, every length
// checked. nullopt: another kind of message, or one that lacks what the value is made of.
#pragma once

#include "nvi/netlink.h"

#include <libmnl/libmnl.h>
#include <optional>
#include <string>

namespace viaduct::nvi {

// The fixed part of a message; nullptr: it is shorter than that.
template <typename Body> const Body *body_of(const nlmsghdr *message) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(Body))
    return nullptr;
  return static_cast<const Body *>(mnl_nlmsg_get_payload(message));
}

std::optional<Link> parse_link(const nlmsghdr *message);
std::optional<Address> parse_address(const nlmsghdr *message);
// Cached routes of sockets are no routes in a list; the answer to a look-up is marked like them.
std::optional<Route> parse_route(const nlmsghdr *message, bool cloned = false);
std::optional<ProxyNeighbour> parse_proxy(const nlmsghdr *message);
std::optional<Filter> parse_filter(const nlmsghdr *message);

// The kernel's sentence behind an error number, if it sent one.
std::string extended_ack(const nlmsghdr *message, const nlmsgerr *failure);

unsigned char family_of(const IpAddress &address);
void put_address(nlmsghdr *request, uint16_t type, const IpAddress &address);

} // namespace viaduct::nvi
