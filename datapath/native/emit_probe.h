/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The probe that asks the IPv6 host of an idle TCP session whether it still has the connection
 * (RFC 6146 3.5.2.2): an ACK without data, sequence and acknowledgement numbers zero, as if from
 * its peer. A host that has the connection answers with an ACK of its own, which keeps the session;
 * one that has not answers with a reset.
 */
#ifndef VIADUCT_DATAPATH_EMIT_PROBE_H
#define VIADUCT_DATAPATH_EMIT_PROBE_H

#include "datapath/native/emit_error.h"

enum { PROBE_BYTES = IPV6_HEADER + TCP_HEADER, PROBE_HOP_LIMIT = 64 };

/* Fills p's tuple and headers from the session; `probe` has room for PROBE_BYTES. */
static void emit_probe(struct packet *p, const struct session_key *key,
                       const struct session *session, struct frame *probe) {
  __be32 tcp[TCP_HEADER / 4] = {0};
  __u16 checksum;
  __u32 sum;

  p->prefix->address = session->prefix;
  p->prefix->length = session->prefix_length;
  rfc6052_embed(&p->out->source, p->prefix, key->remote_address);
  p->out->destination = session->inside;
  p->headers->protocol = PROTOCOL_TCP;
  p->headers->hop_limit = PROBE_HOP_LIMIT;
  p->headers->traffic_class = 0;
  p->headers->transport_length = TCP_HEADER;
  ipv6_header(p);

  tcp[0] = BE32(((__u32)HOST16(key->remote_port) << 16) | HOST16(session->inside_port));
  tcp[3] = BE32(((__u32)(TCP_HEADER / 4) << 28) | (TCP_ACK << 16));
  sum = sum_add(sum_address(&p->out->source), sum_address(&p->out->destination));
  sum = sum_add(sum, BE32(TCP_HEADER));
  sum = sum_add(sum, BE32(PROTOCOL_TCP));
  sum = sum_add(sum, sum_bytes((const __u8 *)tcp, sizeof tcp));
  checksum = (__u16)~sum_fold(sum);
  memcpy((__u8 *)tcp + 16, &checksum, sizeof checksum);
  memcpy(probe->data, p->rewrite->network, IPV6_HEADER);
  memcpy(probe->data + IPV6_HEADER, tcp, sizeof tcp);
  probe->length = PROBE_BYTES;
  probe->transport = IPV6_HEADER;
  probe->segments = 1;
}

#endif
