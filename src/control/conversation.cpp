// SPDX-License-Identifier: MIT
#include "control/conversation.h"

#include <algorithm>
#include <optional>

namespace viaduct::control {

namespace {

using nlohmann::json;

const char *name_of_daemon = "viaductd";

// Text that is not UTF-8 (a file name may be anything) must not end the daemon by an exception.
std::string to_text(const json &value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

class Short : public Answer {
public:
  explicit Short(std::optional<json> item) : item_(std::move(item)) {}
  Step next(json &item) override {
    if (!item_)
      return Step::end;
    item = std::move(*item_);
    item_.reset();
    return Step::item;
  }

private:
  std::optional<json> item_;
};

// Quoted for a sentence: a client's words, but not pages of them.
std::string quoted(const std::string &word) {
  constexpr size_t enough = 40;
  return to_text(word.size() <= enough ? word : word.substr(0, enough) + "...");
}

} // namespace

std::unique_ptr<Answer> no_items() {
  return std::make_unique<Short>(std::nullopt);
}

std::unique_ptr<Answer> one_item(json item) {
  return std::make_unique<Short>(std::move(item));
}

Error unknown_command(const std::string &command, const char *known) {
  return error("unknown command {}: this {} knows {}", quoted(command), daemon_name(), known);
}

void set_daemon_name(const char *name) {
  name_of_daemon = name;
}

const char *daemon_name() {
  return name_of_daemon;
}

Result<Request> parse_request(std::string_view line) {
  // The parser takes a NUL for the end of the text and would ignore what follows.
  if (line.find('\0') != std::string_view::npos)
    return error("the request holds a NUL byte: send one JSON object per line");
  bool too_deep = false;
  auto limit_depth = [&too_deep](int depth, json::parse_event_t, json &) {
    too_deep = too_deep || depth > max_request_depth;
    return !too_deep;
  };
  json object = json::parse(line.begin(), line.end(), limit_depth, /*allow_exceptions=*/false);
  if (too_deep)
    return error("the request is nested deeper than {} levels", max_request_depth);
  if (object.is_discarded())
    return error("the request is not JSON: send one JSON object per line, in UTF-8");
  if (!object.is_object())
    return error("the request is not a JSON object: send {{\"command\":\"status\"}}, for example");
  auto command = object.find("command");
  if (command == object.end())
    return error("the request has no \"command\"");
  if (!command->is_string())
    return error("the request's \"command\" is not a string");
  auto word = command->get<std::string>();
  return Request{std::move(word), std::move(object)};
}

bool Conversation::line_waits() const {
  return !over_ && !answer_ &&
         (input_.size() > line_limit_ || input_.find('\n') != std::string::npos ||
          (ended_ && !input_.empty()));
}

bool Conversation::wants_input() const {
  return !over_ && !ended_ && !answer_ && output().empty() && !line_waits();
}

bool Conversation::has_work() const {
  return !output().empty() || (answer_ && !waiting_) || line_waits();
}

void Conversation::advance(size_t steps) {
  for (; steps > 0 && output().size() < output_ceiling; steps--) {
    if (answer_ && waiting_)
      break;
    if (answer_)
      continue_answer();
    else if (line_waits())
      take_line();
    else
      break;
  }
  if (ended_ && !answer_ && !line_waits())
    over_ = true;
}

void Conversation::sent(size_t bytes) {
  sent_ = std::min(sent_ + bytes, output_.size());
  if (sent_ == output_.size()) {
    output_.clear();
    sent_ = 0;
  } else if (sent_ >= output_ceiling) {
    output_.erase(0, sent_);
    sent_ = 0;
  }
}

void Conversation::take_line() {
  size_t end = std::min(input_.find('\n'), input_.size());
  if (end > line_limit_)
    return fail(fmt::format("the request is longer than {} bytes", line_limit_));
  if (end == input_.size())
    return fail("the request does not end with a newline");
  std::string line = input_.substr(0, end);
  input_.erase(0, end + 1);
  begin(line);
}

void Conversation::begin(std::string_view line) {
  auto request = parse_request(line);
  if (!request)
    return fail(request.failure().message);
  auto answer = handler_(request->command, request->object);
  if (!answer)
    return fail(answer.failure().message);
  answer_ = std::move(*answer);
}

void Conversation::continue_answer() {
  json item;
  switch (answer_->next(item)) {
  case Answer::Step::item:
    output_.append("{\"item\":").append(to_text(item)).append("}\n");
    break;
  case Answer::Step::again:
    break;
  case Answer::Step::wait:
    waiting_ = true;
    break;
  case Answer::Step::end:
    output_.append("{\"end\":true}\n");
    answer_.reset();
    break;
  }
}

void Conversation::fail(const std::string &message) {
  output_.append(to_text(json{{"error", message}})).append("\n");
  input_.clear();
  over_ = true;
}

} // namespace viaduct::control
