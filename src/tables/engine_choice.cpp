// SPDX-License-Identifier: MIT
#include "tables/engine_choice.h"

#include "tables/native_tables.h"

#ifdef VIADUCT_BPF
#include "tables/bpf_tables.h"
#endif

namespace viaduct::tables {

namespace {

Result<Chosen> choose_tun(uint32_t max_sessions) {
  auto tables = NativeTables::make(max_sessions);
  if (!tables)
    return tables.failure();
  Chosen chosen;
  chosen.tables = std::move(*tables);
  return chosen;
}

#ifdef VIADUCT_BPF
Result<Chosen> choose_bpf(uint32_t max_sessions) {
  auto tables = BpfTables::make(max_sessions);
  if (!tables)
    return tables.failure();
  Chosen chosen;
  chosen.engine = "bpf";
  chosen.program = (*tables)->program();
  chosen.tables = std::move(*tables);
  return chosen;
}
#else
Result<Chosen> choose_bpf(uint32_t) {
  return error("this viaductd was built without its BPF programs");
}
#endif

} // namespace

Result<Chosen> choose_engine(Wish wish, uint32_t max_sessions) {
  if (wish == Wish::tun)
    return choose_tun(max_sessions);
  auto bpf = choose_bpf(max_sessions);
  if (bpf || wish == Wish::bpf)
    return bpf;
  auto tun = choose_tun(max_sessions);
  if (tun)
    tun->why_not_bpf = bpf.failure().message;
  return tun;
}

} // namespace viaduct::tables
