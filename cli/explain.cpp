// SPDX-License-Identifier: MIT
//
// viaduct explain REASON: what a counter means, which RFC asks for it, what makes it grow and what
// to do. All from datapath/reasons.def, so it needs no daemon. Without a name: all of them, the
// name first on each line.
#include "cli/command.h"
#include "cli/output.h"

#include "control/reasons.h"

#include <algorithm>
#include <numeric>

namespace viaduct::cli {

namespace {

using control::ReasonText;

// How many letters must be added, taken out or changed (Levenshtein).
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); i++) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); j++) {
      size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

// The names that were probably meant, nearest first: few letters away, or one holds the other.
std::vector<std::string> nearest(std::string_view word) {
  constexpr size_t longest_word = 64, most_names = 4;
  if (word.size() > longest_word)
    return {};
  std::vector<std::pair<size_t, std::string>> found;
  for (const ReasonText &text : control::reason_texts()) {
    std::string_view name = text.name;
    size_t letters = distance(word, name);
    bool holds = word.size() >= 3 && name.find(word) != std::string_view::npos;
    if (&text != control::reason_texts().data() && (holds || letters <= 1 + word.size() / 4))
      found.emplace_back(holds ? std::min(letters, size_t{1}) : letters, name);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto &a, const auto &b) { return a.first < b.first; });
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(found.size(), most_names); i++)
    names.push_back(found[i].second);
  return names;
}

const ReasonText *find(std::string_view name) {
  const auto &texts = control::reason_texts();
  auto found = std::find_if(texts.begin() + 1, texts.end(),
                            [name](const ReasonText &text) { return name == text.name; });
  return found == texts.end() ? nullptr : &*found;
}

nlohmann::json item_of(const ReasonText &text) {
  return {{"name", text.name}, {"kind", text.kind},     {"rfc", text.rfc},
          {"help", text.help}, {"causes", text.causes}, {"advice", text.advice}};
}

const char *kind_text(std::string_view kind) {
  if (kind == "drop")
    return "a packet was dropped";
  if (kind == "done")
    return "a packet was translated";
  if (kind == "pass")
    return "a packet was left alone";
  if (kind == "punt")
    return "the BPF build handed a packet up to the native build";
  return "something happened";
}

// Lines of at most `width` columns; those after the first are indented.
std::string paragraph(const char *title, std::string_view text) {
  constexpr size_t width = 80, indent = 10;
  std::string all = fmt::format("{:<{}}", title, indent);
  size_t column = indent;
  while (!text.empty()) {
    size_t end = std::min(text.find(' '), text.size());
    if (column > indent && column + 1 + end > width) {
      all += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      all += ' ';
      column++;
    }
    all += text.substr(0, end);
    column += end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return all + "\n";
}

std::string explanation(const ReasonText &text) {
  std::string rfc = *text.rfc ? text.rfc : "none: our own";
  return fmt::format("{}\n\n", text.name) + paragraph("means", text.help) +
         paragraph("kind", fmt::format("{}: {}", text.kind, kind_text(text.kind))) +
         paragraph("standard", rfc) + reason_advice(text.causes, text.advice);
}

int unknown(const std::string &name) {
  auto names = nearest(name);
  std::string shown = name.size() <= 40 ? name : name.substr(0, 40) + "...";
  complain(
      names.empty()
          ? fmt::format("there is no counter \"{}\": viaduct explain lists them", shown)
          : fmt::format("there is no counter \"{}\"; near it: {}", shown, fmt::join(names, ", ")));
  return exit_usage;
}

int explain_all(const Options &options) {
  Output output;
  JsonArray array(output);
  Table table(output, {{"COUNTER"}, {"KIND"}, {"MEANING"}});
  const auto &texts = control::reason_texts();
  for (auto text = texts.begin() + 1; text != texts.end(); ++text) {
    if (options.json)
      array.item(item_of(*text));
    else
      table.row({text->name, text->kind, text->help});
  }
  options.json ? array.end() : table.flush();
  return output.finish(exit_good);
}

} // namespace

std::string reason_advice(std::string_view causes, std::string_view advice) {
  return paragraph("causes", causes) + paragraph("do", advice);
}

int explain(const Options &options) {
  if (options.reason.empty())
    return explain_all(options);
  const ReasonText *text = find(options.reason);
  if (text == nullptr)
    return unknown(options.reason);
  Output output;
  if (options.json) {
    JsonArray array(output);
    array.item(item_of(*text));
    array.end();
  } else {
    output.write(explanation(*text));
  }
  return output.finish(exit_good);
}

} // namespace viaduct::cli
