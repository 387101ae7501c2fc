/* SPDX-License-Identifier: MIT
 *
 * For test_order_kept.py: a viaductd one of whose workers is slow, so that packets wait in its queue.
 * Loaded into it (LD_PRELOAD), it has the first thread that reads by syscall() rest after each packet.
 * With REFUSE_STEERING it is also a kernel that takes no steering program for a tun.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

enum { REST = 1500000 /* ns */ };

long syscall(long number, ...) {
  static long (*kernel)(long, ...);
  static int threads;
  static __thread int mine;
  long a[6], result;
  va_list list;

  va_start(list, number);
  for (int i = 0; i < 6; i++)
    a[i] = va_arg(list, long);
  va_end(list);
  if (!kernel)
    kernel = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  result = kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (number == SYS_read && !mine)
    mine = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
  if (number == SYS_read && mine == 1 && result > 0)
    nanosleep(&(struct timespec){.tv_nsec = REST}, NULL);
  return result;
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*kernel)(int, unsigned long, ...);
  va_list list;
  void *argument;

  va_start(list, request);
  argument = va_arg(list, void *);
  va_end(list);
  if (request == TUNSETSTEERINGEBPF && getenv("REFUSE_STEERING")) {
    errno = EINVAL;
    return -1;
  }
  if (!kernel)
    kernel = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
  return kernel(fd, request, argument);
}
