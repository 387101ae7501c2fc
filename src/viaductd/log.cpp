// SPDX-License-Identifier: MIT
#include "viaductd/log.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace viaduct::log {

namespace {

// sd-daemon(3): "<4>" at the start of a line is its syslog priority.
class Priority final : public spdlog::custom_flag_formatter {
public:
  void format(const spdlog::details::log_msg &message, const std::tm &,
              spdlog::memory_buf_t &to) override {
    std::string_view text = "<6>";
    if (message.level == spdlog::level::warn)
      text = "<4>";
    else if (message.level >= spdlog::level::err)
      text = "<3>";
    to.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<Priority>();
  }
};

bool is_plain(char c) {
  return c > ' ' && c != '"' && c != '=' && c != '\\' && static_cast<unsigned char>(c) < 0x7f;
}

// A value never breaks its line or ends its field, whatever is in it.
void append_value(std::string &out, const std::string &value) {
  if (!value.empty() && std::all_of(value.begin(), value.end(), is_plain)) {
    out += value;
    return;
  }
  out += '"';
  for (char c : value) {
    if (c == '"' || c == '\\')
      out += '\\';
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  out += '"';
}

} // namespace

std::string line(std::string_view event, std::initializer_list<Field> fields) {
  std::string out(event);
  for (const Field &field : fields) {
    out += ' ';
    out += field.name;
    out += '=';
    append_value(out, field.value);
  }
  return out;
}

void setup() {
  auto logger = spdlog::stderr_logger_mt("viaductd");
  if (std::getenv("JOURNAL_STREAM") != nullptr) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<Priority>('*').set_pattern("%*%v");
    logger->set_formatter(std::move(formatter));
  } else {
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  }
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

void info(std::string_view event, std::initializer_list<Field> fields) {
  spdlog::info("{}", line(event, fields));
}

void warning(std::string_view event, std::initializer_list<Field> fields) {
  spdlog::warn("{}", line(event, fields));
}

void failure(std::string_view event, std::initializer_list<Field> fields) {
  spdlog::error("{}", line(event, fields));
}

} // namespace viaduct::log
