// SPDX-License-Identifier: MIT
//
// The other end of the control socket: the command's side. Blocking, with a timeout on every wait.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace viaduct::control {

class Client {
public:
  // `patience`: the longest silence of the daemon before we give up. `number`: gets the errno of a
  // failure.
  static Result<Client> connect(const std::string &path,
                                std::chrono::milliseconds patience = std::chrono::seconds(30),
                                int *number = nullptr);

  // Sends {"command":COMMAND} and what else `more` holds; then next() gives the items, and nothing at the end of the answer.
  Result<void> ask(const std::string &command, nlohmann::json more = nlohmann::json::object());
  Result<std::optional<nlohmann::json>> next();

private:
  Client(Fd fd, std::chrono::milliseconds patience) : fd_(std::move(fd)), patience_(patience) {}
  Result<void> wait(short events);
  Result<std::string> line();

  Fd fd_;
  std::chrono::milliseconds patience_;
  std::string input_;
  size_t at_ = 0; // what stands before was taken
};

} // namespace viaduct::control
