// SPDX-License-Identifier: MIT
#include "dns64/unbound_config.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

namespace viaduct::dns64 {

namespace {

// More than anybody needs, few enough that the text stays small.
constexpr size_t MAX_LISTEN = 64;
constexpr size_t MAX_ALLOW = 1024;
constexpr size_t MAX_UPSTREAM = 16;
constexpr size_t MAX_PATH = 255;

// An address of either family, as unbound writes it.
struct Host {
  std::string text;
  bool is_ipv6 = false;
  bool wildcard = false;
  bool loopback = false;
};

struct Upstream {
  Host host;
  uint16_t port = 53;
};

Result<Host> parse_host(std::string_view text, std::string_view key) {
  if (auto six = Ipv6::parse(text))
    return Host{six->text(), true, *six == Ipv6{}, six->text() == "::1"};
  if (auto four = Ipv4::parse(text))
    return Host{four->text(), false, *four == Ipv4{}, four->bytes[0] == 127};
  return error("dns64 {}: found \"{}\", expected an IPv4 or IPv6 address", key, text);
}

Result<Upstream> parse_upstream(std::string_view text) {
  Upstream upstream;
  auto at = text.find('@');
  auto host = parse_host(text.substr(0, at), "upstream");
  if (!host)
    return host.failure();
  if (host->wildcard)
    return error("dns64 upstream: \"{}\" is not the address of a server", text);
  upstream.host = *host;
  if (at != std::string_view::npos) {
    auto digits = text.substr(at + 1);
    auto [end, code] = std::from_chars(digits.begin(), digits.end(), upstream.port);
    if (digits.empty() || code != std::errc() || end != digits.end() || upstream.port == 0)
      return error("dns64 upstream: the port of \"{}\" is not 1 to 65535", text);
  }
  return upstream;
}

Result<void> check_path(std::string_view path, std::string_view what) {
  auto harmless = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '.' || c == '_' || c == '-';
  };
  if (path.empty() || path[0] != '/' || path.size() > MAX_PATH ||
      !std::all_of(path.begin(), path.end(), harmless))
    return error("dns64: the {} must be an absolute path of letters, digits and ._-/", what);
  return {};
}

Result<void> check_prefix(const Prefix6 &prefix) {
  static const std::set<unsigned> lengths = {32, 40, 48, 56, 64, 96}; // RFC 6052 2.2
  if (!lengths.contains(prefix.length))
    return error("dns64: the NAT64 prefix {} has a length other than 32, 40, 48, 56, 64 or 96",
                 prefix.text());
  if (prefix.address.bytes[8] != 0)
    return error("dns64: bits 64 to 71 of the NAT64 prefix {} must be zero (RFC 6052)",
                 prefix.text());
  return {};
}

// Everything parsed.
struct Checked {
  std::vector<Host> listen;
  std::vector<Upstream> upstream;
  bool wildcard = false; // one of `listen` is
};

Result<std::vector<Host>> check_listen(const Settings &settings) {
  if (settings.listen.empty() || settings.listen.size() > MAX_LISTEN)
    return error("dns64 listen: expected 1 to {} addresses, found {}", MAX_LISTEN,
                 settings.listen.size());
  std::vector<Host> hosts;
  for (const auto &text : settings.listen) {
    auto host = parse_host(text, "listen");
    if (!host)
      return host.failure();
    auto same = [&](const Host &other) { return other.text == host->text; };
    if (std::none_of(hosts.begin(), hosts.end(), same))
      hosts.push_back(*host);
  }
  return hosts;
}

bool asks_itself(const Checked &checked, const Upstream &upstream, uint16_t port) {
  if (upstream.port != port)
    return false;
  auto same = [&](const Host &host) { return host.text == upstream.host.text; };
  return (checked.wildcard && upstream.host.loopback) ||
         std::any_of(checked.listen.begin(), checked.listen.end(), same);
}

Result<Checked> check(const Settings &settings) {
  Checked checked;
  auto listen = check_listen(settings);
  if (!listen)
    return listen.failure();
  checked.listen = *listen;
  checked.wildcard =
      std::any_of(listen->begin(), listen->end(), [](const Host &host) { return host.wildcard; });
  if (settings.port == 0)
    return error("dns64: the port must not be 0");
  if (settings.allow.size() > MAX_ALLOW || settings.upstream.size() > MAX_UPSTREAM)
    return error("dns64: expected at most {} prefixes in allow and {} addresses in upstream",
                 MAX_ALLOW, MAX_UPSTREAM);
  for (const auto &text : settings.upstream) {
    auto upstream = parse_upstream(text);
    if (!upstream)
      return upstream.failure();
    if (asks_itself(checked, *upstream, settings.port))
      return error("dns64 upstream: \"{}\" is where dns64 itself listens; give another resolver",
                   text);
    checked.upstream.push_back(*upstream);
  }
  for (auto [path, what] : {std::pair(&settings.directory, "directory"),
                            std::pair(&settings.trust_anchor, "trust anchor file"),
                            std::pair(&settings.root_hints, "root hints file")})
    if (auto good = check_path(*path, what);
        !good && !(path->empty() && path == &settings.root_hints))
      return good.failure();
  if (auto good = check_prefix(settings.prefix); !good)
    return good.failure();
  return checked;
}

// "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa." for 64:ff9b::/96.
std::string reverse_name(const Prefix6 &prefix) {
  std::string name;
  for (unsigned nibble = prefix.length / 4; nibble-- > 0;) {
    uint8_t byte = prefix.address.bytes[nibble / 2];
    name += fmt::format("{:x}.", nibble % 2 == 0 ? byte >> 4 : byte & 15);
  }
  return name + "ip6.arpa.";
}

std::string process_part(const Settings &settings) {
  return fmt::format(
      R"(  # The process: in the foreground under viaductd, which also drops its privileges.
  directory: "{}"
  do-daemonize: no
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 0
  num-threads: 1
  so-reuseport: no
)",
      settings.directory);
}

// A reply must leave from the address that was asked. On a wildcard socket unbound remembers that
// address only with interface-automatic, which opens both families' wildcards itself.
std::string listen_part(const Settings &settings, const Checked &checked) {
  std::string text = "  # Where it listens, and who may ask.\n";
  text += fmt::format("  port: {}\n", settings.port);
  if (checked.wildcard)
    text += "  interface-automatic: yes\n";
  else
    for (const auto &host : checked.listen)
      text += fmt::format("  interface: {}\n", host.text);
  text += "  access-control: 0.0.0.0/0 refuse\n  access-control: ::/0 refuse\n"
          "  access-control: 127.0.0.0/8 refuse\n" // which unbound allows by default
          "  access-control: 127.0.0.1/32 allow\n  access-control: ::1/128 allow\n";
  // The gateway's own questions to a listening address come from that address.
  for (const auto &host : checked.listen)
    if (!host.wildcard && !host.loopback)
      text += fmt::format("  access-control: {}/{} allow\n", host.text, host.is_ipv6 ? 128 : 32);
  for (const auto &prefix : settings.allow)
    text += fmt::format("  access-control: {} allow\n", prefix.text());
  return text;
}

std::string dns64_part(const Settings &settings) {
  std::string text = "  # DNS64 (RFC 6147).\n";
  text += fmt::format("  module-config: \"{}\"\n",
                      settings.upstream.empty() ? "dns64 validator iterator" : "dns64 iterator");
  text += fmt::format("  dns64-prefix: {}\n", settings.prefix.text());
  text += fmt::format("  dns64-synthall: {}\n", settings.synthesize_always ? "yes" : "no");
  text +=
      "  # AAAA records with IPv4-mapped addresses count as absent (RFC 6147 5.1.4).\n"
      "  private-address: ::ffff:0:0/96\n"
      "  # The prefix's reverse names reach dns64 also where unbound has a default zone above.\n";
  text += fmt::format("  local-zone: \"{}\" transparent\n", reverse_name(settings.prefix));
  return text;
}

std::string resolving_part(const Settings &settings, const Checked &checked) {
  std::string text = "  # How it resolves.\n  do-ip4: yes\n  do-ip6: yes\n";
  if (checked.upstream.empty()) {
    text += fmt::format("  trust-anchor-file: \"{}\"\n", settings.trust_anchor);
    text += fmt::format("  domain-insecure: \"{}.\"\n", HEALTH_NAME);
    if (!settings.root_hints.empty())
      text += fmt::format("  root-hints: \"{}\"\n", settings.root_hints);
    return text + "  qname-minimisation: yes\n";
  }
  text += "  qname-minimisation: no\n";
  auto loopback = [](const Upstream &upstream) { return upstream.host.loopback; };
  if (std::any_of(checked.upstream.begin(), checked.upstream.end(), loopback))
    text += "  do-not-query-localhost: no\n";
  return text;
}

constexpr std::string_view FIXED_PART = R"(  # Hardening.
  hide-identity: yes
  hide-version: yes
  harden-glue: yes
  harden-dnssec-stripped: yes
  harden-below-nxdomain: yes
  harden-short-bufsize: yes
  harden-large-queries: yes
  deny-any: yes
  minimal-responses: yes
  unwanted-reply-threshold: 10000000
  edns-buffer-size: 1232
  max-udp-size: 1232
  # Sizes.
  msg-cache-size: 16m
  rrset-cache-size: 32m
  key-cache-size: 4m
  neg-cache-size: 1m
  infra-cache-numhosts: 10000
  so-rcvbuf: 4m
  outgoing-range: 2048
  num-queries-per-thread: 1024
  incoming-num-tcp: 64
  outgoing-num-tcp: 32
)";

std::string zones_part(const Checked &checked) {
  std::string text = "remote-control:\n  control-enable: no\n";
  // for-downstream: no, so that a question passes through dns64 before it meets this zone.
  text += fmt::format("auth-zone:\n  name: \"{}.\"\n  zonefile: \"/proc/self/fd/{}\"\n"
                      "  for-downstream: no\n  for-upstream: yes\n  fallback-enabled: no\n",
                      HEALTH_NAME, ZONE_DESCRIPTOR);
  if (checked.upstream.empty())
    return text;
  // Forwarding goes before an authority zone; a forward zone without servers exempts this name.
  text +=
      fmt::format("forward-zone:\n  name: \"{}.\"\nforward-zone:\n  name: \".\"\n", HEALTH_NAME);
  for (const auto &upstream : checked.upstream)
    text += fmt::format("  forward-addr: {}@{}\n", upstream.host.text, upstream.port);
  return text;
}

} // namespace

Result<std::string> unbound_config(const Settings &settings) {
  auto checked = check(settings);
  if (!checked)
    return checked.failure();
  return "# Written by viaductd, which hands unbound the same text through a descriptor;\n"
         "# changes made here are read by nobody. Change [dns64] in viaduct.toml instead.\n"
         "server:\n" +
         process_part(settings) + listen_part(settings, *checked) + dns64_part(settings) +
         resolving_part(settings, *checked) + std::string(FIXED_PART) + zones_part(*checked);
}

std::string ipv4only_zone() {
  return "$ORIGIN ipv4only.arpa.\n"
         "$TTL 3600\n"
         "@ IN SOA localhost. nobody.invalid. 1 3600 600 86400 3600\n"
         "@ IN NS localhost.\n"
         "@ IN A 192.0.0.170\n"
         "@ IN A 192.0.0.171\n";
}

std::string health_address(const Settings &settings) {
  auto host = parse_host(settings.listen.front(), "listen");
  if (!host)
    return "::1";
  if (host->wildcard)
    return host->is_ipv6 ? "::1" : "127.0.0.1";
  return host->text;
}

} // namespace viaduct::dns64
