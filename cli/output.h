// SPDX-License-Identifier: MIT
//
// Standard output: buffered, and every write checked. Two ways to print items: a table for people,
// an array for machines; both stream, so a million sessions need no memory.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace viaduct::cli {

// Functions that write say false when nothing more can be written; finish() then knows why.
class Output {
public:
  bool write(std::string_view text);
  // Flushes. `code` if all was written or the reader went away (as `| head` does); complains and
  // gives exit_failed otherwise.
  int finish(int code);

private:
  int failure_ = 0; // errno of the first write that failed
};

// What comes from outside must not steer the terminal.
std::string printable(std::string_view text);

// A member of an item; "?" if the daemon is another version and does not say it.
const nlohmann::json &member(const nlohmann::json &item, const char *name);

// As words for people: a string as it is, the rest as JSON.
std::string text(const nlohmann::json &value);
std::string text(const nlohmann::json &item, const char *name);
std::string text(const nlohmann::json &item, const char *outer, const char *name);

struct Column {
  const char *title;
  bool right = false; // numbers
};

// Aligned columns. Widths come from the first block of rows; later blocks may widen them.
class Table {
public:
  Table(Output &output, std::vector<Column> columns);
  bool row(std::vector<std::string> cells);
  bool flush(); // at the end; prints the header if there was no row

private:
  void append_line(std::string &text, const std::vector<std::string> &cells) const;

  Output &output_;
  std::vector<Column> columns_;
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
  bool header_done_ = false;
};

// [ITEM,ITEM,...], one a line. Without end() it is no valid JSON: nobody takes half an answer for a
// whole one.
class JsonArray {
public:
  explicit JsonArray(Output &output) : output_(output) {}
  bool item(const nlohmann::json &item);
  bool end();

private:
  Output &output_;
  bool begun_ = false;
};

} // namespace viaduct::cli
