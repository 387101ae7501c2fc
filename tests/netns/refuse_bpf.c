/* SPDX-License-Identifier: MIT
 *
 * For test_kernel_refuses.py and test_agent_kernel_refuses.py: a kernel that refuses one thing that the BPF engine
 * or the agent needs. Loaded into viaductd or viaduct-agent (LD_PRELOAD); REFUSE says what:
 *   program  the verifier does not take the program for tc, and says why
 *   maps     there is no memory for large maps
 *   btf      it knows nothing of types (BTF)
 *   jit      it interprets programs, and none that has the kernel call back, as ours do in their loops
 *   filter   it has no filters of kind bpf (built without them)
 *   sockopt  no programs at getsockopt
 *   skb      none at a cgroup's packets
 *   iter     none that walk what the kernel has
 *   records  none that walk what a map has, by the name of the agent's
 *   sockname none can be attached at getsockname
 * The rest goes to the kernel.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { LARGE = 10000 };

static int is_refused(const char *what) {
  const char *refused = getenv("REFUSE");

  return refused && strcmp(refused, what) == 0;
}

/* As the verifier finds it where net.core.bpf_jit_enable is 0. */
static int calls_back(const union bpf_attr *request) {
  const struct bpf_insn *program = (const struct bpf_insn *)(uintptr_t)request->insns;

  for (uint32_t i = 0; i < request->insn_cnt; i++)
    if (program[i].code == (BPF_LD | BPF_IMM | BPF_DW) && program[i].src_reg == BPF_PSEUDO_FUNC)
      return 1;
  return 0;
}

static int refuse_program(const union bpf_attr *request, const char *why, int code) {
  if (request->log_buf && request->log_size)
    snprintf((char *)(uintptr_t)request->log_buf, request->log_size, "%s", why);
  return code;
}

static int refused_program(const union bpf_attr *request) {
  if (request->prog_type == BPF_PROG_TYPE_SCHED_CLS && is_refused("program"))
    return refuse_program(request, "R7 is not what it should be\n", EACCES);
  if (is_refused("jit") && calls_back(request))
    return refuse_program(request, "callbacks are not allowed in non-JITed programs\n", EINVAL);
  if (request->prog_type == BPF_PROG_TYPE_CGROUP_SOCKOPT && is_refused("sockopt"))
    return EINVAL;
  if (request->prog_type == BPF_PROG_TYPE_CGROUP_SKB && is_refused("skb"))
    return EINVAL;
  if (request->expected_attach_type == BPF_TRACE_ITER && is_refused("iter"))
    return EINVAL;
  if (strcmp(request->prog_name, "agent_view") == 0 && is_refused("records"))
    return EPERM;
  return 0;
}

static int refusal(long command, const union bpf_attr *request) {
  if (command == BPF_PROG_LOAD)
    return refused_program(request);
  if (command == BPF_LINK_CREATE &&
      request->link_create.attach_type == BPF_CGROUP_INET6_GETSOCKNAME && is_refused("sockname"))
    return EINVAL;
  if (command == BPF_MAP_CREATE && request->max_entries > LARGE && is_refused("maps"))
    return ENOMEM;
  if (command == BPF_BTF_LOAD && is_refused("btf"))
    return EINVAL;
  return 0;
}

long syscall(long number, ...) {
  static long (*kernel)(long, ...);
  long a[6];
  va_list list;

  va_start(list, number);
  for (int i = 0; i < 6; i++)
    a[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_bpf) {
    errno = refusal(a[0], (const union bpf_attr *)a[1]);
    if (errno)
      return -1;
  }
  if (!kernel)
    kernel = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ssize_t send(int socket, const void *bytes, size_t size, int flags) {
  static ssize_t (*kernel)(int, const void *, size_t, int);
  const struct nlmsghdr *message = bytes;

  if (size >= sizeof *message && message->nlmsg_len == size &&
      message->nlmsg_type == RTM_NEWTFILTER && is_refused("filter")) {
    errno = EOPNOTSUPP;
    return -1;
  }
  if (!kernel)
    kernel = (ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");
  return kernel(socket, bytes, size, flags);
}
