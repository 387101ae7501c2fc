// SPDX-License-Identifier: MIT
#include "tables/grace.h"

#include <bpf/bpf.h>
#include <cerrno>
#include <cstdint>

namespace viaduct::tables {

Result<Grace> Grace::make() {
  Fd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "viaduct_inner", sizeof(uint32_t), sizeof(uint32_t),
                          1, nullptr));
  if (!inner)
    return system_error("cannot make a BPF map to wait by", errno);
  LIBBPF_OPTS(bpf_map_create_opts, options);
  options.inner_map_fd = static_cast<uint32_t>(inner.get());
  Fd outer(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "viaduct_grace", sizeof(uint32_t),
                          sizeof(uint32_t), 1, &options));
  if (!outer)
    return system_error("cannot make a BPF map of maps to wait by", errno);
  return Grace(std::move(outer), std::move(inner));
}

bool Grace::wait() const {
  const uint32_t zero = 0;
  const int inner = inner_.get();
  return bpf_map_update_elem(outer_.get(), &zero, &inner, BPF_ANY) == 0;
}

} // namespace viaduct::tables
