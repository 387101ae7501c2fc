// SPDX-License-Identifier: MIT
#include "metrics/http_server.h"

#include "metrics/exposition.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <microhttpd.h>
#include <netinet/in.h>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace viaduct::metrics {

namespace {

constexpr int backlog = 16;

// The library works off what is ready piece by piece; so many pieces in one turn of our loop.
constexpr int pieces_per_turn = 16;

constexpr auto tick_period = std::chrono::milliseconds(250);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

Result<SocketAddress> socket_address(const std::string &address, uint16_t port) {
  SocketAddress result;
  auto *four = reinterpret_cast<sockaddr_in *>(&result.storage);
  auto *six = reinterpret_cast<sockaddr_in6 *>(&result.storage);
  if (inet_pton(AF_INET, address.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    result.length = sizeof *four;
  } else if (inet_pton(AF_INET6, address.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    result.length = sizeof *six;
  } else {
    return error("{} is no IP address", address);
  }
  return result;
}

// "::" is IPv6 only: whoever wants IPv4 says 0.0.0.0.
Result<Fd> listen_on(const std::string &address, uint16_t port) {
  auto where = socket_address(address, port);
  if (!where)
    return where.failure();
  auto failed = [&](int number) {
    return system_error(
        fmt::format("cannot listen on {} port {} for [control] metrics", address, port), number);
  };
  Fd fd(socket(where->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd)
    return failed(errno);
  int one = 1;
  if (setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
      (where->storage.ss_family == AF_INET6 &&
       setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0) ||
      bind(fd.get(), reinterpret_cast<const sockaddr *>(&where->storage), where->length) < 0 ||
      listen(fd.get(), backlog) < 0)
    return failed(errno);
  return fd;
}

struct ResponseDelete {
  void operator()(MHD_Response *response) const { MHD_destroy_response(response); }
};
using Response = std::unique_ptr<MHD_Response, ResponseDelete>;

// No reason to keep a connection: Prometheus asks every 15 seconds or so.
MHD_Result send(MHD_Connection *connection, unsigned status, std::string_view type,
                std::string_view body) {
  Response response(MHD_create_response_from_buffer(body.size(), const_cast<char *>(body.data()),
                                                    MHD_RESPMEM_MUST_COPY));
  if (!response ||
      MHD_add_response_header(response.get(), MHD_HTTP_HEADER_CONTENT_TYPE,
                              std::string(type).c_str()) != MHD_YES ||
      MHD_add_response_header(response.get(), MHD_HTTP_HEADER_CONNECTION, "close") != MHD_YES ||
      (status == MHD_HTTP_METHOD_NOT_ALLOWED &&
       MHD_add_response_header(response.get(), MHD_HTTP_HEADER_ALLOW, "GET, HEAD") != MHD_YES))
    return MHD_NO;
  return MHD_queue_response(connection, status, response.get());
}

} // namespace

// libmicrohttpd is C: nothing may be thrown through it.
struct HttpServer::Callbacks {
  // Called when the header is whole, before any body. Answering here ends the request: a body is
  // not read.
  static MHD_Result request(void *self, MHD_Connection *connection, const char *url,
                            const char *method, const char *, const char *, size_t *, void **) {
    constexpr const char *plain = "text/plain; charset=utf-8";
    std::string_view verb = method;
    try {
      if (verb != MHD_HTTP_METHOD_GET && verb != MHD_HTTP_METHOD_HEAD)
        return send(connection, MHD_HTTP_METHOD_NOT_ALLOWED, plain, "only GET and HEAD\n");
      if (std::string_view(url) != "/metrics")
        return send(connection, MHD_HTTP_NOT_FOUND, plain, "there is only /metrics\n");
      return send(connection, MHD_HTTP_OK, content_type, static_cast<HttpServer *>(self)->body_());
    } catch (const std::exception &) { // no memory: the connection is closed
      return MHD_NO;
    }
  }

  static void connection(void *self, MHD_Connection *connection, void **,
                         MHD_ConnectionNotificationCode code) {
    const auto *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    auto *server = static_cast<HttpServer *>(self);
    if (info == nullptr)
      return;
    try {
      if (code == MHD_CONNECTION_NOTIFY_STARTED)
        server->deadlines_[info->connect_fd] = Clock::now() + server->limits_.life;
      else
        server->deadlines_.erase(info->connect_fd);
    } catch (const std::exception &) { // no memory: the library's own timeout remains
      return;
    }
  }
};

Result<std::unique_ptr<HttpServer>> HttpServer::start(EventLoop &loop, const std::string &address,
                                                      uint16_t port, Body body,
                                                      const HttpLimits &limits) {
  std::unique_ptr<HttpServer> server(new HttpServer(loop, std::move(body), limits));
  if (auto done = server->begin(address, port); !done)
    return done.failure();
  return server;
}

Result<void> HttpServer::begin(const std::string &address, uint16_t port) {
  auto listener = listen_on(address, port);
  if (!listener)
    return listener.failure();
  auto life = std::chrono::ceil<std::chrono::seconds>(limits_.life);
  daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL, port, nullptr, nullptr, &Callbacks::request, this, MHD_OPTION_LISTEN_SOCKET,
      listener->get(), MHD_OPTION_CONNECTION_LIMIT, limits_.connections,
      MHD_OPTION_PER_IP_CONNECTION_LIMIT, limits_.connections_per_address,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, limits_.memory, MHD_OPTION_CONNECTION_TIMEOUT,
      static_cast<unsigned>(life.count()), MHD_OPTION_STRICT_FOR_CLIENT, 1,
      MHD_OPTION_NOTIFY_CONNECTION, &Callbacks::connection, this, MHD_OPTION_END);
  if (daemon_ == nullptr)
    return error("cannot start the HTTP server for [control] metrics");
  (void)listener->release(); // the library closes it
  const auto *info = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD);
  if (info == nullptr)
    return error("libmicrohttpd was built without epoll");
  if (auto done = loop_.watch(info->epoll_fd, EPOLLIN, [this](uint32_t) { turn(); }); !done)
    return done;
  epoll_ = info->epoll_fd;
  auto timer = loop_.timer(tick_period, tick_period, [this] { tick(); });
  if (!timer)
    return timer.failure();
  tick_ = *timer;
  return {};
}

HttpServer::~HttpServer() {
  if (tick_ >= 0)
    loop_.cancel(tick_);
  if (epoll_ >= 0)
    loop_.unwatch(epoll_);
  if (daemon_ != nullptr)
    MHD_stop_daemon(daemon_);
}

// What is ready at once is worked off at once, the rest at the next turn or tick.
void HttpServer::turn() {
  for (int i = 0; i < pieces_per_turn; i++) {
    MHD_UNSIGNED_LONG_LONG wait = 0;
    if (MHD_run(daemon_) != MHD_YES || MHD_get_timeout(daemon_, &wait) != MHD_YES || wait > 0)
      return;
  }
}

// Whoever sends or reads a byte now and then would never be silent: his time ends all the same.
void HttpServer::tick() {
  auto now = Clock::now();
  for (auto &[fd, deadline] : deadlines_) {
    if (deadline > now)
      continue;
    shutdown(fd, SHUT_RDWR); // the library sees the end, and closes it
    deadline = Clock::time_point::max();
  }
  turn();
}

} // namespace viaduct::metrics
