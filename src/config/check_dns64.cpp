// SPDX-License-Identifier: MIT
//
// [dns64]: where it answers, whom, and whom it asks.
#include "config/sections.h"

#include <algorithm>

namespace viaduct::config {

std::string host_address(std::string_view text, bool unspecified_allowed) {
  if (auto four = Ipv4::parse(text)) {
    bool unspecified = *four == Ipv4{};
    bool multicast = prefix4("224.0.0.0/3").contains(*four); // and what is reserved above it
    return multicast || (unspecified && !unspecified_allowed) ? "" : four->text();
  }
  if (auto six = Ipv6::parse(text)) {
    bool unspecified = *six == Ipv6{};
    bool multicast = prefix6("ff00::/8").contains(*six);
    return multicast || (unspecified && !unspecified_allowed) ? "" : six->text();
  }
  return {};
}

namespace {

constexpr size_t max_resolver_addresses = 16; // of dns64.listen and of dns64.upstream

std::vector<std::string> host_addresses(Checker &checker, const std::vector<Field> &items,
                                        bool unspecified_allowed, const char *what) {
  std::vector<std::string> addresses;
  for (const Field &item : items) {
    const std::string *text = read_string(checker, item, what);
    if (text == nullptr)
      continue;
    std::string address = host_address(*text, unspecified_allowed);
    if (address.empty())
      expected(checker, item, what);
    else if (std::ranges::find(addresses, address) != addresses.end())
      problem(checker, item.value.at,
              fmt::format("{}: found {} a second time, expected every address once", item.name,
                          address));
    else
      addresses.push_back(std::move(address));
  }
  return addresses;
}

void dns64_listen(Checker &checker, const Field &field) {
  auto items = read_list(checker, field, max_resolver_addresses,
                         "a list with at least one address to answer on, such as [\"::\"]");
  checker.config.dns64->listen = host_addresses(checker, items, true,
                                                "an address of this host such as \"2001:db8::53\", "
                                                "or \"::\" or \"0.0.0.0\" for all of them");
}

void dns64_allow(Checker &checker, const Field &field) {
  checker.config.dns64->allow = allow_list(checker, field);
}

void dns64_upstream(Checker &checker, const Field &field) {
  if (field.value.kind == Kind::list && field.value.items.empty())
    return; // resolve from the roots, as without the key
  auto items = read_list(checker, field, max_resolver_addresses,
                         "a list of resolvers' addresses such as [\"192.0.2.53\"]");
  checker.config.dns64->upstream =
      host_addresses(checker, items, false, "a resolver's address such as \"192.0.2.53\"");
}

void dns64_synthesize(Checker &checker, const Field &field) {
  if (auto word = read_word(checker, field, {"missing", "always"}))
    checker.config.dns64->synthesize = *word == 0 ? Synthesize::missing : Synthesize::always;
}

constexpr Key dns64_keys[] = {{"listen", dns64_listen},
                              {"allow", dns64_allow},
                              {"upstream", dns64_upstream},
                              {"synthesize", dns64_synthesize}};

} // namespace

void dns64(Checker &checker, const Field &field) {
  checker.config.dns64.emplace().listen = {"::"};
  read_table(checker, field, dns64_keys);
}

} // namespace viaduct::config
