// SPDX-License-Identifier: MIT
//
// An answer to a request is pulled item by item, so that a million sessions are written while the
// client reads them and never stand in memory.
#pragma once

#include "base/result.h"

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace viaduct::control {

class Answer {
public:
  enum class Step {
    item,  // `item` was set
    again, // a bounded piece of work was done, but gave nothing to say yet
    wait,  // nothing to say now, and no work: called again after Server::resume()
    end,   // all was said; not called again
  };

  virtual ~Answer() = default;
  // Does a small, bounded piece of work: packets and other clients wait for it.
  virtual Step next(nlohmann::json &item) = 0;
  // Whether it goes on until the client leaves; such a client may be silent, and slow.
  virtual bool endless() const { return false; }
};

// Decides what a request is answered with; the error is what the client gets to read. `request` is
// the whole object, `command` its member of that name. An answer may outlive the call by minutes.
using Handler = std::function<Result<std::unique_ptr<Answer>>(const std::string &command,
                                                              const nlohmann::json &request)>;

// The short answers.
std::unique_ptr<Answer> no_items();
std::unique_ptr<Answer> one_item(nlohmann::json item);
inline constexpr const char *commands_of_viaductd =
    "status, sessions, bindings, pools, maps, counters, clear, trace, monitor, reload and version";
Error unknown_command(const std::string &command, const char *known = commands_of_viaductd);

// Which daemon this program is, or asks: the words of this library's errors. Set at a program's
// start, or not at all.
void set_daemon_name(const char *name);
const char *daemon_name();

} // namespace viaduct::control
