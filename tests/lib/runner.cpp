// SPDX-License-Identifier: MIT
#include "lib/runner.h"

#include "lib/decode.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <fmt/format.h>
#include <span>

namespace viaduct::test {

namespace {

void set(dp::address &to, const Ipv6 &from) {
  std::memcpy(to.byte, from.bytes.data(), 16);
}

dp::session_key key_of(const SessionState &state, const Names &names);

// The value of a number in state: a learned port, or the number itself.
uint16_t value_of(const Number &number, const Names &names) {
  auto known = names.find(number.name);
  return number.kind == Number::Kind::port && known != names.end() ? known->second : number.value;
}

dp::session_key key_of(const SessionState &state, const Names &names) {
  dp::session_key key{};
  key.pool_address = state.pool.address.network_order();
  key.remote_address = state.remote.address.network_order();
  key.pool_port = htons(value_of(state.pool.port, names));
  key.remote_port = htons(value_of(state.remote.port, names));
  key.protocol = state.protocol;
  return key;
}

dp::binding_key key_of(Protocol protocol, const End6 &inside, const Names &names) {
  dp::binding_key key{};
  set(key.inside, inside.address);
  key.inside_port = htons(value_of(inside.port, names));
  key.protocol = protocol;
  return key;
}

// --- given ---------------------------------------------------------------------------------------

dp::subscriber &subscriber_of(Tables &tables, const Ipv6 &inside, const Ipv4 &pool) {
  dp::subscriber_key key{};
  for (unsigned i = 0; i < tables.policy.subscriber_prefix; i++)
    key.prefix.byte[i / 8] |= inside.bytes[i / 8] & (0x80U >> (i % 8));
  for (auto &[known, value] : tables.subscribers)
    if (std::memcmp(&known, &key, sizeof key) == 0)
      return value;
  return tables.subscribers.emplace_back(key, dp::subscriber{pool.network_order(), 0, 0}).second;
}

dp::binding &binding_of(Tables &tables, Protocol protocol, const End6 &inside, const End4 &pool) {
  dp::binding_key key = key_of(protocol, inside, {});
  for (auto &[known, value] : tables.bindings)
    if (std::memcmp(&known, &key, sizeof key) == 0)
      return value;
  dp::port_key port_key{};
  port_key.pool_address = pool.address.network_order();
  port_key.pool_port = htons(pool.port.value);
  port_key.protocol = protocol;
  dp::port port_value{};
  port_value.inside = key.inside;
  port_value.inside_port = key.inside_port;
  tables.ports.emplace_back(port_key, port_value);
  dp::binding value{};
  value.pool_address = port_key.pool_address;
  value.pool_port = port_key.pool_port;
  value.generation = tables.policy.generation;
  value.subscriber_prefix = tables.policy.subscriber_prefix;
  subscriber_of(tables, inside.address, pool.address).bindings++;
  return tables.bindings.emplace_back(key, value).second;
}

dp::peer &peer_of(Tables &tables, const dp::session_key &session) {
  dp::peer_key key{};
  key.pool_address = session.pool_address;
  key.remote_address = session.remote_address;
  key.pool_port = session.pool_port;
  key.protocol = session.protocol;
  for (auto &[known, value] : tables.peers)
    if (std::memcmp(&known, &key, sizeof key) == 0)
      return value;
  return tables.peers.emplace_back(key, dp::peer{}).second;
}

uint32_t fresh_timeout(const SessionState &state, const dp::timeouts &timeouts) {
  if (state.protocol == UDP)
    return timeouts.udp;
  if (state.protocol == ICMP)
    return timeouts.icmp;
  return timeouts.tcp_established;
}

void add_session(Tables &tables, const SessionState &state, uint32_t now) {
  dp::session value{};
  set(value.inside, state.inside.address);
  set(value.prefix, state.prefix_.address);
  value.prefix_length = state.prefix_.length;
  value.inside_port = htons(state.inside.port.value);
  value.state = static_cast<uint8_t>(
      state.state_.value_or(state.protocol == TCP ? dp::STATE_ESTABLISHED : dp::STATE_OPEN));
  value.expires = now + state.expires_in_.value_or(fresh_timeout(state, tables.policy.timeouts));
  value.made = now;
  value.packets = state.packets_.value_or(0);
  value.bytes = state.bytes_.value_or(0);
  value.subscriber_prefix = tables.policy.subscriber_prefix;
  value.sequence6 = state.sequence6_.value_or(0);
  value.sequence4 = state.sequence4_.value_or(0);
  value.has_peer = tables.policy.filtering == dp::FILTER_ADDRESS && state.protocol != ICMP;
  if (value.has_peer)
    peer_of(tables, key_of(state, {})).sessions++;
  tables.sessions.emplace_back(key_of(state, {}), value);
  binding_of(tables, state.protocol, state.inside, state.pool).sessions++;
  subscriber_of(tables, state.inside.address, state.pool.address).sessions++;
}

// --- counters and state afterwards ---------------------------------------------------------------

std::string compare_counters(const Counters &before, const Counters &after, Counts expected) {
  std::string text;
  for (int i = 0; i < dp::REASON_COUNT; i++) {
    auto reason = static_cast<dp::reason>(i);
    uint64_t counted = after[i] - before[i];
    if (counted != expected[reason])
      text += fmt::format("  counter {}: expected +{}, got +{}\n", reason_name(reason),
                          expected[reason], counted);
  }
  return text;
}

template <typename T>
void compare(std::string &text, const char *what, const std::optional<T> &expected,
             uint64_t found) {
  if (expected && static_cast<uint64_t>(*expected) != found)
    text +=
        fmt::format("  {}: expected {}, got {}\n", what, static_cast<uint64_t>(*expected), found);
}

std::string ends_text(const SessionState &state, const Names &names) {
  return fmt::format("protocol {} {} to {}", static_cast<int>(state.protocol),
                     endpoint_text(state.pool.address, value_of(state.pool.port, names)),
                     endpoint_text(state.remote.address, value_of(state.remote.port, names)));
}

std::string check(const SessionState &state, const Target &target, const Names &names,
                  uint32_t now) {
  auto found = target.find(key_of(state, names));
  if (found.has_value() != state.exists_)
    return fmt::format("  session {}: expected {}, is {}\n", ends_text(state, names),
                       state.exists_ ? "to exist" : "not to exist", found ? "there" : "not there");
  if (!found)
    return "";
  std::string text;
  Ipv6 inside = Ipv6::from_bytes(found->inside.byte);
  if (inside != state.inside.address ||
      ntohs(found->inside_port) != value_of(state.inside.port, names))
    text += fmt::format("  inside end: expected {}, got {}\n",
                        endpoint_text(state.inside.address, value_of(state.inside.port, names)),
                        endpoint_text(inside, ntohs(found->inside_port)));
  Prefix6 prefix{Ipv6::from_bytes(found->prefix.byte), found->prefix_length};
  if (prefix != state.prefix_)
    text += fmt::format("  prefix: expected {}, got {}\n", state.prefix_.text(), prefix.text());
  compare(text, "state", state.state_, found->state);
  std::optional<uint32_t> expires;
  if (state.expires_in_)
    expires = now + *state.expires_in_;
  compare(text, "expires", expires, found->expires);
  compare(text, "packets", state.packets_, found->packets);
  compare(text, "bytes", state.bytes_, found->bytes);
  compare(text, "sequence of IPv6", state.sequence6_, found->sequence6);
  compare(text, "sequence of IPv4", state.sequence4_, found->sequence4);
  return text.empty() ? "" : fmt::format("  session {}:\n{}", ends_text(state, names), text);
}

std::string check(const BindingState &state, const Target &target, const Names &names, uint32_t) {
  auto found = target.find(key_of(state.protocol, state.inside, names));
  std::string inside = endpoint_text(state.inside.address, value_of(state.inside.port, names));
  if (found.has_value() != state.exists_)
    return fmt::format("  binding of {}: expected {}, is {}\n", inside,
                       state.exists_ ? "to exist" : "not to exist", found ? "there" : "not there");
  if (!found)
    return "";
  std::string text;
  std::string expected = endpoint_text(state.pool.address, value_of(state.pool.port, names));
  std::string got =
      endpoint_text(Ipv4::from_network_order(found->pool_address), ntohs(found->pool_port));
  if (expected != got)
    text += fmt::format("  binding of {}: expected {}, got {}\n", inside, expected, got);
  compare(text, "sessions of the binding", state.sessions_, found->sessions);
  return text;
}

// --- one vector ----------------------------------------------------------------------------------

class Run {
public:
  Run(const Vector &vector, Target &target, Checksums checksums)
      : vector_(vector), target_(target), checksums_(checksums), now_(vector.now) {}

  std::vector<std::string> all() {
    tables_ = tables_of(vector_.given, now_);
    if (auto ready = target_.reset(tables_); !ready)
      return {ready.failure().message};
    size_t number = 1;
    for (const Step &step : vector_.steps()) {
      now_ += step.after;
      if (step.sweep && target_.is_bpf())
        break;
      std::string wrong = step.sweep ? one_sweep(step) : one(step);
      if (!wrong.empty())
        failures_.push_back(fmt::format("{}: packet {} ({} checksum):\n{}", target_.name(), number,
                                        checksums_ == Checksums::full ? "full" : "partial", wrong));
      number++;
      if (!wrong.empty() || punted_)
        break;
    }
    return failures_;
  }

private:
  std::string one_sweep(const Step &step) {
    Counters before = target_.counters();
    std::vector<Bytes> sent = target_.sweep(now_, step.cause);
    std::string wrong;
    if (sent.size() != step.sends.size())
      wrong += fmt::format("  expected {} packets, got {}\n", step.sends.size(), sent.size());
    for (size_t i = 0; i < std::min(sent.size(), step.sends.size()); i++) {
      Image expected = step.sends[i].image(names_);
      for (const Slot &slot : expected.slots)
        if (slot.number.kind == Number::Kind::any && slot.at + 2 <= sent[i].size())
          take_over(expected.bytes, sent[i], slot.at);
      wrong += difference(expected.bytes, sent[i]);
    }
    wrong += compare_counters(before, target_.counters(), step.counts);
    for (const Check &state : step.leaves)
      wrong += std::visit([&](const auto &s) { return check(s, target_, names_, now_); }, state);
    return wrong;
  }

  std::string one(const Step &step) {
    bool partial = false;
    Packet in = step.in, out = step.out;
    if (checksums_ == Checksums::partial && step.expect.verdict == dp::VERDICT_FORWARD)
      partial = make_partial(in, out);
    Image arriving = in.image(names_);
    if (!arriving.slots.empty())
      return "  the packet in has an open number that no packet before has settled\n";

    Counters before = target_.counters();
    auto ran = target_.run({.packet = arriving.bytes,
                            .partial_checksum = partial || step.partial_checksum,
                            .segments = step.segments,
                            .segment_size = step.segment_size,
                            .now = now_,
                            .random = vector_.random});
    if (!ran)
      return fmt::format("  {}\n", ran.failure().message);
    Expect expect = expected(step, arriving.bytes);
    std::string wrong = verdict(expect, *ran);
    if (wrong.empty())
      wrong = expect.verdict != dp::VERDICT_FORWARD ? untouched(arriving.bytes, *ran)
              : step.pieces.empty()                 ? forwarded(out, partial, *ran)
                                                    : cut(step.pieces, *ran);
    if (wrong.empty() && expect.verdict == dp::VERDICT_FORWARD && !target_.is_bpf())
      compare(wrong, "segment size",
              std::optional(step.out_segment_size.value_or(step.segment_size)), ran->segment_size);
    wrong += answered(step, arriving.bytes, ran->answer);
    if (!ran->trespass.empty())
      wrong += fmt::format("  {}\n", ran->trespass);
    Counts counts = punted_ ? Counts{} : step.counts;
    counts[expect.reason]++;
    if (step.answer && !punted_)
      counts[dp::REASON_answer_sent]++;
    wrong += compare_counters(before, target_.counters(), counts);
    if (!punted_)
      for (const Check &state : step.leaves)
        wrong += std::visit([&](const auto &s) { return check(s, target_, names_, now_); }, state);
    if (!wrong.empty())
      wrong += fmt::format("  the packet in:\n{}", decode(arriving.bytes));
    return wrong;
  }

  static bool make_partial(Packet &in, Packet &out) {
    auto partial_in = in.with_partial_checksum(), partial_out = out.with_partial_checksum();
    if (!partial_in || !partial_out)
      return false;
    in = *partial_in;
    out = *partial_out;
    return true;
  }

  Expect expected(const Step &step, const Bytes &in) {
    dp::reason up = step.bpf.reason;
    if (up == dp::REASON_none && step.answer)
      up = dp::REASON_punt_answer;
    if (target_.is_bpf() && up != dp::REASON_none) {
      punted_ = true;
      return {dp::VERDICT_PUNT, up};
    }
    Expect expect = step.expect;
    if (expect.verdict == dp::VERDICT_FORWARD && expect.reason == dp::REASON_none)
      expect.reason = in[0] >> 4 == 6 ? dp::REASON_translated_6to4 : dp::REASON_translated_4to6;
    return expect;
  }

  static std::string verdict(const Expect &expect, const Departure &ran) {
    if (expect.verdict == ran.verdict && expect.reason == ran.reason)
      return "";
    std::string text =
        fmt::format("  expected {} {}, got {} {}\n", verdict_name(expect.verdict),
                    reason_name(expect.reason), verdict_name(ran.verdict), reason_name(ran.reason));
    if (ran.verdict == dp::VERDICT_FORWARD)
      text += fmt::format("  the packet out:\n{}", decode(ran.packet));
    return text;
  }

  // An answer comes from the pool address that was asked, to IPv6 from the pool's first one inside the
  // prefix, and quotes as much as the smallest MTU of its family lets through.
  std::string answered(const Step &step, const Bytes &in, const Bytes &answer) const {
    if (!step.answer || punted_)
      return answer.empty() ? "" : "  an answer that nobody expects:\n" + decode(answer);
    Bytes expected = in[0] >> 4 == 6 ? answer6(*step.answer, in) : answer4(*step.answer, in);
    std::string wrong = difference(expected, answer);
    return wrong.empty() ? "" : "  the answer:\n" + wrong;
  }

  static Raw quoted(const Bytes &in, size_t most) {
    return raw(
        Bytes(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(std::min(in.size(), most))));
  }

  Bytes answer6(const Icmp &message, const Bytes &in) const {
    auto at = [&](size_t offset) {
      return Ipv6::from_bytes(std::span<const uint8_t, 16>(in.data() + offset, 16));
    };
    const dp::policy &policy = tables_.policy;
    Ipv4 pool = Ipv4::from_network_order(policy.pool[0].address);
    for (const dp::prefix6 &one : std::span(policy.prefix, policy.prefix_count)) {
      Prefix6 prefix{Ipv6::from_bytes(one.address.byte), one.length};
      if (prefix.contains(at(24)))
        return (ip6(embed(prefix, pool), at(8)) / message / quoted(in, 1280 - 48)).bytes();
    }
    return {};
  }

  Bytes answer4(const Icmp &message, const Bytes &in) const {
    auto at = [&](size_t offset) {
      return Ipv4{{in[offset], in[offset + 1], in[offset + 2], in[offset + 3]}};
    };
    Ip4 header = ip4(at(16), at(12)).tos(0xc0).id(static_cast<int>(vector_.random & 0xffff));
    return (header / message / quoted(in, 576 - 28)).bytes();
  }

  static std::string untouched(const Bytes &in, const Departure &ran) {
    if (ran.packet == in)
      return "";
    return "  not forwarded, and yet changed:\n" + difference(in, ran.packet);
  }

  static std::string cut(const std::vector<Packet> &expected, const Departure &ran) {
    if (ran.pieces.size() != expected.size())
      return fmt::format("  expected {} fragments, got {}\n", expected.size(), ran.pieces.size());
    std::string wrong;
    for (size_t i = 0; i < expected.size(); i++)
      wrong += difference(expected[i].bytes(), ran.pieces[i]);
    return wrong;
  }

  std::string forwarded(const Packet &out, bool partial, const Departure &ran) {
    if (!ran.pieces.empty())
      return fmt::format("  it leaves in {} fragments\n", ran.pieces.size());
    std::string wrong = learn(out, ran.packet);
    Names names = names_;
    Image expected = out.image(names);
    for (const Slot &slot : expected.slots) // any_number(): whatever is there
      if (slot.number.kind == Number::Kind::any && slot.at + 2 <= ran.packet.size())
        take_over(expected.bytes, ran.packet, slot.at);
    wrong += difference(expected.bytes, ran.packet);
    if (ran.partial_checksum != partial)
      wrong +=
          fmt::format("  partial checksum: expected {}, got {}\n", partial, ran.partial_checksum);
    if (ran.transport && out.transport_offset() && ran.transport != out.transport_offset())
      wrong += fmt::format("  transport header: expected at {}, said to be at {}\n",
                           out.transport_offset().value_or(0), *ran.transport);
    return wrong;
  }

  // Copies a 16-bit field of the IPv4 header (the only place for any_number()) and lets the header
  // checksum follow.
  static void take_over(Bytes &expected, const Bytes &actual, size_t at) {
    uint16_t was = static_cast<uint16_t>(expected[at] << 8 | expected[at + 1]);
    uint16_t is = static_cast<uint16_t>(actual[at] << 8 | actual[at + 1]);
    if (expected[0] >> 4 != 4 || at >= 20)
      return;
    uint16_t sum = static_cast<uint16_t>(expected[10] << 8 | expected[11]);
    const uint8_t words[] = {static_cast<uint8_t>(~sum >> 8), static_cast<uint8_t>(~sum),
                             static_cast<uint8_t>(~was >> 8), static_cast<uint8_t>(~was),
                             static_cast<uint8_t>(is >> 8),   static_cast<uint8_t>(is)};
    sum = static_cast<uint16_t>(~ones_sum(words)); // RFC 1624, equation 3
    expected[at] = actual[at];
    expected[at + 1] = actual[at + 1];
    expected[10] = static_cast<uint8_t>(sum >> 8);
    expected[11] = static_cast<uint8_t>(sum);
  }

  // Ports seen for the first time: in the range of the pool address that they were taken from.
  std::string learn(const Packet &out, const Bytes &actual) {
    std::string wrong;
    for (const Slot &slot : out.image(names_).slots) {
      if (slot.number.kind != Number::Kind::port || slot.at + 2 > actual.size())
        continue;
      auto value = static_cast<uint16_t>(actual[slot.at] << 8 | actual[slot.at + 1]);
      names_[slot.number.name] = value;
      uint32_t source = 0;
      if (actual.size() >= 20 && actual[0] >> 4 == 4)
        std::memcpy(&source, &actual[12], 4);
      const dp::pool_address *first = tables_.policy.pool;
      const dp::pool_address *end = first + tables_.policy.pool_count;
      bool in_range = std::any_of(first, end, [&](const dp::pool_address &pool) {
        return pool.address == source && pool.port_low <= value && value <= pool.port_high;
      });
      if (!in_range)
        wrong += fmt::format("  port {} ({}) is outside the range of its pool address\n", value,
                             slot.number.name);
    }
    return wrong;
  }

  const Vector &vector_;
  Target &target_;
  Checksums checksums_;
  uint32_t now_;
  Tables tables_;
  Names names_;
  bool punted_ = false;
  std::vector<std::string> failures_;
};

} // namespace

Tables tables_of(const Given &given, uint32_t now) {
  Tables tables;
  tables.policy = default_policy();
  tables.max_sessions = given.max_sessions;
  for (const PolicyChange &change : given.policy)
    change(tables.policy);
  for (const SubscriberState &state : given.subscribers)
    subscriber_of(tables, state.inside, state.pool).sessions = state.sessions;
  for (const SessionState &state : given.sessions)
    add_session(tables, state, now);
  for (const BindingState &state : given.bindings) {
    binding_of(tables, state.protocol, state.inside, state.pool).sessions +=
        state.sessions_.value_or(1);
    subscriber_of(tables, state.inside.address, state.pool.address).sessions++;
  }
  return tables;
}

bool concerns(const Vector &vector, Checksums checksums) {
  if (checksums == Checksums::full)
    return true;
  std::vector<Step> steps = vector.steps();
  return std::any_of(steps.begin(), steps.end(), [](const Step &step) {
    return step.expect.verdict == dp::VERDICT_FORWARD && step.in.with_partial_checksum() &&
           step.out.with_partial_checksum();
  });
}

std::string cannot_carry(const Vector &vector, const Target &target) {
  for (const Step &step : vector.steps()) {
    if (step.sweep)
      continue;
    std::string why = target.cannot_carry({.packet = step.in.image({}).bytes,
                                           .partial_checksum = step.partial_checksum,
                                           .segments = step.segments,
                                           .segment_size = step.segment_size});
    if (!why.empty())
      return why;
  }
  return {};
}

std::vector<std::string> run(const Vector &vector, Target &target, Checksums checksums) {
  return Run(vector, target, checksums).all();
}

const char *verdict_name(dp::verdict verdict) {
  switch (verdict) {
  case dp::VERDICT_NEXT:
    return "NEXT";
  case dp::VERDICT_FORWARD:
    return "FORWARD";
  case dp::VERDICT_PASS:
    return "PASS";
  case dp::VERDICT_DROP:
    return "DROP";
  case dp::VERDICT_PUNT:
    return "PUNT";
  case dp::VERDICT_HELD:
    return "HELD";
  }
  return "no verdict at all";
}

const char *reason_name(dp::reason reason) {
  static constexpr const char *names[] = {
      "none",
#define REASON(name, kind, rfc, help) #name,
#include "datapath/reasons.def"
#undef REASON
  };
  return reason < dp::REASON_COUNT ? names[reason] : "no reason of the list";
}

} // namespace viaduct::test
