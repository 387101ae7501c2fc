// SPDX-License-Identifier: MIT
#include "tables/engine_choice.h"

#include "tables/native_tables.h"

#ifdef VIADUCT_BPF
#include "tables/bpf_tables.h"
#include "tables/direct_object.h"
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
Result<Chosen> choose_bpf(uint32_t max_sessions, const std::string &interface) {
  auto pins = interface.empty() ? Result<Pins>(error("no interface")) : Pins::of(interface);
  auto tables =
      BpfTables::make({.max_sessions = max_sessions}, pins ? std::optional(*pins) : std::nullopt);
  if (!tables)
    return tables.failure();
  Chosen chosen;
  chosen.engine = "bpf";
  chosen.not_adopted = (*tables)->not_adopted();
  chosen.why_mortal = pins ? (*tables)->why_mortal() : pins.failure().message;
  chosen.program = (*tables)->program();
  chosen.tables = std::move(*tables);
  return chosen;
}

void forget_left_behind(const std::string &interface) {
  if (auto pins = Pins::of(interface))
    pins->remove();
}
#else
Result<Chosen> choose_bpf(uint32_t, const std::string &) {
  return error("this viaductd was built without its BPF programs");
}

void forget_left_behind(const std::string &) {}
#endif

} // namespace

Result<Chosen> choose_engine(Wish wish, uint32_t max_sessions, const std::string &interface) {
  std::string why_not_bpf;
  if (wish != Wish::tun) {
    auto bpf = choose_bpf(max_sessions, interface);
    if (bpf || wish == Wish::bpf)
      return bpf;
    why_not_bpf = bpf.failure().message;
  }
  auto tun = choose_tun(max_sessions);
  if (!tun)
    return tun;
  tun->why_not_bpf = why_not_bpf;
  if (is_left_behind(interface)) {
    tun->not_adopted = "they are those of the bpf engine";
    forget_left_behind(interface);
  }
  return tun;
}

#ifdef VIADUCT_BPF
bool is_left_behind(const std::string &interface) {
  if (interface.empty())
    return false;
  auto pins = Pins::of(interface);
  auto there = pins ? pins->look() : Result<bool>(false);
  return !there || *there;
}

std::filesystem::path links_of(const std::string &interface) {
  auto pins = Pins::of(interface);
  return pins ? pins->links() : std::filesystem::path();
}
#else
bool is_left_behind(const std::string &) {
  return false;
}

std::filesystem::path links_of(const std::string &) {
  return {};
}
#endif

Result<std::unique_ptr<DirectPrograms>> load_direct(const Chosen &engine,
                                                    [[maybe_unused]] int nvi) {
#ifdef VIADUCT_BPF
  if (const auto *tables = dynamic_cast<const BpfTables *>(engine.tables.get())) {
    auto loaded = DirectObject::load(tables->object(), {.nvi = nvi});
    if (!loaded)
      return loaded.failure();
    return std::unique_ptr<DirectPrograms>(std::move(*loaded));
  }
#endif
  return error("direct ports need the bpf engine, and the {} engine runs", engine.engine);
}

} // namespace viaduct::tables
