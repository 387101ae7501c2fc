// SPDX-License-Identifier: MIT
#include "tables/keeper.h"

#include "tables/libbpf_words.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <keeper.skel.h>
#include <sys/mman.h>
#include <unistd.h>

namespace viaduct::tables {

namespace {

// A SEC("syscall") program, here and now.
bool run(const bpf_program *program, const void *context, uint32_t size) {
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = context, .ctx_size_in = size);
  return bpf_prog_test_run_opts(bpf_program__fd(program), &options) == 0 && options.retval == 0;
}

size_t in_pages(size_t size) {
  auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (size + page - 1) / page * page;
}

} // namespace

Result<std::unique_ptr<Keeper>> Keeper::load(const BpfObject &object, bool testing) {
  LibbpfWords words;
  keeper *skeleton = keeper__open();
  if (skeleton == nullptr)
    return words.failure("cannot open the keeper's BPF object", -errno);
  std::unique_ptr<Keeper> made(new Keeper(skeleton));
  skeleton->rodata->testing = testing ? 1 : 0;
  if (int code = object.share_with(skeleton->obj); code < 0)
    return words.failure("cannot share a BPF map", code);
  if (int code = keeper__load(skeleton); code < 0)
    return words.failure("the kernel refused the keeper's BPF programs", code);
  for (auto [shared, name] :
       {std::pair(&made->session_calls_, "session_calls"), std::pair(&made->expiries_, "expiries"),
        std::pair(&made->bindings_, "bind_calls"), std::pair(&made->burials_, "burials")})
    if (auto done = made->share(*shared, name); !done)
      return done.failure();
  return made;
}

Result<void> Keeper::share(Shared &shared, const char *name) {
  const bpf_map *map = bpf_object__find_map_by_name(skeleton_->obj, name);
  if (map == nullptr)
    return error("the keeper has no map {}", name);
  shared.entry = (bpf_map__value_size(map) + 7U) & ~7U; // as the kernel lays them out
  shared.size = in_pages(size_t{shared.entry} * bpf_map__max_entries(map));
  void *data = mmap(nullptr, shared.size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
  if (data == MAP_FAILED)
    return system_error("cannot map the keeper's memory", errno);
  shared.data = data;
  return {};
}

Keeper::~Keeper() {
  for (const Shared &shared : {session_calls_, expiries_, bindings_, burials_})
    if (shared.data != nullptr)
      munmap(shared.data, shared.size);
  keeper__destroy(skeleton_);
}

bool Keeper::session(uint32_t slot) const {
  return run(skeleton_->progs.keep_session, &slot, sizeof slot);
}

bool Keeper::run_expiries() const {
  return run(skeleton_->progs.keep_expiries, nullptr, 0);
}

bool Keeper::run_binding() const {
  return run(skeleton_->progs.keep_binding, nullptr, 0);
}

bool Keeper::run_burials() const {
  return run(skeleton_->progs.keep_burials, nullptr, 0);
}

} // namespace viaduct::tables
