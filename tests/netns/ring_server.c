/* SPDX-License-Identifier: MIT
 *
 * A server that accepts by io_uring, on a dual-stack socket: it prints who each client is by the ring's accept
 * and by getsockopt SO_PEERNAME. Where there is no io_uring it says so. */
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void print_name(const char *what, const struct sockaddr_in6 *name, const char *end) {
  char text[INET6_ADDRSTRLEN];

  inet_ntop(AF_INET6, &name->sin6_addr, text, sizeof text);
  printf("%s [%s]:%u%s", what, text, ntohs(name->sin6_port), end);
}

static int accept_one(struct io_uring *ring, int listener) {
  struct sockaddr_in6 accepted = {0}, peer = {0};
  socklen_t length = sizeof accepted;
  struct io_uring_cqe *done;
  int connection;

  io_uring_prep_accept(io_uring_get_sqe(ring), listener, (struct sockaddr *)&accepted, &length, 0);
  if (io_uring_submit(ring) < 0 || io_uring_wait_cqe(ring, &done) < 0)
    return -1;
  connection = done->res;
  io_uring_cqe_seen(ring, done);
  if (connection < 0)
    return -1;
  length = sizeof peer;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERNAME, &peer, &length) < 0)
    return -1;
  print_name("accept", &accepted, " ");
  print_name("peername", &peer, "\n");
  fflush(stdout);
  return close(connection);
}

int main(int argc, char **argv) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6};
  int listener = socket(AF_INET6, SOCK_STREAM, 0), one = 1, zero = 0;
  struct io_uring ring;

  if (argc != 2)
    return 2;
  if (io_uring_queue_init(8, &ring, 0) < 0) {
    printf("no io_uring\n");
    return 0;
  }
  address.sin6_port = htons((unsigned short)atoi(argv[1]));
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 16) < 0)
    return 1;
  printf("listens\n");
  fflush(stdout);
  while (accept_one(&ring, listener) == 0)
    ;
  return 1;
}
