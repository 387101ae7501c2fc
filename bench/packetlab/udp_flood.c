/* SPDX-License-Identifier: MIT
 *
 * Sends small UDP datagrams as fast as one CPU can, for a given time, over a given number of flows,
 * and prints how many it sent. sendmmsg(2) keeps the sender cheap: what is measured is what lies
 * behind it. BURST datagrams of a flow leave one behind the other: the kernel cuts them from one
 * message (UDP_SEGMENT); with 1 each is of another flow than the one before. Flows are ports of the
 * target, from PORT on.
 *
 *   udp_flood ADDRESS PORT SECONDS FLOWS BYTES BURST
 *
 * Only for the lab's own network namespaces (bench/measures.py).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FLOWS = 1024, MAX_BYTES = 1400, MAX_SECONDS = 60, MAX_BURST = 40 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int number(const char *text, int low, int high, const char *what) {
  char *end;
  long value = strtol(text, &end, 10);
  if (*end || value < low || value > high) {
    fprintf(stderr, "udp_flood: %s must be %d to %d, found %s\n", what, low, high, text);
    exit(2);
  }
  return (int)value;
}

/* A socket that cuts what it sends into datagrams of so many bytes. */
static int sender(const struct addrinfo *target, int bytes) {
  int fd = socket(target->ai_family, SOCK_DGRAM, 0);
  if (fd < 0 || setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof bytes) < 0) {
    perror("udp_flood: socket");
    exit(1);
  }
  return fd;
}

int main(int argc, char **argv) {
  static struct mmsghdr batch[MAX_FLOWS];
  static struct sockaddr_storage to[MAX_FLOWS];
  static char payload[MAX_BYTES * MAX_BURST];
  struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST}, *target;
  struct iovec part = {.iov_base = payload};

  if (argc != 7) {
    fprintf(stderr, "usage: udp_flood ADDRESS PORT SECONDS FLOWS BYTES BURST\n");
    return 2;
  }
  if (getaddrinfo(argv[1], NULL, &hints, &target) != 0) {
    fprintf(stderr, "udp_flood: %s is no address\n", argv[1]);
    return 2;
  }
  int port = number(argv[2], 1, 65535 - MAX_FLOWS, "PORT");
  int seconds = number(argv[3], 1, MAX_SECONDS, "SECONDS");
  int flows = number(argv[4], 1, MAX_FLOWS, "FLOWS");
  int bytes = number(argv[5], 1, MAX_BYTES, "BYTES");
  int burst = number(argv[6], 1, MAX_BURST, "BURST");
  int fd = sender(target, bytes);
  part.iov_len = (size_t)bytes * (size_t)burst;
  for (int i = 0; i < flows; i++) {
    memcpy(&to[i], target->ai_addr, target->ai_addrlen);
    if (target->ai_family == AF_INET6)
      ((struct sockaddr_in6 *)&to[i])->sin6_port = htons((uint16_t)(port + i));
    else
      ((struct sockaddr_in *)&to[i])->sin_port = htons((uint16_t)(port + i));
    batch[i].msg_hdr = (struct msghdr){
        .msg_name = &to[i], .msg_namelen = target->ai_addrlen, .msg_iov = &part, .msg_iovlen = 1};
  }

  unsigned long long sent = 0;
  double start = now(), end = start + seconds, at;
  do {
    int done = sendmmsg(fd, batch, (unsigned)flows, 0);
    if (done > 0)
      sent += (unsigned long long)done * (unsigned long long)burst;
    at = now();
  } while (at < end);
  printf("%llu %.6f\n", sent, at - start);
  return 0;
}
