/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Between the steps and the memory of fragments (reassembly.h): for both native targets.
 */
#ifndef VIADUCT_DATAPATH_GATHER_PIECE_H
#define VIADUCT_DATAPATH_GATHER_PIECE_H

#include "datapath/native/reassembly.h"
#include "datapath/packet.h"

/* The fragment that p is; `data` is where it begins. */
static struct piece piece_of(const struct packet *p, const __u8 *data) {
  const struct headers *h = p->headers;

  return (struct piece){
      .key = {.source = p->in->source,
              .destination = p->in->destination,
              .identification = h->identification,
              .family = h->family,
              .protocol = h->family == FAMILY_4 ? data[9] : 0},
      .data = data + h->transport,
      .length = h->transport_length,
      .offset = h->fragment_offset,
      .last = !h->more_fragments,
      .hop_limit = h->hop_limit,
      .traffic_class = h->traffic_class,
      .next = h->protocol == PROTOCOL_ICMP && h->family == FAMILY_6 ? (__u8)PROTOCOL_ICMPV6
                                                                    : h->protocol,
  };
}

static enum verdict gathering_verdict(struct packet *p, enum gathering result) {
  switch (result) {
  case GATHERING:
    p->reason = REASON_fragment_held;
    return VERDICT_HELD;
  case GATHERING_OVERLAP:
    return drop(p, REASON_fragment_overlap);
  default:
    return drop(p, REASON_fragment_limit);
  }
}

#endif
