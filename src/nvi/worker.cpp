// SPDX-License-Identifier: MIT
#include "nvi/worker.h"

#include "base/clock.h"
#include "nvi/spin.h"
#include "nvi/train.h"
#include "nvi/vnet.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

namespace viaduct::nvi {

namespace {

// How many packets are taken before others (the sweep, a new policy) get their turn.
constexpr int BATCH = 64;

// How many small packets are read before the first of them is dealt with: the code that reads, that
// translates and that writes each stay in the processor's caches for longer. A large one ends the
// round, its bytes should be there still when it is written.
constexpr size_t ROUND = dp::EXPECTED_AT_MOST;
constexpr ssize_t LARGE = 2048;

// One packet's memory: room for headers that grow and for the vnet header, then the packet. A
// little more than the largest packet, so that a larger one shows. It begins with a page: the kernel
// copies what we write to the beginning of pages, and there are processors (AMD's Zen 3) that copy
// twenty times slower where the target, seen within its page, lies up to 64 bytes behind the source.
// So does a payload that begins in the last 64 bytes of a page, and none may.
struct Buffer {
  static constexpr size_t PAGE = 4096;
  static constexpr size_t ROOM = 65536 + 128;
  static constexpr size_t LONGEST_HEADERS = 512; // of a super-packet
  static_assert(dp::FRAME_HEADROOM + LONGEST_HEADERS <= PAGE - 64);
  alignas(PAGE) std::array<uint8_t, dp::FRAME_HEADROOM + ROOM> bytes;
  uint8_t *packet() { return bytes.data() + dp::FRAME_HEADROOM; }
};

// Straight to the kernel: in a program with threads each read() of the C library makes the thread
// cancellable and back, which nobody needs here and a small packet notices.
ssize_t read_from(int queue, void *bytes, size_t size) {
  return syscall(SYS_read, queue, bytes, size);
}
ssize_t write_to(int queue, const void *bytes, size_t size) {
  return syscall(SYS_write, queue, bytes, size);
}

// Says something about this kind of packet, and not about the moment.
bool is_lasting(int error) {
  return error != EAGAIN && error != ENOMEM && error != ENOBUFS && error != EINTR;
}

// One worker's queue, and what it needs to deal with a packet.
class Queue {
public:
  Queue(dp::worker *worker, int queue, Refusals &refusals)
      : worker_(worker), queue_(queue), refusals_(refusals), begun_(std::make_unique<Buffer>()),
        datagram_(std::make_unique<Buffer>()) {
    for (Read &read : reads_)
      read.buffer = std::make_unique_for_overwrite<Buffer>(); // what is not used takes no memory
  }

  // Reads packets and deals with them; how many there were. `gather`: datagrams of one flow leave
  // as one super-packet.
  int pump_batch(bool gather);

private:
  struct Read {
    std::unique_ptr<Buffer> buffer;
    ssize_t length = 0; // with the vnet header
  };
  size_t read_round();
  void expect(size_t count);
  void deal_with(Read &read);
  void process(const VnetHeader &header, dp::frame &frame);
  void take_apart(const dp::frame &frame);

  bool gather(const VnetHeader &header, const dp::frame &frame);
  void flush();
  bool write(const VnetHeader &header, const dp::frame &frame) const;
  bool write_parts(std::span<const uint8_t> head, std::span<const uint8_t> data) const;
  void send(const VnetHeader &header, const dp::frame &frame);
  void send_super(const VnetHeader &header, const dp::frame &frame);
  bool send_segments(const dp::frame &frame);
  void send_fragments(const dp::frame &frame);
  void count(dp::reason reason) { dp::worker_count(worker_, reason, 1); }

  dp::worker *worker_;
  int queue_;
  Refusals &refusals_;
  bool gathers_ = false;
  Train train_;
  std::array<Read, ROUND> reads_;
  Read *in_ = nullptr;               // the one that is dealt with
  std::unique_ptr<Buffer> begun_;    // the train's
  std::unique_ptr<Buffer> datagram_; // of a super-packet that was taken apart
};

// --- writing -------------------------------------------------------------------------------------

// Where there is room before the packet (all but our own answers), header and packet are written in
// one piece: a vector of two costs twice as much as the header's ten bytes.
bool Queue::write(const VnetHeader &header, const dp::frame &frame) const {
  uint8_t *start = frame.data - sizeof header;
  std::memcpy(start, &header, sizeof header);
  return write_to(queue_, start, sizeof header + frame.length) >= 0;
}

bool Queue::write_parts(std::span<const uint8_t> head, std::span<const uint8_t> data) const {
  VnetHeader header{};
  std::array<iovec, 3> parts{{{&header, sizeof header},
                              {const_cast<uint8_t *>(head.data()), head.size()},
                              {const_cast<uint8_t *>(data.data()), data.size()}}};
  return writev(queue_, parts.data(), parts.size()) >= 0;
}

// The packet joins the train, or begins one where it lies; false: it is to be written now.
bool Queue::gather(const VnetHeader &header, const dp::frame &frame) {
  if (!gathers_)
    return false;
  if (train_.join(header, frame))
    return true;
  flush();
  const auto &memory = in_->buffer->bytes;
  if (frame.data < memory.data() || frame.data >= memory.data() + memory.size() ||
      !Train::may_begin(header, frame) || refusals_.off(uso_of(frame)))
    return false;
  train_.begin(header, frame);
  std::swap(in_->buffer, begun_);
  return true;
}

void Queue::flush() {
  if (train_.empty())
    return;
  if (train_.count() > 1)
    dp::worker_count(worker_, dp::REASON_datagrams_gathered, train_.count());
  VnetHeader header{};
  dp::frame frame{};
  train_.finish(header, frame);
  send(header, frame);
}

void Queue::send(const VnetHeader &header, const dp::frame &frame) {
  if (header.gso_type != VNET_GSO_NONE)
    send_super(header, frame);
  else if (!write(header, frame))
    count(dp::REASON_tun_write_failed);
}

// Whole, or in segments where that is refused. It is the packet's kind that is refused only if its
// segments are not: an interface that is down refuses both.
void Queue::send_super(const VnetHeader &header, const dp::frame &frame) {
  const Super kind = kind_of(header, frame);
  bool tried = !refusals_.off(kind);
  if (tried && write(header, frame))
    return refusals_.taken(kind);
  int error = errno;
  if (!send_segments(frame)) {
    count(dp::REASON_tun_write_failed);
  } else if (tried) {
    count(dp::REASON_super_packet_refused);
    if (is_lasting(error))
      refusals_.refused(kind);
  }
}

bool Queue::send_segments(const dp::frame &frame) {
  dp::segment segment{};
  while (dp::frame_segment(&frame, &segment))
    if (!write_parts({segment.header, segment.header_length}, {segment.data, segment.length})) {
      if (segment.number == 0)
        return false;
      count(dp::REASON_tun_write_failed);
    }
  return segment.data != nullptr;
}

void Queue::send_fragments(const dp::frame &frame) {
  dp::fragment fragment{};
  while (dp::frame_cut(&frame, &fragment))
    if (!write_parts(fragment.header, {fragment.data, fragment.length}))
      count(dp::REASON_tun_write_failed);
}

// --- one packet ----------------------------------------------------------------------------------

// Through the data path: it goes on, or an answer goes back, or nothing.
void Queue::process(const VnetHeader &came, dp::frame &frame) {
  VnetHeader header = came;
  uint32_t old_length = frame.length;
  dp::reason reason = dp::REASON_none;
  if (dp::translate_frame(worker_, &frame, &reason) != dp::VERDICT_FORWARD) {
    const dp::frame *answer = dp::worker_answer(worker_);
    flush();
    if (answer && !write_parts({}, {answer->data, answer->length}))
      count(dp::REASON_tun_write_failed);
  } else if (frame.longest_piece != 0) {
    flush();
    send_fragments(frame);
  } else if (!give_offloads(header, frame, old_length)) {
    count(dp::REASON_bad_offload);
  } else if (!gather(header, frame)) {
    send(header, frame);
  }
}

// Each datagram goes its way as if it had come alone.
void Queue::take_apart(const dp::frame &frame) {
  dp::segment segment{};
  if (frame.data[9] != dp::PROTOCOL_UDP) // what stands where the header says is not its transport
    return count(dp::REASON_tun_bad_frame);
  while (dp::frame_segment(&frame, &segment)) {
    dp::frame one{};
    one.data = datagram_->packet();
    one.length = segment.header_length + segment.length;
    one.segments = 1;
    std::memcpy(one.data, segment.header, segment.header_length);
    std::memcpy(one.data + segment.header_length, segment.data, segment.length);
    process({}, one);
  }
}

// Until the queue is empty, a packet is large, or the round is full; how many there were.
size_t Queue::read_round() {
  size_t count = 0;
  while (count < ROUND) {
    Read &read = reads_[count];
    read.length = read_from(queue_, read.buffer->packet() - sizeof(VnetHeader),
                            sizeof(VnetHeader) + Buffer::ROOM);
    if (read.length < 0 && errno == EINTR)
      continue;
    if (read.length <= 0)
      break;
    count++;
    if (read.length >= LARGE)
      break;
  }
  return count;
}

void Queue::expect(size_t count) {
  std::array<dp::packet_ahead, ROUND> ahead;
  for (size_t i = 0; i < count; i++) {
    ssize_t length = reads_[i].length - static_cast<ssize_t>(sizeof(VnetHeader));
    ahead[i] = {reads_[i].buffer->packet(), static_cast<uint32_t>(std::max<ssize_t>(length, 0))};
  }
  dp::worker_expect(worker_, ahead.data(), static_cast<uint32_t>(count));
}

void Queue::deal_with(Read &read) {
  VnetHeader header{};
  in_ = &read;
  dp::frame frame{};
  frame.data = read.buffer->packet();
  frame.length = static_cast<uint32_t>(read.length) - static_cast<uint32_t>(sizeof header);
  const bool whole = read.length >= static_cast<ssize_t>(sizeof header);
  if (whole)
    std::memcpy(&header, frame.data - sizeof header, sizeof header);
  if (!whole || frame.length >= Buffer::ROOM || !take_offloads(header, frame))
    count(dp::REASON_tun_bad_frame);
  else if (must_be_taken_apart(header, frame))
    take_apart(frame);
  else
    process(header, frame);
}

int Queue::pump_batch(bool gather) {
  int done = 0;
  gathers_ = gather;
  dp::worker_set_now(worker_, monotonic_seconds());
  dp::worker_enter(worker_);
  for (size_t count = ROUND; count != 0 && done < BATCH; done += static_cast<int>(count)) {
    count = read_round();
    if (count > 1)
      expect(count);
    for (size_t i = 0; i < count; i++)
      deal_with(reads_[i]);
  }
  flush();
  dp::worker_leave(worker_);
  return done;
}

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

} // namespace

// --- threads -------------------------------------------------------------------------------------

Result<std::unique_ptr<Workers>> Workers::start(dp::engine *engine, const std::vector<int> &queues,
                                                const Settings &settings) {
  std::unique_ptr<Workers> workers(new Workers);
  workers->set(settings);
  workers->stop_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!workers->stop_)
    return system_error("cannot make an eventfd", errno);
  for (int queue : queues) {
    dp::worker *worker = dp::worker_new(engine);
    if (!worker)
      return error("cannot make worker {} of {}: not enough memory, or too many queues",
                   workers->workers_.size() + 1, queues.size());
    workers->workers_.push_back(worker);
    workers->threads_.emplace_back(
        [self = workers.get(), worker, queue] { self->run(worker, queue); });
    pthread_setname_np(workers->threads_.back().native_handle(), "viaduct-tun");
  }
  return workers;
}

Workers::~Workers() {
  stopping_ = true;
  uint64_t one = 1;
  [[maybe_unused]] ssize_t ignored = write(stop_.get(), &one, sizeof one); // cannot be full
  for (auto &thread : threads_)
    thread.join();
  for (auto *worker : workers_)
    dp::worker_free(worker);
}

void Workers::wait(int queue) const {
  std::array<pollfd, 2> ready{{{queue, POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
  poll(ready.data(), ready.size(), -1);
  // The interface was deleted: poll would say so at once, for ever. Only the end can come now.
  if (ready[0].revents & (POLLERR | POLLHUP | POLLNVAL))
    poll(&ready[1], 1, -1);
}

void Workers::run(dp::worker *worker, int number) {
  Queue queue(worker, number, refusals_);
  Spin spin;
  while (!stopping_) {
    const bool gather = gather_.load(std::memory_order_relaxed);
    if (queue.pump_batch(gather) > 0)
      continue;
    const int64_t limit = spin_.load(std::memory_order_relaxed);
    const auto empty_since = static_cast<int64_t>(monotonic_ns());
    bool paid = false;
    while (!paid && static_cast<int64_t>(monotonic_ns()) - empty_since < spin.budget(limit)) {
      relax();
      paid = queue.pump_batch(gather) > 0;
    }
    if (paid) {
      spin.paid(limit);
      continue;
    }
    spin.did_not_pay();
    const auto asleep = static_cast<int64_t>(monotonic_ns());
    wait(number);
    spin.slept(static_cast<int64_t>(monotonic_ns()) - asleep, limit);
  }
}

} // namespace viaduct::nvi
