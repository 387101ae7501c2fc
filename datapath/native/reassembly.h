/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Fragments that wait for the rest of their datagram (RFC 6146 3.4, RFC 5722).
 *
 * All memory is taken at the start, as address space: it costs nothing until fragments come. There
 * are limits for the whole and, an eighth of it, for each source, so that one sender of fragments
 * that never become whole does not take all. An overlap gives the datagram up, and what else comes
 * of it is refused until its time is over; the very same fragment once more is ignored.
 *
 * Shared by all workers, under one lock: the fragments of a datagram need not come to the same one.
 */
#ifndef VIADUCT_DATAPATH_REASSEMBLY_H
#define VIADUCT_DATAPATH_REASSEMBLY_H

#include "datapath/types.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum {
  REASSEMBLY_DATAGRAMS = 2048, /* at once */
  REASSEMBLY_CHUNKS = 8192,    /* of 2 KiB; each fragment takes at least one */
  REASSEMBLY_PIECES = 256,     /* chunks of one datagram */
  REASSEMBLY_SHARE = 8,        /* a source may have one part of so many */
  LONGEST_WHOLE = 65535 + 40,  /* a whole datagram with its headers, of either family */
};

struct piece_key {
  struct address source;
  struct address destination;
  __u32 identification;
  __u8 family;
  __u8 protocol; /* IPv4; 0 for IPv6, where it is no part of the key */
  __u8 pad[2];
};

/* One fragment. offset + length fits a packet, and length is not 0. */
struct piece {
  struct piece_key key;
  const __u8 *data;
  __u32 length;
  __u32 offset; /* in bytes */
  __u8 last;    /* no more fragments */
  __u8 hop_limit;
  __u8 traffic_class;
  __u8 next; /* protocol number in its family */
};

enum gathering {
  GATHERING = 0,     /* taken; *length says whether the datagram is whole now */
  GATHERING_OVERLAP, /* not what the fragments before said */
  GATHERING_FULL,
};

struct reassembly;

struct reassembly *reassembly_new(void); /* NULL: no memory */
void reassembly_free(struct reassembly *all);

/* Adds one. If it was the last that was missing, the datagram is put into `whole` (LONGEST_WHOLE
 * bytes) and *length is set: a whole IPv4 packet with DF clear and its identification, or an IPv6
 * packet with a Fragment header that says it is whole. Adds to *given_up how many datagrams have run
 * out of time. `now` and `timeout` in seconds. */
enum gathering reassembly_add(struct reassembly *all, const struct piece *piece, __u32 now,
                              __u32 timeout, __u8 *whole, __u32 *length, __u32 *given_up);

/* What reassembly_add would do, without doing it. */
struct gathered {
  enum gathering gathering;
  __u32 length;   /* of the whole datagram, which is in `whole` then; 0: it is not whole */
  __u32 bytes;    /* behind the network header, that would be here then */
  __u32 given_up; /* datagrams that have run out of time */
};

void reassembly_foresee(struct reassembly *all, const struct piece *piece, __u32 now, __u8 *whole,
                        struct gathered *result);

/* Gives up what has run out of time; returns how many datagrams. */
__u32 reassembly_expire(struct reassembly *all, __u32 now);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
