/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * emit for a packet in a linear buffer: the new headers are written before the payload, which stays
 * where it is. The caller's headroom (FRAME_HEADROOM) takes what the headers grow.
 */
#ifndef VIADUCT_DATAPATH_EMIT_LINEAR_H
#define VIADUCT_DATAPATH_EMIT_LINEAR_H

#include "datapath/checksum.h"
#include "datapath/native/native.h"
#include "datapath/packet.h"

#include <string.h>

/* Sum over `length` bytes as they lie; an odd last byte is the high half of its word (RFC 1071). */
static __u32 sum_bytes(const __u8 *bytes, __u32 length) {
  __u32 sum = 0, word = 0;

  for (; length >= 4; bytes += 4, length -= 4)
    sum = sum_add(sum, load32(bytes));
  memcpy(&word, bytes, length);
  return sum_add(sum, word);
}

/* RFC 7915 4.5: a datagram without a checksum gets one, which IPv6 demands. */
static __u16 udp6_checksum(const struct packet *p, const __u8 *udp) {
  __u32 length = HOST16(load16(udp + 4));

  return (__u16)~sum_fold(sum_add(udp6_pseudo(p, length), sum_bytes(udp, length)));
}

static __u16 new_checksum(const struct packet *p, const __u8 *transport, __u16 old) {
  const struct rewrite *r = p->rewrite;
  __u16 result;

  if (r->compute)
    result = udp6_checksum(p, transport);
  else if (p->partial_checksum)
    result = checksum_update_partial(old, r->pseudo_delta);
  else
    result = checksum_update(old, sum_add(r->pseudo_delta, r->data_delta));
  return r->never_zero && result == 0 ? 0xffff : result;
}

static void rewrite_transport(const struct packet *p, __u8 *transport) {
  const struct rewrite *r = p->rewrite;
  __u16 checksum;

  memcpy(transport, r->transport, sizeof r->transport);
  if (r->mss_at)
    memcpy(transport + r->mss_at, &r->mss, sizeof r->mss);
  memcpy(&checksum, transport + r->checksum_at, sizeof checksum);
  checksum = new_checksum(p, transport, checksum);
  memcpy(transport + r->checksum_at, &checksum, sizeof checksum);
}

/* What hardware was to do must be done before the packet is cut. */
static void complete_checksum(const struct packet *p, struct frame *frame) {
  __u8 *transport = frame->data + frame->transport;
  __u16 checksum = (__u16)~sum_fold(sum_bytes(transport, p->headers->transport_length));

  if (p->rewrite->never_zero && checksum == 0)
    checksum = 0xffff;
  memcpy(transport + p->rewrite->checksum_at, &checksum, sizeof checksum);
  frame->partial_checksum = 0;
}

STEP enum verdict emit_flow(struct packet *p, struct frame *frame) {
  const struct rewrite *r = p->rewrite;
  __u8 *transport = frame->data + p->headers->transport;

  if (!p->headers->opaque)
    rewrite_transport(p, transport);
  frame->data = transport - r->network_length;
  frame->length = r->network_length + p->headers->transport_length;
  frame->transport = r->network_length;
  memcpy(frame->data, r->network, r->network_length);
  if (p->headers->cut)
    frame->longest_piece = p->policy->lowest_ipv6_mtu;
  if (p->headers->cut && frame->partial_checksum)
    complete_checksum(p, frame);
  frame->segment_size = p->segment_size;
  return VERDICT_FORWARD;
}

#endif
