// SPDX-License-Identifier: MIT
#include "nvi/netlink_messages.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace viaduct::nvi {
namespace {

// The attributes of one level by number; those above `N` are skipped.
template <size_t N> class Attributes {
public:
  Attributes(const nlmsghdr *message, size_t offset) {
    const size_t start = MNL_ALIGN(offset), size = mnl_nlmsg_get_payload_len(message);
    if (start < size)
      walk(mnl_nlmsg_get_payload_offset(message, start), size - start);
  }
  explicit Attributes(const nlattr *nest) {
    walk(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest));
  }
  const nlattr *operator[](size_t number) const { return at_[number]; }
  uint32_t u32(size_t number) const { return number_of<uint32_t>(number); }
  uint8_t u8(size_t number) const { return number_of<uint8_t>(number); }
  std::string string(size_t number) const {
    const nlattr *attribute = number < N ? at_[number] : nullptr;
    if (attribute == nullptr)
      return {};
    const char *start = static_cast<const char *>(mnl_attr_get_payload(attribute));
    return {start, strnlen(start, mnl_attr_get_payload_len(attribute))};
  }

private:
  // libmnl's own loops are macros that are not C++.
  void walk(const void *start, size_t size) {
    const auto *attribute = static_cast<const nlattr *>(start);
    auto left = static_cast<int>(size);
    while (mnl_attr_ok(attribute, left)) {
      const uint16_t type = mnl_attr_get_type(attribute);
      if (type < N)
        at_[type] = attribute;
      left -= MNL_ALIGN(attribute->nla_len);
      attribute = mnl_attr_next(attribute);
    }
  }
  template <typename Number> Number number_of(size_t number) const {
    Number value = 0;
    if (at_[number] != nullptr && mnl_attr_get_payload_len(at_[number]) >= sizeof(value))
      std::memcpy(&value, mnl_attr_get_payload(at_[number]), sizeof(value));
    return value;
  }
  std::array<const nlattr *, N> at_{};
};

// Clears the bits behind `length`; a length the family does not have becomes the whole address.
template <size_t N> void mask(std::array<uint8_t, N> &bytes, unsigned length) {
  for (unsigned bit = length; bit < N * 8; ++bit)
    bytes[bit / 8] &= static_cast<uint8_t>(~(0x80U >> (bit % 8)));
}

std::optional<IpAddress> address_in(int family, const nlattr *attribute) {
  if (attribute == nullptr)
    return std::nullopt;
  const uint16_t size = mnl_attr_get_payload_len(attribute);
  if (family == AF_INET && size == 4) {
    Ipv4 address;
    std::memcpy(address.bytes.data(), mnl_attr_get_payload(attribute), size);
    return address;
  }
  if (family == AF_INET6 && size == 16) {
    Ipv6 address;
    std::memcpy(address.bytes.data(), mnl_attr_get_payload(attribute), size);
    return address;
  }
  return std::nullopt;
}

IpPrefix prefix_of(const IpAddress &address, uint8_t length) {
  if (const Ipv4 *four = std::get_if<Ipv4>(&address)) {
    Prefix4 prefix{*four, std::min<uint8_t>(length, 32)};
    mask(prefix.address.bytes, prefix.length);
    return prefix;
  }
  Prefix6 prefix{std::get<Ipv6>(address), std::min<uint8_t>(length, 128)};
  mask(prefix.address.bytes, prefix.length);
  return prefix;
}

TunDetails tun_details(const nlattr *nest) {
  const Attributes<IFLA_TUN_MAX + 1> tun(nest);
  return {.tap = tun.u8(IFLA_TUN_TYPE) != IFF_TUN,
          .multi_queue = tun.u8(IFLA_TUN_MULTI_QUEUE) != 0,
          .vnet_hdr = tun.u8(IFLA_TUN_VNET_HDR) != 0,
          .persistent = tun.u8(IFLA_TUN_PERSIST) != 0,
          .queues = tun.u32(IFLA_TUN_NUM_QUEUES) + tun.u32(IFLA_TUN_NUM_DISABLED_QUEUES)};
}

} // namespace

unsigned char family_of(const IpAddress &address) {
  return std::holds_alternative<Ipv4>(address) ? AF_INET : AF_INET6;
}

void put_address(nlmsghdr *request, uint16_t type, const IpAddress &address) {
  std::visit(
      [&](const auto &value) {
        mnl_attr_put(request, type, value.bytes.size(), value.bytes.data());
      },
      address);
}

std::optional<Link> parse_link(const nlmsghdr *message) {
  const auto *body = body_of<ifinfomsg>(message);
  if (message->nlmsg_type != RTM_NEWLINK || body == nullptr)
    return std::nullopt;
  const Attributes<IFLA_MAX + 1> attributes(message, sizeof(*body));
  Link link;
  link.index = body->ifi_index;
  link.type = body->ifi_type;
  link.flags = body->ifi_flags;
  link.name = attributes.string(IFLA_IFNAME);
  link.mtu = attributes.u32(IFLA_MTU);
  link.bus = attributes.string(IFLA_PARENT_DEV_BUS_NAME);
  if (const nlattr *address = attributes[IFLA_ADDRESS]) {
    const auto *start = static_cast<const uint8_t *>(mnl_attr_get_payload(address));
    link.hardware_address.assign(start, start + mnl_attr_get_payload_len(address));
  }
  if (attributes[IFLA_LINKINFO] != nullptr) {
    const Attributes<IFLA_INFO_MAX + 1> info(attributes[IFLA_LINKINFO]);
    link.kind = info.string(IFLA_INFO_KIND);
    if (link.kind == "tun" && info[IFLA_INFO_DATA] != nullptr)
      link.tun = tun_details(info[IFLA_INFO_DATA]);
  }
  return link;
}

std::optional<Address> parse_address(const nlmsghdr *message) {
  const auto *body = body_of<ifaddrmsg>(message);
  if (message->nlmsg_type != RTM_NEWADDR || body == nullptr)
    return std::nullopt;
  const Attributes<IFA_MAX + 1> attributes(message, sizeof(*body));
  const auto peer = address_in(body->ifa_family, attributes[IFA_ADDRESS]);
  const auto local = address_in(body->ifa_family, attributes[IFA_LOCAL]);
  if (!peer && !local)
    return std::nullopt;
  Address address;
  address.interface = static_cast<int>(body->ifa_index);
  address.address = local ? *local : *peer;
  address.subnet = prefix_of(peer ? *peer : *local, body->ifa_prefixlen);
  address.flags = attributes[IFA_FLAGS] != nullptr ? attributes.u32(IFA_FLAGS) : body->ifa_flags;
  return address;
}

std::optional<Route> parse_route(const nlmsghdr *message, bool cloned) {
  const auto *body = body_of<rtmsg>(message);
  if (message->nlmsg_type != RTM_NEWROUTE || body == nullptr ||
      ((body->rtm_flags & RTM_F_CLONED) != 0 && !cloned) ||
      (body->rtm_family != AF_INET && body->rtm_family != AF_INET6))
    return std::nullopt;
  const Attributes<RTA_MAX + 1> attributes(message, sizeof(*body));
  const IpAddress any = body->rtm_family == AF_INET ? IpAddress(Ipv4{}) : IpAddress(Ipv6{});
  Route route;
  route.destination =
      prefix_of(address_in(body->rtm_family, attributes[RTA_DST]).value_or(any), body->rtm_dst_len);
  route.interface = static_cast<int>(attributes.u32(RTA_OIF));
  route.gateway = attributes[RTA_GATEWAY] != nullptr || attributes[RTA_VIA] != nullptr ||
                  attributes[RTA_MULTIPATH] != nullptr;
  if (attributes[RTA_METRICS] != nullptr)
    route.mtu = Attributes<RTAX_MAX + 1>(attributes[RTA_METRICS]).u32(RTAX_MTU);
  route.type = body->rtm_type;
  route.protocol = body->rtm_protocol;
  route.table = attributes[RTA_TABLE] != nullptr ? attributes.u32(RTA_TABLE) : body->rtm_table;
  route.metric = attributes.u32(RTA_PRIORITY);
  return route;
}

std::optional<ProxyNeighbour> parse_proxy(const nlmsghdr *message) {
  const auto *body = body_of<ndmsg>(message);
  if (message->nlmsg_type != RTM_NEWNEIGH || body == nullptr || (body->ndm_flags & NTF_PROXY) == 0)
    return std::nullopt;
  const Attributes<NDA_MAX + 1> attributes(message, sizeof(*body));
  const auto address = address_in(body->ndm_family, attributes[NDA_DST]);
  if (!address)
    return std::nullopt;
  return ProxyNeighbour{
      .interface = body->ndm_ifindex, .address = *address, .protocol = attributes.u8(NDA_PROTOCOL)};
}

std::optional<Filter> parse_filter(const nlmsghdr *message) {
  const auto *body = body_of<tcmsg>(message);
  if (message->nlmsg_type != RTM_NEWTFILTER || body == nullptr)
    return std::nullopt;
  const Attributes<TCA_MAX + 1> attributes(message, sizeof(*body));
  Filter filter;
  filter.handle = body->tcm_handle;
  filter.priority = TC_H_MAJ(body->tcm_info) >> 16;
  if (attributes.string(TCA_KIND) == "bpf" && attributes[TCA_OPTIONS] != nullptr) {
    const Attributes<TCA_BPF_MAX + 1> bpf(attributes[TCA_OPTIONS]);
    filter.program = bpf.u32(TCA_BPF_ID);
    filter.name = bpf.string(TCA_BPF_NAME);
  }
  return filter;
}

std::string extended_ack(const nlmsghdr *message, const nlmsgerr *failure) {
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0)
    return {};
  size_t offset = sizeof(*failure);
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0 && failure->msg.nlmsg_len >= sizeof(nlmsghdr))
    offset += failure->msg.nlmsg_len - sizeof(nlmsghdr);
  if (mnl_nlmsg_get_payload_len(message) <= offset)
    return {};
  return Attributes<NLMSGERR_ATTR_MAX + 1>(message, offset).string(NLMSGERR_ATTR_MSG);
}

} // namespace viaduct::nvi
