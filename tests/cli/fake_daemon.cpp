// SPDX-License-Identifier: MIT
//
// fake_daemon SOCKET SESSIONS [RELOAD-ERROR [METRICS-PORT]]: the real control server, and the real
// metrics server, with made-up tables, for the tests of the command. Says "ready" once it listens;
// SIGTERM ends it.
#include "tests/cli/fake_daemon.h"

#include "base/event_loop.h"
#include "control/server.h"
#include "metrics/http_server.h"
#include "metrics/metrics.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>

using namespace viaduct;

namespace {

struct FakeMetrics {
  std::unique_ptr<metrics::Census> census;
  std::unique_ptr<metrics::HttpServer> server;
};

Result<FakeMetrics> serve_metrics(EventLoop &loop, const tables::Tables &tables, uint16_t port) {
  metrics::CensusPace pace;
  pace.period = std::chrono::milliseconds(200);
  auto census = metrics::Census::start(loop, tables, pace);
  if (!census)
    return census.failure();
  metrics::HttpLimits limits;
  limits.life = std::chrono::milliseconds(1000);
  auto body = [&tables, counted = census->get()] {
    std::vector<control::PoolUse> most;
    for (const dp::pool_address &pool : test::fake_pool())
      most.push_back(control::most_used(tables, pool));
    return metrics::exposition(
        {test::fake_status(tables), tables.counters(), test::fake_pool(), most, counted->report()});
  };
  auto server = metrics::HttpServer::start(loop, "127.0.0.1", port, body, limits);
  if (!server)
    return server.failure();
  return FakeMetrics{std::move(*census), std::move(*server)};
}

Result<void> run(const std::string &socket, uint64_t sessions, const std::string &reload_error,
                 uint16_t metrics_port) {
  test::FakeTables tables(sessions);
  auto loop = EventLoop::make();
  if (!loop)
    return loop.failure();
  if (auto done = (*loop)->signals({SIGTERM, SIGINT}, [&](int) { (*loop)->stop(); }); !done)
    return done;
  auto server = control::Server::start(**loop, socket, test::fake_handler(tables, reload_error));
  if (!server)
    return server.failure();
  FakeMetrics metrics;
  if (metrics_port != 0) {
    auto made = serve_metrics(**loop, tables, metrics_port);
    if (!made)
      return made.failure();
    metrics = std::move(*made);
  }
  puts("ready");
  fflush(stdout);
  return (*loop)->run();
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 3) {
    fputs("fake_daemon SOCKET SESSIONS [RELOAD-ERROR [METRICS-PORT]]\n", stderr);
    return 2;
  }
  auto port = argc > 4 ? static_cast<uint16_t>(strtoul(argv[4], nullptr, 10)) : uint16_t{0};
  auto done = run(argv[1], strtoull(argv[2], nullptr, 10), argc > 3 ? argv[3] : "", port);
  if (!done)
    fprintf(stderr, "fake_daemon: %s\n", done.failure().message.c_str());
  return done ? 0 : 1;
}
