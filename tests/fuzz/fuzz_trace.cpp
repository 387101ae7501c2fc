// SPDX-License-Identifier: MIT
//
// What `viaduct trace` reads before it asks the daemon: packets in words, and frames of captures.
//
// Input: byte 0 chooses. 0: the rest is words, and what they make must be a well-formed packet with
// a right checksum. Else it is libpcap's link type, bytes 1 and 2 are how long the frame was on the
// wire, and the rest is the frame.
#include "cli/packet_file.h"
#include "cli/packet_words.h"
#include "control/trace.h"
#include "lib/decode.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>

using namespace viaduct;

namespace {

[[noreturn]] void fail(const std::string &what, std::span<const uint8_t> packet) {
  fprintf(stderr, "%s\n%s", what.c_str(), test::decode(packet).c_str());
  abort();
}

void read_words(const std::string &text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;)
    words.push_back(word);
  auto packet = cli::packet_from_words(words);
  if (!packet)
    return;
  // Any number may be a protocol's that nobody builds the header of.
  bool opaque = words[0] == "protocol";
  if (std::string wrong = test::malformation(*packet); !wrong.empty() && !opaque)
    fail("words make a packet, but " + wrong, *packet);
  if (test::transport_checksum(*packet) != test::SumState::right && !opaque)
    fail("words make a packet with a wrong checksum", *packet);
  control::packet_item(*packet);
}

void read_frame(int link, size_t length, std::span<const uint8_t> frame) {
  auto packet = cli::packet_from_frame(link, frame, length);
  if (!packet)
    return;
  if (packet->bytes.empty() || packet->bytes.size() > 65575 ||
      packet->missing >= packet->bytes.size())
    fail("a packet of an impossible length", packet->bytes);
  control::packet_item(packet->bytes);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3)
    return 0;
  if (data[0] == 0) {
    read_words(std::string(reinterpret_cast<const char *>(data) + 1, size - 1));
  } else {
    std::span<const uint8_t> frame(data + 3, size - 3);
    read_frame(data[0], size_t{data[1]} << 8 | data[2], frame);
  }
  return 0;
}
