// SPDX-License-Identifier: MIT
#include "tables/steering.h"

#ifdef VIADUCT_BPF
#include "tables/libbpf_words.h"

#include <bpf/libbpf.h>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <steer.skel.h>
#include <sys/random.h>
#endif

namespace viaduct::tables {

#ifdef VIADUCT_BPF

namespace {

struct Destroy {
  void operator()(steer *skeleton) const { steer__destroy(skeleton); }
};

} // namespace

Result<Fd> load_steering() {
  LibbpfWords words;
  std::unique_ptr<steer, Destroy> skeleton(steer__open());
  if (!skeleton)
    return words.failure("cannot open the BPF program that steers packets to queues", -errno);
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) == static_cast<ssize_t>(sizeof seed))
    skeleton->rodata->seed = seed;
  if (int code = steer__load(skeleton.get()); code < 0)
    return words.failure("cannot load the BPF program that steers packets to queues", code);
  Fd program(fcntl(bpf_program__fd(skeleton->progs.steer), F_DUPFD_CLOEXEC, 0));
  if (!program)
    return system_error("cannot keep the BPF program that steers packets to queues", errno);
  return program;
}

#else

Result<Fd> load_steering() {
  return error("this viaductd was built without its BPF programs");
}

#endif

} // namespace viaduct::tables
