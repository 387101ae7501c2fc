// SPDX-License-Identifier: MIT
//
// The BPF build, loaded into the kernel: its program and its maps. What the kernel refuses comes
// back as an Error with the verifier's last words.
#pragma once

#include "base/result.h"
#include "datapath/types.h"
#include "tables/map_table.h"
#include "tables/pins.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

struct bpf_map;
struct bpf_object;
struct nvi;

namespace viaduct::tables {

// Random words that nobody knows, for the ports that programs take.
void choose_secret(volatile uint32_t (&secret)[2]);

struct BpfOptions {
  uint32_t max_sessions = 65536;
  // Test runs: packets have an Ethernet header, clock and chance are given.
  bool testing = false;
  // Packets have an Ethernet header, and the rest is as it goes live.
  bool ethernet = false;
  // Bytes of the ring buffer in which the dead wait, a power of two of pages; 0: as it goes live.
  uint32_t dead_ring = 0;
  // Whose maps are taken over; none: new ones are made.
  std::optional<Pins> adopt = {};
};

class BpfObject {
public:
  static Result<std::unique_ptr<BpfObject>> load(const BpfOptions &options);
  // Whether load() could take over these maps: what differs, as a part of a sentence.
  static Result<void> fits(const Pins &pins, uint32_t max_sessions);
  ~BpfObject();

  BpfObject(const BpfObject &) = delete;
  BpfObject &operator=(const BpfObject &) = delete;

  // Descriptors; stay ours.
  int program() const;
  int subscribers() const;
  int peers() const;
  int hints() const;    // array: struct port_hints
  int counters() const; // per CPU: enum reason -> u64
  int policies() const; // struct policy, two of them
  int settings() const; // struct settings, one
  int losses() const;   // struct losses, one
  int dead() const;     // ring buffer: struct dead_entry
  int events() const;   // ring buffer: struct event

  // The tables that are no maps of the kernel's own kind.
  TableMaps sessions() const;
  TableMaps bindings() const;
  TableMaps ports() const;

  // For objects that work on the same maps: before they are loaded, those of their maps that have
  // the name of one of ours become it. A negative error number where the kernel or libbpf refuses.
  int share_with(bpf_object *other) const;

  // Instructions that the verifier went through (0 where the kernel does not say: before 5.16).
  uint32_t verified_instructions() const;

  // What a successor needs goes there; what is there already stays.
  Result<void> pin(const Pins &pins) const;
  // The counters of maps that were taken over are none of theirs.
  bool counters_are_new() const { return counters_are_new_; }

  // Only with `testing`: what the next run takes for the clock and for every random number, and
  // what the last run ended with.
  void set_test(uint32_t now, uint32_t random);
  dp::verdict last_verdict() const;
  dp::reason last_reason() const;

private:
  explicit BpfObject(nvi *skeleton) : skeleton_(skeleton) {}
  static Result<std::unique_ptr<BpfObject>> open(uint32_t max_sessions);
  std::vector<bpf_map *> lasting_maps() const;
  Result<void> adopt(const Pins &pins);
  Result<void> settle_shape(const BpfOptions &options);
  TableMaps table(const bpf_map *buckets, const bpf_map *entries, size_t pool) const;

  nvi *skeleton_;
  dp::table_shape shape_{};
  bool counters_are_new_ = true;
};

} // namespace viaduct::tables
