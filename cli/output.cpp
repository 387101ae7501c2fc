// SPDX-License-Identifier: MIT
#include "cli/output.h"

#include "cli/command.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace viaduct::cli {

namespace {

using nlohmann::json;

constexpr size_t rows_per_block = 1000;
const char *program = "viaduct";

} // namespace

bool Output::write(std::string_view text) {
  if (failure_ == 0 && fwrite(text.data(), 1, text.size(), stdout) != text.size())
    failure_ = errno;
  return failure_ == 0;
}

int Output::finish(int code) {
  if (failure_ == 0 && fflush(stdout) != 0)
    failure_ = errno;
  if (failure_ == 0 || failure_ == EPIPE)
    return code;
  complain("cannot write the output: " + std::generic_category().message(failure_));
  return exit_failed;
}

std::string printable(std::string_view text) {
  std::string clean(text);
  std::replace_if(
      clean.begin(), clean.end(),
      [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
  return clean;
}

const json &member(const json &item, const char *name) {
  static const json unknown = "?";
  auto found = item.find(name);
  return found == item.end() ? unknown : *found;
}

std::string text(const json &value) {
  if (value.is_string())
    return printable(value.get_ref<const std::string &>());
  return printable(value.dump(-1, ' ', false, json::error_handler_t::replace));
}

std::string text(const json &item, const char *name) {
  return text(member(item, name));
}

std::string text(const json &item, const char *outer, const char *name) {
  const json &object = member(item, outer);
  return object.is_object() ? text(object, name) : "?";
}

void set_program_name(const char *name) {
  program = name;
}

void complain(std::string_view message) {
  std::string line = fmt::format("{}: {}\n", program, printable(message));
  (void)fwrite(line.data(), 1, line.size(), stderr);
}

Table::Table(Output &output, std::vector<Column> columns)
    : output_(output), columns_(std::move(columns)), widths_(columns_.size()) {
  for (size_t i = 0; i < columns_.size(); i++)
    widths_[i] = std::string_view(columns_[i].title).size();
}

bool Table::row(std::vector<std::string> cells) {
  for (size_t i = 0; i < cells.size(); i++)
    widths_[i] = std::max(widths_[i], cells[i].size());
  rows_.push_back(std::move(cells));
  return rows_.size() < rows_per_block || flush();
}

bool Table::flush() {
  std::string text;
  if (!header_done_) {
    std::vector<std::string> titles;
    for (const auto &column : columns_)
      titles.emplace_back(column.title);
    append_line(text, titles);
    header_done_ = true;
  }
  for (const auto &cells : rows_)
    append_line(text, cells);
  rows_.clear();
  return output_.write(text);
}

void Table::append_line(std::string &text, const std::vector<std::string> &cells) const {
  for (size_t i = 0; i < cells.size(); i++) {
    size_t padding = widths_[i] - std::min(widths_[i], cells[i].size());
    bool last = i + 1 == cells.size();
    if (columns_[i].right)
      text.append(padding, ' ').append(cells[i]);
    else
      text.append(cells[i]).append(last ? 0 : padding, ' ');
    text.append(last ? "\n" : "  ");
  }
}

bool JsonArray::item(const nlohmann::json &item) {
  std::string text = begun_ ? ",\n" : "[\n";
  begun_ = true;
  return output_.write(text + item.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

bool JsonArray::end() {
  return output_.write(begun_ ? "\n]\n" : "[]\n");
}

} // namespace viaduct::cli
