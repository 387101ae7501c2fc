// SPDX-License-Identifier: MIT
//
// DirectPrograms of the BPF build: an object of its own, which stands on the maps of a BpfObject.
#pragma once

#include "base/result.h"
#include "tables/bpf_object.h"
#include "tables/direct_programs.h"

#include <memory>
#include <vector>

struct direct_tc;
struct direct_xdp;

namespace viaduct::tables {

struct DirectOptions {
  int nvi = 0; // index of the interface whose way out their packets take
  // Test runs: clock and chance are given, nobody is asked for a way, the hop limit stays unless
  // `counts_hop`.
  bool testing = false;
  bool counts_hop = false;
};

class DirectObject final : public DirectPrograms {
public:
  // The object must outlive it, though not the programs where they are attached.
  static Result<std::unique_ptr<DirectObject>> load(const BpfObject &object,
                                                    const DirectOptions &options);
  ~DirectObject() override;

  DirectObject(const DirectObject &) = delete;
  DirectObject &operator=(const DirectObject &) = delete;

  int tc() const override;
  int xdp() const override;
  Result<void> set_port(uint32_t index, const dp::direct_port *port) override;

  // Only with `testing`, as with BpfObject: what a run of either program takes, and how it ended.
  struct Ended {
    dp::verdict verdict;
    dp::reason reason;
  };
  void set_test(uint32_t now, uint32_t random);
  Ended last_tc() const;
  Ended last_xdp() const;

private:
  DirectObject(direct_tc *tc, direct_xdp *xdp) : tc_(tc), xdp_(xdp) {}
  direct_tc *tc_;
  direct_xdp *xdp_;
  std::vector<dp::direct_port> ports_; // as the XDP program was told
};

} // namespace viaduct::tables
