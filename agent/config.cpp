// SPDX-License-Identifier: MIT
#include "agent/config.h"

#include "agent/record.h"
#include "config/checker.h"
#include "config/quote.h"
#include "config/tree.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <net/if.h>

namespace viaduct::agent {

namespace {

using config::expected;
using config::Field;
using config::problem;

struct Reader : config::Problems {
  Config config;
  std::optional<bool> udp; // as given
};
using Key = config::KeyOf<Reader>;

constexpr size_t max_kinds = 64;
constexpr size_t max_ports = 64;
constexpr size_t most_listeners = 1024;
constexpr size_t longest_path = 4096;

struct KnownKind {
  Kind kind;
  std::string_view vendors;
};

constexpr KnownKind known_kinds[] = {
    {{254, 8}, "LVS FULLNAT, DPVS, Alibaba, Huawei"},
    {{254, 16}, "ByteDance, with the virtual address"},
    {{254, 20}, "DPVS IPv6 and NAT64"},
    {{253, 20}, "Alibaba LVS IPv6, Tencent NAT64"},
    {{200, 8}, "Tencent, UCloud, JD, the first LVS FULLNAT"},
    {{28, 7}, "Akamai, Alibaba CDN, without a port"},
    {{28, 19}, "Alibaba CDN IPv6, without a port"},
    {{252, 8}, "older UCloud"},
    {{253, 8}, "UCloud"},
};

struct OtherMeaning {
  Kind kind;
  const char *what;
};

// Options that go with a TOA and look like one: taken for it they would give a wrong address.
constexpr OtherMeaning other_meanings[] = {
    {{202, 8}, "the virtual address of TencentOS, not the client's"},
    {{250, 8}, "the virtual address of Alibaba's vtoa, not the client's"},
    {{252, 20}, "Alibaba's vtoa, whose layout this version does not read"},
};

// What TCP itself uses (IANA's list of TCP option kinds).
constexpr uint8_t tcp_kinds[] = {0, 1, 2, 3, 4, 5, 8, 19, 29, 30, 34};

constexpr uint8_t lengths_with_a_meaning[] = {dp::TOA_LENGTH_CDN4, dp::TOA_LENGTH_IP4,
                                              dp::TOA_LENGTH_IP4_VIRTUAL, dp::TOA_LENGTH_CDN6,
                                              dp::TOA_LENGTH_IP6};

template <typename List, typename Value> bool has(const List &list, const Value &value) {
  return std::ranges::find(list, value) != std::end(list);
}

// --- [agent] -------------------------------------------------------------------------------------

constexpr const char *a_sender = "a prefix or address such as \"192.0.2.0/24\" or \"2001:db8::1\", "
                                 "or \"any\"";

void refuse_sender(Reader &reader, const Field &field, const std::string &text, const char *why) {
  problem(reader, field.value.at,
          fmt::format("{}: found {}, which {}", field.name, config::quoted(text), why));
}

constexpr const char *is_everybody = "is everybody: write \"any\" if that is meant";

void add_sender(Reader &reader, const Field &field, const std::string &text,
                const Prefix4 &prefix) {
  if (prefix.length == 0)
    return refuse_sender(reader, field, text, is_everybody);
  reader.config.senders4.push_back(prefix);
}

void add_sender(Reader &reader, const Field &field, const std::string &text,
                const Prefix6 &prefix) {
  constexpr std::array<uint8_t, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (prefix.length == 0)
    return refuse_sender(reader, field, text, is_everybody);
  if (prefix.length >= 96 && std::equal(mapped.begin(), mapped.end(), prefix.address.bytes.begin()))
    return refuse_sender(reader, field, text,
                         "no packet comes from: write the IPv4 address, which is meant for "
                         "dual-stack listeners, too");
  reader.config.senders6.push_back(prefix);
}

void one_sender(Reader &reader, const Field &field) {
  const std::string *text = config::read_string(reader, field, a_sender);
  if (text == nullptr)
    return;
  if (*text == "any") {
    reader.config.any_sender = true;
  } else if (auto four = Ipv4::parse(*text)) {
    reader.config.senders4.push_back({*four, 32});
  } else if (auto six = Ipv6::parse(*text)) {
    add_sender(reader, field, *text, Prefix6{*six, 128});
  } else if (text->find(':') != std::string::npos) {
    if (auto prefix = config::read_prefix6(reader, field, a_sender))
      add_sender(reader, field, *text, *prefix);
  } else if (auto prefix = config::read_prefix4(reader, field, a_sender)) {
    add_sender(reader, field, *text, *prefix);
  }
}

template <typename List> void sort_and_unique(List &list) {
  std::ranges::sort(list);
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

void senders(Reader &reader, const Field &field) {
  if (field.value.kind == config::Kind::list && field.value.items.empty())
    return; // nobody, as by default
  for (const Field &item : config::read_list(reader, field, dp::AGENT_MAX_SENDERS,
                                             "a list of prefixes such as [\"192.0.2.0/24\"]"))
    one_sender(reader, item);
  Config &config = reader.config;
  if (config.any_sender) {
    config.senders4 = {Prefix4{}};
    config.senders6 = {Prefix6{}};
  }
  sort_and_unique(config.senders4);
  sort_and_unique(config.senders6);
}

std::optional<Kind> parse_kind(std::string_view text) {
  size_t slash = text.find('/');
  if (slash == std::string_view::npos)
    return std::nullopt;
  Kind kind;
  const char *middle = text.data() + slash, *last = text.data() + text.size();
  auto [end, fault] = std::from_chars(text.data(), middle, kind.kind);
  auto [end2, fault2] = std::from_chars(middle + 1, last, kind.length);
  bool whole = fault == std::errc() && end == middle && fault2 == std::errc() && end2 == last;
  return whole ? std::optional(kind) : std::nullopt;
}

void one_kind(Reader &reader, const Field &field) {
  const char *what = "an option's kind and length such as \"254/8\"";
  const std::string *text = config::read_string(reader, field, what);
  if (text == nullptr)
    return;
  auto kind = parse_kind(*text);
  if (!kind)
    return expected(reader, field, what);
  auto refuse = [&](std::string_view why) {
    problem(reader, field.value.at,
            fmt::format("{}: found {}, which {}", field.name, config::quoted(*text), why));
  };
  if (has(tcp_kinds, kind->kind))
    return refuse("is a kind of TCP itself, expected one that TCP does not use, such as \"254/8\"");
  if (!has(lengths_with_a_meaning, kind->length))
    return refuse("has a length without a meaning, expected 7, 8, 16, 19 or 20");
  for (const auto &other : other_meanings)
    if (other.kind == *kind)
      return refuse(fmt::format("holds {}, expected another", other.what));
  reader.config.kinds.push_back(*kind);
}

void kinds(Reader &reader, const Field &field) {
  reader.config.kinds.clear();
  for (const Field &item : config::read_list(reader, field, max_kinds,
                                             "a list of kinds such as [\"254/8\", \"254/20\"]"))
    one_kind(reader, item);
  sort_and_unique(reader.config.kinds);
}

void nat64_getsockopt(Reader &reader, const Field &field) {
  if (auto value = config::read_boolean(reader, field))
    reader.config.nat64_getsockopt = *value;
}

void uoa_getsockopt(Reader &reader, const Field &field) {
  if (auto value = config::read_boolean(reader, field))
    reader.config.uoa_getsockopt = *value;
}

void udp(Reader &reader, const Field &field) {
  if (auto value = config::read_boolean(reader, field))
    reader.udp = *value;
}

// Its hooks cost every packet of every socket, TCP's too, and a datagram's source is easily forged: who says nothing of UDP
// has none of it.
bool udp_wanted(const Reader &reader) {
  const Config &config = reader.config;
  return reader.udp.value_or(!config.udp_ports.empty() || config.uoa_getsockopt);
}

// The kernel's own rules for names of interfaces; '%' would make a pattern of it.
bool valid_port(std::string_view name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..")
    return false;
  return std::ranges::all_of(
      name, [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%'; });
}

void udp_ports(Reader &reader, const Field &field) {
  if (field.value.kind == config::Kind::list && field.value.items.empty())
    return; // none, as by default
  const char *what = "the name of a port, such as \"eth0\"";
  for (const Field &item :
       config::read_list(reader, field, max_ports, "a list of names of ports such as [\"eth0\"]")) {
    const std::string *name = config::read_string(reader, item, what);
    if (name != nullptr && !valid_port(*name))
      expected(reader, item, what);
    else if (name != nullptr)
      reader.config.udp_ports.push_back(*name);
  }
  sort_and_unique(reader.config.udp_ports);
}

void getsockname(Reader &reader, const Field &field) {
  if (auto value = config::read_boolean(reader, field))
    reader.config.getsockname = *value;
}

void ports(Reader &reader, const Field &field) {
  for (const Field &item :
       config::read_list(reader, field, most_listeners, "a list of ports such as [80, 443]"))
    if (auto port = config::read_number(reader, item, 1, 65535))
      reader.config.ports.push_back(static_cast<uint16_t>(*port));
  sort_and_unique(reader.config.ports);
}

void network_namespace(Reader &reader, const Field &field) {
  if (auto word = config::read_word(reader, field, {"any", "own"}))
    reader.config.own_network_namespace = *word == 1;
}

void cgroup(Reader &reader, const Field &field) {
  const char *what = "the absolute path of a folder of cgroup v2, such as "
                     "\"/sys/fs/cgroup/system.slice\"";
  const std::string *path = config::read_string(reader, field, what);
  if (path == nullptr)
    return;
  bool control = std::ranges::any_of(*path, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (!path->starts_with('/') || path->size() > longest_path || control)
    return expected(reader, field, what);
  reader.config.cgroup = *path;
}

constexpr Key agent_keys[] = {{"senders", senders},
                              {"kinds", kinds},
                              {"nat64_getsockopt", nat64_getsockopt},
                              {"uoa_getsockopt", uoa_getsockopt},
                              {"udp", udp},
                              {"udp_ports", udp_ports},
                              {"getsockname", getsockname},
                              {"ports", ports},
                              {"network_namespace", network_namespace},
                              {"cgroup", cgroup}};

void agent_table(Reader &reader, const Field &field) {
  config::read_table(reader, field, agent_keys);
}

// --- [control] -----------------------------------------------------------------------------------

void control_socket(Reader &reader, const Field &field) {
  if (auto path = config::read_socket_path(reader, field, "/run/viaduct-agent/control.sock"))
    reader.config.socket = *path;
}

void control_metrics(Reader &reader, const Field &field) {
  reader.config.metrics = config::read_listen(reader, field, 9465);
}

constexpr Key control_keys[] = {{"socket", control_socket}, {"metrics", control_metrics}};

void control_table(Reader &reader, const Field &field) {
  config::read_table(reader, field, control_keys);
}

constexpr Key root_keys[] = {{"agent", agent_table}, {"control", control_table}};

} // namespace

std::string Kind::text() const {
  return fmt::format("{}/{}", kind, length);
}

std::string described(const Kind &kind) {
  std::string_view vendors = vendors_of(kind);
  return fmt::format("{} ({})", kind.text(), vendors.empty() ? "nobody's we know of" : vendors);
}

std::string_view vendors_of(const Kind &kind) {
  const auto *found = std::ranges::find(known_kinds, kind, &KnownKind::kind);
  return found == std::end(known_kinds) ? std::string_view() : found->vendors;
}

Outcome parse(std::string_view text, const std::string &file) {
  auto tree = config::read_tree(text, file);
  if (auto *fault = std::get_if<config::Problem>(&tree))
    return Outcome{std::nullopt, {std::move(*fault)}};
  Reader reader;
  reader.file = file;
  config::read_table(reader, {std::get<config::Value>(tree), "", {1, 1}}, root_keys);
  reader.config.udp = udp_wanted(reader);
  if (reader.problems.empty())
    return Outcome{std::move(reader.config), {}};
  return Outcome{std::nullopt, config::in_order(std::move(reader))};
}

Outcome load(const std::string &path) {
  auto text = config::read_file(path);
  if (!text)
    return Outcome{std::nullopt, {config::Problem{path, 0, 0, text.failure().message}}};
  return parse(*text, path);
}

std::vector<std::string> warnings(const Config &config) {
  std::vector<std::string> sentences;
  if (config.any_sender)
    sentences.emplace_back("[agent] senders has \"any\": whoever can open a connection or send a "
                           "datagram chooses the address that programs see");
  else if (config.senders4.empty() && config.senders6.empty())
    sentences.emplace_back("[agent] senders is empty: no TOA is believed");
  if (!config.udp && !config.udp_ports.empty())
    sentences.emplace_back("[agent] udp is false: udp_ports does nothing");
  if (!config.udp && config.uoa_getsockopt)
    sentences.emplace_back("[agent] udp is false: uoa_getsockopt does nothing");
  return sentences;
}

} // namespace viaduct::agent
