// SPDX-License-Identifier: MIT
//
// Writes layers from the inside out: a header's length and checksum need what follows it.
#include "packet.h"
#include "addresses.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace viaduct::test {

namespace {

enum : uint8_t {
  NEXT_HOP_BY_HOP = 0,
  NEXT_ICMP = 1,
  NEXT_IPV4 = 4,
  NEXT_TCP = 6,
  NEXT_UDP = 17,
  NEXT_IPV6 = 41,
  NEXT_ROUTING = 43,
  NEXT_FRAGMENT = 44,
  NEXT_ICMPV6 = 58,
  NEXT_NONE = 59,
  NEXT_DESTINATION_OPTIONS = 60,
  NEXT_EXPERIMENT = 253, // RFC 3692: for raw bytes behind an IP header
};

template <typename T> T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "test constant: %s\n", result.failure().message.c_str());
    std::abort();
  }
  return *result;
}

void put16(Bytes &bytes, uint16_t value) {
  bytes.push_back(static_cast<uint8_t>(value >> 8));
  bytes.push_back(static_cast<uint8_t>(value));
}

void put32(Bytes &bytes, uint32_t value) {
  put16(bytes, static_cast<uint16_t>(value >> 16));
  put16(bytes, static_cast<uint16_t>(value));
}

void poke16(Bytes &bytes, size_t at, uint16_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

template <typename Range> void append(Bytes &bytes, const Range &more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

void pad_to_multiple(Bytes &bytes, size_t unit) {
  while (bytes.size() % unit != 0)
    bytes.push_back(0);
}

// The sum over the addresses of the IP header around a transport header; its family.
struct Around {
  bool v6 = true;
  uint32_t address_sum = 0;
};

uint16_t pseudo_sum(const Around &around, uint8_t protocol, size_t length) {
  Bytes rest;
  put32(rest, static_cast<uint32_t>(length));
  put32(rest, protocol);
  return ones_sum(rest, around.address_sum);
}

// checksum of `bytes`, whose checksum field is zero. pseudo: zero where the protocol has none.
uint16_t checksum_value(const Checksum &wish, const Bytes &bytes, uint16_t pseudo) {
  auto right = static_cast<uint16_t>(~ones_sum(bytes, pseudo));
  switch (wish.mode) {
  case Checksum::Mode::given:
    return wish.value;
  case Checksum::Mode::partial:
    return pseudo;
  case Checksum::Mode::wrong: {
    uint32_t sum = uint32_t{right} + Checksum::wrong_by;
    return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
  }
  case Checksum::Mode::right:
    break;
  }
  return right;
}

class Writer {
public:
  Writer(const std::vector<Layer> &layers, const Names &names) : layers_(layers), names_(names) {}

  Image write(size_t first, const Around &around) {
    if (first == layers_.size())
      return {};
    return std::visit([&](const auto &layer) { return write(layer, first, around); },
                      layers_[first]);
  }

private:
  // The number that the header before layer `at` announces it by.
  uint8_t number_of(size_t at) const {
    if (at == layers_.size())
      return NEXT_NONE;
    struct Visitor {
      uint8_t operator()(const Ip6 &) const { return NEXT_IPV6; }
      uint8_t operator()(const Ip4 &) const { return NEXT_IPV4; }
      uint8_t operator()(const Extension &layer) const { return layer.number_; }
      uint8_t operator()(const Udp &) const { return NEXT_UDP; }
      uint8_t operator()(const Tcp &) const { return NEXT_TCP; }
      uint8_t operator()(const Icmp &layer) const { return layer.v6_ ? NEXT_ICMPV6 : NEXT_ICMP; }
      uint8_t operator()(const Raw &) const { return NEXT_EXPERIMENT; }
    };
    return std::visit(Visitor(), layers_[at]);
  }

  void number(Image &image, const Number &number) {
    uint16_t value = number.value;
    auto known = names_.find(number.name);
    if (number.kind == Number::Kind::port && known != names_.end())
      value = known->second;
    else if (number.kind != Number::Kind::fixed)
      image.slots.push_back({image.bytes.size(), number});
    put16(image.bytes, value);
  }

  static Image join(Image header, const Image &inside) {
    for (const Slot &slot : inside.slots)
      header.slots.push_back({header.bytes.size() + slot.at, slot.number});
    append(header.bytes, inside.bytes);
    return header;
  }

  Image write(const Ip6 &layer, size_t at, const Around &) {
    Bytes addresses;
    append(addresses, layer.source_.bytes);
    append(addresses, layer.destination_.bytes);
    Image inside = write(at + 1, {true, ones_sum(addresses)});
    Image image;
    put32(image.bytes, uint32_t{layer.version_} << 28 | uint32_t{layer.traffic_class_} << 20 |
                           layer.flow_label_);
    put16(image.bytes, layer.length_.value_or(static_cast<uint16_t>(inside.bytes.size())));
    image.bytes.push_back(layer.next_header_.value_or(number_of(at + 1)));
    image.bytes.push_back(layer.hop_limit_);
    append(image.bytes, addresses);
    return join(std::move(image), inside);
  }

  Image write(const Ip4 &layer, size_t at, const Around &) {
    Bytes addresses;
    append(addresses, layer.source_.bytes);
    append(addresses, layer.destination_.bytes);
    Image inside = write(at + 1, {false, ones_sum(addresses)});
    Bytes options = layer.options_;
    pad_to_multiple(options, 4);
    size_t header = 20 + options.size();
    Image image;
    uint8_t words = layer.header_words_.value_or(static_cast<uint8_t>(header / 4));
    image.bytes.push_back(static_cast<uint8_t>(layer.version_ << 4 | (words & 0xf)));
    image.bytes.push_back(layer.tos_);
    put16(image.bytes, layer.length_.value_or(static_cast<uint16_t>(header + inside.bytes.size())));
    number(image, layer.id_);
    put16(image.bytes, static_cast<uint16_t>(layer.evil_ << 15 | layer.df_ << 14 | layer.mf_ << 13 |
                                             layer.offset_ / 8));
    image.bytes.push_back(layer.ttl_);
    image.bytes.push_back(layer.protocol_.value_or(number_of(at + 1)));
    put16(image.bytes, 0);
    append(image.bytes, addresses);
    append(image.bytes, options);
    poke16(image.bytes, 10, checksum_value(layer.checksum_, image.bytes, 0));
    return join(std::move(image), inside);
  }

  Image write(const Extension &layer, size_t at, const Around &around) {
    Image inside = write(at + 1, around);
    Image image;
    image.bytes = {layer.next_header_.value_or(number_of(at + 1)), 0};
    append(image.bytes, layer.body_);
    pad_to_multiple(image.bytes, 8);
    if (layer.number_ != NEXT_FRAGMENT) // whose second byte is reserved
      image.bytes[1] = static_cast<uint8_t>(image.bytes.size() / 8 - 1);
    if (layer.length_)
      image.bytes[1] = *layer.length_;
    return join(std::move(image), inside);
  }

  Image write(const Udp &layer, size_t at, const Around &around) {
    Image inside = write(at + 1, around);
    Image image;
    number(image, layer.source_);
    number(image, layer.destination_);
    put16(image.bytes, layer.length_.value_or(static_cast<uint16_t>(8 + inside.bytes.size())));
    put16(image.bytes, 0);
    image = join(std::move(image), inside);
    Bytes covered = image.bytes; // bytes behind the UDP length (RFC 9868 options) are not
    if (layer.length_ && *layer.length_ >= 8 && *layer.length_ < covered.size())
      covered.resize(*layer.length_);
    uint16_t pseudo = pseudo_sum(around, NEXT_UDP, covered.size());
    uint16_t value = checksum_value(layer.checksum_, covered, pseudo);
    if (value == 0 && layer.checksum_.mode == Checksum::Mode::right)
      value = 0xffff; // RFC 768
    poke16(image.bytes, 6, value);
    return image;
  }

  Image write(const Tcp &layer, size_t at, const Around &around) {
    Image inside = write(at + 1, around);
    Bytes options = layer.options_;
    pad_to_multiple(options, 4);
    Image image;
    number(image, layer.source_);
    number(image, layer.destination_);
    put32(image.bytes, layer.seq_);
    put32(image.bytes, layer.ack_);
    uint8_t words = layer.header_words_.value_or(static_cast<uint8_t>(5 + options.size() / 4));
    image.bytes.push_back(static_cast<uint8_t>(words << 4));
    image.bytes.push_back(layer.flags_);
    put16(image.bytes, layer.window_);
    put16(image.bytes, 0);
    put16(image.bytes, layer.urgent_);
    append(image.bytes, options);
    image = join(std::move(image), inside);
    uint16_t pseudo = pseudo_sum(around, NEXT_TCP, image.bytes.size());
    poke16(image.bytes, 16, checksum_value(layer.checksum_, image.bytes, pseudo));
    return image;
  }

  Image write(const Icmp &layer, size_t at, const Around &around) {
    Image inside = write(at + 1, around);
    Image image;
    image.bytes = {layer.type_, layer.code_, 0, 0};
    number(image, layer.first_);
    number(image, layer.second_);
    image = join(std::move(image), inside);
    uint16_t pseudo = layer.v6_ ? pseudo_sum(around, NEXT_ICMPV6, image.bytes.size()) : 0;
    poke16(image.bytes, 2, checksum_value(layer.checksum_, image.bytes, pseudo));
    return image;
  }

  Image write(const Raw &layer, size_t at, const Around &around) {
    return join({layer.bytes_, {}}, write(at + 1, around));
  }

  const std::vector<Layer> &layers_;
  const Names &names_;
};

} // namespace

Ipv6 address6(std::string_view text) {
  return must(Ipv6::parse(text));
}
Ipv4 address4(std::string_view text) {
  return must(Ipv4::parse(text));
}
Prefix6 prefix6(std::string_view text) {
  return must(Prefix6::parse(text));
}
Ipv6 pref64(const Ipv4 &address) {
  return embed(well_known_prefix, address);
}

uint16_t ones_sum(std::span<const uint8_t> bytes, uint32_t start) {
  uint64_t sum = start;
  for (size_t i = 0; i < bytes.size(); i++)
    sum += i % 2 == 0 ? uint64_t{bytes[i]} << 8 : bytes[i];
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

Number port(std::string name) {
  Number number;
  number.kind = Number::Kind::port;
  number.name = std::move(name);
  return number;
}

Number any_number() {
  Number number;
  number.kind = Number::Kind::any;
  return number;
}

Ip4 &Ip4::option(const Bytes &bytes) {
  append(options_, bytes);
  return *this;
}

Ip4 &Ip4::record_route(uint8_t slots) {
  Bytes bytes{7, static_cast<uint8_t>(3 + 4 * slots), 4};
  bytes.resize(bytes[1]);
  return option(bytes);
}

namespace {
Bytes source_route(uint8_t kind, const std::vector<Ipv4> &route, uint8_t pointer) {
  Bytes bytes{kind, static_cast<uint8_t>(3 + 4 * route.size()), pointer};
  for (const Ipv4 &hop : route)
    append(bytes, hop.bytes);
  return bytes;
}
} // namespace

Ip4 &Ip4::lsrr(const std::vector<Ipv4> &route, uint8_t pointer) {
  return option(source_route(131, route, pointer));
}

Ip4 &Ip4::ssrr(const std::vector<Ipv4> &route, uint8_t pointer) {
  return option(source_route(137, route, pointer));
}

Tcp &Tcp::option(const Bytes &bytes) {
  append(options_, bytes);
  return *this;
}

Tcp &Tcp::mss(uint16_t value) {
  Bytes bytes{2, 4};
  put16(bytes, value);
  return option(bytes);
}

Ip6 ip6(const Ipv6 &source, const Ipv6 &destination) {
  Ip6 layer;
  layer.source_ = source;
  layer.destination_ = destination;
  return layer;
}

Ip4 ip4(const Ipv4 &source, const Ipv4 &destination) {
  Ip4 layer;
  layer.source_ = source;
  layer.destination_ = destination;
  return layer;
}

Extension extension(uint8_t number, Bytes body) {
  Extension layer;
  layer.number_ = number;
  layer.body_ = std::move(body);
  return layer;
}

Extension hop_by_hop() {
  return extension(NEXT_HOP_BY_HOP, {1, 4, 0, 0, 0, 0});
}

Extension destination_options() {
  return extension(NEXT_DESTINATION_OPTIONS, {1, 4, 0, 0, 0, 0});
}

Extension routing(uint8_t type, uint8_t segments_left) {
  return extension(NEXT_ROUTING, {type, segments_left, 0, 0, 0, 0});
}

Extension fragment6(uint16_t offset, bool more, uint32_t id) {
  Bytes body;
  put16(body, static_cast<uint16_t>((offset & 0xfff8) | (more ? 1 : 0)));
  put32(body, id);
  return extension(NEXT_FRAGMENT, body);
}

Udp udp(Number source, Number destination) {
  Udp layer;
  layer.source_ = std::move(source);
  layer.destination_ = std::move(destination);
  return layer;
}

Tcp tcp(Number source, Number destination) {
  Tcp layer;
  layer.source_ = std::move(source);
  layer.destination_ = std::move(destination);
  return layer;
}

namespace {
Icmp icmp(bool v6, uint8_t type, uint8_t code, Number first, Number second) {
  Icmp layer;
  layer.v6_ = v6;
  layer.type_ = type;
  layer.code_ = code;
  layer.first_ = std::move(first);
  layer.second_ = std::move(second);
  return layer;
}
} // namespace

Icmp icmp4(uint8_t type, uint8_t code, Number first, Number second) {
  return icmp(false, type, code, std::move(first), std::move(second));
}
Icmp icmp6(uint8_t type, uint8_t code, Number first, Number second) {
  return icmp(true, type, code, std::move(first), std::move(second));
}
Icmp icmp4_echo_request(Number id, uint16_t seq) {
  return icmp4(8, 0, std::move(id), seq);
}
Icmp icmp4_echo_reply(Number id, uint16_t seq) {
  return icmp4(0, 0, std::move(id), seq);
}
Icmp icmp6_echo_request(Number id, uint16_t seq) {
  return icmp6(128, 0, std::move(id), seq);
}
Icmp icmp6_echo_reply(Number id, uint16_t seq) {
  return icmp6(129, 0, std::move(id), seq);
}

Icmp icmp4_unreachable(uint8_t code) {
  return icmp4(3, code);
}
Icmp icmp4_frag_needed(uint16_t mtu) {
  return icmp4(3, 4, 0, mtu);
}
Icmp icmp4_time_exceeded() {
  return icmp4(11);
}
Icmp icmp4_parameter_problem(uint8_t pointer) {
  return icmp4(12, 0, pointer << 8);
}
Icmp icmp6_unreachable(uint8_t code) {
  return icmp6(1, code);
}
Icmp icmp6_too_big(uint32_t mtu) {
  return icmp6(2, 0, static_cast<uint16_t>(mtu >> 16), static_cast<uint16_t>(mtu));
}
Icmp icmp6_time_exceeded() {
  return icmp6(3);
}
Icmp icmp6_parameter_problem(uint8_t code, uint32_t pointer) {
  return icmp6(4, code, static_cast<uint16_t>(pointer >> 16), static_cast<uint16_t>(pointer));
}

Raw raw(Bytes bytes) {
  return {std::move(bytes)};
}

Raw payload(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; i++)
    bytes[i] = static_cast<uint8_t>(i);
  return raw(std::move(bytes));
}

Image Packet::image(const Names &names) const {
  Image image = Writer(layers_, names).write(0, {});
  append(image.bytes, tail_);
  if (cut_ && *cut_ < image.bytes.size()) {
    image.bytes.resize(*cut_);
    std::erase_if(image.slots, [&](const Slot &slot) { return slot.at + 2 > *cut_; });
  }
  return image;
}

Packet Packet::cut_to(size_t size) const {
  Packet packet = *this;
  packet.cut_ = size;
  return packet;
}

Packet Packet::followed_by(const Bytes &tail) const {
  Packet packet = *this;
  append(packet.tail_, tail);
  return packet;
}

std::optional<size_t> Packet::transport_layer() const {
  for (size_t i = 1; i < layers_.size(); i++) {
    if (std::holds_alternative<Extension>(layers_[i]))
      continue;
    bool transport = !std::holds_alternative<Raw>(layers_[i]) &&
                     !std::holds_alternative<Ip6>(layers_[i]) &&
                     !std::holds_alternative<Ip4>(layers_[i]);
    return transport ? std::optional(i) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<size_t> Packet::transport_offset() const {
  auto at = transport_layer();
  if (!at)
    return std::nullopt;
  Names none;
  std::vector<Layer> inside(layers_.begin() + static_cast<ptrdiff_t>(*at), layers_.end());
  return Writer(layers_, none).write(0, {}).bytes.size() -
         Writer(inside, none).write(0, {}).bytes.size();
}

std::optional<Packet> Packet::with_partial_checksum() const {
  auto at = transport_layer();
  if (!at || cut_)
    return std::nullopt;
  Packet packet = *this;
  if (auto *layer = std::get_if<Udp>(&packet.layers_[*at])) {
    if (layer->checksum_.mode != Checksum::Mode::right)
      return std::nullopt;
    layer->partial_checksum();
  } else if (auto *segment = std::get_if<Tcp>(&packet.layers_[*at])) {
    if (segment->checksum_.mode != Checksum::Mode::right)
      return std::nullopt;
    segment->partial_checksum();
  } else {
    return std::nullopt;
  }
  return packet;
}

// An inner packet that was cut (the quotation in an ICMP error) becomes bytes: its layers count as
// a whole packet only for its own checksums.
Packet operator/(Packet outer, const Packet &inner) {
  if (inner.cut_ || !inner.tail_.empty())
    outer.layers_.emplace_back(raw(inner.bytes()));
  else
    outer.layers_.insert(outer.layers_.end(), inner.layers_.begin(), inner.layers_.end());
  return outer;
}

} // namespace viaduct::test
