/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * getsockopt(fd, IPPROTO_IP, 4096, struct toa_nat64_peer): the IPv6 client of an IPv4 connection, which
 * getpeername cannot tell. Answers, errors and their order are those of toa.ko: programs were written for them.
 *
 * An object of its own: attached, it is run at each getsockopt of each program, whatever it asks.
 */
#include "agent/bpf/maps.h"

enum {
  LEVEL_IP = 0,
  ANSWER_INVALID = -22,       /* EINVAL */
  ANSWER_FAULT = -14,         /* EFAULT */
  ANSWER_NOT_CONNECTED = -107 /* ENOTCONN */
};

STEP int refuse(int number) {
  count(COUNTER_nat64_getsockopt_miss);
  bpf_set_retval(number);
  return 1;
}

SEC("cgroup/getsockopt")
int agent_getsockopt(struct bpf_sockopt *ctx) {
  struct toa_nat64_peer *answer = ctx->optval;
  struct bpf_sock *sk = ctx->sk;
  struct agent_record *record;

  if (ctx->level != LEVEL_IP || ctx->optname != TOA_SO_GET_LOOKUP || !sk ||
      sk->type != SOCKET_STREAM)
    return 1;
  if (ctx->optlen < (int)sizeof *answer || (void *)(answer + 1) > ctx->optval_end)
    return refuse(ANSWER_INVALID);
  if (sk->state == BPF_TCP_CLOSE || sk->state == BPF_TCP_SYN_SENT || sk->state == BPF_TCP_LISTEN)
    return refuse(ANSWER_NOT_CONNECTED);
  record = believed_record_of(ctx, sk);
  if (!record)
    return refuse(ANSWER_INVALID);
  if (record->toa.family != 6 || sk->family != FAMILY_IP4)
    return refuse(ANSWER_FAULT);
  answer->address = record->toa.client;
  answer->port = record->toa.client_port ? record->toa.client_port : sk->dst_port;
  answer->pad[0] = 0;
  answer->pad[1] = 0;
  ctx->optlen = sizeof *answer;
  /* The compiler must not make one store of two: the verifier refuses that. */
  __asm__ volatile("" ::: "memory");
  ctx->retval = 0;
  count(COUNTER_nat64_getsockopt_ok);
  return 1;
}

char licence[] SEC("license") = "Dual MIT/GPL";
