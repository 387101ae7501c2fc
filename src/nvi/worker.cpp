// SPDX-License-Identifier: MIT
#include "nvi/worker.h"

#include "base/clock.h"
#include "nvi/vnet.h"

#include <array>
#include <cerrno>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

namespace viaduct::nvi {

namespace {

// How many packets are taken before others (the sweep, a new policy) get their turn.
constexpr int BATCH = 64;

// How often an empty queue is asked again before the thread sleeps: waking up costs more than a
// small packet does.
constexpr int SPINS = 50;

// One packet's memory: room for headers that grow, then the packet.
struct Buffer {
  std::array<uint8_t, dp::FRAME_HEADROOM> headroom;
  // A little more than the largest packet, so that a larger one shows.
  std::array<uint8_t, 65536 + 128> packet;
};

void send(dp::worker *worker, int queue, VnetHeader header, const dp::frame &frame) {
  std::array<iovec, 2> parts{{{&header, sizeof header}, {frame.data, frame.length}}};
  if (writev(queue, parts.data(), parts.size()) < 0)
    dp::worker_count(worker, dp::REASON_tun_write_failed, 1);
}

void send_cut(dp::worker *worker, int queue, const dp::frame &frame) {
  VnetHeader header{};
  dp::fragment fragment{};
  while (dp::frame_cut(&frame, &fragment)) {
    std::array<iovec, 3> parts{{{&header, sizeof header},
                                {fragment.header, sizeof fragment.header},
                                {const_cast<uint8_t *>(fragment.data), fragment.length}}};
    if (writev(queue, parts.data(), parts.size()) < 0)
      dp::worker_count(worker, dp::REASON_tun_write_failed, 1);
  }
}

// One packet through the data path: it goes on, or an answer goes back, or nothing.
void process(dp::worker *worker, int queue, VnetHeader &header, dp::frame &frame) {
  uint32_t old_length = frame.length;
  dp::reason reason = dp::REASON_none;
  if (dp::translate_frame(worker, &frame, &reason) != dp::VERDICT_FORWARD) {
    if (const dp::frame *answer = dp::worker_answer(worker))
      send(worker, queue, VnetHeader{}, *answer);
  } else if (frame.longest_piece != 0) {
    send_cut(worker, queue, frame);
  } else if (!give_offloads(header, frame, old_length)) {
    dp::worker_count(worker, dp::REASON_bad_offload, 1);
  } else {
    send(worker, queue, header, frame);
  }
}

// Reads one packet and deals with it; false when the queue is empty.
bool pump(dp::worker *worker, int queue, Buffer &buffer) {
  VnetHeader header{};
  std::array<iovec, 2> parts{
      {{&header, sizeof header}, {buffer.packet.data(), buffer.packet.size()}}};
  ssize_t got = readv(queue, parts.data(), parts.size());
  if (got < 0)
    return errno == EINTR;
  if (got == 0)
    return false;

  dp::frame frame{};
  frame.data = buffer.packet.data();
  frame.length = static_cast<uint32_t>(got) - static_cast<uint32_t>(sizeof header);
  if (got < static_cast<ssize_t>(sizeof header) || frame.length >= buffer.packet.size() ||
      !take_offloads(header, frame))
    dp::worker_count(worker, dp::REASON_tun_bad_frame, 1);
  else
    process(worker, queue, header, frame);
  return true;
}

bool pump_batch(dp::worker *worker, int queue, Buffer &buffer) {
  int done = 0;
  dp::worker_set_now(worker, monotonic_seconds());
  dp::worker_enter(worker);
  while (done < BATCH && pump(worker, queue, buffer))
    done++;
  dp::worker_leave(worker);
  return done > 0;
}

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

} // namespace

Result<std::unique_ptr<Workers>> Workers::start(dp::engine *engine,
                                                const std::vector<int> &queues) {
  std::unique_ptr<Workers> workers(new Workers);
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

void Workers::run(dp::worker *worker, int queue) const {
  auto buffer = std::make_unique<Buffer>();
  int idle = 0;
  while (!stopping_) {
    if (pump_batch(worker, queue, *buffer)) {
      idle = 0;
    } else if (++idle < SPINS) {
      relax();
    } else {
      wait(queue);
      idle = 0;
    }
  }
}

} // namespace viaduct::nvi
