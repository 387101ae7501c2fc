/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The frame that the lab's generator sends and its sink knows, shared by the BPF programs and the
 * program that loads them: Ethernet, IPv6 or IPv4, UDP with 18 bytes of payload, which makes the
 * smallest frame there is with IPv4. Where a field lies
 * depends on the family only through the length of the network header.
 */
#ifndef VIADUCT_BENCH_FRAME_H
#define VIADUCT_BENCH_FRAME_H

#include <linux/types.h>

enum {
  FRAME_ETHERNET = 14,
  FRAME_IPV4 = 20,
  FRAME_IPV6 = 40,
  FRAME_UDP = 8,
  FRAME_PAYLOAD = 18, /* the first eight bytes: when it was sent (CLOCK_MONOTONIC, ns), or zero */
  FRAME_LONGEST = FRAME_ETHERNET + FRAME_IPV6 + FRAME_UDP + FRAME_PAYLOAD,
  FRAME_PORT = 9,      /* discard (RFC 863) */
  FRAME_HOST = 26,     /* the word of the source address that tells hosts apart: bits 32 to 63 of an
                      IPv6 address, so that each has a /64 of its own; all of an IPv4 address */
  PORTS_PER_HOST = 64, /* flows of one host, source ports from FIRST_PORT on */
  FIRST_PORT = 1024,
};

/* What the sink counts, per CPU. */
struct arrivals {
  __u64 packets;
  __u64 bytes; /* of whole frames */
  __u64 bad;   /* with a wrong checksum, where they are verified */
};

/* Latencies in nanoseconds, in classes an eighth of a power of two wide. */
enum {
  LATENCY_STEPS_BITS = 3,
  LATENCY_STEPS = 1 << LATENCY_STEPS_BITS,
  LATENCY_CLASSES = 32 * LATENCY_STEPS,
};

#endif
