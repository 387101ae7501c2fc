/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A packet in an XDP frame: its first bytes for the steps, and emit. The frame's head moves by what
 * the network header grows or shrinks, and the payload stays where it is. XDP knows nothing of
 * partial checksums and super-packets: here a checksum is whole, or the packet is broken.
 */
#ifndef VIADUCT_DATAPATH_EMIT_XDP_H
#define VIADUCT_DATAPATH_EMIT_XDP_H

#include "datapath/checksum.h"
#include "datapath/packet.h"

#define CONTEXT struct xdp_md
#define LOAD(context, at, to, n) bpf_xdp_load_bytes(context, at, to, n)
#include "datapath/bpf/load.h"

enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_IPV6 = 0x86dd };
enum { LINK_ADDRESSES = 12, LINK_HEADER = 14 };

STEP __u32 frame_length(struct xdp_md *xdp) {
  return (__u32)bpf_xdp_get_buff_len(xdp);
}

STEP bool load_frame(struct packet *p, struct xdp_md *xdp) {
  p->segments = 1;
  return load_head(p, xdp, LINK_HEADER, frame_length(xdp));
}

STEP void follow_checksum(const struct packet *p, __u8 *field) {
  const struct rewrite *r = p->rewrite;
  __u16 checksum = checksum_update(load16(field), sum_add(r->pseudo_delta, r->data_delta));

  if (r->never_zero && checksum == 0)
    checksum = 0xffff;
  *(any16 *)field = checksum;
}

/* The link header, the network header of `length` bytes (a constant), and what has changed behind
 * them. False: the frame is shorter than that. */
STEP bool write_front(struct xdp_md *xdp, const struct packet *p, const __u8 *link, __u32 length) {
  const struct rewrite *r = p->rewrite;
  __u8 *frame = (__u8 *)(long)xdp->data, *end = (__u8 *)(long)xdp->data_end;
  __u8 *network = frame + LINK_HEADER, *transport = network + length;

  if (transport + sizeof r->transport > end)
    return false;
  __builtin_memcpy(frame, link, LINK_ADDRESSES);
  *(any16 *)(frame + LINK_ADDRESSES) =
      length == IPV4_HEADER ? BE16(ETHERTYPE_IPV4) : BE16(ETHERTYPE_IPV6);
  if (testing) /* what is left out shows */
    __builtin_memcpy(network, poison, length);
  for (__u32 i = 0; i < length / 4; i++)
    ((any32 *)network)[i] = r->network[i];
  ((any32 *)transport)[0] = r->transport[0];
  ((any32 *)transport)[1] = r->transport[1];
  if (r->compute)
    return true;
  if (p->headers->protocol == PROTOCOL_TCP) {
    if (transport + TCP_HEADER > end)
      return false;
    follow_checksum(p, transport + 16);
  } else if (p->headers->protocol == PROTOCOL_UDP) {
    follow_checksum(p, transport + 6);
  } else {
    follow_checksum(p, transport + 2);
  }
  return true;
}

STEP bool compute_checksum(struct xdp_md *xdp, const struct packet *p) {
  __u32 at = LINK_HEADER + IPV6_HEADER;
  __u16 checksum;

  return sum_udp6(xdp, p, at, &checksum) &&
         bpf_xdp_store_bytes(xdp, at + 6, &checksum, sizeof checksum) == 0;
}

/* Of a SYN; its checksum knows already. */
STEP bool write_mss(struct xdp_md *xdp, const struct packet *p) {
  const struct rewrite *r = p->rewrite;
  __u32 at = LINK_HEADER + r->network_length + r->mss_at;

  return bpf_xdp_store_bytes(xdp, at, (void *)&r->mss, sizeof r->mss) == 0;
}

/* Writes what the steps have left in the workspace; an enum reason. A global function: the verifier
 * goes through it once, and not on each of the ways that lead to emit. */
__attribute__((noinline)) int emit_workspace(struct xdp_md *xdp) {
  struct workspace *workspace = workspace_find();
  struct packet p = {};
  bool six;

  if (!workspace)
    return REASON_emit_failed;
  look_at(&p, &workspace->scratch.packet);
  six = p.headers->family == FAMILY_6;
  if (bpf_xdp_adjust_head(xdp, six ? IPV6_HEADER - IPV4_HEADER : IPV4_HEADER - IPV6_HEADER))
    return REASON_punt_emit;
  if (!(six ? write_front(xdp, &p, workspace->link, IPV4_HEADER)
            : write_front(xdp, &p, workspace->link, IPV6_HEADER)))
    return REASON_emit_failed;
  if (p.rewrite->compute && !compute_checksum(xdp, &p))
    return REASON_emit_failed;
  if (p.rewrite->mss_at && !write_mss(xdp, &p))
    return REASON_emit_failed;
  return REASON_none;
}

STEP enum verdict emit_xdp(struct packet *p) {
  int reason = emit_workspace(p->target);

  if (reason == REASON_none)
    return VERDICT_FORWARD;
  return reason == REASON_punt_emit ? punt(p, REASON_punt_emit) : drop(p, REASON_emit_failed);
}

#endif
