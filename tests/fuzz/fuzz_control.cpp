// SPDX-License-Identifier: MIT
//
// Feeds the control socket's conversation with bytes, cut into pieces that the input chooses, while
// the output is taken away in pieces of chosen sizes too. Whatever comes in, what goes out must be
// whole lines of the protocol: items, then exactly one end or error; nothing after an error; and
// bounded memory on both sides.
//
// Input: byte 0 chooses the piece sizes, the rest is what the client says.
#include "control/conversation.h"
#include "tests/cli/fake_daemon.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

using namespace viaduct;
using namespace viaduct::control;

namespace {

constexpr size_t line_limit = 256; // small, so that the fuzzer reaches it

void require(bool condition, const char *what) {
  if (condition)
    return;
  fprintf(stderr, "broken: %s\n", what);
  abort();
}

// Reads the replies as a client would.
class Reader {
public:
  void take(std::string_view bytes) {
    line_.append(bytes);
    for (size_t end = 0; (end = line_.find('\n')) != std::string::npos; line_.erase(0, end + 1))
      reply(line_.substr(0, end));
  }
  void finish() const { require(line_.empty(), "the last line is not whole"); }

private:
  void reply(const std::string &text) {
    require(!over_, "a line after an error");
    auto object = nlohmann::json::parse(text, nullptr, false);
    require(object.is_object() && object.size() == 1, "a reply is no object of one member");
    if (object.contains("error"))
      over_ = true;
    else
      require(object.contains("item") || object["end"] == true, "a reply of an unknown kind");
  }

  std::string line_;
  bool over_ = false;
};

void drain(Conversation &talk, Reader &reader, size_t piece) {
  talk.advance(piece);
  auto output = talk.output().substr(0, piece * 16);
  require(talk.output().size() < output_ceiling + 4096, "the output grows without bound");
  reader.take(output);
  talk.sent(output.size());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  static const test::FakeTables tables(20);
  static const Handler handler = test::fake_handler(tables);
  size_t piece = 1 + data[0] % 64;
  std::string_view input(reinterpret_cast<const char *>(data) + 1, size - 1);
  Conversation talk(handler, line_limit);
  Reader reader;
  while (!talk.finished() && !talk.waiting()) {
    if (talk.wants_input() && input.empty()) {
      talk.receive_end();
    } else if (talk.wants_input()) {
      auto bytes = input.substr(0, piece);
      talk.receive(bytes);
      input.remove_prefix(bytes.size());
    } else {
      require(talk.has_work(), "it neither wants input nor has work: a dead connection");
    }
    drain(talk, reader, piece);
  }
  reader.finish();
  return 0;
}
