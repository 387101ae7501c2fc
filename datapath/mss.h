/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The MSS that a SYN announces (RFC 9293 3.7.1). A host announces what its own link takes, and the
 * other side fills that: a smaller link between them is found by path MTU discovery, or, where the
 * errors about it are lost, not at all. So no SYN leaves with more than the links of the gateway
 * carry. It is lowered, never raised, and none is added: without one the other side takes the least
 * that every link carries.
 *
 * One number serves both directions, policy.largest_segment: whoever sends, a segment crosses both
 * sides, in IPv6 with 60 bytes of headers and in IPv4 with 40. SYNs have few options, and only SYNs
 * are looked into.
 */
#ifndef VIADUCT_DATAPATH_MSS_H
#define VIADUCT_DATAPATH_MSS_H

#include "datapath/checksum.h"
#include "datapath/packet.h"

/* lower_mss(p, largest), here or where a target has put it. */
#ifndef LOWER_MSS
#define LOWER_MSS(p, largest) lower_mss(p, largest)
#endif

enum {
  TCP_OPTION_END = 0,
  TCP_OPTION_NOP = 1,
  TCP_OPTION_MSS = 2,
  MSS_OPTION = 4, /* its length */
  MOST_TCP_OPTIONS = 40,
};

/* By way of the scratch memory (packet.h): the verifier would follow every sum of lengths. */
STEP __u32 unknown(const struct packet *p, __u32 value) {
  volatile __u32 *place = &p->scratch->option;

  *place = value;
  return *place;
}

/* Where the MSS lies, from the TCP header on; 0: there is none, or what is before it cannot be
 * read. Of two the first. */
STEP __u32 mss_offset(const struct packet *p) {
  const struct headers *h = p->headers;
  __u32 cursor = h->transport + TCP_HEADER, end = (__u32)h->transport + h->transport_header;

  if (end > p->head_length) /* behind many extension headers */
    end = p->head_length;
  for (int i = 0; i < MOST_TCP_OPTIONS; i++) {
    const __u8 *option;
    __u32 size;

    cursor = unknown(p, cursor);
    if (cursor + MSS_OPTION > end)
      return 0;
    option = at(p, cursor);
    size = option[1];
    if (option[0] == TCP_OPTION_NOP)
      size = 1;
    else if (option[0] == TCP_OPTION_END || size < 2)
      return 0;
    if (option[0] == TCP_OPTION_MSS && size == MSS_OPTION)
      return cursor + 2 - h->transport;
    cursor += size;
  }
  return 0;
}

/* As part of a sum of words: at an odd offset its bytes lie in two of them (RFC 1071 2 (B)). */
STEP __u32 mss_in_sum(__be16 mss, __u32 offset) {
  return offset & 1 ? __builtin_bswap16((__u16)mss) : (__u16)mss;
}

/* Whether it is lowered. Knows nothing of `p` but head, scratch, headers and rewrite. */
STEP bool lower_mss(struct packet *p, __u32 largest) {
  struct rewrite *r = p->rewrite;
  __u32 offset = mss_offset(p);
  __be16 announced;

  if (!offset)
    return false;
  announced = load16(at(p, p->headers->transport + offset));
  if (HOST16(announced) <= largest)
    return false;
  NOTE(p, mss_lowered, .n = {HOST16(announced), largest});
  r->mss_at = (__u8)offset;
  r->mss = BE16(largest);
  r->data_delta = sum_add(r->data_delta,
                          sum_subtract(mss_in_sum(r->mss, offset), mss_in_sum(announced, offset)));
  return true;
}

/* REQUIRES: a SYN whose headers are translated. */
STEP void clamp_mss(struct packet *p) {
  __u32 largest = p->policy->largest_segment;

  if (largest && LOWER_MSS(p, largest))
    count(p, REASON_mss_clamped);
}

#endif
