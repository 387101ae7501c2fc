// SPDX-License-Identifier: MIT
//
// A checked configuration written back as TOML, every default filled in: what `viaduct check` shows
// and what the golden files compare. Keys stand in the order of the reference.
#include "config/config.h"
#include "config/duration.h"

namespace viaduct::config {

namespace {

// A TOML basic string.
std::string toml_string(std::string_view text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      result += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      result += c;
  }
  return result + '"';
}

template <typename List, typename Write> std::string list(const List &items, Write write) {
  std::string text;
  for (const auto &item : items)
    text += (text.empty() ? "" : ", ") + write(item);
  return "[" + text + "]";
}

std::string prefixes(const std::vector<Prefix6> &items) {
  return list(items, [](const Prefix6 &item) { return toml_string(item.text()); });
}

std::string strings(const std::vector<std::string> &items) {
  return list(items, [](const std::string &item) { return toml_string(item); });
}

std::string pool(const PoolAddress &item) {
  return fmt::format("{{ address = \"{}\", ports = \"{}-{}\"{} }}", item.address.text(),
                     item.port_low, item.port_high, item.drain ? ", drain = true" : "");
}

const char *engine_name(Engine engine) {
  switch (engine) {
  case Engine::tun:
    return "tun";
  case Engine::bpf:
    return "bpf";
  default:
    return "auto";
  }
}

const char *direct_mode_name(DirectMode mode) {
  switch (mode) {
  case DirectMode::tc:
    return "tc";
  case DirectMode::xdp:
    return "xdp";
  case DirectMode::xdp_generic:
    return "xdp-generic";
  default:
    return "auto";
  }
}

void write_nvi(std::string &out, const Nvi &nvi) {
  out += "[nvi]\n";
  out += fmt::format("name = {}\n", toml_string(nvi.name));
  out += fmt::format("engine = \"{}\"\n", engine_name(nvi.engine));
  if (!nvi.direct.empty())
    out += fmt::format("direct = {}\n", strings(nvi.direct));
  if (!nvi.direct.empty() || nvi.direct_mode != DirectMode::automatic)
    out += fmt::format("direct_mode = \"{}\"\n", direct_mode_name(nvi.direct_mode));
  out += fmt::format("spin_us = {}\n", nvi.spin_us);
  out += fmt::format("gather_udp = {}\n", nvi.gather_udp);
}

void write_nat64(std::string &out, const Nat64 &nat64) {
  out += "\n[nat64]\n";
  out += fmt::format("prefix = {}\n", prefixes(nat64.prefixes));
  out += fmt::format("pool4 = {}\n", list(nat64.pool4, pool));
  if (!nat64.router_pool4.empty())
    out += fmt::format("router_pool4 = {}\n", list(nat64.router_pool4, [](const Ipv4 &address) {
                         return fmt::format("\"{}\"", address.text());
                       }));
  out += fmt::format("filtering = \"{}\"\n",
                     nat64.filtering == Filtering::address ? "address" : "endpoint");
  if (nat64.allow)
    out += fmt::format("allow = {}\n", prefixes(*nat64.allow));
  out += fmt::format("allow_private_ipv4 = {}\n", nat64.allow_private_ipv4);
  out += fmt::format("copy_traffic_class = {}\n", nat64.copy_traffic_class);
  out += fmt::format("map_udp_zero_checksum = \"{}\"\n",
                     nat64.map_udp_zero_checksum == ZeroChecksum::drop ? "drop" : "calculate");
  out += fmt::format("icmp_error_rate = {}\n", nat64.icmp_error_rate);
  out += fmt::format("rst_check = \"{}\"\n", nat64.rst_check == RstCheck::off ? "off" : "window");
  out += fmt::format("inbound_refresh = {}\n", nat64.inbound_refresh);
  out += fmt::format("accounting = {}\n", nat64.accounting);
  out += fmt::format("mss_clamp = {}\n", nat64.mss_clamp);
  out += fmt::format("lowest_ipv6_mtu = {}\n", nat64.lowest_ipv6_mtu);
  const Timeouts &timeouts = nat64.timeouts;
  out +=
      fmt::format("timeouts = {{ udp = \"{}\", tcp_established = \"{}\", tcp_transitory = \"{}\", "
                  "tcp_incoming_syn = \"{}\", icmp = \"{}\", fragment = \"{}\" }}\n",
                  duration_text(timeouts.udp), duration_text(timeouts.tcp_established),
                  duration_text(timeouts.tcp_transitory), duration_text(timeouts.tcp_incoming_syn),
                  duration_text(timeouts.icmp), duration_text(timeouts.fragment));
  out += fmt::format("port_rest = \"{}\"\n", duration_text(nat64.port_rest));
  out += fmt::format("subscriber_prefix = {}\n", nat64.subscriber_prefix);
  out += fmt::format("max_sessions_per_subscriber = {}\n", nat64.max_sessions_per_subscriber);
  out += fmt::format("max_bindings_per_subscriber = {}\n", nat64.max_bindings_per_subscriber);
  out += fmt::format("max_sessions = {}\n", nat64.max_sessions);
}

void write_dns64(std::string &out, const Dns64 &dns64) {
  out += "\n[dns64]\n";
  out += fmt::format("listen = {}\n", strings(dns64.listen));
  if (dns64.allow)
    out += fmt::format("allow = {}\n", prefixes(*dns64.allow));
  out += fmt::format("upstream = {}\n", strings(dns64.upstream));
  out += fmt::format("synthesize = \"{}\"\n",
                     dns64.synthesize == Synthesize::always ? "always" : "missing");
}

} // namespace

std::string Listen::text() const {
  return address.find(':') == std::string::npos ? fmt::format("{}:{}", address, port)
                                                : fmt::format("[{}]:{}", address, port);
}

std::string canonical(const Config &config) {
  std::string out;
  write_nvi(out, config.nvi);
  write_nat64(out, config.nat64);
  for (const Map &map : config.maps)
    out += fmt::format("\n[[static]]\nmap = {{ inside = \"{}\", outside = \"{}\" }}\n",
                       map.inside.text(), map.outside.text());
  for (const StaticBinding &binding : config.bindings)
    out +=
        fmt::format("\n[[static]]\nprotocol = \"{}\"\noutside = \"{}:{}\"\ninside = \"[{}]:{}\"\n",
                    binding.protocol == 6 ? "tcp" : "udp", binding.outside.text(),
                    binding.outside_port, binding.inside.text(), binding.inside_port);
  if (config.dns64)
    write_dns64(out, *config.dns64);
  out += fmt::format("\n[control]\nsocket = {}\n", toml_string(config.control.socket));
  if (config.control.metrics)
    out += fmt::format("metrics = {}\n", toml_string(config.control.metrics->text()));
  return out;
}

} // namespace viaduct::config
