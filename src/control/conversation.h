// SPDX-License-Identifier: MIT
//
// One client's conversation without its socket: bytes in, bytes out, and never more than a bounded
// number of either in memory. Pure, so that the fuzzer can have all of it; server.h moves the
// bytes.
//
// docs/control-protocol.md is the contract. After an error the conversation is over.
#pragma once

#include "control/answer.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace viaduct::control {

struct Request {
  std::string command;
  nlohmann::json object;
};

constexpr int max_request_depth = 4; // levels of objects and arrays
constexpr size_t output_ceiling = size_t{64} * 1024;

// One line without its newline.
Result<Request> parse_request(std::string_view line);

class Conversation {
public:
  Conversation(const Handler &handler, size_t line_limit)
      : handler_(handler), line_limit_(line_limit) {}

  // Whether receive() should be called: false while an answer is under way, so that what a client
  // sends ahead waits in the kernel and not here.
  bool wants_input() const;
  void receive(std::string_view bytes) { input_.append(bytes); }
  void receive_end() { ended_ = true; } // the client will send no more

  // Goes on with what there is to do, at most `steps` steps and until the output holds
  // output_ceiling bytes.
  void advance(size_t steps);

  std::string_view output() const { return std::string_view(output_).substr(sent_); }
  void sent(size_t bytes);

  bool has_work() const; // there is output to send, or advance() would make some
  bool working() const { return answer_ && output().empty(); } // the client waits for us

  // An answer that has nothing to say for now; resume() lets it try again.
  bool waiting() const { return waiting_ && output().empty(); }
  void resume() { waiting_ = false; }
  bool endless() const { return answer_ && answer_->endless(); }
  bool finished() const { return over_ && output().empty(); }

private:
  bool line_waits() const;
  void take_line();
  void begin(std::string_view line);
  void continue_answer();
  void fail(const std::string &message);

  const Handler &handler_;
  size_t line_limit_;
  std::string input_;
  std::string output_;
  size_t sent_ = 0; // bytes at the front of output_ that are gone already
  std::unique_ptr<Answer> answer_;
  bool ended_ = false;
  bool waiting_ = false;
  bool over_ = false;
};

} // namespace viaduct::control
