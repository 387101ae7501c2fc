// SPDX-License-Identifier: MIT
//
// viaduct trace: what would become of a packet, given as words or taken from a capture. It is
// walked through the daemon's own data path and tables, dry: nothing is sent and nothing changes.
#include "cli/command.h"
#include "cli/output.h"
#include "cli/packet_file.h"
#include "cli/packet_words.h"

#include "control/client.h"
#include "control/trace.h"

#include <algorithm>
#include <charconv>

namespace viaduct::cli {

namespace {

using nlohmann::json;

bool is_true(const json &item, const char *name) {
  auto found = item.find(name);
  return found != item.end() && *found == true;
}

Result<std::vector<uint8_t>> packet_of(const Options &options) {
  if (options.pcap.empty())
    return packet_from_words(options.words);
  uint64_t number = 1;
  if (!options.packet.empty()) {
    const char *begin = options.packet.data(), *end = begin + options.packet.size();
    auto [rest, fault] = std::from_chars(begin, end, number);
    if (fault != std::errc() || rest != end || number == 0)
      return error("--packet takes the number of a packet, of which the first is 1");
  }
  auto packet = packet_from_file(options.pcap, number);
  if (!packet)
    return packet.failure();
  if (packet->missing > 0)
    complain(fmt::format("{} bytes of the packet were not captured: zeros stand for them",
                         packet->missing));
  return std::move(packet->bytes);
}

// The beginning, and the length: what follows is mostly data that nobody looks at.
json request_of(const std::vector<uint8_t> &packet) {
  size_t size = packet.size();
  while (size > 1 && packet[size - 1] == 0)
    size--;
  if (size > control::most_traced_bytes) {
    size = control::most_traced_bytes;
    complain(fmt::format("only the first {} bytes of the packet are looked at: zeros stand for the "
                         "others",
                         size));
  }
  std::string digits;
  for (size_t i = 0; i < size; i++)
    digits += fmt::format("{:02x}", packet[i]);
  return {{"packet", digits}, {"length", packet.size()}};
}

std::string fragment_text(const json &packet) {
  auto found = packet.find("fragment");
  if (found == packet.end() || !found->is_object())
    return "";
  return fmt::format(", fragment from byte {}{}", text(*found, "offset"),
                     is_true(*found, "more") ? ", more follow" : "");
}

std::string icmp_text(const json &packet) {
  auto found = packet.find("icmp");
  if (found == packet.end() || !found->is_object())
    return "";
  std::string words = fmt::format(" type {} code {}", text(*found, "type"), text(*found, "code"));
  for (const char *name : {"identifier", "mtu"})
    if (found->contains(name))
      words += fmt::format(", {} {}", name, text(*found, name));
  return words;
}

std::string packet_text(const json &packet) {
  bool six = text(packet, "family") == "6";
  return fmt::format("IPv{} {}{} from {} to {}, {} bytes, {} {}{}{}", text(packet, "family"),
                     text(packet, "protocol"), icmp_text(packet), text(packet, "source"),
                     text(packet, "destination"), text(packet, "length"),
                     six ? "hop limit" : "time to live", text(packet, "hop_limit"),
                     is_true(packet, "df") ? ", DF" : "", fragment_text(packet));
}

std::string counts_text(const json &outcome) {
  std::string all;
  auto counts = outcome.find("counts");
  if (counts != outcome.end() && counts->is_object())
    for (const auto &[name, value] : counts->items())
      all += (all.empty() ? "" : ", ") + printable(name) + (value == 1 ? "" : " +" + value.dump());
  return all;
}

std::string verdict_text(const json &outcome) {
  std::string verdict = text(outcome, "verdict");
  if (verdict == "forward")
    return "would go on";
  if (verdict == "drop")
    return "would be dropped";
  return verdict == "held" ? "would wait" : "would be left alone";
}

// The end, in the table's columns; what the daemon answered is not trusted to be whole.
void outcome_rows(Table &table, const json &outcome) {
  table.row({"end", text(outcome, "rfc"),
             fmt::format("{}: {} ({})", verdict_text(outcome), text(outcome, "reason"),
                         text(outcome, "help"))});
  if (auto leaves = outcome.find("leaves"); leaves != outcome.end() && leaves->is_array())
    for (const json &packet : *leaves)
      table.row({"leaves", "", packet_text(packet)});
  if (auto answer = outcome.find("answer"); answer != outcome.end() && answer->is_object())
    table.row({"answer", "", packet_text(*answer)});
  table.row({"counts", "", counts_text(outcome)});
}

class Printer {
public:
  explicit Printer(bool as_json) : json_(as_json), array_(output_), table_(output_, columns()) {}

  void item(const json &item) {
    last_ = item;
    if (json_)
      array_.item(item);
    else if (item.contains("verdict"))
      outcome_rows(table_, item);
    else
      table_.row({text(item, "step"), text(item, "rfc"), text(item, "text")});
  }

  int finish() {
    bool whole = last_.is_object() && last_.contains("verdict");
    json_ ? array_.end() : table_.flush();
    if (!whole) {
      complain("viaductd did not say how the walk ends");
      return output_.finish(exit_failed);
    }
    bool goes_on = text(last_, "verdict") == "forward";
    if (!json_ && !goes_on)
      output_.write("\n" + reason_advice(text(last_, "causes"), text(last_, "advice")));
    return output_.finish(goes_on ? exit_good : exit_not_forwarded);
  }

private:
  static std::vector<Column> columns() { return {{"STEP"}, {"STANDARD"}, {"DECISION"}}; }

  bool json_;
  Output output_;
  JsonArray array_;
  Table table_;
  json last_;
};

} // namespace

int trace(const Options &options) {
  if (options.words.empty() == options.pcap.empty() ||
      (!options.packet.empty() && options.pcap.empty())) {
    complain("trace takes a packet in words, or --pcap FILE [--packet NUMBER] (viaduct trace "
             "--help tells more)");
    return exit_usage;
  }
  auto packet = packet_of(options);
  if (!packet || packet->empty()) {
    complain(packet ? "that packet has no bytes" : packet.failure().message);
    return exit_usage;
  }
  auto client = control::Client::connect(options.socket);
  Result<void> asked = client ? client->ask("trace", request_of(*packet)) : client.failure();
  if (!asked) {
    complain(asked.failure().message);
    return exit_failed;
  }
  Printer printer(options.json);
  for (;;) {
    auto item = client->next();
    if (!item) {
      complain(item.failure().message);
      return exit_failed;
    }
    if (!*item)
      return printer.finish();
    printer.item(**item);
  }
}

} // namespace viaduct::cli
