// SPDX-License-Identifier: MIT
//
// Words to a plain struct, the struct to bytes. A word takes what belongs to it; what is missing or
// does not fit is said at the end, when all are known.
#include "cli/packet_words.h"

#include "base/address.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <endian.h>
#include <optional>
#include <span>
#include <string_view>

namespace viaduct::cli {

namespace {

using Bytes = std::vector<uint8_t>;

enum : uint8_t { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58 };
enum : uint8_t { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

constexpr size_t ipv4_header = 20, ipv6_header = 40, tcp_header = 20, udp_header = 8,
                 icmp_header = 8;
constexpr size_t longest_payload = 65535; // what a length field can say
constexpr uint8_t default_ttl = 64;

// An ICMP error by name: its type and code in both families.
struct ErrorName {
  std::string_view name;
  uint8_t type4, code4, type6, code6;
};

constexpr std::array<ErrorName, 6> error_names = {{{"no-route", 3, 0, 1, 0},
                                                   {"prohibited", 3, 13, 1, 1},
                                                   {"host-unreachable", 3, 1, 1, 3},
                                                   {"port-unreachable", 3, 3, 1, 4},
                                                   {"too-big", 3, 4, 2, 0},
                                                   {"ttl-exceeded", 11, 0, 3, 0}}};

struct FlagName {
  std::string_view name;
  uint8_t flag;
};

constexpr std::array<FlagName, 6> flag_names = {
    {{"syn", SYN}, {"ack", ACK}, {"fin", FIN}, {"rst", RST}, {"psh", PSH}, {"urg", URG}}};

struct Address {
  bool six = false;
  std::array<uint8_t, 16> bytes{}; // four of them for IPv4
};

// What was said; what was not is empty.
struct Spec {
  uint8_t protocol = 0; // ICMP for both families
  std::optional<Address> from, to;
  std::optional<uint16_t> from_port, to_port, identifier;
  std::optional<uint8_t> ttl, tos, type, code;
  std::optional<uint32_t> length, sequence, mtu;
  uint8_t flags = 0;
  bool df = false, reply = false;
  const ErrorName *error = nullptr;
  std::vector<std::string> about; // the packet inside

  bool is_error() const { return error != nullptr || type; }
};

std::string shown(const std::string &word) {
  constexpr size_t enough = 40;
  return word.size() <= enough ? word : word.substr(0, enough) + "...";
}

// --- words to a struct -----------------------------------------------------------------------------

class Reader {
public:
  explicit Reader(const std::vector<std::string> &words) : words_(words) {}

  Result<Spec> all() {
    if (auto done = protocol(); !done)
      return done.failure();
    while (at_ < words_.size())
      if (auto done = word(words_[at_++]); !done)
        return done.failure();
    if (!spec_.from || !spec_.to)
      return viaduct::error("the packet has no \"{} ADDRESS\"", spec_.from ? "to" : "from");
    return std::move(spec_);
  }

private:
  Result<void> protocol() {
    if (words_.empty())
      return viaduct::error("no packet: expected tcp, udp, icmp or protocol NUMBER");
    const std::string &first = words_[at_++];
    if (first == "tcp" || first == "udp" || first == "icmp") {
      spec_.protocol = first == "tcp" ? TCP : first == "udp" ? UDP : ICMP;
      return {};
    }
    if (first == "protocol")
      return number("protocol", 255, spec_.protocol);
    return viaduct::error("found \"{}\", expected tcp, udp, icmp or protocol NUMBER", shown(first));
  }

  Result<void> word(const std::string &word) {
    if (word == "from" || word == "to")
      return end(word, word == "from");
    if (word == "ttl")
      return number("ttl", 255, spec_.ttl);
    if (word == "tos")
      return number("tos", 255, spec_.tos);
    if (word == "length")
      return number("length", ipv6_header + longest_payload, spec_.length);
    if (word == "df") {
      spec_.df = true;
      return {};
    }
    if (spec_.protocol == TCP)
      return tcp_word(word);
    return spec_.protocol == ICMP ? icmp_word(word) : unknown(word);
  }

  Result<void> tcp_word(const std::string &word) {
    if (word == "sequence")
      return number("sequence", UINT32_MAX, spec_.sequence);
    const auto *flag = std::find_if(flag_names.begin(), flag_names.end(),
                                    [&](const FlagName &known) { return word == known.name; });
    if (flag == flag_names.end())
      return unknown(word);
    spec_.flags |= flag->flag;
    return {};
  }

  Result<void> icmp_word(const std::string &word) {
    if (word == "echo" || word == "reply") {
      spec_.reply = word == "reply";
      return {};
    }
    if (word == "id")
      return number("id", UINT16_MAX, spec_.identifier);
    if (word == "type")
      return number("type", 255, spec_.type);
    if (word == "code")
      return number("code", 255, spec_.code);
    if (word == "mtu")
      return number("mtu", UINT16_MAX, spec_.mtu);
    if (word == "about") {
      spec_.about.assign(words_.begin() + static_cast<std::ptrdiff_t>(at_), words_.end());
      at_ = words_.size();
      return {};
    }
    const auto *named = std::find_if(error_names.begin(), error_names.end(),
                                     [&](const ErrorName &known) { return word == known.name; });
    if (named == error_names.end())
      return unknown(word);
    spec_.error = named;
    return {};
  }

  Result<void> unknown(const std::string &word) const {
    constexpr std::string_view common = "from, to, ttl, tos, length, df";
    if (spec_.protocol == TCP)
      return viaduct::error("found \"{}\", expected {}, sequence, syn, ack, fin, rst, psh or urg",
                            shown(word), common);
    if (spec_.protocol != ICMP)
      return viaduct::error("found \"{}\", expected {}", shown(word), common);
    std::vector<std::string_view> names;
    names.reserve(error_names.size());
    for (const ErrorName &known : error_names)
      names.push_back(known.name);
    return viaduct::error("found \"{}\", expected {}, echo, reply, id, type, code, mtu, about or "
                          "an error: {}",
                          shown(word), common, fmt::join(names, ", "));
  }

  // ADDRESS [port NUMBER]
  Result<void> end(const std::string &word, bool is_from) {
    std::optional<Address> &address = is_from ? spec_.from : spec_.to;
    if (address)
      return viaduct::error("\"{}\" stands twice", word);
    if (at_ == words_.size())
      return viaduct::error("no address behind \"{}\"", word);
    const std::string &text = words_[at_++];
    address.emplace();
    if (auto six = Ipv6::parse(text)) {
      address->six = true;
      address->bytes = six->bytes;
    } else if (auto four = Ipv4::parse(text)) {
      std::copy(four->bytes.begin(), four->bytes.end(), address->bytes.begin());
    } else {
      return viaduct::error("found \"{}\" behind \"{}\", expected an IPv6 or IPv4 address",
                            shown(text), word);
    }
    if (at_ == words_.size() || words_[at_] != "port")
      return {};
    at_++;
    return number("port", UINT16_MAX, is_from ? spec_.from_port : spec_.to_port);
  }

  template <typename Number>
  Result<void> number(std::string_view name, uint64_t highest, Number &into) {
    std::string text = at_ < words_.size() ? words_[at_++] : "";
    uint64_t value = 0;
    auto [rest, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || fault != std::errc() || *rest != '\0' || value > highest)
      return viaduct::error("found \"{}\" behind \"{}\", expected a number from 0 to {}",
                            shown(text), name, highest);
    if constexpr (std::is_same_v<Number, uint8_t>)
      into = static_cast<uint8_t>(value);
    else
      into = static_cast<typename Number::value_type>(value);
    return {};
  }

  const std::vector<std::string> &words_;
  size_t at_ = 0;
  Spec spec_;
};

// --- a struct to bytes -------------------------------------------------------------------------------

void put16(Bytes &bytes, size_t at, uint32_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

void put32(Bytes &bytes, size_t at, uint32_t value) {
  put16(bytes, at, value >> 16);
  put16(bytes, at + 2, value & 0xffff);
}

// The Internet checksum's sum (RFC 1071), not folded.
uint64_t sum(std::span<const uint8_t> bytes) {
  uint64_t total = 0;
  for (size_t i = 0; i < bytes.size(); i++)
    total += i % 2 == 0 ? static_cast<uint64_t>(bytes[i]) << 8 : bytes[i];
  return total;
}

uint16_t checksum(uint64_t total) {
  while (total >> 16 != 0)
    total = (total & 0xffff) + (total >> 16);
  return static_cast<uint16_t>(~total);
}

uint64_t pseudo_header(const Spec &spec, uint8_t protocol, size_t length) {
  size_t size = spec.from->six ? 16 : 4;
  return sum(std::span(spec.from->bytes).first(size)) + sum(std::span(spec.to->bytes).first(size)) +
         protocol + (length >> 16) + (length & 0xffff);
}

uint8_t wire_protocol(const Spec &spec) {
  return spec.protocol == ICMP && spec.from->six ? uint8_t{ICMPV6} : spec.protocol;
}

Result<Bytes> tcp_part(const Spec &spec) {
  Bytes tcp(tcp_header);
  put16(tcp, 0, *spec.from_port);
  put16(tcp, 2, *spec.to_port);
  put32(tcp, 4, spec.sequence.value_or(0));
  tcp[12] = tcp_header / 4 << 4;
  tcp[13] = spec.flags != 0 ? spec.flags : uint8_t{SYN};
  put16(tcp, 14, 65535); // the window
  return tcp;
}

Result<Bytes> udp_part(const Spec &spec) {
  Bytes udp(udp_header);
  put16(udp, 0, *spec.from_port);
  put16(udp, 2, *spec.to_port);
  return udp;
}

Result<Bytes> build(const std::vector<std::string> &words, bool may_be_error);

Result<Bytes> error_part(const Spec &spec) {
  bool six = spec.from->six;
  if (spec.about.empty())
    return error("an ICMP error is about a packet: expected \"about\" and that packet at the end");
  auto inside = build(spec.about, false);
  if (!inside)
    return error("about: {}", inside.failure().message);
  if ((inside->front() >> 4 == 6) != six)
    return error("the packet that the error is about is of the other family");
  Bytes icmp(icmp_header);
  icmp[0] = spec.type ? *spec.type : six ? spec.error->type6 : spec.error->type4;
  icmp[1] = spec.type ? spec.code.value_or(0) : six ? spec.error->code6 : spec.error->code4;
  bool too_big = six ? icmp[0] == 2 : icmp[0] == 3 && icmp[1] == 4;
  if (too_big && !spec.mtu)
    return error("too big for what? Expected \"mtu NUMBER\"");
  if (!too_big && spec.mtu)
    return error("only the error too-big has an \"mtu\"");
  if (spec.mtu)
    put16(icmp, 6, *spec.mtu);
  // As much of the packet as an error may quote (RFC 4443 2.4 (c), RFC 1812 4.3.2.3).
  size_t room = six ? 1280 - ipv6_header - icmp_header : 576 - ipv4_header - icmp_header;
  icmp.insert(icmp.end(), inside->begin(),
              inside->begin() + static_cast<std::ptrdiff_t>(std::min(room, inside->size())));
  return icmp;
}

Result<Bytes> icmp_part(const Spec &spec) {
  if (spec.is_error())
    return error_part(spec);
  if (spec.mtu || spec.code || !spec.about.empty())
    return error("\"code\", \"mtu\" and \"about\" are for ICMP errors");
  Bytes icmp(icmp_header);
  icmp[0] = spec.from->six ? (spec.reply ? 129 : 128) : (spec.reply ? 0 : 8);
  put16(icmp, 4, spec.identifier.value_or(1));
  put16(icmp, 6, spec.sequence.value_or(1));
  return icmp;
}

Result<Bytes> transport_part(const Spec &spec) {
  bool ports = spec.protocol == TCP || spec.protocol == UDP;
  if (ports && (!spec.from_port || !spec.to_port))
    return error("no \"port NUMBER\" behind the address \"{}\"", spec.from_port ? "to" : "from");
  if (!ports && (spec.from_port || spec.to_port))
    return error("only tcp and udp have a \"port\"");
  if (spec.protocol == TCP)
    return tcp_part(spec);
  if (spec.protocol == UDP)
    return udp_part(spec);
  return spec.protocol == ICMP ? icmp_part(spec) : Result<Bytes>(Bytes{});
}

void finish_transport(const Spec &spec, Bytes &transport) {
  uint64_t pseudo = pseudo_header(spec, wire_protocol(spec), transport.size());
  if (spec.protocol == TCP) {
    put16(transport, 16, checksum(pseudo + sum(transport)));
  } else if (spec.protocol == UDP) {
    put16(transport, 4, static_cast<uint32_t>(transport.size()));
    uint16_t value = checksum(pseudo + sum(transport));
    put16(transport, 6, value == 0 ? 0xffff : value);
  } else if (spec.protocol == ICMP) {
    put16(transport, 2, checksum((spec.from->six ? pseudo : 0) + sum(transport)));
  }
}

Bytes network_header(const Spec &spec, size_t payload) {
  auto length = static_cast<uint32_t>(payload);
  uint8_t ttl = spec.ttl.value_or(default_ttl), tos = spec.tos.value_or(0);
  if (spec.from->six) {
    Bytes header(ipv6_header);
    put32(header, 0, 0x60000000U | static_cast<uint32_t>(tos) << 20);
    put16(header, 4, length);
    header[6] = wire_protocol(spec);
    header[7] = ttl;
    std::copy(spec.from->bytes.begin(), spec.from->bytes.end(), header.begin() + 8);
    std::copy(spec.to->bytes.begin(), spec.to->bytes.end(), header.begin() + 24);
    return header;
  }
  Bytes header(ipv4_header);
  header[0] = 0x45;
  header[1] = tos;
  put16(header, 2, length + ipv4_header);
  header[6] = spec.df ? 0x40 : 0;
  header[8] = ttl;
  header[9] = spec.protocol;
  std::copy_n(spec.from->bytes.begin(), 4, header.begin() + 12);
  std::copy_n(spec.to->bytes.begin(), 4, header.begin() + 16);
  put16(header, 10, checksum(sum(header)));
  return header;
}

Result<Bytes> build(const std::vector<std::string> &words, bool may_be_error) {
  auto spec = Reader(words).all();
  if (!spec)
    return spec.failure();
  if (spec->from->six != spec->to->six)
    return error("\"from\" and \"to\" are of different families: a packet has addresses of one");
  if (spec->from->six && spec->df)
    return error("IPv6 has no DF: nothing but its sender may fragment it");
  if (!may_be_error && spec->is_error())
    return error("no error is about an ICMP error");
  auto transport = transport_part(*spec);
  if (!transport)
    return transport.failure();
  size_t header = spec->from->six ? ipv6_header : ipv4_header;
  size_t least = header + transport->size();
  size_t most = longest_payload + (spec->from->six ? ipv6_header : 0);
  size_t length = spec->length.value_or(static_cast<uint32_t>(least));
  if (length < least || length > most || (spec->is_error() && length != least))
    return error("\"length {}\" does not fit: this packet has {}{}", length, least,
                 spec->is_error() ? " bytes" : fmt::format(" to {} bytes", most));
  transport->resize(length - header);
  finish_transport(*spec, *transport);
  Bytes packet = network_header(*spec, transport->size());
  packet.insert(packet.end(), transport->begin(), transport->end());
  return packet;
}

} // namespace

Result<std::vector<uint8_t>> packet_from_words(const std::vector<std::string> &words) {
  return build(words, true);
}

} // namespace viaduct::cli
