// SPDX-License-Identifier: MIT
#include "control/filter.h"

#include "control/views.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <endian.h>
#include <optional>
#include <span>

namespace viaduct::control {

namespace {

using Key = Filter::Key;

struct KeyName {
  const char *name;
  Key key;
  bool of_bindings;
};

constexpr std::array<KeyName, 9> keys = {{{"protocol", Key::protocol, true},
                                          {"inside", Key::inside, true},
                                          {"outside", Key::outside, true},
                                          {"remote", Key::remote, false},
                                          {"inside-port", Key::inside_port, true},
                                          {"outside-port", Key::outside_port, true},
                                          {"remote-port", Key::remote_port, false},
                                          {"port", Key::port, true},
                                          {"state", Key::state, false}}};

std::string key_names(Filter::Of of) {
  std::vector<std::string_view> names;
  for (const auto &key : keys)
    if (of == Filter::Of::sessions || key.of_bindings)
      names.emplace_back(key.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// A client's word in our sentence, but not pages of it.
std::string shown(std::string_view word) {
  constexpr size_t enough = 40;
  return word.size() <= enough ? std::string(word) : std::string(word.substr(0, enough)) + "...";
}

std::optional<uint32_t> number(std::string_view text, uint32_t highest) {
  uint32_t value = 0;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size() || value > highest)
    return std::nullopt;
  return value;
}

Error wrong(std::string_view name, std::string_view text, const char *expected) {
  return error("filter: {}: found \"{}\", expected {}", name, shown(text), expected);
}

} // namespace

struct Filter::Row {
  uint8_t protocol = 0;
  Ipv6 inside;
  Ipv4 outside;
  uint16_t inside_port = 0;
  uint16_t outside_port = 0;
  bool is_session = false; // what follows is there
  Ipv4 remote{};
  uint16_t remote_port = 0;
  uint32_t state = 0;
};

Result<Filter> Filter::parse(std::string_view text, Of of) {
  if (text.size() > longest_text)
    return error("filter: longer than {} bytes", longest_text);
  Filter filter;
  size_t values = 0;
  for (size_t at = text.find_first_not_of(' '); at < text.size();
       at = text.find_first_not_of(' ', at)) {
    size_t end = std::min(text.find(' ', at), text.size());
    auto term = parse_term(text.substr(at, end - at), of);
    if (!term)
      return term.failure();
    values += term->values.size();
    filter.terms_.push_back(std::move(*term));
    if (filter.terms_.size() > most_terms || values > most_values)
      return error("filter: more than {} terms or {} values", most_terms, most_values);
    at = end;
  }
  if (filter.terms_.empty())
    return error("filter: empty, expected terms such as protocol=tcp or remote=192.0.2.0/24");
  return filter;
}

Result<Filter::Term> Filter::parse_term(std::string_view word, Of of) {
  size_t equals = word.find('=');
  if (equals == std::string_view::npos || equals == 0)
    return error("filter: found \"{}\", expected KEY=VALUE or KEY!=VALUE", shown(word));
  bool negated = word[equals - 1] == '!';
  std::string_view name = word.substr(0, equals - (negated ? 1 : 0));
  const auto *known = std::find_if(keys.begin(), keys.end(),
                                   [name](const KeyName &key) { return name == key.name; });
  if (known == keys.end())
    return error("filter: found the unknown key \"{}\", expected one of {}", shown(name),
                 key_names(of));
  if (of == Of::bindings && !known->of_bindings)
    return error("filter: a binding has no {}, expected one of {}", name, key_names(of));
  Term term{known->key, negated, {}};
  for (std::string_view rest = word.substr(equals + 1);;) {
    size_t comma = std::min(rest.find(','), rest.size());
    auto value = parse_value(term.key, name, rest.substr(0, comma));
    if (!value)
      return value.failure();
    term.values.push_back(*value);
    if (comma == rest.size())
      return term;
    rest.remove_prefix(comma + 1);
  }
}

Result<Filter::Value> Filter::parse_value(Key key, std::string_view name, std::string_view text) {
  Value value;
  switch (key) {
  case Key::protocol:
    for (uint8_t protocol : {dp::PROTOCOL_TCP, dp::PROTOCOL_UDP, dp::PROTOCOL_ICMP})
      if (text == protocol_name(protocol)) {
        value.low = value.high = protocol;
        return value;
      }
    return wrong(name, text, "tcp, udp or icmp");
  case Key::state:
    for (uint8_t state = 0; state < dp::STATE_COUNT; state++)
      if (text == state_name(state)) {
        value.low = value.high = state;
        return value;
      }
    return wrong(name, text, "a state as viaduct show sessions prints it, such as established");
  case Key::inside: {
    auto prefix = Prefix6::parse(
        text.find('/') == std::string_view::npos ? std::string(text) + "/128" : std::string(text));
    if (!prefix)
      return wrong(name, text, "an IPv6 address or prefix such as 2001:db8:64::/64");
    value.six = *prefix;
    return value;
  }
  case Key::outside:
  case Key::remote: {
    auto prefix = Prefix4::parse(
        text.find('/') == std::string_view::npos ? std::string(text) + "/32" : std::string(text));
    if (!prefix)
      return wrong(name, text, "an IPv4 address or prefix such as 192.0.2.0/24");
    value.four = *prefix;
    return value;
  }
  default: {
    size_t dash = std::min(text.find('-'), text.size());
    auto low = number(text.substr(0, dash), UINT16_MAX);
    auto high = dash == text.size() ? low : number(text.substr(dash + 1), UINT16_MAX);
    if (!low || !high || *low > *high)
      return wrong(name, text, "a port such as 443, or a range such as 1024-2047");
    value.low = *low;
    value.high = *high;
    return value;
  }
  }
}

bool Filter::value_matches(Key key, const Value &value, const Row &row) {
  auto in_range = [&value](uint32_t x) { return value.low <= x && x <= value.high; };
  switch (key) {
  case Key::protocol:
    return in_range(row.protocol);
  case Key::inside:
    return value.six.contains(row.inside);
  case Key::outside:
    return value.four.contains(row.outside);
  case Key::remote:
    return value.four.contains(row.remote);
  case Key::inside_port:
    return in_range(row.inside_port);
  case Key::outside_port:
    return in_range(row.outside_port);
  case Key::remote_port: // an ICMP query has none
    return row.protocol != dp::PROTOCOL_ICMP && in_range(row.remote_port);
  case Key::port:
    return in_range(row.inside_port) || in_range(row.outside_port) ||
           (row.is_session && row.protocol != dp::PROTOCOL_ICMP && in_range(row.remote_port));
  case Key::state:
    return in_range(row.state);
  }
  return false;
}

bool Filter::matches(const Row &row) const {
  return std::all_of(terms_.begin(), terms_.end(), [&row](const Term &term) {
    bool any = std::any_of(term.values.begin(), term.values.end(),
                           [&](const Value &value) { return value_matches(term.key, value, row); });
    return any != term.negated;
  });
}

bool Filter::matches(const dp::session_key &key, const dp::session &value) const {
  Row row;
  row.protocol = key.protocol;
  row.inside = Ipv6::from_bytes(std::span<const uint8_t, 16>(value.inside.byte));
  row.outside = Ipv4::from_network_order(key.pool_address);
  row.inside_port = be16toh(value.inside_port);
  row.outside_port = be16toh(key.pool_port);
  row.is_session = true;
  row.remote = Ipv4::from_network_order(key.remote_address);
  row.remote_port = be16toh(key.remote_port);
  row.state = __atomic_load_n(&value.state, __ATOMIC_RELAXED); // a worker may be changing it
  return matches(row);
}

bool Filter::matches(const dp::binding_key &key, const dp::binding &value) const {
  Row row;
  row.protocol = key.protocol;
  row.inside = Ipv6::from_bytes(std::span<const uint8_t, 16>(key.inside.byte));
  row.outside = Ipv4::from_network_order(value.pool_address);
  row.inside_port = be16toh(key.inside_port);
  row.outside_port = be16toh(value.pool_port);
  return matches(row);
}

bool Filter::may_match_bindings() const {
  return std::all_of(terms_.begin(), terms_.end(), [](const Term &term) {
    return std::any_of(keys.begin(), keys.end(), [&term](const KeyName &known) {
      return known.key == term.key && known.of_bindings;
    });
  });
}

} // namespace viaduct::control
