// SPDX-License-Identifier: MIT
//
// From the checked configuration to what the data path reads. Pure.
#pragma once

#include "base/address.h"
#include "config/config.h"
#include "datapath/types.h"
#include "tables/tables.h"

#include <map>
#include <vector>

namespace viaduct {

// `connected` stands in where the configuration names no `allow`: at most MAX_ALLOW are taken.
dp::policy make_policy(const config::Nat64 &nat64, const std::vector<Prefix6> &connected,
                       uint32_t generation);

// The same with the static maps: everything that the data path is to know.
dp::policy make_policy(const config::Config &config, const std::vector<Prefix6> &connected,
                       uint32_t generation);

// The places of the addresses that were in the pool before stay theirs, and with them what is known
// of their ports; new ones get others, those that nobody had if there are any.
void keep_slots(const dp::policy &before, dp::policy &policy);

// The static bindings of a configuration, found by either end.
class StaticBindings {
public:
  StaticBindings() = default;
  explicit StaticBindings(const std::vector<config::StaticBinding> &bindings);

  void add(const tables::BindingEnds &ends);
  std::vector<tables::BindingEnds> all() const;
  bool has(const tables::BindingEnds &ends) const;

  enum class Fit { other, belongs, contradicts };
  // Whether a session is of one of them, or has one of its ends with another one beside it.
  Fit fit(const dp::session_key &key, const dp::session &value) const;

private:
  struct Less { // keys are compared as bytes, also in the tables
    template <typename Key> bool operator()(const Key &a, const Key &b) const;
  };
  std::map<dp::port_key, dp::binding_key, Less> by_outside_;
  std::map<dp::binding_key, dp::port_key, Less> by_inside_;
};

// Whether a session that was made under another policy may go on under this one: its prefix, its
// pool address with its port, and its host are still there (or it is of a static binding, and of
// no other), its host is not mapped now, and its remote address is not refused.
bool still_allowed(const dp::policy &policy, const dp::session_key &key, const dp::session &value,
                   const StaticBindings &bindings = {});

} // namespace viaduct
