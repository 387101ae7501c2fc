/* SPDX-License-Identifier: MIT
 *
 * Sends small UDP datagrams as fast as one CPU can, for a given time, over a given number of flows,
 * and prints how many it sent. sendmmsg(2) keeps the sender cheap: what is measured is what lies
 * behind it. With a TRAIN of so many datagrams a message is cut by the kernel (UDP_SEGMENT).
 *
 *   udp_flood ADDRESS PORT SECONDS FLOWS BYTES [TRAIN]
 *
 * Only for the lab's own network namespaces (bench/packetlab.py).
 */
#define _GNU_SOURCE
#include <netdb.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, MAX_FLOWS = 1024, MAX_BYTES = 1400, MAX_SECONDS = 60, MAX_TRAIN = 40 };

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

static int flow_to(const struct addrinfo *target, int segment) {
  int fd = socket(target->ai_family, SOCK_DGRAM, 0);
  if (fd < 0 || connect(fd, target->ai_addr, target->ai_addrlen) < 0) {
    perror("udp_flood: connect");
    exit(1);
  }
  if (segment && setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) < 0) {
    perror("udp_flood: UDP_SEGMENT");
    exit(1);
  }
  return fd;
}

int main(int argc, char **argv) {
  static struct mmsghdr batch[BATCH];
  static char payload[MAX_BYTES * MAX_TRAIN];
  static int flows[MAX_FLOWS];
  struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST}, *target;
  struct iovec part = {.iov_base = payload};

  if (argc != 6 && argc != 7) {
    fprintf(stderr, "usage: udp_flood ADDRESS PORT SECONDS FLOWS BYTES [TRAIN]\n");
    return 2;
  }
  if (getaddrinfo(argv[1], argv[2], &hints, &target) != 0) {
    fprintf(stderr, "udp_flood: %s is no address\n", argv[1]);
    return 2;
  }
  int seconds = number(argv[3], 1, MAX_SECONDS, "SECONDS");
  int count = number(argv[4], 1, MAX_FLOWS, "FLOWS");
  int bytes = number(argv[5], 1, MAX_BYTES, "BYTES");
  int train = argc == 7 ? number(argv[6], 0, MAX_TRAIN, "TRAIN") : 0;
  part.iov_len = (size_t)bytes * (size_t)(train ? train : 1);
  for (int i = 0; i < count; i++)
    flows[i] = flow_to(target, train ? bytes : 0);
  for (int i = 0; i < BATCH; i++)
    batch[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};

  unsigned long long sent = 0;
  double start = now(), end = start + seconds, at = start;
  for (int i = 0; at < end; i = (i + 1) % count, at = now()) {
    int done = sendmmsg(flows[i], batch, BATCH, 0);
    if (done > 0)
      sent += (unsigned long long)done * (unsigned long long)(train ? train : 1);
  }
  printf("%llu %.6f\n", sent, at - start);
  return 0;
}
