// SPDX-License-Identifier: MIT
#include "decode.h"

#include "base/address.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>

namespace viaduct::test {

namespace {

using Span = std::span<const uint8_t>;

enum : unsigned { MAX_DEPTH = 4, MAX_EXTENSIONS = 16 };

uint16_t get16(Span bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

uint32_t get32(Span bytes, size_t at) {
  return uint32_t{get16(bytes, at)} << 16 | get16(bytes, at + 2);
}

uint16_t sum(Span bytes, uint32_t start = 0) {
  uint64_t total = start;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2)
    total += get16(bytes, i);
  if (bytes.size() % 2 != 0)
    total += uint64_t{bytes.back()} << 8;
  while (total >> 16)
    total = (total & 0xffff) + (total >> 16);
  return static_cast<uint16_t>(total);
}

std::string ip4_text(Span bytes, size_t at) {
  return fmt::format("{}.{}.{}.{}", bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
}

std::string ip6_text(Span bytes, size_t at) {
  return Ipv6::from_bytes(bytes.subspan(at).first<16>()).text();
}

std::string protocol_text(uint8_t protocol) {
  static constexpr std::pair<uint8_t, const char *> known[] = {{0, "hop-by-hop"},
                                                               {1, "icmp"},
                                                               {4, "ipv4"},
                                                               {6, "tcp"},
                                                               {17, "udp"},
                                                               {41, "ipv6"},
                                                               {43, "routing"},
                                                               {44, "fragment"},
                                                               {58, "icmpv6"},
                                                               {59, "none"},
                                                               {60, "destination options"}};
  for (auto [number, name] : known)
    if (number == protocol)
      return fmt::format("{} ({})", protocol, name);
  return fmt::format("{}", protocol);
}

std::string flags_text(uint8_t flags) {
  static constexpr const char *names[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
  std::string text;
  for (unsigned i = 0; i < 8; i++)
    if (flags >> i & 1)
      text += fmt::format("{}{}", text.empty() ? "" : " ", names[i]);
  return text.empty() ? "none" : text;
}

bool is_extension(uint8_t protocol) {
  return protocol == 0 || protocol == 43 || protocol == 44 || protocol == 60;
}

// What a transport header needs to know of the IP header around it.
struct Outer {
  uint32_t address_sum = 0;
  bool v6 = false;
  bool fragment = false;
  bool whole = true; // every byte that the IP header announces is there
};

uint16_t pseudo_sum(const Outer &outer, uint8_t protocol, size_t length) {
  return sum({}, outer.address_sum + protocol + static_cast<uint32_t>(length & 0xffff) +
                     static_cast<uint32_t>(length >> 16));
}

struct SumAnswer {
  SumState state = SumState::unknown;
  uint16_t found = 0, right = 0;
};

// offset: of the checksum field in the transport header.
SumAnswer check_sum(Span transport, size_t offset, uint16_t pseudo, bool may_be_absent) {
  SumAnswer answer;
  answer.found = get16(transport, offset);
  uint32_t without = sum(transport, pseudo) + (0xffffU - answer.found);
  answer.right = static_cast<uint16_t>(~sum({}, without));
  if (may_be_absent && answer.right == 0)
    answer.right = 0xffff;
  if (may_be_absent && answer.found == 0)
    answer.state = SumState::absent;
  else if (sum(transport, pseudo) == 0xffff)
    answer.state = SumState::right;
  else if (pseudo != 0 && answer.found == pseudo)
    answer.state = SumState::partial;
  else
    answer.state = SumState::wrong;
  return answer;
}

// Walks a packet from the front. Says every field if it is to, and keeps the first complaint and
// the outermost transport checksum for the two short questions.
class Walk {
public:
  Walk(Span bytes, bool all_fields) : all_fields_(all_fields) { packet(bytes, 0); }

  std::vector<Field> fields;
  std::string complaint; // about the outer packet
  SumState transport = SumState::unknown;

private:
  template <typename... Args>
  void say(std::string_view name, fmt::format_string<Args...> format, Args &&...args) {
    if (all_fields_)
      fields.push_back(
          {layer_, std::string(name), fmt::format(format, std::forward<Args>(args)...)});
  }
  void enter(const char *layer, unsigned depth) {
    if (!all_fields_)
      return;
    layer_.clear();
    for (unsigned i = 0; i < depth; i++)
      layer_ += "inner ";
    layer_ += layer;
  }
  void complain(unsigned depth, std::string sentence) {
    if (depth == 0 && complaint.empty())
      complaint = std::move(sentence);
  }
  void rest(Span bytes, unsigned depth, const char *layer = "payload") {
    if (bytes.empty() || !all_fields_)
      return;
    enter(layer, depth);
    say(fmt::format("{} bytes", bytes.size()), "{}", hex(bytes));
  }
  void too_short(Span bytes, unsigned depth, const char *what) {
    complain(depth, fmt::format("{}: only {} bytes", what, bytes.size()));
    enter(what, depth);
    say("cut short", "{}", hex(bytes));
  }

  void packet(Span bytes, unsigned depth) {
    if (bytes.empty()) {
      complain(depth, "no bytes");
      return;
    }
    if (bytes[0] >> 4 == 4)
      ipv4(bytes, depth);
    else if (bytes[0] >> 4 == 6)
      ipv6(bytes, depth);
    else {
      complain(depth, "version neither 4 nor 6");
      rest(bytes, depth, "not ip");
    }
  }

  void ipv4(Span bytes, unsigned depth) {
    if (bytes.size() < 20)
      return too_short(bytes, depth, "ipv4");
    enter("ipv4", depth);
    size_t header = size_t{bytes[0] & 0xfU} * 4;
    size_t total = get16(bytes, 2);
    uint16_t fragment = get16(bytes, 6);
    say("header length", "{}", header);
    say("tos", "{:#04x}", bytes[1]);
    say("total length", "{}{}", total,
        total == bytes.size() ? "" : fmt::format(" (there are {} bytes)", bytes.size()));
    say("identification", "{:#06x}", get16(bytes, 4));
    say("flags", "{}{}{}", fragment & 0x4000 ? "DF" : "-", fragment & 0x2000 ? " MF" : "",
        fragment & 0x8000 ? " reserved" : "");
    say("fragment offset", "{}", (fragment & 0x1fff) * 8);
    say("ttl", "{}", bytes[8]);
    say("protocol", "{}", protocol_text(bytes[9]));
    bool header_fits = header >= 20 && header <= bytes.size();
    std::string verdict = "cannot be checked";
    if (header_fits) {
      uint16_t found = get16(bytes, 10);
      bool right = sum(bytes.first(header)) == 0xffff;
      uint16_t expected =
          static_cast<uint16_t>(~sum({}, sum(bytes.first(header)) + (0xffffU - found)));
      verdict = right ? "right" : fmt::format("WRONG, {:#06x} would be right", expected);
      if (!right)
        complain(depth, "IPv4 header checksum wrong");
    }
    say("checksum", "{:#06x} ({})", get16(bytes, 10), verdict);
    say("source", "{}", ip4_text(bytes, 12));
    say("destination", "{}", ip4_text(bytes, 16));
    if (!header_fits || total < header) {
      complain(depth, "IPv4 header length or total length impossible");
      return rest(bytes.subspan(20), depth);
    }
    if (header > 20)
      say("options", "{}", hex(bytes.subspan(20, header - 20)));
    if (total != bytes.size())
      complain(depth, fmt::format("IPv4 total length {}, but {} bytes", total, bytes.size()));
    Outer outer{sum(bytes.subspan(12, 8)), false, (fragment & 0x3fff) != 0, total <= bytes.size()};
    size_t end = std::min(total, bytes.size());
    bool first = (fragment & 0x1fff) == 0;
    transport_header(first ? bytes[9] : uint8_t{253}, bytes.subspan(header, end - header), outer,
                     depth);
    rest(bytes.subspan(end), depth, "behind the packet");
  }

  void ipv6(Span bytes, unsigned depth) {
    if (bytes.size() < 40)
      return too_short(bytes, depth, "ipv6");
    enter("ipv6", depth);
    size_t length = get16(bytes, 4);
    say("traffic class", "{:#04x}", get16(bytes, 0) >> 4 & 0xff);
    say("flow label", "{:#07x}", get32(bytes, 0) & 0xfffff);
    say("payload length", "{}{}", length,
        length + 40 == bytes.size() ? "" : fmt::format(" (there are {} bytes)", bytes.size() - 40));
    say("next header", "{}", protocol_text(bytes[6]));
    say("hop limit", "{}", bytes[7]);
    say("source", "{}", ip6_text(bytes, 8));
    say("destination", "{}", ip6_text(bytes, 24));
    if (length + 40 != bytes.size())
      complain(depth,
               fmt::format("IPv6 payload length {}, but {} bytes", length, bytes.size() - 40));
    Outer outer{sum(bytes.subspan(8, 32)), true, false, length + 40 <= bytes.size()};
    size_t end = std::min(length + 40, bytes.size());
    extensions(bytes[6], bytes.subspan(40, end - 40), outer, depth);
    rest(bytes.subspan(end), depth, "behind the packet");
  }

  void extensions(uint8_t protocol, Span bytes, Outer outer, unsigned depth) {
    for (unsigned i = 0; i < MAX_EXTENSIONS && is_extension(protocol); i++) {
      if (bytes.size() < 8)
        return too_short(bytes, depth, "extension header");
      size_t size = protocol == 44 ? 8 : (size_t{bytes[1]} + 1) * 8;
      if (size > bytes.size())
        return too_short(bytes, depth, "extension header");
      enter("extension", depth);
      say(protocol_text(protocol), "{}", hex(bytes.first(size)));
      bool later = protocol == 44 && get16(bytes, 2) >> 3 != 0;
      outer.fragment = outer.fragment || (protocol == 44 && (get16(bytes, 2) & 0xfff9) != 0);
      protocol = later ? uint8_t{253} : bytes[0];
      bytes = bytes.subspan(size);
    }
    transport_header(protocol, bytes, outer, depth);
  }

  void transport_header(uint8_t protocol, Span bytes, const Outer &outer, unsigned depth) {
    if (protocol == 17)
      udp(bytes, outer, depth);
    else if (protocol == 6)
      tcp(bytes, outer, depth);
    else if (protocol == 1 && !outer.v6)
      icmp(bytes, outer, depth, "icmp");
    else if (protocol == 58 && outer.v6)
      icmp(bytes, outer, depth, "icmpv6");
    else
      rest(bytes, depth);
  }

  void say_sum(Span bytes, size_t offset, uint8_t protocol, const Outer &outer, unsigned depth) {
    uint16_t pseudo = protocol == 1 ? uint16_t{0} : pseudo_sum(outer, protocol, bytes.size());
    SumAnswer answer;
    answer.found = get16(bytes, offset);
    if (outer.whole && !outer.fragment)
      answer = check_sum(bytes, offset, pseudo, protocol == 17);
    if (depth == 0)
      transport = answer.state;
    std::string verdict;
    switch (answer.state) {
    case SumState::right:
      verdict = "right";
      break;
    case SumState::wrong:
      verdict = fmt::format("WRONG, {:#06x} would be right", answer.right);
      break;
    case SumState::partial:
      verdict = fmt::format("the pseudo-header sum; {:#06x} in full", answer.right);
      break;
    case SumState::absent:
      verdict = "none";
      break;
    case SumState::unknown:
      verdict = "cannot be checked";
      break;
    }
    say("checksum", "{:#06x} ({})", answer.found, verdict);
  }

  void udp(Span bytes, const Outer &outer, unsigned depth) {
    if (bytes.size() < 8)
      return too_short(bytes, depth, "udp");
    enter("udp", depth);
    say("source port", "{}", get16(bytes, 0));
    say("destination port", "{}", get16(bytes, 2));
    say("length", "{}", get16(bytes, 4));
    size_t length = get16(bytes, 4);
    bool fits = length >= 8 && length <= bytes.size();
    say_sum(fits ? bytes.first(length) : bytes, 6, 17, outer, depth);
    if (!fits && !outer.fragment)
      complain(depth, fmt::format("UDP length {}, but {} bytes", length, bytes.size()));
    if (!fits)
      return rest(bytes.subspan(8), depth);
    rest(bytes.subspan(8, length - 8), depth);
    rest(bytes.subspan(length), depth, "behind udp"); // RFC 9868 options
  }

  void tcp(Span bytes, const Outer &outer, unsigned depth) {
    if (bytes.size() < 20)
      return too_short(bytes, depth, "tcp");
    enter("tcp", depth);
    size_t header = size_t{bytes[12]} / 16 * 4;
    say("source port", "{}", get16(bytes, 0));
    say("destination port", "{}", get16(bytes, 2));
    say("sequence", "{}", get32(bytes, 4));
    say("acknowledgement", "{}", get32(bytes, 8));
    say("header length", "{}", header);
    say("flags", "{}", flags_text(bytes[13]));
    say("window", "{}", get16(bytes, 14));
    say_sum(bytes, 16, 6, outer, depth);
    say("urgent pointer", "{}", get16(bytes, 18));
    if (header < 20 || header > bytes.size()) {
      complain(depth, "TCP data offset impossible");
      return rest(bytes.subspan(20), depth);
    }
    if (header > 20)
      say("options", "{}", hex(bytes.subspan(20, header - 20)));
    rest(bytes.subspan(header), depth);
  }

  void icmp(Span bytes, const Outer &outer, unsigned depth, const char *name) {
    if (bytes.size() < 8)
      return too_short(bytes, depth, name);
    enter(name, depth);
    uint8_t type = bytes[0];
    bool echo = outer.v6 ? type == 128 || type == 129 : type == 0 || type == 8;
    bool is_error =
        outer.v6 ? type < 128 : type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
    say("type", "{}", type);
    say("code", "{}", bytes[1]);
    say_sum(bytes, 2, outer.v6 ? 58 : 1, outer, depth);
    say(echo ? "identifier" : "word 1, high", "{}", get16(bytes, 4));
    say(echo ? "sequence" : "word 1, low", "{}", get16(bytes, 6));
    if (is_error && depth + 1 < MAX_DEPTH && bytes.size() > 8)
      packet(bytes.subspan(8), depth + 1);
    else
      rest(bytes.subspan(8), depth);
  }

  bool all_fields_;
  std::string layer_;
};

std::string line(char mark, const Field &field) {
  return fmt::format("{} {:<20} {:<18} {}\n", mark, field.layer, field.name, field.value);
}

} // namespace

std::string hex(Span bytes) {
  static constexpr size_t most = 64;
  std::string text;
  for (size_t i = 0; i < std::min(bytes.size(), most); i++)
    text += fmt::format("{}{:02x}", i != 0 && i % 4 == 0 ? " " : "", bytes[i]);
  if (bytes.size() > most)
    text += fmt::format(" ... and {} bytes", bytes.size() - most);
  return text;
}

std::vector<Field> fields(Span bytes) {
  return Walk(bytes, true).fields;
}
std::string malformation(Span bytes) {
  return Walk(bytes, false).complaint;
}
SumState transport_checksum(Span bytes) {
  return Walk(bytes, false).transport;
}

std::string decode(Span bytes) {
  std::string text = fmt::format("  {} bytes\n", bytes.size());
  for (const Field &field : fields(bytes))
    text += line(' ', field);
  return text;
}

std::string difference(Span expected, Span actual) {
  if (std::equal(expected.begin(), expected.end(), actual.begin(), actual.end()))
    return "";
  size_t first = 0;
  while (first < std::min(expected.size(), actual.size()) && expected[first] == actual[first])
    first++;
  std::string text = fmt::format("  first difference at byte {}: expected {} bytes, got {}\n",
                                 first, expected.size(), actual.size());
  std::vector<Field> wanted = fields(expected), found = fields(actual);
  auto same_place = [](const Field &a, const Field &b) {
    return a.layer == b.layer && a.name == b.name;
  };
  size_t i = 0, j = 0;
  while (i < wanted.size() || j < found.size()) {
    if (i < wanted.size() && j < found.size() && same_place(wanted[i], found[j])) {
      if (wanted[i].value == found[j].value)
        text += line(' ', wanted[i]);
      else
        text += line('-', wanted[i]) + line('+', found[j]);
      i++, j++;
      continue;
    }
    bool later =
        i < wanted.size() && std::any_of(found.begin() + static_cast<ptrdiff_t>(j), found.end(),
                                         [&](const Field &f) { return same_place(wanted[i], f); });
    if (i < wanted.size() && (!later || j == found.size()))
      text += line('-', wanted[i++]);
    else
      text += line('+', found[j++]);
  }
  return text;
}

} // namespace viaduct::test
