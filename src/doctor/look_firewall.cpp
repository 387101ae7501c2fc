// SPDX-License-Identifier: MIT
//
// nftables, over netlink: which base chains stand in the way by default, and which change sources.
// Rules are not understood, only searched: for the interface's name, and for expressions that change
// a source. So a rule that lets everything pass without naming the interface is not seen as one.
#include "doctor/look.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <memory>
#include <set>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>

namespace viaduct::doctor {

namespace {

constexpr timeval patience{.tv_sec = 2, .tv_usec = 0};

std::string family_name(unsigned family) {
  switch (family) {
  case NFPROTO_IPV4:
    return "ip";
  case NFPROTO_IPV6:
    return "ip6";
  case NFPROTO_INET:
    return "inet";
  default:
    return {}; // arp, bridge, netdev: routed packets do not meet them
  }
}

// Attributes of one level by their number; what is longer than it may be is not there.
class Attributes {
public:
  Attributes(const nlattr *first, size_t bytes) {
    const auto *at = first;
    int left = static_cast<int>(bytes);
    for (; mnl_attr_ok(at, left); at = mnl_attr_next(at)) {
      left -= static_cast<int>(MNL_ALIGN(at->nla_len));
      if (mnl_attr_get_type(at) < found_.size())
        found_[mnl_attr_get_type(at)] = at;
    }
  }
  explicit Attributes(const nlattr *nest)
      : Attributes(static_cast<const nlattr *>(mnl_attr_get_payload(nest)),
                   mnl_attr_get_payload_len(nest)) {}

  const nlattr *operator[](size_t type) const { return found_[type]; }
  std::string string(size_t type) const {
    if (found_[type] == nullptr)
      return {};
    const auto *text = static_cast<const char *>(mnl_attr_get_payload(found_[type]));
    return {text, strnlen(text, mnl_attr_get_payload_len(found_[type]))};
  }
  std::optional<uint32_t> number(size_t type) const { // in network order on the wire
    if (found_[type] == nullptr || mnl_attr_get_payload_len(found_[type]) != sizeof(uint32_t))
      return std::nullopt;
    return be32toh(mnl_attr_get_u32(found_[type]));
  }

private:
  std::array<const nlattr *, 32> found_{};
};

struct Message {
  unsigned family;
  Attributes attributes;
};

std::optional<Message> read_message(const nlmsghdr *message, uint16_t type) {
  if (message->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | type) ||
      mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg))
    return std::nullopt;
  const auto *body = static_cast<const nfgenmsg *>(mnl_nlmsg_get_payload(message));
  const auto *first =
      static_cast<const nlattr *>(mnl_nlmsg_get_payload_offset(message, sizeof(nfgenmsg)));
  return Message{body->nfgen_family, Attributes(first, mnl_nlmsg_get_payload_len(message) -
                                                           MNL_ALIGN(sizeof(nfgenmsg)))};
}

// What is gathered of all tables before it is put together.
struct Rules {
  std::string interface;
  struct Chain {
    std::string table, name; // "inet filter", "forward"
    bool postrouting = false;
  };
  std::vector<Chain> chains; // that drop at FORWARD, or are of type nat at POSTROUTING
  std::set<std::string> naming_us, changing_sources; // tables
};

int take_chain(const nlmsghdr *header, void *context) {
  auto &rules = *static_cast<Rules *>(context);
  const auto message = read_message(header, NFT_MSG_NEWCHAIN);
  if (!message || family_name(message->family).empty() ||
      message->attributes[NFTA_CHAIN_HOOK] == nullptr)
    return MNL_CB_OK;
  const Attributes &chain = message->attributes;
  const auto hook = Attributes(chain[NFTA_CHAIN_HOOK]).number(NFTA_HOOK_HOOKNUM);
  const bool forward = hook == NF_INET_FORWARD && chain.number(NFTA_CHAIN_POLICY) == NF_DROP;
  const bool nat = hook == NF_INET_POST_ROUTING && chain.string(NFTA_CHAIN_TYPE) == "nat";
  if (forward || nat)
    rules.chains.push_back({family_name(message->family) + " " + chain.string(NFTA_CHAIN_TABLE),
                            chain.string(NFTA_CHAIN_NAME), nat});
  return MNL_CB_OK;
}

bool changes_source(const nlattr *expression) {
  const Attributes parts(expression);
  const std::string name = parts.string(NFTA_EXPR_NAME);
  if (name == "masq")
    return true;
  if (parts[NFTA_EXPR_DATA] == nullptr)
    return false;
  const Attributes data(parts[NFTA_EXPR_DATA]);
  if (name == "nat")
    return data.number(NFTA_NAT_TYPE) == NFT_NAT_SNAT;
  if (name != "target") // of iptables-nft
    return false;
  const std::string target = data.string(NFTA_TARGET_NAME);
  return target == "MASQUERADE" || target == "SNAT";
}

int take_rule(const nlmsghdr *header, void *context) {
  auto &rules = *static_cast<Rules *>(context);
  const auto message = read_message(header, NFT_MSG_NEWRULE);
  if (!message || family_name(message->family).empty())
    return MNL_CB_OK;
  const nlattr *expressions = message->attributes[NFTA_RULE_EXPRESSIONS];
  if (expressions == nullptr)
    return MNL_CB_OK;
  const std::string table =
      family_name(message->family) + " " + message->attributes.string(NFTA_RULE_TABLE);
  const std::string_view bytes(static_cast<const char *>(mnl_attr_get_payload(expressions)),
                               mnl_attr_get_payload_len(expressions));
  if (bytes.find(rules.interface) != std::string_view::npos)
    rules.naming_us.insert(table);
  const auto *at = static_cast<const nlattr *>(mnl_attr_get_payload(expressions));
  int left = mnl_attr_get_payload_len(expressions);
  for (; mnl_attr_ok(at, left); at = mnl_attr_next(at)) {
    left -= static_cast<int>(MNL_ALIGN(at->nla_len));
    if (changes_source(at))
      rules.changing_sources.insert(table);
  }
  return MNL_CB_OK;
}

struct Close {
  void operator()(mnl_socket *socket) const { mnl_socket_close(socket); }
};

Result<void> dump(mnl_socket *socket, uint16_t type, mnl_cb_t take, Rules &rules) {
  alignas(nlmsghdr) std::array<char, 65536> buffer{};
  nlmsghdr *request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | type);
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = type;
  auto *body = static_cast<nfgenmsg *>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
  body->nfgen_family = AF_UNSPEC;
  body->version = NFNETLINK_V0;
  int state = mnl_socket_sendto(socket, request, request->nlmsg_len) < 0 ? -1 : 1;
  while (state > 0) {
    const ssize_t length = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    state = length < 0 ? -1
                       : mnl_cb_run(buffer.data(), static_cast<size_t>(length), type,
                                    mnl_socket_get_portid(socket), take, &rules);
  }
  if (state == 0 || errno == EINVAL || errno == EOPNOTSUPP) // a kernel without nftables
    return {};
  if (errno == EPERM)
    return error("reading the firewall's rules needs root");
  return system_error("cannot read the firewall's rules", errno);
}

bool legacy_tables() {
  for (const char *path : {"/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"})
    if (auto names = read_small(path); names && !names->empty())
      return true;
  return false;
}

Result<Firewall> read_rules(const std::string &interface) {
  const std::unique_ptr<mnl_socket, Close> socket(
      mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return system_error("cannot open a netlink socket for the firewall", errno);
  (void)setsockopt(mnl_socket_get_fd(socket.get()), SOL_SOCKET, SO_RCVTIMEO, &patience,
                   sizeof patience);
  Rules rules;
  rules.interface = interface;
  for (auto [type, take] :
       {std::pair(NFT_MSG_GETCHAIN, &take_chain), {NFT_MSG_GETRULE, &take_rule}})
    if (auto done = dump(socket.get(), static_cast<uint16_t>(type), take, rules); !done)
      return done.failure();
  Firewall firewall;
  firewall.legacy = legacy_tables();
  for (const Rules::Chain &chain : rules.chains) {
    const Firewall::Chain seen{chain.table + " " + chain.name,
                               rules.naming_us.contains(chain.table)};
    if (!chain.postrouting)
      firewall.forward_drop.push_back(seen);
    else if (rules.changing_sources.contains(chain.table))
      firewall.source_nat.push_back(seen);
  }
  return firewall;
}

} // namespace

void look_at_firewall(Facts &facts) {
  if (facts.config)
    facts.firewall = read_rules(facts.config->nvi.name);
}

} // namespace viaduct::doctor
