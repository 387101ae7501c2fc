// SPDX-License-Identifier: MIT
//
// fake_daemon SOCKET SESSIONS [RELOAD-ERROR]: the real control server with made-up tables, for the
// tests of the command. Says "ready" once it listens; SIGTERM ends it.
#include "tests/cli/fake_daemon.h"

#include "base/event_loop.h"
#include "control/server.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>

using namespace viaduct;

namespace {

Result<void> run(const std::string &socket, uint64_t sessions, const std::string &reload_error) {
  test::FakeTables tables(sessions);
  auto loop = EventLoop::make();
  if (!loop)
    return loop.failure();
  if (auto done = (*loop)->signals({SIGTERM, SIGINT}, [&](int) { (*loop)->stop(); }); !done)
    return done;
  auto server = control::Server::start(**loop, socket, test::fake_handler(tables, reload_error));
  if (!server)
    return server.failure();
  puts("ready");
  fflush(stdout);
  return (*loop)->run();
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 3) {
    fputs("fake_daemon SOCKET SESSIONS [RELOAD-ERROR]\n", stderr);
    return 2;
  }
  auto done = run(argv[1], strtoull(argv[2], nullptr, 10), argc > 3 ? argv[3] : "");
  if (!done)
    fprintf(stderr, "fake_daemon: %s\n", done.failure().message.c_str());
  return done ? 0 : 1;
}
