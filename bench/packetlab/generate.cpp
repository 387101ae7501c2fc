// SPDX-License-Identifier: MIT
//
// The generator's other half: makes the template frame with its sums, loads bpf/generator.bpf.c
// and has the kernel run it until the count or the time is reached. Prints what was sent as JSON.
#include "packetlab.h"

#include "base/address.h"
#include "base/fd.h"
#include "bench/packetlab/frame.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <generator.skel.h>
#include <memory>
#include <net/if.h>
#include <span>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace viaduct::packetlab {

namespace {

using Frame = std::array<uint8_t, FRAME_LONGEST>;

constexpr uint64_t NANOSECONDS = 1'000'000'000;

// The hosts are 2001:db8:4000:0::1, 2001:db8:4000:1::1 and so on, or 10.64.0.0 and so on.
constexpr std::array<uint8_t, 16> FIRST_HOST6 = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0,
                                                 0,    0,    0,    0,    0, 0, 0, 1};
constexpr uint32_t HOST_WORD6 = 0x40000000, HOST_WORD4 = 0x0a400000;

struct Template {
  Frame frame{};
  uint32_t network = 0;
  uint32_t udp_sum = 0;
  uint32_t ipv4_sum = 0;

  uint32_t length() const { return FRAME_ETHERNET + network + FRAME_UDP + FRAME_PAYLOAD; }
};

// 16-bit words as they lie in memory: ones' complement sums are the same in either byte order
// (RFC 1071 2 (B)).
uint32_t words(std::span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    uint16_t word;
    std::memcpy(&word, &bytes[i], sizeof word);
    sum += word;
  }
  return sum;
}

void put16(Frame &frame, size_t at, uint16_t value) {
  frame[at] = static_cast<uint8_t>(value >> 8);
  frame[at + 1] = static_cast<uint8_t>(value);
}

void put_ipv6(Template &t, const Ipv6 &target) {
  uint8_t *ip = &t.frame[FRAME_ETHERNET];
  t.network = FRAME_IPV6;
  put16(t.frame, 12, 0x86dd);
  ip[0] = 0x60;
  ip[5] = FRAME_UDP + FRAME_PAYLOAD;
  ip[6] = IPPROTO_UDP;
  ip[7] = 64;
  std::copy(FIRST_HOST6.begin(), FIRST_HOST6.end(), ip + 8);
  std::copy(target.bytes.begin(), target.bytes.end(), ip + 24);
}

void put_ipv4(Template &t, const Ipv4 &target) {
  uint8_t *ip = &t.frame[FRAME_ETHERNET];
  t.network = FRAME_IPV4;
  put16(t.frame, 12, 0x0800);
  ip[0] = 0x45;
  ip[3] = FRAME_IPV4 + FRAME_UDP + FRAME_PAYLOAD;
  ip[8] = 64;
  ip[9] = IPPROTO_UDP;
  std::copy(target.bytes.begin(), target.bytes.end(), ip + 16);
  t.ipv4_sum = words({ip, FRAME_IPV4});
}

Result<Template> make_template(const Options &options) {
  Template t;
  if (auto six = Ipv6::parse(options.target))
    put_ipv6(t, *six);
  else if (auto four = Ipv4::parse(options.target))
    put_ipv4(t, *four);
  else
    return error("{} is no IPv6 or IPv4 address", options.target);
  size_t addresses = t.network == FRAME_IPV6 ? 32 : 8, udp = FRAME_ETHERNET + t.network;
  put16(t.frame, udp + 2, FRAME_PORT);
  put16(t.frame, udp + 4, FRAME_UDP + FRAME_PAYLOAD);
  for (size_t i = udp + FRAME_UDP + sizeof(uint64_t); i < t.length(); i++)
    t.frame[i] = static_cast<uint8_t>(i);
  t.udp_sum = words({&t.frame[udp - addresses], addresses + FRAME_UDP + FRAME_PAYLOAD}) +
              words({&t.frame[udp + 4], 2}) + htons(IPPROTO_UDP);
  return t;
}

Result<void> put_mac(const Options &options, Template &t) {
  std::array<unsigned, 6> mac{};
  if (sscanf(options.to.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x", &mac[0], &mac[1], &mac[2], &mac[3],
             &mac[4], &mac[5]) != 6) // NOLINT(cert-err34-c): two hexadecimal digits fit
    return error("{} is no MAC address", options.to);
  std::copy(mac.begin(), mac.end(), t.frame.begin());

  Fd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  options.device.copy(request.ifr_name, IFNAMSIZ - 1);
  if (!socket || ioctl(socket.get(), SIOCGIFHWADDR, &request) < 0)
    return system_error("cannot read the MAC address of " + options.device, errno);
  std::memcpy(&t.frame[6], request.ifr_hwaddr.sa_data, 6);
  return {};
}

struct Destroy {
  void operator()(generator *skeleton) const { generator__destroy(skeleton); }
};
using Program = std::unique_ptr<generator, Destroy>;

Result<Program> load(const Options &options, const Template &t, int port) {
  Program program(generator__open());
  if (!program)
    return system_error("cannot open the generator", errno);
  auto *set = program->rodata;
  set->port = static_cast<uint32_t>(port);
  set->network = t.network;
  set->flows = options.flows;
  set->host_base = t.network == FRAME_IPV6 ? HOST_WORD6 : HOST_WORD4;
  set->stamped = options.stamp;
  set->batch = options.batch;
  set->pace = options.rate ? NANOSECONDS * options.batch / options.rate : 0;
  set->udp_sum = t.udp_sum;
  set->ipv4_sum = t.ipv4_sum;
  std::memcpy(const_cast<uint8_t *>(set->pattern), t.frame.data(), t.frame.size());
  program->bss->next_frame = options.first;
  if (auto loaded = good("the kernel refused the generator", generator__load(program.get()));
      !loaded)
    return loaded.failure();
  return program;
}

// The kernel looks for signals between batches.
void interrupt_after(double seconds) {
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};
  sigaction(SIGALRM, &nothing, nullptr);
  auto microseconds = static_cast<int64_t>(seconds * 1e6);
  itimerval timer{};
  timer.it_value = {microseconds / 1'000'000, microseconds % 1'000'000};
  timer.it_interval = {0, 10'000}; // the first may come before the kernel has begun
  setitimer(ITIMER_REAL, &timer, nullptr);
}

// From the first frame to the last one.
double elapsed(const Program &program) {
  const auto *counted = program->bss;
  return static_cast<double>(counted->end - counted->begin) / NANOSECONDS;
}

// One call for all of it: each waits for a grace period of the kernel, which takes longer than
// sending a hundred thousand frames.
Result<void> send(const Program &program, const Options &options, const Template &t) {
  uint64_t frames = options.frames ? options.frames : INT32_MAX;
  LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = t.frame.data(), .data_size_in = t.length(),
              .repeat = static_cast<int>(frames), .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
              .batch_size = options.batch);
  int code = 0;
  do { // on a busy machine the signal comes before the kernel has begun
    if (!options.frames)
      interrupt_after(options.seconds);
    code = bpf_prog_test_run_opts(bpf_program__fd(program->progs.generate), &run);
    if (code == -EINTR && !options.frames && elapsed(program) >= options.seconds / 2)
      return {};
  } while (code == -EINTR && !options.frames);
  return good("the kernel does not run the generator (BPF_PROG_TEST_RUN with live frames: "
              "Linux 5.18)",
              code);
}

} // namespace

Result<void> generate(const Options &options) {
  if (options.frames == 0 && options.seconds == 0)
    return error("either --frames or --seconds must be given");
  auto port = interface_index(options.device);
  if (!port)
    return port.failure();
  auto frame = make_template(options);
  if (!frame)
    return frame.failure();
  if (auto put = put_mac(options, *frame); !put)
    return put;
  auto program = load(options, *frame, *port);
  if (!program)
    return program.failure();

  if (auto done = send(*program, options, *frame); !done)
    return done;
  const auto *counted = (*program)->bss;
  fmt::print("{{\"sent\": {}, \"seconds\": {:.6f}}}\n", counted->next_frame - options.first,
             elapsed(*program));
  return {};
}

} // namespace viaduct::packetlab
