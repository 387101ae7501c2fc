// SPDX-License-Identifier: MIT
//
// The tree becomes a Config. Each table of the configuration has a table of keys here, and each key
// one function that reads its value; what is in neither is unknown and refused with the nearest
// known name, what is planned and not in this version is refused with those words. Nothing
// stops at the first problem: a key that is wrong is reported and left at its default, and the
// whole is given out only if there was none.
//
// A problem names the key, what was found and what was expected, and points at the value (or at the
// key where the key itself is wrong).
#include "config/checker.h"
#include "config/quote.h"
#include "config/sections.h"

#include <algorithm>
#include <array>
#include <net/if.h>

namespace viaduct::config {

Prefix6 prefix6(std::string_view text) {
  return *Prefix6::parse(text);
}
Prefix4 prefix4(std::string_view text) {
  return *Prefix4::parse(text);
}

bool has_key(const Value &table, std::string_view key) {
  return std::ranges::find(table.entries, key, &Entry::key) != table.entries.end();
}

namespace {

// --- [nvi] ---------------------------------------------------------------------------------------

// The kernel's own rules (dev_valid_name), and: '%' would make a pattern of it, "all" and "default"
// are not interfaces under /proc/sys/net.
bool valid_interface_name(std::string_view name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == ".." || name == "all" ||
      name == "default")
    return false;
  return std::ranges::all_of(
      name, [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%'; });
}

void nvi_name(Checker &checker, const Field &field) {
  constexpr const char *what = "an interface name of 1 to 15 visible ASCII characters without "
                               "'/', ':' and '%', such as \"nvi0\"";
  const std::string *name = read_string(checker, field, what);
  if (name == nullptr)
    return;
  if (!valid_interface_name(*name))
    return expected(checker, field, what);
  checker.config.nvi.name = *name;
}

void nvi_engine(Checker &checker, const Field &field) {
  constexpr std::array engines = {Engine::automatic, Engine::tun, Engine::bpf};
  if (auto word = read_word(checker, field, {"auto", "tun", "bpf"}))
    checker.config.nvi.engine = engines[*word];
}

void nvi_direct(Checker &checker, const Field &field) {
  constexpr size_t most = 64;
  constexpr const char *what = "a list of names of ports, such as [\"eth0\", \"eth1\"]";
  std::vector<std::string> &ports = checker.config.nvi.direct;
  checker.direct_at = field.value.at;
  for (const Field &item : read_list(checker, field, most, what)) {
    const std::string *name = read_string(checker, item, "the name of a port, such as \"eth0\"");
    if (name == nullptr)
      continue;
    if (!valid_interface_name(*name))
      expected(checker, item, "the name of a port, such as \"eth0\"");
    else if (std::ranges::find(ports, *name) != ports.end())
      problem(
          checker, item.value.at,
          fmt::format("{}: found {} twice, expected every port once", item.name, quoted(*name)));
    else
      ports.push_back(*name);
  }
}

void nvi_direct_mode(Checker &checker, const Field &field) {
  constexpr std::array modes = {DirectMode::automatic, DirectMode::tc, DirectMode::xdp,
                                DirectMode::xdp_generic};
  if (auto word = read_word(checker, field, {"auto", "tc", "xdp", "xdp-generic"}))
    checker.config.nvi.direct_mode = modes[*word];
}

void nvi_spin_us(Checker &checker, const Field &field) {
  if (auto microseconds = read_number(checker, field, 0, 1000))
    checker.config.nvi.spin_us = static_cast<uint16_t>(*microseconds);
}

void nvi_gather_udp(Checker &checker, const Field &field) {
  if (auto value = read_boolean(checker, field))
    checker.config.nvi.gather_udp = *value;
}

constexpr Key nvi_keys[] = {{"name", nvi_name},       {"engine", nvi_engine},
                            {"spin_us", nvi_spin_us}, {"gather_udp", nvi_gather_udp},
                            {"direct", nvi_direct},   {"direct_mode", nvi_direct_mode}};

void nvi(Checker &checker, const Field &field) {
  read_table(checker, field, nvi_keys);
}

// Direct ports are the BPF engine's, and none of them is the interface itself.
void check_direct(Checker &checker) {
  const Nvi &nvi = checker.config.nvi;
  if (nvi.direct.empty())
    return;
  if (nvi.engine == Engine::tun)
    problem(checker, checker.direct_at,
            "nvi.direct: found ports with engine = \"tun\", expected \"bpf\" or \"auto\": the "
            "programs of direct ports work on the bpf engine's tables");
  if (std::ranges::find(nvi.direct, nvi.name) != nvi.direct.end())
    problem(checker, checker.direct_at,
            fmt::format("nvi.direct: found {}, which is the virtual interface itself, expected "
                        "ports that packets come in by",
                        quoted(nvi.name)));
}

// --- [control] -----------------------------------------------------------------------------------

void control_socket(Checker &checker, const Field &field) {
  if (auto path = read_socket_path(checker, field, "/run/viaduct/control.sock"))
    checker.config.control.socket = *path;
}

void control_metrics(Checker &checker, const Field &field) {
  checker.config.control.metrics = read_listen(checker, field, 9464);
}

constexpr Key control_keys[] = {{"socket", control_socket}, {"metrics", control_metrics}};

void control(Checker &checker, const Field &field) {
  read_table(checker, field, control_keys);
}

// --- the whole -----------------------------------------------------------------------------------

constexpr Key root_keys[] = {{"nvi", nvi},         {"nat64", nat64},         {"dns64", dns64},
                             {"control", control}, {"static", static_rules}, {"service", nullptr},
                             {"nat", nullptr},     {"lan", nullptr}};

} // namespace

Outcome parse(std::string_view text, const std::string &file) {
  auto tree = read_tree(text, file);
  if (auto *fault = std::get_if<Problem>(&tree))
    return Outcome{std::nullopt, {std::move(*fault)}};
  const Value &root = std::get<Value>(tree);
  Checker checker;
  checker.file = file;
  read_table(checker, {root, "", {1, 1}}, root_keys);
  if (!has_key(root, "nat64"))
    problem(checker, {},
            fmt::format("found no table [nat64], expected at least {}", smallest_config));
  check_direct(checker);
  check_maps(checker);
  check_bindings(checker);
  if (checker.problems.empty())
    return Outcome{std::move(checker.config), {}};
  return Outcome{std::nullopt, in_order(std::move(checker))};
}

} // namespace viaduct::config
