// SPDX-License-Identifier: MIT
//
// The sender: so many connections at once, each a handshake, a question and the answer compared, or until the
// server resets it. It speaks from addresses that its kernel does not have, and ends what it has begun with resets:
// ports come again soon, so what a connection was told must not stay. What the server says to a connection that is
// over is answered by a reset, and what is not answered within a second is said again (RFC 9293 3.5.2, 3.8.1).
#include "plan.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <vector>

namespace viaduct::toalab {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto patience = std::chrono::seconds(1);
constexpr auto look_again = std::chrono::milliseconds(250);
constexpr auto give_up = std::chrono::seconds(60); // without any progress
constexpr int receive_buffer = 32 << 20;
constexpr size_t batch = 64;
constexpr size_t examples = 5;

// Packets leave in the order in which they are sent only from one processor.
void stay_on_this_processor() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  sched_setaffinity(0, sizeof one, &one);
}

Result<Mac> mac_of(const std::string &text) {
  Mac mac{};
  if (sscanf(text.c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", mac.data(), &mac[1], &mac[2],
             &mac[3], &mac[4], &mac[5]) != 6)
    return error("{} is no MAC address", text);
  return mac;
}

// The port it sends through: frames out in batches, segments in.
class Port {
public:
  static Result<Port> open(const Options &options) {
    auto to = mac_of(options.to);
    if (!to)
      return to.failure();
    Port port;
    port.server_ = *to;
    port.socket_ = Fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    if (!port.socket_)
      return system_error("cannot open a packet socket", errno);
    ifreq request{};
    options.device.copy(request.ifr_name, IFNAMSIZ - 1);
    if (ioctl(port.socket_.get(), SIOCGIFHWADDR, &request) < 0)
      return system_error("cannot find " + options.device, errno);
    memcpy(port.own_.data(), request.ifr_hwaddr.sa_data, port.own_.size());
    sockaddr_ll where{};
    where.sll_family = AF_PACKET;
    where.sll_protocol = htons(ETH_P_ALL);
    where.sll_ifindex = static_cast<int>(if_nametoindex(options.device.c_str()));
    int one = 1;
    if (setsockopt(port.socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer,
                   sizeof receive_buffer) < 0 ||
        setsockopt(port.socket_.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) < 0 ||
        bind(port.socket_.get(), reinterpret_cast<sockaddr *>(&where), sizeof where) < 0)
      return system_error("cannot listen to " + options.device, errno);
    return port;
  }

  void send(const Segment &segment) {
    if (waiting_ == batch)
      flush();
    lengths_[waiting_] = write(segment, own_, server_, frames_[waiting_]);
    waiting_++;
  }

  void flush() {
    std::array<mmsghdr, batch> messages{};
    std::array<iovec, batch> parts{};
    for (size_t i = 0; i < waiting_; i++) {
      parts[i] = {frames_[i].data(), lengths_[i]};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (size_t done = 0; done < waiting_;) {
      int count = sendmmsg(socket_.get(), messages.data() + done,
                           static_cast<unsigned>(waiting_ - done), 0);
      if (count <= 0 && errno != EINTR && errno != ENOBUFS && errno != EAGAIN)
        break; // said again when nobody answers
      if (count > 0)
        done += static_cast<size_t>(count);
    }
    waiting_ = 0;
  }

  // Waits a little if there is nothing; calls take(segment) for each.
  template <typename Take> void receive(Take take) {
    pollfd wanted{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    if (poll(&wanted, 1, 20) <= 0)
      return;
    std::array<mmsghdr, batch> messages{};
    std::array<iovec, batch> parts{};
    for (size_t i = 0; i < batch; i++) {
      parts[i] = {received_[i].data(), received_[i].size()};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    int count = recvmmsg(socket_.get(), messages.data(), batch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < count; i++) {
      auto at = static_cast<size_t>(i);
      if (auto segment = read({received_[at].data(), messages[at].msg_len}))
        take(*segment);
    }
  }

private:
  Fd socket_;
  Mac own_{}, server_{};
  std::array<Frame, batch> frames_{};
  std::array<size_t, batch> lengths_{};
  size_t waiting_ = 0;
  std::array<std::array<uint8_t, 2048>, batch> received_{};
};

struct Connection {
  enum class State : uint8_t { over, opening, asked };
  State state = State::over;
  Planned planned;
  uint32_t next = 0;         // sequence number of what we say next
  uint32_t acknowledged = 0; // of what the server says next
  Clock::time_point said;
};

struct Sums {
  uint64_t begun = 0, over = 0, right = 0, wrong = 0, said_again = 0;
  uint64_t rewritten = 0, nat64 = 0; // answers with the client's address
  uint64_t accepted_early = 0;       // accept answered before the first data came
  std::array<uint64_t, way_names.size()> by_way{};
  std::vector<std::string> examples;
};

class Sender {
public:
  Sender(const Options &options, const Plan &plan, Port port)
      : options_(options), plan_(plan), port_(std::move(port)), connections_(options.window),
        of_port_(65536, none) {}

  Result<void> run() {
    start_ = progress_ = Clock::now();
    auto look = start_ + look_again;
    for (;;) {
      bool wanted = begin_new();
      if (!wanted && sums_.over == sums_.begun)
        break;
      port_.flush();
      port_.receive([this](const Segment &segment) { take(segment); });
      auto now = Clock::now();
      if (now >= look) {
        say_again(now);
        look = now + look_again;
      }
      if (now - progress_ > give_up)
        return error("nothing has come for a minute, {} of {} connections are over", sums_.over,
                     sums_.begun);
    }
    port_.flush();
    tell();
    return {};
  }

private:
  static constexpr uint32_t none = UINT32_MAX;
  static constexpr std::array<uint8_t, 1> question = {'?'};

  // False: there are no more to begin.
  bool begin_new() {
    for (uint32_t i = 0; i < connections_.size(); i++) {
      Connection &each = connections_[i];
      if (each.state != Connection::State::over)
        continue;
      if (options_.seconds > 0
              ? Clock::now() - start_ > std::chrono::duration<double>(options_.seconds)
              : sums_.begun == options_.connections)
        return false;
      each.planned = plan_.connection(sums_.begun++);
      each.state = Connection::State::opening;
      each.next = each.planned.sequence;
      each.said = Clock::now();
      of_port_[each.planned.source_port] = i;
      open(each);
    }
    return true;
  }

  static Segment segment_of(const Connection &each, uint8_t flags) {
    return {.source = each.planned.source,
            .target = each.planned.server,
            .source_port = each.planned.source_port,
            .target_port = each.planned.server_port,
            .sequence = each.next,
            .acknowledged = each.acknowledged,
            .flags = flags,
            .options = {},
            .data = {}};
  }

  void open(const Connection &each) {
    Segment segment = segment_of(each, SYN);
    segment.options = each.planned.syn.all();
    port_.send(segment);
  }

  void ask(const Connection &each) {
    Segment segment = segment_of(each, ACK);
    segment.options = each.planned.ack.all();
    port_.send(segment);
    if (!plan_.mix().until_told)
      return;
    segment.flags = ACK | PSH;
    segment.options = each.planned.data.all();
    segment.data = question;
    port_.send(segment);
  }

  void take(const Segment &segment) {
    uint32_t index = of_port_[segment.target_port];
    Connection *each = index == none ? nullptr : &connections_[index];
    if (each == nullptr || each->state == Connection::State::over ||
        segment.source_port != each->planned.server_port ||
        segment.source != each->planned.server || segment.target != each->planned.source)
      return refuse(segment);
    if (each->state == Connection::State::opening)
      opened(*each, segment);
    else
      told(*each, segment);
  }

  void refuse(const Segment &segment) {
    if ((segment.flags & RST) != 0 || (segment.flags & ACK) == 0)
      return;
    port_.send({.source = segment.target,
                .target = segment.source,
                .source_port = segment.target_port,
                .target_port = segment.source_port,
                .sequence = segment.acknowledged,
                .acknowledged = 0,
                .flags = RST,
                .options = {},
                .data = {}});
  }

  void opened(Connection &each, const Segment &segment) {
    if ((segment.flags & RST) != 0)
      return wrong(each, "refused");
    if ((segment.flags & SYN) == 0 || segment.acknowledged != each.next + 1)
      return refuse(segment); // of the last connection of this port
    each.next++;
    each.acknowledged = segment.sequence + 1;
    each.state = Connection::State::asked;
    each.said = Clock::now();
    ask(each);
  }

  void told(Connection &each, const Segment &segment) {
    if ((segment.flags & RST) != 0) {
      if (plan_.mix().until_told)
        return wrong(each, "reset");
      sums_.right++;
      return over(each);
    }
    if ((segment.flags & SYN) != 0)
      return ask(each);
    if (segment.data.size() != sizeof(Told) || segment.sequence != each.acknowledged)
      return;
    Told answer;
    memcpy(&answer, segment.data.data(), sizeof answer);
    compare(each, answer);
    each.next++;
    each.acknowledged += sizeof answer;
    port_.send(segment_of(each, RST | ACK));
    over(each);
  }

  void compare(const Connection &each, const Told &answer) {
    const Planned &planned = each.planned;
    sums_.rewritten += answer.accepted != planned.own;
    sums_.rewritten += answer.peer != planned.own;
    sums_.nat64 += answer.nat64_error == 0;
    sums_.accepted_early +=
        planned.way == Way::data && planned.shown != planned.own && answer.accepted == planned.own;
    if (right(planned, answer)) {
      sums_.right++;
      return;
    }
    sums_.wrong++;
    if (sums_.examples.size() < examples)
      sums_.examples.push_back(fmt::format(
          "{}: accept {}, getpeername {}, 4096 {} error {}; expected {} or {}, 4096 {} error {}",
          way_names[static_cast<size_t>(planned.way)], answer.accepted.text(), answer.peer.text(),
          answer.nat64.text(), answer.nat64_error, planned.shown.text(), planned.own.text(),
          planned.nat64.text(), planned.nat64_error));
  }

  void wrong(Connection &each, const char *what) {
    sums_.wrong++;
    if (sums_.examples.size() < examples)
      sums_.examples.push_back(
          fmt::format("{}: {}", way_names[static_cast<size_t>(each.planned.way)], what));
    over(each);
  }

  void over(Connection &each) {
    sums_.by_way[static_cast<size_t>(each.planned.way)]++;
    sums_.over++;
    each.state = Connection::State::over;
    of_port_[each.planned.source_port] = none;
    progress_ = Clock::now();
  }

  void say_again(Clock::time_point now) {
    for (Connection &each : connections_) {
      if (each.state == Connection::State::over || now - each.said < patience)
        continue;
      each.said = now;
      sums_.said_again++;
      if (each.state == Connection::State::opening)
        open(each);
      else
        ask(each);
    }
  }

  void tell() {
    std::string ways, wrong_ones;
    for (size_t i = 0; i < way_names.size(); i++)
      ways += fmt::format("{}\"{}\": {}", i == 0 ? "" : ", ", way_names[i], sums_.by_way[i]);
    for (const std::string &example : sums_.examples)
      wrong_ones += fmt::format("{}\"{}\"", wrong_ones.empty() ? "" : ", ", example);
    std::chrono::duration<double> took = Clock::now() - start_;
    fmt::print(
        "{{\"connections\": {}, \"right\": {}, \"wrong\": {}, \"rewritten\": {}, \"nat64\": {}, "
        "\"accepted_early\": {}, \"said_again\": {}, \"seconds\": {:.6f}, \"ways\": {{{}}}, "
        "\"examples\": [{}]}}\n",
        sums_.over, sums_.right, sums_.wrong, sums_.rewritten, sums_.nat64, sums_.accepted_early,
        sums_.said_again, took.count(), ways, wrong_ones);
  }

  const Options &options_;
  Plan plan_;
  Port port_;
  std::vector<Connection> connections_;
  std::vector<uint32_t> of_port_;
  Sums sums_;
  Clock::time_point start_, progress_;
};

} // namespace

Result<void> send(const Options &options) {
  auto plan = Plan::make(options);
  if (!plan)
    return plan.failure();
  auto port = Port::open(options);
  if (!port)
    return port.failure();
  stay_on_this_processor();
  Sender sender(options, *plan, std::move(*port));
  return sender.run();
}

} // namespace viaduct::toalab
