/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * getsockopt(fd, IPPROTO_IP, 2048, struct uoa_param_map): who is behind an address that a datagram came from. Answers
 * and errors are those of DPVS's uoa.ko.
 *
 * The question lies in the caller's memory, and the kernel does not copy it for an option that it does not know. It is
 * read from there by the register that holds the system call's fourth argument: on x86-64 only, and by whoever may
 * read a process's memory (CAP_PERFMON).
 *
 * A program may ask about the load balancer or, since receiving has told it already, about the client: he is
 * himself.
 */
#include "agent/bpf/udp.h"

#define OF_THE_KERNEL __attribute__((preserve_access_index))

/* Of x86-64, by name. */
struct pt_regs {
  unsigned long r10;
  unsigned long dx;
  unsigned long si;
  unsigned long orig_ax;
} OF_THE_KERNEL;

enum {
  LEVEL_IP = 0,
  CALL_GETSOCKOPT = 55,
  ANSWER_FAULT = -14, /* EFAULT */
  ANSWER_NONE = -2,   /* ENOENT */
};

STEP int refuse(int number) {
  count(COUNTER_uoa_getsockopt_miss);
  bpf_set_retval(number);
  return 1;
}

/* What the caller asks; false: it cannot be read. */
STEP bool read_question(struct uoa_param_map *question) {
  struct task_struct *task = bpf_get_current_task_btf();
  struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(task);

  if (registers->orig_ax != CALL_GETSOCKOPT || (int)registers->si != LEVEL_IP ||
      (int)registers->dx != UOA_SO_GET_LOOKUP)
    return false; /* asked through something else, such as io_uring */
  return bpf_probe_read_user(question, sizeof *question, (void *)registers->r10) == 0;
}

STEP bool read_key(const struct uoa_param_map *question, struct agent_udp_key *key) {
  __u32 family = question->family[0] | question->family[1]; /* of either order, one is zero */

  if (family == FAMILY_IP4) {
    key->family = 4;
    __builtin_memcpy(&key->remote.word[0], question->source, 4);
    __builtin_memcpy(&key->local.word[0], question->destination, 4);
  } else {
    key->family = 6;
    __builtin_memcpy(&key->remote, question->source, 16);
    __builtin_memcpy(&key->local, question->destination, 16);
  }
  __builtin_memcpy(&key->remote_port, question->source_port, 2);
  key->local_port_host =
      (__u16)(question->destination_port[0] << 8 | question->destination_port[1]);
  return family == FAMILY_IP4 || family == FAMILY_IP6;
}

/* Under the address that was asked for, under none, or under the socket's own. */
STEP void *find_flow(void *map, const struct agent_udp_key *asked, struct bpf_sock *sk) {
  struct agent_udp_key key = *asked;
  void *found = look_up(map, &key);

  if (found)
    return found;
  local_of(sk, &key);
  key.local_port_host = asked->local_port_host;
  return bpf_map_lookup_elem(map, &key);
}

SEC("cgroup/getsockopt")
int agent_udp_getsockopt(struct bpf_sockopt *ctx) {
  struct uoa_param_map *answer = ctx->optval;
  struct bpf_sock *sk = ctx->sk;
  struct uoa_param_map question = {};
  struct agent_udp_key key = {};
  struct agent_udp_flow *flow;
  struct agent_udp_way *way;
  __u64 now;

  /* Others have used the number with other lengths. */
  if (ctx->level != LEVEL_IP || ctx->optname != UOA_SO_GET_LOOKUP || !sk ||
      ctx->optlen != sizeof *answer || (void *)(answer + 1) > ctx->optval_end)
    return 1;
  if (!read_question(&question))
    return refuse(ANSWER_FAULT);
  if (!read_key(&question, &key))
    return refuse(ANSWER_NONE);
  key.scope = bpf_get_netns_cookie(ctx);
  now = bpf_ktime_get_ns();
  flow = find_flow(&udp_flows, &key, sk);
  if (flow && !flow->contested && now - flow->seen <= IDLE) {
    question.real_family[0] = flow->family == 4 ? FAMILY_IP4 : FAMILY_IP6;
    __builtin_memcpy(question.real_source, &flow->client, 16);
    __builtin_memcpy(question.real_source_port, &flow->client_port, 2);
  } else {
    way = find_flow(&udp_clients, &key, sk);
    if (!way || now - way->seen > IDLE)
      return refuse(ANSWER_NONE);
    question.real_family[0] = key.family == 4 ? FAMILY_IP4 : FAMILY_IP6;
    __builtin_memcpy(question.real_source, question.source, 16);
    __builtin_memcpy(question.real_source_port, question.source_port, 2);
  }
  question.real_family[1] = 0;
  *answer = question;
  ctx->optlen = sizeof *answer;
  /* The compiler must not make one store of two: the verifier refuses that. */
  __asm__ volatile("" ::: "memory");
  ctx->retval = 0;
  count(COUNTER_uoa_getsockopt_ok);
  return 1;
}

char licence[] SEC("license") = "Dual MIT/GPL";
