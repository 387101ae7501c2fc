/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The client's address, from the handshake to whoever asks.
 *
 *   a program listens      keep SYNs for us
 *   a connection is made   the option in its SYN and in the packet that completed the handshake; if there is
 *                          none, look at headers until the first data has come, whoever sends: a stranger's option
 *                          is not believed, and shown
 *   its first data         the last chance
 *   accept, getpeername    the client instead of the load balancer
 *   getsockname            where asked for: the address that the client had asked for, if the option has it
 *
 * A record lies in the socket and goes with it. Sockets without an option have none, nor anything else that would have
 * to be allocated: they cost a walk over the SYN when they are made and a lookup that finds nothing when somebody asks.
 * The packet that completes the handshake has no options or timestamps alone, mostly, which is seen at once.
 *
 * Other programs may sit on the same hooks. Of the flags in a socket we add one and take away only what we have
 * added: WAITING says whether it was us.
 */
#include "agent/bpf/scope.h"
#include "agent/bpf/senders.h"

/* Of the kernel's interface (linux/tcp.h, linux/in.h, asm/socket.h), which collide with each other here. */
enum { LEVEL_TCP = 6, OPTION_SAVE_SYN = 27 };

/* TCP_SAVE_SYN of a socket that listens says whether its SYNs are kept; one of a connection is what that had, and means
 * nothing. So it can tell whether we wait for a connection's first data by a flag that we have added. It is not what a
 * connection is born with: that is 1 if we have asked for SYNs, and one that was made while we were not asked (another
 * scope, no agent) is not waited for. Only whoever has asked for SYNs with their link headers himself has connections that
 * are born so: their sender counts, as everybody's. Socket storage would say the same, for two allocations and as many
 * grace periods of every connection without a TOA. */
enum { NOT_WAITING = 0, WAITING = 2 };

/* Connections that wait by a flag that another program had added before us, or for more than the first data because that came
 * with the SYN; and all, where the kernel (before 6.1) does not let a program note the above. */
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct agent_waiting);
} waiting SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct toa_kinds);
} kinds SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 256);
  __type(key, __u32);
  __type(value, __u64);
} by_kind SEC(".maps");

/* --- who says so -------------------------------------------------------------------------------- */

/* An IPv4 peer of a dual-stack socket is an IPv4 sender. */
STEP bool sender_is_listed(struct bpf_sock_ops *skops) {
  struct address sender = {};

  if (skops->family == FAMILY_IP4)
    return is_listed4(skops->remote_ip4);
  sender.word[0] = skops->remote_ip6[0];
  sender.word[1] = skops->remote_ip6[1];
  sender.word[2] = skops->remote_ip6[2];
  sender.word[3] = skops->remote_ip6[3];
  return is_mapped(&sender) ? is_listed4(sender.word[3]) : is_listed6(&sender);
}

/* --- headers ------------------------------------------------------------------------------------ */

/* Length of the TCP header of the packet at hand; 0: there is none. */
STEP __u32 header_length(struct bpf_sock_ops *skops) {
  const __u8 *data = skops->skb_data;
  const __u8 *end = skops->skb_data_end;

  if (data + TOA_FIRST_OPTION > end)
    return 0;
  return (__u32)(data[12] >> 4) * 4;
}

/* No options, or timestamps alone as they usually come (RFC 7323, appendix A): none of the kinds that can be
 * configured. */
STEP bool is_plain(struct bpf_sock_ops *skops) {
  const __u8 *data = skops->skb_data;
  const __u8 *end = skops->skb_data_end;
  __u32 length = header_length(skops), first;

  if (length == TOA_FIRST_OPTION)
    return true;
  if (length != TOA_FIRST_OPTION + 12 || data + TOA_FIRST_OPTION + 12 > end)
    return false;
  __builtin_memcpy(&first, data + TOA_FIRST_OPTION, sizeof first);
  return first == bpf_htonl(0x0101080a); /* NOP, NOP, 8/10 */
}

/* The TCP header of the packet at hand, word by word. */
STEP bool read_header(struct bpf_sock_ops *skops, struct toa_header *header) {
  const __u8 *data = skops->skb_data;
  const __u8 *end = skops->skb_data_end;
  __u32 i;

  if (data + TOA_FIRST_OPTION > end)
    return false;
  __builtin_memcpy(header->byte, data, TOA_FIRST_OPTION);
  for (i = TOA_FIRST_OPTION; i < TOA_LONGEST_HEADER; i += 4) {
    if (data + i + 4 > end)
      break;
    __builtin_memcpy(&header->byte[i], data + i, 4);
  }
  return true;
}

/* The TCP header of the SYN, if the kernel has kept it: not under SYN cookies, nor for listeners older than us. */
STEP bool read_syn(struct bpf_sock_ops *skops, struct toa_header *header) {
  return bpf_getsockopt(skops, LEVEL_TCP, TCP_BPF_SYN, header->byte, TOA_LONGEST_HEADER) > 0;
}

/* A function with external linkage is verified once, by itself, and not along each way that leads to it. */
__attribute__((noinline)) int find(const struct toa_header *header, struct toa *found) {
  __u32 zero = 0;
  struct toa_kinds *table = bpf_map_lookup_elem(&kinds, &zero);

  if (!table || !header || !found)
    return TOA_NONE;
  return toa_find(header, table, found);
}

/* `header` is room for it; of a program's 512 bytes of stack it is much. */
STEP int find_in_packet(struct bpf_sock_ops *skops, struct toa_header *header, struct toa *found) {
  __builtin_memset(header, 0, sizeof *header);
  return read_header(skops, header) ? find(header, found) : TOA_NONE;
}

/* --- records ------------------------------------------------------------------------------------ */

STEP void count_verdict(enum agent_verdict verdict) {
  switch (verdict) {
  case VERDICT_UNTRUSTED:
    return count(COUNTER_untrusted_sender);
  case VERDICT_MALFORMED:
    return count(COUNTER_malformed);
  case VERDICT_CONTRADICTING:
    return count(COUNTER_contradicting);
  case VERDICT_IMPLAUSIBLE:
    return count(COUNTER_implausible);
  case VERDICT_AMBIGUOUS:
    return count(COUNTER_ambiguous);
  case VERDICT_BELIEVED:
    return;
  }
}

STEP enum agent_verdict verdict_of(int outcome) {
  switch (outcome) {
  case TOA_FOUND:
    return VERDICT_BELIEVED;
  case TOA_CONTRADICTS:
    return VERDICT_CONTRADICTING;
  case TOA_IMPLAUSIBLE:
    return VERDICT_IMPLAUSIBLE;
  case TOA_AMBIGUOUS:
    return VERDICT_AMBIGUOUS;
  default:
    return VERDICT_MALFORMED;
  }
}

STEP void count_found(struct agent_record *record) {
  __u32 kind = record->toa.kind;
  __u64 *value = bpf_map_lookup_elem(&by_kind, &kind);

  if (value)
    (*value)++;
  if (record->source == SOURCE_SYN)
    count(COUNTER_source_syn);
  else if (record->source == SOURCE_ACK)
    count(COUNTER_source_ack);
  else
    count(COUNTER_late_found);
}

/* Programs hold an MPTCP connection by another socket than the one at hand, with the same addresses. What an earlier
 * connection has left under them must not be taken for this one's. Only headers with an option of MPTCP make such a
 * connection, or some that could not be walked to their end: the table is left alone for all others. */
STEP void forget_tuple(struct bpf_sock_ops *skops, struct bpf_sock *sk) {
  struct agent_tuple tuple = {};

  tuple_of(sk, bpf_get_netns_cookie(skops), &tuple);
  bpf_map_delete_elem(&by_tuple, &tuple);
}

STEP void keep_by_tuple(struct bpf_sock *sk, struct agent_record *record, int outcome) {
  struct agent_tuple tuple = {};

  if (!record->toa.multipath && outcome != TOA_MALFORMED)
    return;
  tuple_of(sk, record->network_namespace, &tuple);
  if (!record->toa.multipath)
    bpf_map_delete_elem(&by_tuple, &tuple);
  else if (bpf_map_update_elem(&by_tuple, &tuple, record, BPF_ANY) != 0)
    count(COUNTER_storage_failed);
}

STEP bool keep(struct bpf_sock *sk, struct agent_record *record) {
  if (!bpf_sk_storage_get(&connections, sk, record, BPF_SK_STORAGE_GET_F_CREATE)) {
    count(COUNTER_storage_failed);
    return false;
  }
  count_verdict(record->verdict);
  if (record->verdict == VERDICT_BELIEVED)
    count_found(record);
  return true;
}

/* --- events ------------------------------------------------------------------------------------- */

/* A program that has asked for SYNs itself may have asked for more of them. */
STEP void listening_begins(struct bpf_sock_ops *skops) {
  int one = 1, now = 0;

  if (bpf_getsockopt(skops, LEVEL_TCP, OPTION_SAVE_SYN, &now, sizeof now) == 0 && now != 0)
    return;
  bpf_setsockopt(skops, LEVEL_TCP, OPTION_SAVE_SYN, &one, sizeof one);
}

/* What a packet with options says beside the SYN: if both have one of ours, both must say the same. That a SYN's may be a
 * Fast Open cookie does not matter then: no cookie says what a later TOA says. It does where they differ, and not only for
 * the cookie: a client that may choose port 63881 must not make room for a TOA of his own behind it. */
STEP int add_packet(struct bpf_sock_ops *skops, struct toa_header *header, int outcome,
                    struct agent_record *record) {
  struct toa in_ack = {};
  int from_ack = find_in_packet(skops, header, &in_ack);

  record->toa.multipath |= in_ack.multipath;
  if (from_ack == TOA_NONE)
    return outcome;
  if (outcome == TOA_NONE) {
    in_ack.multipath = record->toa.multipath;
    record->toa = in_ack;
    record->source = SOURCE_ACK;
    return from_ack;
  }
  if (from_ack == TOA_FOUND && (outcome == TOA_FOUND || outcome == TOA_AMBIGUOUS) &&
      toa_same(&in_ack, &record->toa))
    return TOA_FOUND;
  if (from_ack == TOA_FOUND && outcome == TOA_FOUND)
    return TOA_CONTRADICTS;
  return outcome == TOA_FOUND ? from_ack : outcome;
}

STEP bool mark(struct bpf_sock_ops *skops, int wanted) {
  return bpf_setsockopt(skops, LEVEL_TCP, OPTION_SAVE_SYN, &wanted, sizeof wanted) == 0;
}

/* TCP Fast Open makes the connection with the SYN and its data, before the packet that would complete the handshake: of that
 * one the kernel shows no header, of the data behind it does. */
STEP __u16 data_in_syn(struct bpf_sock_ops *skops) {
  if (!(skops->skb_tcp_flags & TOA_FLAG_SYN))
    return 0;
  return (__u16)(skops->skb_len - header_length(skops));
}

STEP void wait_for_data(struct bpf_sock_ops *skops, struct bpf_sock *sk) {
  __u32 flags = skops->bpf_sock_ops_cb_flags;
  struct agent_waiting state = {.flag_was_set =
                                    (flags & BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG) != 0,
                                .data_in_syn = data_in_syn(skops)};

  if ((state.flag_was_set || state.data_in_syn || !mark(skops, WAITING)) &&
      !bpf_sk_storage_get(&waiting, sk, &state, BPF_SK_STORAGE_GET_F_CREATE)) {
    count(COUNTER_storage_failed);
    mark(skops, NOT_WAITING);
    return;
  }
  if (!state.flag_was_set)
    bpf_sock_ops_cb_flags_set(skops, flags | BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
}

STEP void connection_made(struct bpf_sock_ops *skops, struct bpf_sock *sk) {
  struct agent_record record = {};
  struct toa_header header = {};
  int outcome = read_syn(skops, &header) ? find(&header, &record.toa) : TOA_NONE;
  bool kept;

  if (outcome != TOA_NONE)
    record.source = SOURCE_SYN;
  if (!is_plain(skops))
    outcome = add_packet(skops, &header, outcome, &record);
  if (outcome == TOA_NONE) {
    count(COUNTER_syn_recv_sock_no_toa);
    if (record.toa.multipath)
      forget_tuple(skops, sk);
    wait_for_data(skops, sk);
    return;
  }
  record.network_namespace = bpf_get_netns_cookie(skops);
  record.verdict = sender_is_listed(skops) ? verdict_of(outcome) : VERDICT_UNTRUSTED;
  keep_by_tuple(sk, &record, outcome);
  kept = keep(sk, &record);
  if (!kept)
    mark(skops, NOT_WAITING);
  if (kept && record.verdict == VERDICT_BELIEVED)
    count(COUNTER_syn_recv_sock_toa);
  else
    count(COUNTER_syn_recv_sock_no_toa);
}

/* A connection with a record is not waited for, whatever it was born with. Linux before 6.1 does not tell. */
STEP bool is_marked(struct bpf_sock_ops *skops, struct bpf_sock *sk) {
  int found = NOT_WAITING;

  return bpf_getsockopt(skops, LEVEL_TCP, OPTION_SAVE_SYN, &found, sizeof found) == 0 &&
         found == WAITING && !bpf_sk_storage_get(&connections, sk, NULL, 0);
}

STEP void stop_waiting(struct bpf_sock_ops *skops, struct bpf_sock *sk,
                       struct agent_waiting *state) {
  if (!state || !state->flag_was_set)
    bpf_sock_ops_cb_flags_set(skops, skops->bpf_sock_ops_cb_flags &
                                         ~BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
  if (state)
    bpf_sk_storage_delete(&waiting, sk);
  mark(skops, NOT_WAITING);
}

/* Once a program may have read something, it must not be told another peer than before; but for what Fast Open brings, after
 * which the sender's first packet with a TOA may be to come. Who is listed is asked now: the list may be another than when
 * the connection was made. */
STEP void packet_came(struct bpf_sock_ops *skops, struct bpf_sock *sk) {
  struct agent_waiting *state = bpf_sk_storage_get(&waiting, sk, NULL, 0);
  struct agent_record record = {};
  struct toa_header header;
  __u64 in_syn = state ? state->data_in_syn : 0;
  int outcome = TOA_NONE;

  if (!state && !is_marked(skops, sk))
    return;
  if (skops->bytes_received <= in_syn && !is_plain(skops))
    outcome = find_in_packet(skops, &header, &record.toa);
  if (outcome != TOA_NONE) {
    record.network_namespace = bpf_get_netns_cookie(skops);
    record.source = SOURCE_DATA;
    record.verdict = sender_is_listed(skops) ? verdict_of(outcome) : VERDICT_UNTRUSTED;
    keep(sk, &record);
    keep_by_tuple(sk, &record, outcome);
  }
  if (outcome != TOA_NONE || skops->bytes_received > in_syn ||
      skops->skb_len > header_length(skops))
    stop_waiting(skops, sk, state);
}

STEP bool is_ours(struct bpf_sock_ops *skops) {
  return port_is_ours(skops->local_port) &&
         (!one_namespace_only() || namespace_is_ours(bpf_get_netns_cookie(skops)));
}

SEC("sockops")
int agent_sock_ops(struct bpf_sock_ops *skops) {
  struct bpf_sock *sk;

  if (skops->op != BPF_SOCK_OPS_TCP_LISTEN_CB && skops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
      skops->op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB)
    return 1;
  if (!is_ours(skops))
    return 1;
  if (skops->op == BPF_SOCK_OPS_TCP_LISTEN_CB) {
    listening_begins(skops);
    return 1;
  }
  sk = skops->sk;
  if (!sk)
    return 1;
  if (skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
    connection_made(skops, sk);
  else
    packet_came(skops, sk);
  return 1;
}

/* --- who asks ----------------------------------------------------------------------------------- */

STEP struct agent_record *record_for_name(struct bpf_sock_addr *ctx) {
  struct agent_record *record;

  if (ctx->type != SOCKET_STREAM || !ctx->sk)
    return NULL;
  record = believed_record_of(ctx, ctx->sk);
  if (!record)
    count(COUNTER_getname_toa_empty);
  return record;
}

SEC("cgroup/getpeername4")
int agent_getpeername4(struct bpf_sock_addr *ctx) {
  struct agent_record *record = record_for_name(ctx);

  if (!record)
    return 1;
  if (record->toa.family != 4) {
    count(COUNTER_getname_toa_mismatch);
    return 1;
  }
  ctx->user_ip4 = record->toa.client.word[0];
  if (record->toa.client_port)
    ctx->user_port = record->toa.client_port;
  count(COUNTER_getname_toa_ok);
  return 1;
}

SEC("cgroup/getpeername6")
int agent_getpeername6(struct bpf_sock_addr *ctx) {
  struct agent_record *record = record_for_name(ctx);

  if (!record)
    return 1;
  if (record->toa.family == 6) {
    ctx->user_ip6[0] = record->toa.client.word[0];
    ctx->user_ip6[1] = record->toa.client.word[1];
    ctx->user_ip6[2] = record->toa.client.word[2];
    ctx->user_ip6[3] = record->toa.client.word[3];
  } else { /* ::ffff:a.b.c.d, as the socket would show an IPv4 peer */
    ctx->user_ip6[0] = 0;
    ctx->user_ip6[1] = 0;
    ctx->user_ip6[2] = bpf_htonl(0xffff);
    ctx->user_ip6[3] = record->toa.client.word[0];
  }
  if (record->toa.client_port)
    ctx->user_port = record->toa.client_port;
  count(COUNTER_getname_toa_ok);
  return 1;
}

/* The address that the client had asked for; NULL: the option says nothing of it. */
STEP const struct toa *virtual_name(struct bpf_sock_addr *ctx) {
  struct agent_record *record;

  if (ctx->type != SOCKET_STREAM || !ctx->sk)
    return NULL;
  record = believed_record_of(ctx, ctx->sk);
  if (!record || !record->toa.virtual_.word[0] || !record->toa.virtual_port)
    return NULL;
  count(COUNTER_getsockname_ok);
  return &record->toa;
}

SEC("cgroup/getsockname4")
int agent_getsockname4(struct bpf_sock_addr *ctx) {
  const struct toa *toa = virtual_name(ctx);

  if (toa) {
    ctx->user_ip4 = toa->virtual_.word[0];
    ctx->user_port = toa->virtual_port;
  }
  return 1;
}

/* What we know of is IPv4's: ::ffff:a.b.c.d. */
SEC("cgroup/getsockname6")
int agent_getsockname6(struct bpf_sock_addr *ctx) {
  const struct toa *toa = virtual_name(ctx);

  if (toa) {
    ctx->user_ip6[0] = 0;
    ctx->user_ip6[1] = 0;
    ctx->user_ip6[2] = bpf_htonl(0xffff);
    ctx->user_ip6[3] = toa->virtual_.word[0];
    ctx->user_port = toa->virtual_port;
  }
  return 1;
}

char licence[] SEC("license") = "Dual MIT/GPL";
