/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The client's address of UDP, from the datagrams that carry it to whoever asks.
 *
 *   a packet of protocol 248     on a named port: made UDP with options (datapath/uoa.h)
 *   a datagram for a socket      its options, in whatever network namespace; the client is remembered
 *   a program receives           the client instead of the load balancer
 *   it answers                   to the client, and the datagram goes to the load balancer
 *   it connects to the client    likewise, and the socket remembers for as long as it lives
 *
 * Only a flow's first datagrams carry a UOA, so the rest is a matter of memory: two tables of a fixed size, whose
 * entries give way when they were idle longest. What gives way costs a flow its client's address, never gives it
 * another's: a flow that nothing was received from for AGENT_FLOW_IDLE_SECONDS is not believed either.
 *
 * Client and load balancer must be of one family to be told: the kernel sends no IPv6 destination of a datagram
 * to an IPv4 one, so a program could not answer.
 */
#include "agent/bpf/scope.h"
#include "agent/bpf/senders.h"
#include "agent/bpf/udp.h"

static long walk_step(__u64 step, void *nothing);
#define UOA_STEPS(head, walk) ((void)(head), (void)bpf_loop(UOA_IP4_LONGEST, walk_step, NULL, 0))
#include "datapath/uoa.h"

/* A packet's beginning and the walk over it: of one processor, while its program runs. */
struct scratch {
  struct uoa_head head;
  struct uoa_walk walk;
};

enum {
  SOCKET_DATAGRAM = 2,
  ETHERTYPE_IP4 = 0x0800,
  ETHERTYPE_IP6 = 0x86dd,
  ETHERNET_HEADER = 14,
  FOR_THIS_HOST = 0, /* skb->pkt_type */
  NEXT_PROGRAM = -1, /* TC_ACT_UNSPEC, TCX_NEXT */
  GIVE = 1,
  KEEP_BACK = 0,
};

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct agent_udp_peer);
} udp_connected SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct scratch);
} udp_scratch SEC(".maps");

/* A step of datapath/uoa.h's walk. What it goes on lies in the map, where no verifier takes it for a constant. */
static long walk_step(__u64 step, void *nothing) {
  __u32 zero = 0;
  struct scratch *scratch = bpf_map_lookup_elem(&udp_scratch, &zero);

  (void)step;
  (void)nothing;
  return !scratch || !uoa_step(&scratch->head, &scratch->walk);
}

STEP bool is_listed(__u8 family, const struct address *address) {
  return family == 4 ? is_listed4(address->word[0]) : is_listed6(address);
}

/* --- a packet comes in at a port ---------------------------------------------------------------- */

/* The packet's first bytes; how many, 0 if it is none to look at. */
STEP __u32 read_packet(struct __sk_buff *skb, struct uoa_head *head, __u32 from) {
  __u32 length = skb->len;

  if (length < from + UOA_IP4_HEADER + UOA_UDP_HEADER)
    return 0;
  length -= from;
  if (length > UOA_LOOKED_AT)
    length = UOA_LOOKED_AT;
  __asm__ volatile("" : "+r"(length));
  length &= UOA_HEAD - 1;
  if (length < UOA_IP4_HEADER || bpf_skb_load_bytes(skb, from, head->byte, length) != 0)
    return 0;
  return length;
}

STEP void sender_of(const struct uoa_head *head, __u8 family, struct address *sender) {
  if (family == 4)
    __builtin_memcpy(&sender->word[0], &head->byte[12], 4);
  else
    __builtin_memcpy(sender, &head->byte[8], sizeof *sender);
}

/* The IP header, and the four bytes behind it. */
STEP void write_back(struct __sk_buff *skb, struct uoa_head *head, __u32 behind) {
  __u32 length = behind + UOA_FIXED;

  __asm__ volatile("" : "+r"(length));
  length &= UOA_HEAD / 2 - 1;
  if (length >= UOA_IP4_HEADER &&
      bpf_skb_store_bytes(skb, ETHERNET_HEADER, head->byte, length, BPF_F_RECOMPUTE_CSUM) == 0)
    count(COUNTER_uoa_taken_off);
}

STEP bool is_protocol_248(struct __sk_buff *skb, __u8 family) {
  __u8 protocol = 0;
  __u32 at = ETHERNET_HEADER + (family == 4 ? 9 : 6);

  return bpf_skb_load_bytes(skb, at, &protocol, 1) == 0 && protocol == UOA_PROTOCOL;
}

SEC("tc")
int agent_udp_port(struct __sk_buff *skb) {
  __u8 family = skb->protocol == bpf_htons(ETHERTYPE_IP4)   ? 4
                : skb->protocol == bpf_htons(ETHERTYPE_IP6) ? 6
                                                            : 0;
  __u32 zero = 0, length, behind;
  struct address sender = {};
  struct scratch *scratch;
  struct uoa_head *head;

  if (family == 0 || skb->pkt_type != FOR_THIS_HOST || !is_protocol_248(skb, family))
    return NEXT_PROGRAM;
  scratch = bpf_map_lookup_elem(&udp_scratch, &zero);
  if (!scratch)
    return NEXT_PROGRAM;
  head = &scratch->head;
  length = read_packet(skb, head, ETHERNET_HEADER);
  if (length == 0 || (length < UOA_IP6_HEADER && family == 6)) {
    count(COUNTER_uoa_malformed);
    return NEXT_PROGRAM;
  }
  sender_of(head, family, &sender);
  if (!is_listed(family, &sender)) {
    count(COUNTER_uoa_untrusted);
    return NEXT_PROGRAM;
  }
  behind = family == 6 ? UOA_IP6_HEADER : (head->byte[0] & 15) * 4;
  switch (uoa_take_off(head, length, &scratch->walk)) {
  case UOA_TAKEN_OFF:
    write_back(skb, head, behind);
    break;
  case UOA_FRAGMENT:
    count(COUNTER_uoa_fragment);
    break;
  case UOA_MALFORMED:
    count(COUNTER_uoa_malformed);
    break;
  case UOA_NOT_OURS:
    break;
  }
  return NEXT_PROGRAM;
}

/* --- a datagram comes in for a socket ----------------------------------------------------------- */

/* Another client by another of our addresses, while the first may still be there: the socket cannot tell them
 * apart. By the same address it is the load balancer that has begun anew. */
STEP void claim(const struct agent_udp_key *key, struct agent_udp_flow *flow) {
  struct agent_udp_flow *old = bpf_map_lookup_elem(&udp_flows, key);

  if (old && flow->seen - old->seen <= IDLE &&
      (old->contested ||
       (!same_address(&old->local, &flow->local) &&
        (!same_address(&old->client, &flow->client) || old->client_port != flow->client_port))))
    flow->contested = 1;
  if ((int)bpf_map_update_elem(&udp_flows, key, flow, BPF_ANY) != 0)
    count(COUNTER_storage_failed);
  else
    count(COUNTER_uoa_saved);
}

STEP void count_outcome(int outcome) {
  if (outcome == TOA_CONTRADICTS)
    count(COUNTER_uoa_contradicting);
  else if (outcome == TOA_IMPLAUSIBLE)
    count(COUNTER_uoa_implausible);
  else
    count(COUNTER_uoa_malformed);
}

STEP int with_options(struct __sk_buff *skb, struct scratch *scratch, __u32 from, __u32 udp) {
  const struct uoa_head *head = &scratch->head;
  struct agent_udp_key key = {.family = head->byte[0] >> 4, .of_socket = 1};
  struct agent_udp_flow flow = {};
  struct toa found = {};
  int outcome = uoa_find(head, from, udp, &scratch->walk, &found);

  if (outcome == TOA_NONE) {
    count(COUNTER_uoa_none);
    return GIVE;
  }
  count(COUNTER_uoa_got);
  sender_of(head, key.family, &key.remote);
  if (!is_listed(key.family, &key.remote)) {
    count(COUNTER_uoa_untrusted);
    return GIVE;
  }
  if (outcome != TOA_FOUND) {
    count_outcome(outcome);
    return GIVE;
  }
  if (key.family == 4)
    __builtin_memcpy(&flow.local.word[0], &head->byte[16], 4);
  else
    __builtin_memcpy(&flow.local, &head->byte[24], sizeof flow.local);
  __builtin_memcpy(&key.remote_port, &head->byte[udp & (UOA_HEAD - 1)], 2);
  key.local_port_host = (__u16)uoa_16(head, udp + 2);
  key.scope = bpf_get_socket_cookie(skb);
  flow.client = found.client;
  flow.client_port = found.client_port;
  flow.family = found.family;
  flow.seen = bpf_ktime_get_ns();
  claim(&key, &flow);
  if (uoa_16(head, udp + 4) > UOA_UDP_HEADER)
    return GIVE;
  if (one_namespace_only())
    return GIVE;            /* it may be another's, which here cannot be told */
  count(COUNTER_uoa_alone); /* DPVS sends it ahead of a datagram that has no room for options */
  return KEEP_BACK;
}

/* Run for every packet of every socket, so it decides by three bytes. */
SEC("cgroup_skb/ingress")
int agent_udp_ingress(struct __sk_buff *skb) {
  const __u8 *data = (void *)(long)skb->data;
  const __u8 *end = (void *)(long)skb->data_end;
  struct scratch *scratch;
  __u32 zero = 0, from = 0, udp;

  if (data + UOA_IP4_HEADER > end)
    return GIVE;
  if (skb->protocol == bpf_htons(ETHERTYPE_IP4)) {
    if (data[UOA_IP4_PROTOCOL] != PROTOCOL_UDP)
      return GIVE;
    if ((data[0] & 15) == UOA_IP4_HEADER / 4) {
      count(COUNTER_uoa_none);
      return GIVE;
    }
  } else if (skb->protocol != bpf_htons(ETHERTYPE_IP6)) {
    return GIVE;
  } else if (data[UOA_IP6_NEXT] != UOA_DESTINATION_OPTIONS) {
    if (data[UOA_IP6_NEXT] == PROTOCOL_UDP)
      count(COUNTER_uoa_none);
    return GIVE;
  }
  scratch = bpf_map_lookup_elem(&udp_scratch, &zero);
  if (!scratch || read_packet(skb, &scratch->head, 0) == 0)
    return GIVE;
  udp = uoa_options(&scratch->head, &from);
  if (udp == 0 || !port_is_ours(uoa_16(&scratch->head, udp + 2)))
    return GIVE;
  return with_options(skb, scratch, from, udp);
}

/* --- who asks ----------------------------------------------------------------------------------- */

/* From the socket's to the network namespace's, for other sockets and the next program. */
STEP void move_to_namespace(struct agent_udp_key *key, __u64 socket, __u64 network_namespace) {
  struct agent_udp_key own = *key;
  struct agent_udp_flow *fresh, flow;
  struct address any = {};

  own.scope = socket;
  own.of_socket = 1;
  own.local = any;
  fresh = bpf_map_lookup_elem(&udp_flows, &own);
  key->scope = network_namespace;
  if (!fresh)
    return;
  flow = *fresh;
  bpf_map_delete_elem(&udp_flows, &own);
  claim(key, &flow);
}

STEP void remember_way(const struct agent_udp_key *key, const struct agent_udp_flow *flow) {
  struct agent_udp_way way = {
      .remote = key->remote, .remote_port = key->remote_port, .seen = flow->seen};
  struct agent_udp_key back = *key;
  struct agent_udp_way *old;

  back.remote = flow->client;
  back.remote_port = flow->client_port;
  old = bpf_map_lookup_elem(&udp_clients, &back);
  if (old && old->remote_port == way.remote_port && same_address(&old->remote, &way.remote))
    old->seen = way.seen;
  else if ((int)bpf_map_update_elem(&udp_clients, &back, &way, BPF_ANY) != 0)
    count(COUNTER_storage_failed);
}

struct told {
  struct address client;
  __be16 port;
};

STEP bool connected_to(struct bpf_sock *sk, const struct agent_udp_key *key, struct told *told) {
  struct agent_udp_peer *peer = bpf_sk_storage_get(&udp_connected, sk, NULL, 0);

  if (!peer || peer->family != key->family || peer->remote_port != key->remote_port ||
      !same_address(&peer->remote, &key->remote))
    return false;
  told->client = peer->client;
  told->port = peer->client_port;
  return true;
}

/* Who the sender of the datagram stands for; false: for nobody that we know. */
STEP bool received(struct bpf_sock_addr *ctx, struct agent_udp_key *key, struct told *told) {
  struct bpf_sock *sk = ctx->sk;
  struct agent_udp_flow *flow;
  __u64 now, network_namespace;

  key->remote_port = (__be16)ctx->user_port;
  if (!sk || !is_listed(key->family, &key->remote))
    return false;
  local_of(sk, key);
  network_namespace = bpf_get_netns_cookie(ctx);
  if (!port_is_ours(key->local_port_host) || !namespace_is_ours(network_namespace))
    return false;
  move_to_namespace(key, bpf_get_socket_cookie(ctx), network_namespace);
  flow = look_up(&udp_flows, key);
  now = bpf_ktime_get_ns();
  if (!flow || now - flow->seen > IDLE) {
    if (connected_to(sk, key, told))
      return true;
    count(COUNTER_uoa_receive_unknown);
    return false;
  }
  flow->seen = now;
  if (flow->contested) {
    count(COUNTER_uoa_receive_contested);
    return false;
  }
  if (flow->family != key->family) {
    count(COUNTER_uoa_receive_mismatch);
    return false;
  }
  told->client = flow->client;
  told->port = flow->client_port;
  remember_way(key, flow);
  return true;
}

SEC("cgroup/recvmsg4")
int agent_udp_recvmsg4(struct bpf_sock_addr *ctx) {
  struct agent_udp_key key = {.family = 4};
  struct told told = {};

  key.remote.word[0] = ctx->user_ip4;
  if (!received(ctx, &key, &told))
    return 1;
  ctx->user_ip4 = told.client.word[0];
  ctx->user_port = told.port;
  count(COUNTER_uoa_receive_ok);
  return 1;
}

/* The address of an IPv6 socket's name; of ::ffff:a.b.c.d what it stands for. */
STEP void read_name6(struct bpf_sock_addr *ctx, struct agent_udp_key *key) {
  struct address any = {};

  key->family = 6;
  key->remote.word[0] = ctx->user_ip6[0];
  key->remote.word[1] = ctx->user_ip6[1];
  key->remote.word[2] = ctx->user_ip6[2];
  key->remote.word[3] = ctx->user_ip6[3];
  if (!is_mapped(&key->remote))
    return;
  key->family = 4;
  any.word[0] = key->remote.word[3];
  key->remote = any;
}

STEP void write_name6(struct bpf_sock_addr *ctx, __u8 family, const struct address *address,
                      __be16 port) {
  if (family == 4) { /* the three words before it are right */
    ctx->user_ip6[3] = address->word[0];
  } else {
    ctx->user_ip6[0] = address->word[0];
    ctx->user_ip6[1] = address->word[1];
    ctx->user_ip6[2] = address->word[2];
    ctx->user_ip6[3] = address->word[3];
  }
  ctx->user_port = port;
}

SEC("cgroup/recvmsg6")
int agent_udp_recvmsg6(struct bpf_sock_addr *ctx) {
  struct agent_udp_key key = {};
  struct told told = {};

  read_name6(ctx, &key);
  if (!received(ctx, &key, &told))
    return 1;
  write_name6(ctx, key.family, &told.client, told.port);
  count(COUNTER_uoa_receive_ok);
  return 1;
}

/* The load balancer that a client came by. */
STEP bool way_to(struct bpf_sock_addr *ctx, struct agent_udp_key *key, struct told *told) {
  struct bpf_sock *sk = ctx->sk;
  struct agent_udp_way *way;

  if (!sk || ctx->type != SOCKET_DATAGRAM || ctx->protocol != PROTOCOL_UDP)
    return false;
  key->remote_port = (__be16)ctx->user_port;
  key->scope = bpf_get_netns_cookie(ctx);
  local_of(sk, key);
  way = look_up(&udp_clients, key);
  if (!way || bpf_ktime_get_ns() - way->seen > IDLE)
    return false;
  told->client = way->remote;
  told->port = way->remote_port;
  return true;
}

SEC("cgroup/sendmsg4")
int agent_udp_sendmsg4(struct bpf_sock_addr *ctx) {
  struct agent_udp_key key = {.family = 4};
  struct told told = {};

  key.remote.word[0] = ctx->user_ip4;
  if (!way_to(ctx, &key, &told))
    return 1;
  ctx->user_ip4 = told.client.word[0];
  ctx->user_port = told.port;
  count(COUNTER_uoa_send_ok);
  return 1;
}

/* ::ffff:a.b.c.d comes to sendmsg4. */
SEC("cgroup/sendmsg6")
int agent_udp_sendmsg6(struct bpf_sock_addr *ctx) {
  struct agent_udp_key key = {};
  struct told told = {};

  read_name6(ctx, &key);
  if (key.family != 6 || !way_to(ctx, &key, &told))
    return 1;
  write_name6(ctx, 6, &told.client, told.port);
  count(COUNTER_uoa_send_ok);
  return 1;
}

/* --- who connects ------------------------------------------------------------------------------- */

STEP bool connects(struct bpf_sock_addr *ctx, struct agent_udp_key *key, struct told *told) {
  struct agent_udp_peer peer = {.family = key->family, .client = key->remote};
  struct agent_udp_peer *kept;
  struct bpf_sock *sk = ctx->sk;

  if (!sk || ctx->type != SOCKET_DATAGRAM)
    return false;
  if (!way_to(ctx, key, told)) {
    bpf_sk_storage_delete(&udp_connected, sk); /* what it was connected to before */
    return false;
  }
  peer.client_port = key->remote_port;
  peer.remote = told->client;
  peer.remote_port = told->port;
  kept = bpf_sk_storage_get(&udp_connected, sk, &peer, BPF_SK_STORAGE_GET_F_CREATE);
  if (!kept) {
    count(COUNTER_storage_failed);
    return true;
  }
  *kept = peer;
  count(COUNTER_uoa_connect_ok);
  return true;
}

SEC("cgroup/connect4")
int agent_udp_connect4(struct bpf_sock_addr *ctx) {
  struct agent_udp_key key = {.family = 4};
  struct told told = {};

  key.remote.word[0] = ctx->user_ip4;
  if (!connects(ctx, &key, &told))
    return 1;
  ctx->user_ip4 = told.client.word[0];
  ctx->user_port = told.port;
  return 1;
}

SEC("cgroup/connect6")
int agent_udp_connect6(struct bpf_sock_addr *ctx) {
  struct agent_udp_key key = {};
  struct told told = {};

  read_name6(ctx, &key);
  if (connects(ctx, &key, &told))
    write_name6(ctx, key.family, &told.client, told.port);
  return 1;
}

STEP bool peer_of(struct bpf_sock_addr *ctx, struct agent_udp_key *key, struct told *told) {
  struct bpf_sock *sk = ctx->sk;

  if (!sk || ctx->type != SOCKET_DATAGRAM)
    return false;
  key->remote_port = (__be16)ctx->user_port;
  return connected_to(sk, key, told);
}

SEC("cgroup/getpeername4")
int agent_udp_getpeername4(struct bpf_sock_addr *ctx) {
  struct agent_udp_key key = {.family = 4};
  struct told told = {};

  key.remote.word[0] = ctx->user_ip4;
  if (!peer_of(ctx, &key, &told))
    return 1;
  ctx->user_ip4 = told.client.word[0];
  ctx->user_port = told.port;
  return 1;
}

SEC("cgroup/getpeername6")
int agent_udp_getpeername6(struct bpf_sock_addr *ctx) {
  struct agent_udp_key key = {};
  struct told told = {};

  read_name6(ctx, &key);
  if (peer_of(ctx, &key, &told))
    write_name6(ctx, key.family, &told.client, told.port);
  return 1;
}

char licence[] SEC("license") = "Dual MIT/GPL";
