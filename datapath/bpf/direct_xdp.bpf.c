/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A direct port's program for XDP (direct.h): before the kernel makes anything of the frame. It
 * sends to ports that the daemon has found to take what XDP sends, which are the other direct ones;
 * a translation that leaves by another port goes its usual way.
 */
#include "datapath/bpf/target.h"

#include "datapath/bpf/emit_xdp.h"

STEP enum verdict write_here(struct packet *p) {
  return emit_xdp(p);
}

#include "datapath/bpf/direct.h"

/* One, which is searched: there are few ports, and hashing an index takes longer. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct direct_ports);
} direct_ports SEC(".maps");

STEP const struct direct_ports *all_ports(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&direct_ports, &zero);
}

/* Where among them a port stands; MAX_DIRECT: it is none. A global function: the verifier goes
 * through it once. */
__attribute__((noinline)) int place_of(__u32 index) {
  const struct direct_ports *ports = all_ports();
  __u32 place = 0;

  if (!ports)
    return MAX_DIRECT;
  for (; place < MAX_DIRECT; place++) {
    if (!ports->port[place].index)
      return MAX_DIRECT;
    if (ports->port[place].index == index)
      break;
  }
  return (int)place;
}

STEP const struct direct_port *port_of(__u32 index) {
  const struct direct_ports *ports = all_ports();
  __u64 place = (__u32)place_of(index);

  if (!ports || place >= MAX_DIRECT)
    return NULL;
  KEEP(place);
  return &ports->port[place & (MAX_DIRECT - 1)];
}

/* A port whose driver runs the program takes frames from another such one; what runs it in the
 * kernel's stead (generic) can send by any. */
STEP bool takes_frames(__u32 from, __u32 to) {
  const struct direct_port *in = port_of(from), *out = port_of(to);

  return in && out && (out->native || !in->native);
}

STEP enum verdict send(struct packet *p, struct bpf_fib_lookup *way) {
  struct xdp_md *xdp = p->target;
  struct workspace *workspace = workspace_find();
  __u32 frame = LINK_HEADER + p->length, longer = frame_length(xdp);
  enum verdict v;

  if (!workspace || !takes_frames(xdp->ingress_ifindex, way->ifindex))
    return pass(p, REASON_direct_left_port);
  if (longer > frame && bpf_xdp_adjust_tail(xdp, -(int)(longer - frame)))
    return punt(p, REASON_punt_emit);
  __builtin_memcpy(workspace->link, way->dmac, 6);
  __builtin_memcpy(workspace->link + 6, way->smac, 6);
  v = emit_xdp(p);
  if (v == VERDICT_FORWARD)
    bpf_redirect(way->ifindex, 0);
  return v;
}

STEP bool is_for_this_port(const struct xdp_md *xdp) {
  const __u8 *frame = (__u8 *)(long)xdp->data, *end = (__u8 *)(long)xdp->data_end;
  const struct direct_port *port;
  __u16 type;

  if (testing)
    return true;
  if (frame + LINK_HEADER > end)
    return false;
  type = load16(frame + LINK_ADDRESSES); /* a VLAN's tag is another type */
  if (type != BE16(ETHERTYPE_IPV4) && type != BE16(ETHERTYPE_IPV6))
    return false;
  port = port_of(xdp->ingress_ifindex);
  return port && !((load32(frame) ^ load32(port->address)) |
                   (load16(frame + 4) ^ load16(port->address + 4)));
}

SEC("xdp")
int direct_xdp(struct xdp_md *xdp) {
  struct packet p = {};
  enum verdict v;

  if (!is_for_this_port(xdp) || !packet_init(&p, xdp) || !load_frame(&p, xdp))
    return XDP_PASS;
  if (!testing)
    ignore_padding(&p);
  v = direct_end(&p, walk(&p));
  tell_test(&p, v);
  switch (v) {
  case VERDICT_FORWARD:
    return XDP_REDIRECT;
  case VERDICT_DROP:
    return XDP_DROP;
  default:
    return XDP_PASS;
  }
}

char license_[] SEC("license") = "Dual MIT/GPL";
