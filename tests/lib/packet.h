// SPDX-License-Identifier: MIT
//
// Packets as layers, from the outside in:
//
//   ip6(client6, pref64(server4)) / udp(1234, 53) / payload(20)
//   ip4(server4, pool4).ttl(9).df() / tcp(80, port("p1")).syn().ack(1).mss(1460)
//   ip6(router6, client6) / icmp6_too_big(1400) / ip6(client6, server6) / udp(1234, 53)
//
// Lengths, next headers and checksums are computed where a layer does not say otherwise; each can
// be set wrong on purpose. A 16-bit field may be left open: port("p1") stands for a port that the
// gateway chooses, any_number() for a value that is its own affair.
#pragma once

#include "base/address.h"

#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace viaduct::test {

using Bytes = std::vector<uint8_t>;

// --- numbers that a test may leave open ----------------------------------------------------------

// A 16-bit field: a value, or a placeholder whose value is learned from a packet.
struct Number {
  enum class Kind : uint8_t {
    fixed,
    port, // learned where the name is first seen, inside the pool's range; equal afterwards
    any,  // whatever is there
  };
  Kind kind = Kind::fixed;
  uint16_t value = 0;
  std::string name;

  Number(int number = 0) : value(static_cast<uint16_t>(number)) {} // reads better implicit
};

Number port(std::string name);
Number any_number();

using Names = std::map<std::string, uint16_t>; // what has been learned

// --- layers --------------------------------------------------------------------------------------

struct Checksum {
  enum class Mode : uint8_t {
    right,
    given,
    wrong,   // off by wrong_by, in ones' complement: a translator must carry the error through
    partial, // CHECKSUM_PARTIAL: the folded pseudo-header sum, not complemented
  };
  static constexpr uint16_t wrong_by = 0x1234;
  Mode mode = Mode::right;
  uint16_t value = 0;
};

template <typename Layer> struct Checksummed {
  Checksum checksum_;

  Layer &checksum(uint16_t value) { return set({Checksum::Mode::given, value}); }
  Layer &bad_checksum() { return set({Checksum::Mode::wrong, 0}); }

protected:
  Layer &set(Checksum checksum) {
    checksum_ = checksum;
    return static_cast<Layer &>(*this);
  }
};

struct Ip6 {
  Ipv6 source_, destination_;
  uint8_t version_ = 6, traffic_class_ = 0, hop_limit_ = 64;
  uint32_t flow_label_ = 0;
  std::optional<uint16_t> length_;
  std::optional<uint8_t> next_header_;

  Ip6 &version(uint8_t value) { return version_ = value, *this; }
  Ip6 &traffic_class(uint8_t value) { return traffic_class_ = value, *this; }
  Ip6 &flow_label(uint32_t value) { return flow_label_ = value, *this; }
  Ip6 &hop_limit(uint8_t value) { return hop_limit_ = value, *this; }
  Ip6 &length(uint16_t value) { return length_ = value, *this; }
  Ip6 &next_header(uint8_t value) { return next_header_ = value, *this; }
};

struct Ip4 : Checksummed<Ip4> {
  Ipv4 source_, destination_;
  uint8_t version_ = 4, tos_ = 0, ttl_ = 64;
  Number id_;
  bool df_ = false, mf_ = false, evil_ = false;
  uint16_t offset_ = 0; // in bytes
  Bytes options_;       // padded to whole words with zeros
  std::optional<uint16_t> length_;
  std::optional<uint8_t> header_words_, protocol_;

  Ip4 &version(uint8_t value) { return version_ = value, *this; }
  Ip4 &tos(uint8_t value) { return tos_ = value, *this; }
  Ip4 &ttl(uint8_t value) { return ttl_ = value, *this; }
  Ip4 &id(Number value) { return id_ = std::move(value), *this; }
  Ip4 &any_id() { return id(any_number()); }
  Ip4 &df() { return df_ = true, *this; }
  Ip4 &mf() { return mf_ = true, *this; }
  Ip4 &reserved_bit() { return evil_ = true, *this; }
  Ip4 &offset(uint16_t bytes) { return offset_ = bytes, *this; }
  Ip4 &length(uint16_t value) { return length_ = value, *this; }
  Ip4 &header_words(uint8_t value) { return header_words_ = value, *this; }
  Ip4 &protocol(uint8_t value) { return protocol_ = value, *this; }
  Ip4 &option(const Bytes &bytes);
  Ip4 &record_route(uint8_t slots);                               // RFC 791, option 7, empty
  Ip4 &lsrr(const std::vector<Ipv4> &route, uint8_t pointer = 4); // option 131; 4: nothing used up
  Ip4 &ssrr(const std::vector<Ipv4> &route, uint8_t pointer = 4); // option 137
};

// Any IPv6 extension header. Its own number is what the header before it announces.
struct Extension {
  uint8_t number_ = 0;
  Bytes body_; // behind next header and length; padded to a multiple of eight in all
  std::optional<uint8_t> next_header_, length_;

  Extension &next_header(uint8_t value) { return next_header_ = value, *this; }
  Extension &length(uint8_t value) { return length_ = value, *this; }
};

struct Udp : Checksummed<Udp> {
  Number source_, destination_;
  std::optional<uint16_t> length_;

  Udp &length(uint16_t value) { return length_ = value, *this; }
  Udp &partial_checksum() { return set({Checksum::Mode::partial, 0}); }
};

struct Tcp : Checksummed<Tcp> {
  Number source_, destination_;
  uint32_t seq_ = 0, ack_ = 0;
  uint8_t flags_ = 0;
  uint16_t window_ = 65535, urgent_ = 0;
  Bytes options_;
  std::optional<uint8_t> header_words_;

  Tcp &seq(uint32_t value) { return seq_ = value, *this; }
  Tcp &ack(uint32_t value) { return ack_ = value, flag(0x10); } // sets the flag as well
  Tcp &fin() { return flag(0x01); }
  Tcp &syn() { return flag(0x02); }
  Tcp &rst() { return flag(0x04); }
  Tcp &psh() { return flag(0x08); }
  Tcp &window(uint16_t value) { return window_ = value, *this; }
  Tcp &urgent(uint16_t value) { return urgent_ = value, flag(0x20); }
  Tcp &option(const Bytes &bytes);
  Tcp &mss(uint16_t value);
  Tcp &header_words(uint8_t value) { return header_words_ = value, *this; }
  Tcp &partial_checksum() { return set({Checksum::Mode::partial, 0}); }

private:
  Tcp &flag(uint8_t bit) { return flags_ |= bit, *this; }
};

// ICMP and ICMPv6: type, code and the four bytes behind the checksum as two numbers.
struct Icmp : Checksummed<Icmp> {
  bool v6_ = false;
  uint8_t type_ = 0, code_ = 0;
  Number first_, second_;

  Icmp &code(uint8_t value) { return code_ = value, *this; }
};

struct Raw {
  Bytes bytes_;
};

using Layer = std::variant<Ip6, Ip4, Extension, Udp, Tcp, Icmp, Raw>;

Ip6 ip6(const Ipv6 &source, const Ipv6 &destination);
Ip4 ip4(const Ipv4 &source, const Ipv4 &destination);

Extension extension(uint8_t number, Bytes body);
Extension hop_by_hop();                                       // one PadN option
Extension destination_options();                              // one PadN option
Extension routing(uint8_t type, uint8_t segments_left);       // RFC 8200 4.4
Extension fragment6(uint16_t offset, bool more, uint32_t id); // offset in bytes

Udp udp(Number source, Number destination);
Tcp tcp(Number source, Number destination);

Icmp icmp4(uint8_t type, uint8_t code = 0, Number first = 0, Number second = 0);
Icmp icmp6(uint8_t type, uint8_t code = 0, Number first = 0, Number second = 0);
Icmp icmp4_echo_request(Number id, uint16_t seq);
Icmp icmp4_echo_reply(Number id, uint16_t seq);
Icmp icmp6_echo_request(Number id, uint16_t seq);
Icmp icmp6_echo_reply(Number id, uint16_t seq);

// Errors; what they are about follows as the next layers.
Icmp icmp4_unreachable(uint8_t code);
Icmp icmp4_frag_needed(uint16_t mtu);
Icmp icmp4_time_exceeded();
Icmp icmp4_parameter_problem(uint8_t pointer);
Icmp icmp6_unreachable(uint8_t code);
Icmp icmp6_too_big(uint32_t mtu);
Icmp icmp6_time_exceeded();
Icmp icmp6_parameter_problem(uint8_t code, uint32_t pointer);

Raw raw(Bytes bytes);
Raw payload(size_t size); // counting bytes: a shifted payload shows

// --- packets -------------------------------------------------------------------------------------

// Where a placeholder lies in the bytes.
struct Slot {
  size_t at;
  Number number;
};

struct Image {
  Bytes bytes;
  std::vector<Slot> slots; // of the placeholders that are not in `names`
};

class Packet {
public:
  Packet() = default;
  template <typename T>
  requires std::constructible_from<Layer, T> Packet(T layer)
      : layers_{Layer(std::move(layer))} {} // implicit: a layer is a packet of one

  bool empty() const { return layers_.empty() && tail_.empty(); }

  // The bytes on the wire; open placeholders are zero there and listed.
  Image image(const Names &names = {}) const;
  Bytes bytes(const Names &names = {}) const { return image(names).bytes; }

  // The same packet with only the first `size` bytes, or with bytes behind its end; no layer knows.
  Packet cut_to(size_t size) const;
  Packet followed_by(const Bytes &tail) const;

  // The same packet as the kernel hands it over before checksum offload. Nothing if the outermost
  // packet is not TCP or UDP with a checksum that is right.
  std::optional<Packet> with_partial_checksum() const;
  // Of the outermost transport header; nothing if there is none.
  std::optional<size_t> transport_offset() const;

  friend Packet operator/(Packet outer, const Packet &inner);

private:
  std::optional<size_t> transport_layer() const;

  std::vector<Layer> layers_;
  std::optional<size_t> cut_;
  Bytes tail_;
};

Packet operator/(Packet outer, const Packet &inner);

// RFC 1071: the folded sum, not complemented.
uint16_t ones_sum(std::span<const uint8_t> bytes, uint32_t start = 0);

} // namespace viaduct::test
