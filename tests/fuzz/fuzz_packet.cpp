// SPDX-License-Identifier: MIT
//
// Programs of packets through the native build.
//
// An input is a list of records: flags, segments, length (two bytes, high first), then as many
// bytes of packet. Two engines with the same state, clock and chance run it; around each packet one
// has 0x00, the other 0xFF, and the same in whatever a packet before may have left behind. They
// must agree in verdict, reason and every byte, so nothing outside a packet has a say. Whatever is
// forwarded must be well-formed, with a checksum that is right exactly if it was right before; what
// an ICMP error is about must be well-formed too, and have been sent by whom the error goes to. At
// the end the tables must add up, and the sweep must empty them. Some packets are walked dry first, by
// one of the engines only: it must foretell the verdict, and the other engine would show what it
// has changed.
//
// Random bytes seldom get past parse, so the mutator works in records: it adds fresh packets of the
// few flows that the engines know, and errors about them, and repairs lengths and checksums of most
// that it has damaged. At its end a run says how many packets it has sent each way.
#include "datapath/native/native.h"
#include "datapath/native/trace.h"
#include "lib/addresses.h"
#include "lib/decode.h"
#include "lib/packet.h"
#include "lib/pieces.h"
#include "lib/poisoned.h"
#include "lib/runner.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

namespace viaduct::test {
namespace {

using Span = std::span<const uint8_t>;

enum : uint8_t { FLAG_PARTIAL = 1, FLAG_TIME_PASSES = 2, FLAG_MUCH_TIME_PASSES = 4 };
enum : size_t { RECORD_HEADER = 4, MAX_RECORDS = 16, MAX_SESSIONS = 8 };
constexpr uint32_t start = 1000;

[[noreturn]] void fail(const std::string &what, Span in = {}, Span out = {}) {
  std::fprintf(stderr, "%s\n", what.c_str());
  if (!in.empty())
    std::fprintf(stderr, "in:\n%s", decode(in).c_str());
  if (!out.empty())
    std::fprintf(stderr, "out:\n%s", decode(out).c_str());
  std::abort();
}

void require(bool condition, const char *what) {
  if (!condition)
    fail(what);
}

// --- records -------------------------------------------------------------------------------------

struct Record {
  uint8_t flags = 0, segments = 1;
  Bytes packet;
};

std::vector<Record> read_records(Span data) {
  std::vector<Record> records;
  while (data.size() >= RECORD_HEADER && records.size() < MAX_RECORDS) {
    size_t length = std::min<size_t>(size_t{data[2]} << 8 | data[3], data.size() - RECORD_HEADER);
    Span packet = data.subspan(RECORD_HEADER, length);
    records.push_back({data[0], data[1], Bytes(packet.begin(), packet.end())});
    data = data.subspan(RECORD_HEADER + length);
  }
  return records;
}

Bytes write_records(const std::vector<Record> &records, size_t most) {
  Bytes bytes;
  for (const Record &record : records) {
    size_t size = record.packet.size();
    if (bytes.size() + RECORD_HEADER + size > most)
      break;
    bytes.insert(bytes.end(), {record.flags, record.segments, static_cast<uint8_t>(size >> 8),
                               static_cast<uint8_t>(size)});
    bytes.insert(bytes.end(), record.packet.begin(), record.packet.end());
  }
  return bytes;
}

// --- engines -------------------------------------------------------------------------------------

const Ipv6 mapped6 = address6("2001:db8:a::5"), single6 = address6("2001:db8:c::1");
const Ipv4 mapped4 = address4("192.0.2.5"), single4 = address4("192.0.2.99");

enum : uint16_t { LARGEST_SEGMENT = 1340 };

// A little room: one subscriber's quota and the tables are within reach of a program.
Tables given() {
  Given given;
  given.policy = {with_prefixes({well_known_prefix, prefix6("2001:db8:122::/48")}),
                  with_pool({{pool4, 40000, 40009}, {pool4b, 1024, 65535}}),
                  with_quota(6),
                  with_maps({{"2001:db8:a::/122", "192.0.2.0/26"},
                             {"2001:db8:b::/64", "192.0.2.64/26"},
                             {"2001:db8:c::1/128", "192.0.2.99/32"}}),
                  with_error_sources({router4}),
                  with_largest_segment(LARGEST_SEGMENT)};
  given.max_sessions = MAX_SESSIONS;
  given.sessions = {session(UDP, {client6, 1234}, {pool4, 40001}, {server4, 53}),
                    session(TCP, {client6, 1234}, {pool4, 40001}, {server4, 80}),
                    session(ICMP, {client6, 77}, {pool4, 40007}, {server4, 0})};
  return tables_of(given, start);
}

class Engine {
public:
  explicit Engine(uint8_t poison) : poison_(poison), given_(given()) {
    engine_ = dp::engine_new(given_.max_sessions);
    require(engine_ && dp::engine_set_policy(engine_, &given_.policy) == 0, "no engine");
    worker_ = dp::worker_new(engine_);
    require(worker_ != nullptr, "no worker");
  }
  ~Engine() {
    dp::worker_free(worker_);
    dp::engine_free(engine_);
  }
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;

  // The same start for every input.
  void fill() {
    bool put = true;
    for (const auto &[key, value] : given_.sessions)
      put = put && dp::engine_put_session(engine_, &key, &value) == 0;
    for (const auto &[key, value] : given_.bindings)
      put = put && dp::engine_put_binding(engine_, &key, &value) == 0;
    for (const auto &[key, value] : given_.ports)
      put = put && dp::engine_put_port(engine_, &key, &value) == 0;
    for (const auto &[key, value] : given_.subscribers)
      put = put && dp::engine_put_subscriber(engine_, &key, &value) == 0;
    require(put, "the tables do not take the entries that they took before");
    dp::worker_seed(worker_, 1);
    refill_answers();
  }

  Departure run(const Record &record, uint32_t now) {
    dp::worker_set_now(worker_, now);
    leave_dirt();
    PoisonedBuffer buffer(record.packet, dp::FRAME_HEADROOM, poison_);
    Departure result;
    dp::frame frame = translate(buffer.packet(), record, result);
    result.reassembled = result.verdict == dp::VERDICT_FORWARD && !buffer.holds(frame.data);
    std::string trespass = result.reassembled
                               ? buffer.trespass({buffer.packet(), record.packet.size()})
                               : buffer.trespass({frame.data, frame.length});
    if (!trespass.empty())
      fail(trespass, record.packet);
    result.packet.assign(frame.data, frame.data + frame.length);
    result.pieces = pieces_of(frame);
    result.partial_checksum = frame.partial_checksum != 0;
    result.transport = frame.transport;
    if (const dp::frame *answer = dp::worker_answer(worker_))
      result.answer.assign(answer->data, answer->data + answer->length);
    if (result.verdict != dp::VERDICT_FORWARD && frame.data != buffer.packet())
      fail("not forwarded, and yet the frame has moved", record.packet);
    return result;
  }

  // What a dry walk says.
  std::pair<dp::verdict, dp::reason> foretell(const Record &record, uint32_t now) {
    dp::frame frame{};
    Bytes packet = record.packet;
    frame.data = packet.data();
    frame.length = static_cast<uint32_t>(packet.size());
    frame.partial_checksum = record.flags & FLAG_PARTIAL;
    frame.segments = record.segments;
    frame.segment_size = record.segments > 1 ? 1000 : 0;
    require(dp::engine_trace(engine_, &frame, now, nullptr, &trace_) == 0 && trace_.lost == 0,
            "a dry walk that found no room");
    return {static_cast<dp::verdict>(trace_.verdict), static_cast<dp::reason>(trace_.reason)};
  }

  // Every session is counted by its binding, and every binding has its port.
  void audit() {
    dp::binding_key binding_keys[ROWS];
    dp::binding bindings[ROWS];
    dp::port_key port_keys[ROWS];
    dp::port ports[ROWS];
    uint32_t count = 0, sessions = 0, bindings_used = 0, held = 0;
    dp::engine_usage(engine_, &sessions, &bindings_used);
    uint64_t more = dp::engine_dump_bindings(engine_, 0, binding_keys, bindings, ROWS, &count);
    require(more == 0 && count == bindings_used, "the bindings are not those that are counted");
    for (uint32_t i = 0; i < count; i++)
      held += bindings[i].sessions;
    require(held == sessions, "the bindings do not hold as many sessions as there are");
    more = dp::engine_dump_ports(engine_, 0, port_keys, ports, ROWS, &count);
    require(more == 0 && count == bindings_used, "a port without a binding, or the reverse");
  }

  void empty() {
    auto all = [](void *, const dp::session_key *, const dp::session *) { return dp::WHY_CLEARED; };
    constexpr uint32_t later = start + MAX_RECORDS * 1000; // held SYNs and fragments, too
    dp::sweep_calls calls{};
    calls.cause = all;
    dp::engine_sweep(engine_, later, &calls);
    dp::engine_sweep(engine_, later, &calls); // frees what the first has taken out
    uint32_t sessions = 0, bindings = 0;
    dp::engine_usage(engine_, &sessions, &bindings);
    require(sessions == 0 && bindings == 0, "the sweep has left something behind");
  }

private:
  enum : uint32_t { ROWS = 2 * MAX_SESSIONS + 32 }; // a dump stops where a chain might not fit

  dp::frame translate(uint8_t *data, const Record &record, Departure &result) {
    dp::frame frame{};
    frame.data = data;
    frame.length = static_cast<uint32_t>(record.packet.size());
    frame.partial_checksum = record.flags & FLAG_PARTIAL;
    frame.segments = record.segments;
    frame.segment_size = record.segments > 1 ? 1000 : 0;
    dp::worker_enter(worker_);
    result.verdict = dp::translate_frame(worker_, &frame, &result.reason);
    dp::worker_leave(worker_);
    return frame;
  }

  // The programs before may have used up this second's answers: one more a second earlier, and they
  // are back.
  void refill_answers() {
    static const Bytes unknown =
        (ip6(client6, pref64(server4)).next_header(132) / payload(20)).bytes();
    Departure result = run({0, 1, unknown}, start - 1);
    require(result.reason == dp::REASON_unknown_protocol, "a protocol that nobody knows");
  }

  // A packet of nothing but poison (version 0 or 15), in case the next one looks at its remains.
  void leave_dirt() {
    std::array<uint8_t, 512> bytes{};
    bytes.fill(poison_);
    dp::frame frame{};
    frame.data = bytes.data();
    frame.length = bytes.size();
    Departure result;
    result.verdict = dp::translate_frame(worker_, &frame, &result.reason);
    require(result.verdict == dp::VERDICT_DROP && result.reason == dp::REASON_not_ip,
            "a packet of version 0 or 15 was taken for IP");
  }

  uint8_t poison_;
  Tables given_;
  dp::engine *engine_ = nullptr;
  dp::worker *worker_ = nullptr;
  dp::trace trace_{};
};

// --- what must hold ------------------------------------------------------------------------------

size_t get16(Span bytes, size_t at) {
  return size_t{bytes[at]} << 8 | bytes[at + 1];
}

// Where the network header of the packet inside an error lies, if there is room for one.
size_t inside_of(Span error) {
  return error.size() && error[0] >> 4 == 4 ? 28 : 48;
}

// RFC 4884: how long the packet inside is said to be, 0 if nothing is said.
size_t quoted_length(Span error) {
  bool v6 = error[0] >> 4 == 6;
  Span icmp = error.subspan(v6 ? 40 : 20);
  if (v6)
    return icmp[0] == 1 || icmp[0] == 3 ? size_t{icmp[4]} * 8 : 0;
  return size_t{icmp[5]} * 4;
}

// Nobody looks into these: only maps let them through.
bool is_opaque(uint8_t protocol) {
  return protocol != UDP && protocol != TCP && protocol != ICMP && protocol != 58;
}

bool has_map(Span address) {
  static const std::vector<Prefix6> inside{prefix6("2001:db8:a::/122"), prefix6("2001:db8:b::/64"),
                                           prefix6("2001:db8:c::1/128")};
  if (address.size() == 16) {
    Ipv6 six = Ipv6::from_bytes(address.first<16>());
    return std::any_of(inside.begin(), inside.end(),
                       [&](const Prefix6 &prefix) { return prefix.contains(six); });
  }
  return address[0] == 192 && address[1] == 0 && address[2] == 2 && address[3] < 128;
}

// A forwarded error: its size, the length it states, and the packet inside.
void check_error(Span in, Span out) {
  bool v6 = out[0] >> 4 == 6;
  size_t at = inside_of(out), header = v6 ? 40 : 20;
  if (out.size() > (v6 ? 1280U : 576U))
    fail("an error longer than an error may be", in, out);
  if (out.size() < at + header)
    fail("an error that does not hold the network header of the packet inside", in, out);
  uint8_t protocol = out[at + (v6 ? 6 : 9)];
  bool later = !v6 && (get16(out, at + 6) & 0x1fff) != 0; // a fragment without ports
  if (v6 && protocol == 44 && out.size() >= at + 48) {
    protocol = out[at + 40];
    later = get16(out, at + 42) >> 3 != 0;
  }
  bool opaque = later || is_opaque(protocol);
  if (!opaque && out.size() < at + header + 8)
    fail("an error that does not hold eight bytes of the packet's transport header", in, out);
  Span inside = out.subspan(at);
  if (inside[0] >> 4 != (v6 ? 6 : 4))
    fail("the packet inside has the other family", in, out);
  if (size_t said = quoted_length(out); said != 0 && (said < 128 || said >= inside.size()))
    fail("the length of the packet inside is not what is there", in, out);
  Span sender = v6 ? inside.subspan(8, 16) : inside.subspan(12, 4);
  Span addressee = v6 ? out.subspan(24, 16) : out.subspan(16, 4);
  if (!std::equal(sender.begin(), sender.end(), addressee.begin()))
    fail("the packet inside was sent by somebody else", in, out);
  if (!v6 && (inside[0] != 0x45 || ones_sum(inside.first(20)) != 0xffff))
    fail("the packet inside has a wrong IPv4 header", in, out);
  if (opaque && !has_map(v6 ? sender : inside.subspan(16, 4)) &&
      !has_map(v6 ? inside.subspan(24, 16) : sender))
    fail("the packet inside has a protocol that no session has", in, out);
  if (protocol == (v6 ? ICMP : 58))
    fail("the packet inside has the other family's ICMP", in, out);
  if (get16(inside, v6 ? 4 : 2) < (v6 ? 0U : 20U) + (opaque ? 0U : 8U))
    fail("the packet inside is said to be shorter than its headers", in, out);
}

// Fragments follow one another, fit the smallest MTU, and are the packet.
void check_pieces(Span in, Span out, const std::vector<Bytes> &pieces) {
  size_t at = 48, first = get16(out, 42) & ~size_t{7};
  for (const Bytes &piece : pieces) {
    bool last = &piece == &pieces.back();
    if (piece.size() > 1280 || piece.size() <= 48)
      fail("a fragment that is too long, or empty", in, piece);
    if (get16(piece, 4) != piece.size() - 40 || piece[6] != 44)
      fail("a fragment with a wrong header", in, piece);
    if ((get16(piece, 42) & ~size_t{7}) != first + at - 48)
      fail("a fragment that does not follow the one before", in, piece);
    if ((piece[43] & 1) != (last ? out[43] & 1 : 1))
      fail("a fragment that is the last one and does not say so, or the reverse", in, piece);
    if (at + piece.size() - 48 > out.size() ||
        !std::equal(piece.begin() + 48, piece.end(), out.begin() + static_cast<ptrdiff_t>(at)))
      fail("a fragment of something else", in, piece);
    at += piece.size() - 48;
  }
  if (at != out.size())
    fail("the fragments are not the whole packet", in, out);
}

// Where a segment announces its MSS; 0 where it does not, or what is before it cannot be read.
size_t mss_at(Span segment) {
  size_t end = size_t{segment[12]} / 16 * 4;
  for (size_t at = 20; at + 4 <= end;) {
    if (segment[at] == 1) {
      at++;
      continue;
    }
    if (segment[at] == 0 || segment[at + 1] < 2)
      return 0;
    if (segment[at] == 2 && segment[at + 1] == 4)
      return at + 2;
    at += segment[at + 1];
  }
  return 0;
}

// Of all behind the ports and the checksum only the MSS of a SYN changes, and it is lowered.
// `read`: what of the segment the steps see, at least.
void check_segment(Span before, Span after, size_t read, Span in, Span out) {
  size_t at = before[13] & 0x02 ? mss_at(before) : 0;
  bool lowered = at != 0 && get16(before, at) > LARGEST_SEGMENT &&
                 (at + 2 <= read || get16(before, at) != get16(after, at));
  for (size_t i = 4; i < before.size(); i++)
    if (i != 16 && i != 17 && before[i] != after[i] && !(lowered && (i == at || i == at + 1)))
      fail("something has changed in a TCP segment", in, out);
  if (lowered && get16(after, at) != LARGEST_SEGMENT)
    fail("an MSS that was not lowered, or not to what it should", in, out);
}

void check_forwarded(const Record &record, const Departure &result) {
  const Bytes &in = record.packet, &out = result.packet;
  std::string wrong = malformation(out);
  if (!wrong.empty())
    fail("forwarded, but " + wrong, in, out);
  if (result.reason == dp::REASON_translated_error_4to6 ||
      result.reason == dp::REASON_translated_error_6to4)
    check_error(in, out);
  if (out[0] >> 4 == in[0] >> 4)
    fail("forwarded in the family it came in", in, out);
  bool has_fragment_header = out[0] >> 4 == 6 && out[6] == 44;
  if (result.transport != (out[0] >> 4 == 4 ? 20U : has_fragment_header ? 48U : 40U))
    fail("the transport header is said to be elsewhere", in, out);
  if (!result.pieces.empty())
    check_pieces(in, out, result.pieces);
  if (result.reassembled)
    return; // the packet that came in has not the whole's checksum
  size_t begins = result.transport.value_or(0), tail = out.size() - begins;
  bool whole =
      !(out[0] >> 4 == 4 ? get16(out, 6) & 0x1fff : has_fragment_header && get16(out, 42) >> 3);
  if (whole && result.reason != dp::REASON_translated_error_4to6 &&
      result.reason != dp::REASON_translated_error_6to4 &&
      out[out[0] >> 4 == 4      ? 9
          : has_fragment_header ? 40
                                : 6] == TCP)
    check_segment(Span(in).last(tail), Span(out).last(tail),
                  256 - std::min<size_t>(256, in.size() - tail), in, out);
  SumState before = transport_checksum(in), after = transport_checksum(out);
  if (record.flags & FLAG_PARTIAL) {
    SumState wanted = result.pieces.empty() ? SumState::partial : SumState::right;
    if (before == SumState::partial && after != wanted)
      fail("a partial checksum that was right is wrong", in, out);
    return;
  }
  size_t header = result.transport.value_or(0);
  bool later = out[0] >> 4 == 4 ? (get16(out, 6) & 0x1fff) != 0
                                : has_fragment_header && get16(out, 42) >> 3 != 0;
  if (later || is_opaque(out[out[0] >> 4 == 4 ? 9 : has_fragment_header ? 40 : 6])) {
    bool from_host = in[0] >> 4 == 6;
    if (!has_map(from_host ? Span(in).subspan(8, 16) : Span(in).subspan(16, 4)))
      fail("a protocol that no session has", in, out);
    Span data = Span(out).subspan(header);
    if (!std::equal(data.begin(), data.end(), in.end() - static_cast<long>(data.size())))
      fail("what nobody looks into has changed", in, out);
    return;
  }
  bool was_right = before == SumState::right || before == SumState::absent;
  if (was_right != (after == SumState::right))
    fail(was_right ? "a checksum that was right is wrong" : "a wrong checksum was repaired", in,
         out);
}

// What a run has sent; said when the fuzzer ends.
struct Tally {
  uint64_t programs = 0, from6 = 0, from4 = 0, forwarded6 = 0, forwarded4 = 0, errors6 = 0,
           errors4 = 0, answers = 0;

  void add(const Record &record, const Departure &result) {
    if (record.packet.empty())
      return;
    from6 += record.packet[0] >> 4 == 6;
    from4 += record.packet[0] >> 4 == 4;
    forwarded6 += result.reason == dp::REASON_translated_6to4;
    forwarded4 += result.reason == dp::REASON_translated_4to6;
    errors6 += result.reason == dp::REASON_translated_error_6to4;
    errors4 += result.reason == dp::REASON_translated_error_4to6;
    answers += !result.answer.empty();
  }
  ~Tally() {
    std::fputs(fmt::format("{} programs: of {} IPv6 packets {} were forwarded, and {} errors; "
                           "of {} IPv4 packets {}, and {} errors; {} answers\n",
                           programs, from6, forwarded6, errors6, from4, forwarded4, errors4,
                           answers)
                   .c_str(),
               stderr);
  }
};

bool is_fragment(Span packet) {
  if (packet[0] >> 4 == 4)
    return (get16(packet, 6) & 0x3fff) != 0;
  // Behind other extension headers, too: none of them is long.
  for (size_t at = 6, i = 0, next = 40; i < 9 && at < packet.size(); i++) {
    if (packet[at] == 44)
      return true;
    at = next;
    if (at + 1 >= packet.size())
      break;
    next = at + (size_t{packet[at + 1]} + 1) * 8;
  }
  return false;
}

// Our own answer to a packet that was dropped: to its sender, about it, in its family.
void check_answer(Span in, Span answer) {
  std::string wrong = malformation(answer);
  if (!wrong.empty())
    fail("answered, but " + wrong, in, answer);
  bool v6 = in[0] >> 4 == 6;
  if (answer[0] >> 4 != in[0] >> 4 || answer.size() > (v6 ? 1280U : 576U))
    fail("an answer of the other family, or a longer one than there may be", in, answer);
  if (transport_checksum(answer) != SumState::right)
    fail("an answer with a wrong checksum", in, answer);
  Span sender = v6 ? in.subspan(8, 16) : in.subspan(12, 4);
  Span addressee = v6 ? answer.subspan(24, 16) : answer.subspan(16, 4);
  Span quoted = answer.subspan(v6 ? 48 : 28);
  if (!std::equal(sender.begin(), sender.end(), addressee.begin()))
    fail("an answer to somebody else", in, answer);
  bool about_a_fragment = v6 ? quoted[6] == 44 : (get16(quoted, 6) & 0x3fff) != 0;
  if (about_a_fragment || is_fragment(in))
    return; // it may be about what was put together
  if (quoted.size() > in.size() || !std::equal(quoted.begin(), quoted.end(), in.begin()))
    fail("an answer about another packet", in, answer);
}

void check(const Record &record, const Departure &zeros, const Departure &ones) {
  if (zeros.verdict != ones.verdict || zeros.reason != ones.reason)
    fail(fmt::format("bytes around the packet decide: {} {} or {} {}", verdict_name(zeros.verdict),
                     reason_name(zeros.reason), verdict_name(ones.verdict),
                     reason_name(ones.reason)),
         record.packet);
  if (zeros.pieces != ones.pieces)
    fail("bytes around the packet get into its fragments", record.packet);
  if (zeros.packet != ones.packet || zeros.partial_checksum != ones.partial_checksum)
    fail("bytes around the packet get into it:\n" + difference(zeros.packet, ones.packet),
         record.packet);
  if (zeros.answer != ones.answer)
    fail("bytes around the packet get into the answer", record.packet, zeros.answer);
  if (!zeros.answer.empty() && zeros.verdict != dp::VERDICT_DROP)
    fail("answered although not dropped", record.packet, zeros.answer);
  if (!zeros.answer.empty())
    check_answer(record.packet, zeros.answer);
  if (zeros.verdict == dp::VERDICT_FORWARD)
    check_forwarded(record, zeros);
  else if (zeros.packet != record.packet)
    fail("not forwarded, and yet changed", record.packet, zeros.packet);
  if (zeros.verdict == dp::VERDICT_PUNT || zeros.verdict == dp::VERDICT_NEXT)
    fail(fmt::format("the native build says {}", verdict_name(zeros.verdict)), record.packet);
}

void run_program(Span data) {
  static Engine zeros(0x00), ones(0xff);
  static Tally tally;
  tally.programs++;
  zeros.fill();
  ones.fill();
  uint32_t now = start;
  for (const Record &record : read_records(data)) {
    now += record.flags & FLAG_TIME_PASSES ? 1 : 0;
    now += record.flags & FLAG_MUCH_TIME_PASSES ? 250 : 0;
    bool dry = record.packet.size() % 4 == 0 && !record.packet.empty();
    auto foretold =
        dry ? zeros.foretell(record, now) : std::pair{dp::VERDICT_NEXT, dp::REASON_none};
    Departure result = zeros.run(record, now);
    check(record, result, ones.run(record, now));
    if (dry && foretold != std::pair{result.verdict, result.reason})
      fail(fmt::format("a dry walk foretold {} {}, and it is {} {}", verdict_name(foretold.first),
                       reason_name(foretold.second), verdict_name(result.verdict),
                       reason_name(result.reason)),
           record.packet);
    tally.add(record, result);
  }
  zeros.audit();
  ones.audit();
  zeros.empty();
  ones.empty();
}

// --- mutation ------------------------------------------------------------------------------------

using Random = std::minstd_rand;

template <typename T> const T &pick(Random &random, const std::vector<T> &choices) {
  return choices[random() % choices.size()];
}

Packet fresh_transport(Random &random, bool v6) {
  const std::vector<int> ports{1234, 53, 80, 40001, 40002, 77};
  int source = pick(random, ports), destination = pick(random, ports);
  Raw data = payload(random() % 16 ? random() % 40 : random() % 3000);
  if (random() % 16 == 0) // the header before it says 253
    return data;
  switch (random() % 4) {
  case 0:
    return udp(source, destination) / data;
  case 1:
    return (v6 ? icmp6_echo_request(source, 1) : icmp4_echo_request(source, 1)) / data;
  case 2:
    return (v6 ? icmp6_echo_reply(source, 1) : icmp4_echo_reply(source, 1)) / data;
  default: {
    Tcp segment = tcp(source, destination);
    segment.flags_ = pick<uint8_t>(random, {0x02, 0x10, 0x12, 0x11, 0x04, 0x18});
    return (random() % 2 ? segment.mss(1400) : segment) / data;
  }
  }
}

// A packet that a flow has sent through the gateway, as the one who complains has seen it.
Packet fresh_quoted(Random &random, bool v6) {
  const std::vector<Ipv4> servers{server4, server4, server4b};
  int inside = pick(random, std::vector<int>{1234, 1234, 77, 5});
  int outside = pick(random, std::vector<int>{40001, 40001, 40007, 40002});
  int far = pick(random, std::vector<int>{53, 80});
  bool echo = inside == 77 || outside == 40007;
  Packet load = payload(random() % 8 ? random() % 300 : random() % 1400);
  if (v6) {
    Packet header =
        ip6(pref64(pick(random, servers)), pick<Ipv6>(random, {client6, client6, mapped6, single6}))
            .hop_limit(1);
    if (random() % 8 == 0)
      header = header / destination_options();
    if (echo)
      return header / icmp6_echo_reply(inside, 1) / load;
    return header / (random() % 2 ? Packet(udp(far, inside)) : Packet(tcp(far, inside))) / load;
  }
  Ip4 header =
      ip4(pick<Ipv4>(random, {pool4, pool4, pool4b, mapped4, single4}), pick(random, servers))
          .ttl(1);
  if (random() % 8 == 0)
    header.record_route(2);
  if (echo)
    return header / icmp4_echo_request(outside, 1) / load;
  return header / (random() % 2 ? Packet(udp(outside, far)) : Packet(tcp(outside, far))) / load;
}

// An error about it: cut as routers cut, with an extension (RFC 4884) now and then.
Packet fresh_error(Random &random, bool v6) {
  Packet quoted = fresh_quoted(random, v6);
  Bytes bytes = quoted.bytes();
  bool extended = random() % 4 == 0;
  unsigned unit = v6 ? 8 : 4, words = 0;
  if (extended) {
    words = 128 / unit + random() % 20;
    bytes.resize(size_t{words} * unit);
    bytes.insert(bytes.end(), {0x20, 0, 0xff, 0xff, 0, 8, 1, 1, 0, 1, 1, 1});
  } else if (random() % 2) {
    bytes.resize(std::min<size_t>(bytes.size(), random() % 2 ? (v6 ? 48 : 28) : random() % 600));
  }
  int mtu = pick(random, std::vector<int>{0, 60, 576, 1280, 1400, 9000});
  if (v6) {
    uint8_t type = pick<uint8_t>(random, {1, 2, 3, 4});
    Number first = type == 2 ? 0 : extended ? static_cast<int>(words << 8) : 0;
    Number second = type == 2 ? mtu : type == 4 ? static_cast<int>(random() % 48) : 0;
    return ip6(pick<Ipv6>(random, {router6, client6, mapped6}), pref64(server4)) /
           icmp6(type, static_cast<uint8_t>(random() % 5), first, second) / raw(bytes);
  }
  uint8_t type = pick<uint8_t>(random, {3, 3, 11, 12});
  Number first = static_cast<int>((type == 12 ? random() % 20 << 8 : 0) | (extended ? words : 0));
  return ip4(pick<Ipv4>(random, {router4, server4}), pick<Ipv4>(random, {pool4, pool4, mapped4})) /
         icmp4(type, static_cast<uint8_t>(random() % 17), first, mtu) / raw(bytes);
}

// A piece of a packet. Identifications are few, so that some become whole, and some overlap.
Bytes fresh_piece(Random &random, const Bytes &whole) {
  bool v6 = whole[0] >> 4 == 6;
  size_t header = v6 ? 40 : 20, size = whole.size() - header;
  if (size == 0)
    return whole;
  size_t units = (size + 7) / 8, from = random() % units, count = 1 + random() % (units - from);
  if (random() % 2) { // one of two halves
    from = random() % 2 ? 0 : units / 2;
    count = from ? units - from : std::max<size_t>(units / 2, 1);
  }
  size_t end = std::min(size, (from + count) * 8);
  bool more = end < size;
  auto id = static_cast<uint16_t>(random() % 2);
  auto offset = static_cast<uint16_t>(from * 8);
  Bytes data(whole.begin() + static_cast<ptrdiff_t>(header + offset),
             whole.begin() + static_cast<ptrdiff_t>(header + end));
  if (v6)
    return (ip6(Ipv6::from_bytes(Span(whole).subspan(8).first<16>()),
                Ipv6::from_bytes(Span(whole).subspan(24).first<16>())) /
            fragment6(offset, more, id).next_header(whole[6]) / raw(data))
        .bytes();
  Ip4 ip = ip4(Ipv4{{whole[12], whole[13], whole[14], whole[15]}},
               Ipv4{{whole[16], whole[17], whole[18], whole[19]}});
  ip.id(id).offset(offset).protocol(whole[9]);
  if (more)
    ip.mf();
  return (ip / raw(data)).bytes();
}

Record fresh(Random &random) {
  Record record;
  Packet packet;
  if (random() % 4 == 0) {
    record.packet = fresh_error(random, random() % 2).bytes();
    return record;
  }
  if (random() % 2) {
    Ipv4 server = pick<Ipv4>(random, {server4, server4b, address4("10.0.0.1")});
    packet = ip6(pick<Ipv6>(random, {client6, client6b, neighbour6, stranger6, mapped6, single6}),
                 random() % 4 ? pref64(server) : embed(prefix6("2001:db8:122::/48"), server));
    for (unsigned i = random() % 8; i > 5; i--)
      packet =
          packet / pick<Extension>(random, {hop_by_hop(), destination_options(), routing(0, 0)});
    packet = packet / fresh_transport(random, true);
  } else {
    Ip4 header = ip4(pick<Ipv4>(random, {server4, server4b}),
                     pick<Ipv4>(random, {pool4, pool4b, mapped4, single4}));
    if (random() % 8 == 0)
      header.record_route(2);
    packet = header / fresh_transport(random, false);
  }
  Bytes whole = packet.bytes();
  bool plain = whole[0] == 0x45 || (whole[0] >> 4 == 6 && whole[6] != 0 && whole[6] != 43 &&
                                    whole[6] != 60); // no options, no extension headers
  if (plain && random() % 4 == 0) {
    record.packet = fresh_piece(random, whole);
    return record;
  }
  if (auto partial = packet.with_partial_checksum(); partial && random() % 4 == 0) {
    packet = *partial;
    record.flags |= FLAG_PARTIAL;
  }
  record.packet = packet.bytes();
  return record;
}

void put16(Bytes &bytes, size_t at, size_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

// The checksum covers the packet inside an error: without this none with a damaged one gets far.
void repair_icmp(Bytes &packet, size_t at, uint32_t pseudo) {
  put16(packet, at + 2, 0);
  put16(packet, at + 2, static_cast<uint16_t>(~ones_sum(Span(packet).subspan(at), pseudo)));
}

// Makes lengths and the checksums of IPv4 headers and ICMP true again; what is damaged deeper stays
// so.
void repair(Bytes &packet) {
  if (packet.size() >= 40 && packet[0] >> 4 == 6) {
    put16(packet, 4, packet.size() - 40);
    if (packet[6] == UDP && packet.size() >= 48)
      put16(packet, 44, packet.size() - 40);
    if (packet[6] == 58 && packet.size() >= 48) {
      uint32_t pseudo = ones_sum(Span(packet).subspan(8, 32)) + 58;
      repair_icmp(packet, 40, pseudo + static_cast<uint32_t>(packet.size() - 40));
    }
  } else if (packet.size() >= 20 && packet[0] >> 4 == 4) {
    size_t header = size_t{packet[0] & 0xfU} * 4;
    put16(packet, 2, packet.size());
    if (header < 20 || header > packet.size())
      return;
    put16(packet, 10, 0);
    put16(packet, 10, static_cast<uint16_t>(~ones_sum(Span(packet).first(header))));
    if (packet[9] == UDP && packet.size() >= header + 8)
      put16(packet, header + 4, packet.size() - header);
    if (packet[9] == ICMP && packet.size() >= header + 8)
      repair_icmp(packet, header, 0);
  }
}

void mutate(Random &random, std::vector<Record> &records) {
  size_t at = records.empty() ? 0 : random() % records.size();
  switch (records.empty() ? 0 : random() % 8) {
  case 0:
  case 1:
    records.insert(records.begin() + static_cast<ptrdiff_t>(at), fresh(random));
    break;
  case 2:
    records.insert(records.begin() + static_cast<ptrdiff_t>(at),
                   records[random() % records.size()]);
    break;
  case 3:
    records.erase(records.begin() + static_cast<ptrdiff_t>(at));
    break;
  case 4:
    records[at].flags = static_cast<uint8_t>(random());
    records[at].segments = static_cast<uint8_t>(random());
    break;
  default: {
    Bytes &packet = records[at].packet;
    size_t size = packet.size();
    packet.resize(size + 64);
    packet.resize(LLVMFuzzerMutate(packet.data(), size, packet.size()));
    if (random() % 4)
      repair(packet);
  }
  }
}

} // namespace
} // namespace viaduct::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  viaduct::test::run_program({data, size});
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                                          unsigned int seed) {
  viaduct::test::Random random(seed);
  auto records = viaduct::test::read_records({data, size});
  viaduct::test::mutate(random, records);
  viaduct::test::Bytes bytes = viaduct::test::write_records(records, max_size);
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}
