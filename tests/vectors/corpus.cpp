// SPDX-License-Identifier: MIT
//
// vector_corpus DIRECTORY: the packets of every vector as seeds for fuzz_packet, one file a vector,
// in the form that fuzz_packet reads (see there).
#include "lib/packet.h"
#include "vectors.h"

#include <cstdio>
#include <fstream>
#include <string>

namespace viaduct::test {
namespace {

constexpr size_t longest = 1500; // super-packets would only make the corpus big

// One record: flags, segments, length (two bytes, high first), bytes.
Bytes record(const Step &step, const Names &names) {
  Bytes packet = step.in.image(names).bytes;
  if (packet.size() > longest)
    return {};
  Bytes bytes{0, static_cast<uint8_t>(step.segments), static_cast<uint8_t>(packet.size() >> 8),
              static_cast<uint8_t>(packet.size())};
  bytes.insert(bytes.end(), packet.begin(), packet.end());
  return bytes;
}

// A port that the gateway would choose is a fixed one here: the fuzzer's engine has a binding on
// it.
Names assumed_ports(const Vector &vector) {
  Names names;
  for (const Step &step : vector.steps())
    for (const Packet *packet : {&step.in, &step.out})
      for (const Slot &slot : packet->image().slots)
        names[slot.number.name] = 40001;
  return names;
}

} // namespace
} // namespace viaduct::test

int main(int argc, char **argv) {
  using namespace viaduct::test;
  if (argc != 2) {
    std::fprintf(stderr, "usage: vector_corpus DIRECTORY\n");
    return 2;
  }
  size_t number = 0;
  for (const Vector &vector : all_vectors()) {
    Names names = assumed_ports(vector);
    Bytes seed;
    for (const Step &step : vector.steps()) {
      if (step.sweep)
        continue;
      Bytes more = record(step, names);
      seed.insert(seed.end(), more.begin(), more.end());
    }
    if (seed.empty())
      continue;
    std::string path = std::string(argv[1]) + "/vector-" + std::to_string(number++);
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char *>(seed.data()),
               static_cast<std::streamsize>(seed.size()));
    if (!file) {
      std::fprintf(stderr, "vector_corpus: cannot write %s\n", path.c_str());
      return 1;
    }
  }
  std::printf("%zu seeds\n", number);
  return 0;
}
