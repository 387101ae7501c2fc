// SPDX-License-Identifier: MIT
//
// Which sessions or bindings are meant, as an operator writes it:
//
//   protocol=tcp inside=2001:db8:64::/64 remote=192.0.2.0/24,198.51.100.7 remote-port!=443
//
// Terms stand side by side and must all hold; a term's values are alternatives, `!=` means none of
// them. docs/control-protocol.md has the keys. Text comes from a client: its length, terms and
// values are bounded, and what is wrong is said.
#pragma once

#include "base/address.h"
#include "base/result.h"
#include "tables/tables.h"

#include <string_view>
#include <vector>

namespace viaduct::control {

class Filter {
public:
  enum class Of { sessions, bindings };
  static constexpr size_t longest_text = 2048;
  static constexpr size_t most_terms = 16;
  static constexpr size_t most_values = 64; // of all terms together

  // An empty text is refused: who means all says so in another way.
  static Result<Filter> parse(std::string_view text, Of of);

  bool matches(const dp::session_key &key, const dp::session &value) const;
  bool matches(const dp::binding_key &key, const dp::binding &value) const;

  // Of a filter for sessions: whether it has no terms that bindings do not have.
  bool may_match_bindings() const;

  enum class Key {
    protocol,
    inside,
    outside,
    remote,
    inside_port,
    outside_port,
    remote_port,
    port,
    state
  };

private:
  // Protocols, states and ports as a range of numbers, addresses as a prefix.
  struct Value {
    uint32_t low = 0, high = 0;
    Prefix6 six;
    Prefix4 four;
  };
  struct Term {
    Key key;
    bool negated;
    std::vector<Value> values;
  };
  // What a row of either table has; ports and addresses in host order.
  struct Row;

  static Result<Term> parse_term(std::string_view word, Of of);
  static Result<Value> parse_value(Key key, std::string_view name, std::string_view text);
  static bool value_matches(Key key, const Value &value, const Row &row);
  bool matches(const Row &row) const;

  std::vector<Term> terms_;
};

} // namespace viaduct::control
