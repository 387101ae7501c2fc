// SPDX-License-Identifier: MIT
//
// The doctor: a table of checks, each a small function that reads Facts and says one thing. A new
// engine, or a new part of the machine, adds its facts in facts.h and its line in checks().
#pragma once

#include "doctor/facts.h"

#include <span>

namespace viaduct::doctor {

enum class Level {
  ok,
  skip, // could not be looked at
  warn, // works, but not well, or not for long
  fail, // does not work
};

struct Finding {
  Level level = Level::ok;
  std::string text;   // what was seen
  std::string advice; // what to do; empty where nothing is to be done
};

struct Check {
  const char *name;
  Finding (*examine)(const Facts &facts);
};

// In the order in which a packet, or an operator, meets what they look at.
std::span<const Check> checks();

const char *level_name(Level level); // "ok", "skip", "warn", "fail"

} // namespace viaduct::doctor
