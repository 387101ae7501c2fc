/* SPDX-License-Identifier: MIT
 *
 * For test_offloads_missing.py: a kernel that gives a tun no offload but those of the mask GIVEN (TUN_F_*, a
 * number), and answers TUNSETOFFLOAD with the error REFUSAL (a number) where others are asked for. Loaded into
 * viaductd (LD_PRELOAD); the rest goes to the kernel. With GIVEN=-1 it takes not even a mask of none.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int ioctl(int fd, unsigned long request, ...) {
  static int (*kernel)(int, unsigned long, ...);
  va_list list;
  void *argument;

  va_start(list, request);
  argument = va_arg(list, void *);
  va_end(list);
  if (request == TUNSETOFFLOAD) {
    long given = atol(getenv("GIVEN"));

    if (given < 0 || ((uintptr_t)argument & ~(unsigned long)given) != 0) {
      errno = atoi(getenv("REFUSAL"));
      return -1;
    }
  }
  if (!kernel)
    kernel = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
  return kernel(fd, request, argument);
}
