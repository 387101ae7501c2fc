// SPDX-License-Identifier: MIT
#include "control/trace.h"

#include "base/address.h"
#include "control/reasons.h"

#include <array>
#include <charconv>
#include <endian.h>

namespace viaduct::control {

namespace {

using nlohmann::json;
using Bytes = std::span<const uint8_t>;

struct NoteText {
  const char *name;
  const char *step;
  const char *rfc;
  std::string_view text;
};

constexpr std::array<NoteText, dp::NOTE_COUNT> note_texts = {{
#define NOTE_TEXT(name, step, rfc, text) {#name, step, rfc, text},
#include "datapath/notes.def"
#undef NOTE_TEXT
}};

// --- words -------------------------------------------------------------------------------------

std::string end_text(const dp::note_end &end) {
  uint16_t port = be16toh(end.port);
  if (end.family == 4) {
    auto address = Ipv4::from_network_order(end.address.word[0]);
    return end.kind == dp::END_ENDPOINT ? endpoint_text(address, port) : address.text();
  }
  auto address = Ipv6::from_bytes(std::span<const uint8_t, 16>(end.address.byte));
  if (end.kind == dp::END_PREFIX)
    return Prefix6{address, end.length}.text();
  return end.kind == dp::END_ENDPOINT ? endpoint_text(address, port) : address.text();
}

std::string flags_text(uint32_t flags) {
  constexpr std::array<const char *, 8> names = {"FIN", "SYN", "RST", "PSH",
                                                 "ACK", "URG", "ECE", "CWR"};
  std::string text;
  for (size_t i = 0; i < names.size(); i++)
    if ((flags >> i & 1) != 0)
      text += (text.empty() ? "" : " ") + std::string(names[i]);
  return text.empty() ? "no flags" : text;
}

std::string protocol_text(uint32_t protocol) {
  if (protocol == dp::PROTOCOL_TCP)
    return "TCP";
  if (protocol == dp::PROTOCOL_UDP)
    return "UDP";
  if (protocol == dp::PROTOCOL_ICMP)
    return "ICMP";
  return fmt::format("protocol {}", protocol);
}

// What stands between braces; notes.def has the language.
std::string value_text(std::string_view place, const dp::note &note) {
  if (place == "a" || place == "b" || place == "c")
    return end_text(place == "a" ? note.a : place == "b" ? note.b : note.c);
  uint32_t number = note.n[(place[0] - '0') & 3];
  std::string_view rest = place.substr(1);
  if (rest.empty())
    return std::to_string(number);
  if (rest == ":flags")
    return flags_text(number);
  if (rest == ":state")
    return state_name(static_cast<uint8_t>(number));
  if (rest == ":protocol")
    return protocol_text(number);
  rest.remove_prefix(1);
  size_t bar = rest.find('|');
  return std::string(number != 0 ? rest.substr(0, bar) : rest.substr(bar + 1));
}

std::string note_text(const dp::note &note) {
  std::string_view words = note_texts[note.kind].text;
  std::string text;
  for (size_t open = 0; (open = words.find('{')) != std::string_view::npos;) {
    size_t close = words.find('}', open);
    text += words.substr(0, open);
    text += value_text(words.substr(open + 1, close - open - 1), note);
    words.remove_prefix(close + 1);
  }
  return text.append(words);
}

std::string hex(Bytes bytes) {
  std::string text;
  for (uint8_t byte : bytes)
    text += fmt::format("{:02x}", byte);
  return text;
}

// --- a packet ------------------------------------------------------------------------------------

uint32_t get16(Bytes bytes, size_t at) {
  return static_cast<uint32_t>(bytes[at]) << 8 | bytes[at + 1];
}

// A packet's network header, read.
struct Network {
  bool six = false;
  uint8_t protocol = 0;
  uint8_t hop_limit = 0;
  size_t transport = 0; // offset
  bool first = true;    // the transport header is here
  bool is_fragment = false;
  bool more = false;
  uint32_t offset = 0;
  uint32_t identification = 0;
  std::string source, destination;
};

Network read_ipv4(Bytes packet) {
  Network network;
  network.protocol = packet[9];
  network.hop_limit = packet[8];
  network.transport = (packet[0] & 0xfU) * 4;
  uint32_t field = get16(packet, 6);
  network.first = (field & 0x1fff) == 0;
  network.is_fragment = (field & 0x3fff) != 0;
  network.offset = (field & 0x1fff) * 8;
  network.more = (field & 0x2000) != 0;
  network.identification = get16(packet, 4);
  network.source = Ipv4{{packet[12], packet[13], packet[14], packet[15]}}.text();
  network.destination = Ipv4{{packet[16], packet[17], packet[18], packet[19]}}.text();
  return network;
}

Network read_ipv6(Bytes packet) {
  constexpr uint8_t fragment = 44;
  Network network;
  network.six = true;
  network.protocol = packet[6];
  network.hop_limit = packet[7];
  network.transport = 40;
  network.source = Ipv6::from_bytes(packet.subspan<8, 16>()).text();
  network.destination = Ipv6::from_bytes(packet.subspan<24, 16>()).text();
  if (network.protocol == fragment && packet.size() >= 48) {
    uint32_t field = get16(packet, 42);
    network.protocol = packet[40];
    network.transport = 48;
    network.first = field >> 3 == 0;
    network.is_fragment = true;
    network.offset = field & 0xfff8U;
    network.more = (field & 1) != 0;
    network.identification = get16(packet, 44) << 16 | get16(packet, 46);
  }
  return network;
}

std::string with_port(const Network &network, const std::string &address, uint32_t port) {
  return fmt::format(fmt::runtime(network.six ? "[{}]:{}" : "{}:{}"), address, port);
}

} // namespace

json packet_item(Bytes packet) {
  constexpr size_t shown = 256, icmp6 = 58;
  json item = {{"length", packet.size()},
               {"bytes", hex(packet.first(std::min(packet.size(), shown)))}};
  bool six = !packet.empty() && packet[0] >> 4 == 6;
  if (packet.size() < (six ? 40U : 20U) || (!six && packet[0] >> 4 != 4))
    return item;
  Network network = six ? read_ipv6(packet) : read_ipv4(packet);
  bool icmp = network.protocol == (six ? icmp6 : size_t{dp::PROTOCOL_ICMP});
  bool ports = network.protocol == dp::PROTOCOL_TCP || network.protocol == dp::PROTOCOL_UDP;
  if (ports && network.first && packet.size() >= network.transport + 4) {
    network.source = with_port(network, network.source, get16(packet, network.transport));
    network.destination =
        with_port(network, network.destination, get16(packet, network.transport + 2));
  }
  item["family"] = six ? 6 : 4;
  item["protocol"] = icmp ? protocol_name(dp::PROTOCOL_ICMP) : protocol_name(network.protocol);
  item["source"] = network.source;
  item["destination"] = network.destination;
  item["hop_limit"] = network.hop_limit;
  if (!six)
    item["df"] = (packet[6] & 0x40) != 0;
  if (network.is_fragment)
    item["fragment"] = {{"offset", network.offset},
                        {"more", network.more},
                        {"identification", network.identification}};
  if (icmp && network.first && packet.size() >= network.transport + 8) {
    uint8_t type = packet[network.transport];
    item["icmp"] = {{"type", type}, {"code", packet[network.transport + 1]}};
    if (type == (six ? 128 : 8) || type == (six ? 129 : 0))
      item["icmp"]["identifier"] = get16(packet, network.transport + 4);
    if (six ? type == 2 : type == 3 && packet[network.transport + 1] == 4)
      item["icmp"]["mtu"] = get16(packet, network.transport + 6);
  }
  return item;
}

json note_item(const dp::note &note) {
  const NoteText &words = note_texts.at(note.kind);
  return {{"step", words.step},
          {"decision", words.name},
          {"rfc", words.rfc},
          {"text", note_text(note)}};
}

json outcome_item(const tables::Trace &trace) {
  constexpr std::array<const char *, 6> verdicts = {"next", "forward", "pass",
                                                    "drop", "punt",    "held"};
  const ReasonText &reason = reason_texts().at(trace.reason);
  json item = {{"verdict", verdicts.at(trace.verdict)},
               {"reason", reason.name},
               {"kind", reason.kind},
               {"rfc", reason.rfc},
               {"help", reason.help},
               {"causes", reason.causes},
               {"advice", reason.advice},
               {"leaves", json::array()},
               {"answer", nullptr},
               {"counts", json::object()}};
  for (const auto &packet : trace.leaves)
    item["leaves"].push_back(packet_item(packet));
  if (!trace.answer.empty())
    item["answer"] = packet_item(trace.answer);
  for (size_t i = 0; i < trace.counted.size(); i++)
    if (trace.counted[i] != 0)
      item["counts"][reason_texts()[i].name] = trace.counted[i];
  return item;
}

namespace {

// The walk is over when the answer begins: what follows is words.
class TraceAnswer : public Answer {
public:
  explicit TraceAnswer(tables::Trace trace) : trace_(std::move(trace)) {}
  Step next(json &item) override {
    if (at_ > trace_.notes.size())
      return Step::end;
    item = at_ < trace_.notes.size() ? note_item(trace_.notes[at_]) : outcome_item(trace_);
    at_++;
    return Step::item;
  }

private:
  tables::Trace trace_;
  size_t at_ = 0;
};

Result<std::vector<uint8_t>> bytes_of(const std::string &text) {
  if (text.size() % 2 != 0 || text.empty() || text.size() > 2 * most_traced_bytes)
    return error("the request's \"packet\" has {} hexadecimal digits, expected an even number, 2 "
                 "to {}",
                 text.size(), 2 * most_traced_bytes);
  std::vector<uint8_t> bytes(text.size() / 2);
  for (size_t i = 0; i < bytes.size(); i++) {
    const char *digits = text.data() + 2 * i;
    auto [end, fault] = std::from_chars(digits, digits + 2, bytes[i], 16);
    if (fault != std::errc() || end != digits + 2)
      return error("the request's \"packet\" has something else than hexadecimal digits at {}",
                   2 * i);
  }
  return bytes;
}

} // namespace

Result<std::unique_ptr<Answer>> trace_request(const tables::Tables &tables, const json &request,
                                              const Now &now) {
  auto packet = request.find("packet");
  if (packet == request.end() || !packet->is_string())
    return error("the request has no \"packet\" of hexadecimal digits");
  auto bytes = bytes_of(packet->get_ref<const std::string &>());
  if (!bytes)
    return bytes.failure();
  size_t length = bytes->size();
  if (auto found = request.find("length"); found != request.end()) {
    if (!found->is_number_unsigned() || found->get<uint64_t>() < length ||
        found->get<uint64_t>() > tables::longest_traced)
      return error(
          "the request's \"length\" is not a number of bytes, at least those of \"packet\" "
          "and at most {}",
          tables::longest_traced);
    length = found->get<size_t>();
  }
  bytes->resize(length);
  auto trace = tables.trace(*bytes, now());
  if (!trace)
    return trace.failure();
  std::unique_ptr<Answer> answer = std::make_unique<TraceAnswer>(std::move(*trace));
  return answer;
}

} // namespace viaduct::control
