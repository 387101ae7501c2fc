// SPDX-License-Identifier: MIT
#include "log/log.h"

#include <algorithm>
#include <array>
#include <cstdint>
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

// Length of the UTF-8 character that `text` starts with, if it may stand in a line as it is: well
// formed, beyond ASCII, and no C1 control (U+0080 to U+009F: line ends and terminal sequences).
size_t character_length(std::string_view text) {
  auto first = static_cast<unsigned char>(text[0]);
  size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length)
    return 0;
  uint32_t code = first & (0x7fU >> length);
  for (size_t i = 1; i < length; i++) {
    auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80)
      return 0;
    code = code << 6 | (next & 0x3fU);
  }
  constexpr std::array<uint32_t, 3> smallest{0xa0, 0x800, 0x10000};
  bool surrogate = code >= 0xd800 && code < 0xe000;
  return code >= smallest[length - 2] && code < 0x110000 && !surrogate ? length : 0;
}

// A value never breaks its line or ends its field, whatever is in it.
void append_value(std::string &out, const std::string &value) {
  if (!value.empty() && std::all_of(value.begin(), value.end(), is_plain)) {
    out += value;
    return;
  }
  out += '"';
  for (size_t i = 0; i < value.size(); i++) {
    auto byte = static_cast<unsigned char>(value[i]);
    size_t beyond_ascii = byte >= 0x80 ? character_length(std::string_view(value).substr(i)) : 0;
    if (beyond_ascii > 0) {
      out.append(value, i, beyond_ascii);
      i += beyond_ascii - 1;
    } else if (byte < ' ' || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      if (byte == '"' || byte == '\\')
        out += '\\';
      out += value[i];
    }
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

void setup(const char *program) {
  auto logger = spdlog::stderr_logger_mt(program);
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
