// SPDX-License-Identifier: MIT
#include "agent/pinned.h"

#include "tables/libbpf_words.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <filesystem>
#include <vector>

namespace viaduct::agent {

namespace {

using tables::LibbpfWords;

std::vector<bpf_map *> maps_of(bpf_object *object) {
  std::vector<bpf_map *> maps;
  bpf_map *map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (!bpf_map__is_internal(map))
      maps.push_back(map);
  }
  return maps;
}

Result<void> same_form(const bpf_map *map, int pinned) {
  bpf_map_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(pinned, &info, &size) < 0)
    return system_error("cannot look at a pinned BPF map", errno);
  if (info.type != static_cast<uint32_t>(bpf_map__type(map)) ||
      info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map) ||
      info.map_flags != bpf_map__map_flags(map) || info.max_entries != bpf_map__max_entries(map))
    return error("the pinned BPF map {} has another form than this version's", bpf_map__name(map));
  return {};
}

} // namespace

Result<void> adopt_maps(const Pins &pins, bpf_object *object) {
  for (bpf_map *map : maps_of(object)) {
    Fd pinned(bpf_obj_get(pins.path(bpf_map__name(map)).c_str()));
    if (!pinned && errno == ENOENT)
      continue; // the first start, or new in this version
    if (!pinned)
      return system_error(fmt::format("cannot open the pinned map {}", bpf_map__name(map)), errno);
    if (auto same = same_form(map, pinned.get()); !same)
      return same;
    if (int code = bpf_map__reuse_fd(map, pinned.get()); code < 0)
      return system_error("cannot take over a BPF map", -code);
  }
  return {};
}

Result<void> pin_maps(const Pins &pins, bpf_object *object) {
  for (const bpf_map *map : maps_of(object))
    if (bpf_obj_pin(bpf_map__fd(map), pins.path(bpf_map__name(map)).c_str()) < 0 && errno != EEXIST)
      return system_error("cannot pin a BPF map", errno);
  return {};
}

Result<void> attach_to_cgroup(const Pins &pins, const Cgroup &cgroup, const bpf_program *program,
                              const char *name, bpf_link *&link) {
  LibbpfWords words;
  std::string path = pins.path(name);
  if (pins.has(name)) {
    link = bpf_link__open(path.c_str());
    if (link != nullptr &&
        bpf_link_update(bpf_link__fd(link), bpf_program__fd(program), nullptr) == 0)
      return {};
    bpf_link__destroy(link);
    pins.forget(name);
  }
  link = bpf_program__attach_cgroup(program, cgroup.fd());
  if (link == nullptr)
    return words.failure(
        fmt::format("cannot attach {} to {}", bpf_program__name(program), cgroup.path()).c_str(),
        -errno);
  if (int code = bpf_link__pin(link, path.c_str()); code < 0)
    return words.failure("cannot pin a BPF link", code);
  return {};
}

std::set<uint32_t> pinned_programs() {
  std::set<uint32_t> ids;
  std::error_code ignored;
  for (const auto &entry :
       std::filesystem::recursive_directory_iterator(Pins::every_folder, ignored)) {
    if (!entry.path().filename().string().starts_with("link_"))
      continue;
    Fd link(bpf_obj_get(entry.path().c_str()));
    bpf_link_info info{};
    uint32_t size = sizeof info;
    if (link && bpf_obj_get_info_by_fd(link.get(), &info, &size) == 0)
      ids.insert(info.prog_id);
  }
  return ids;
}

} // namespace viaduct::agent
