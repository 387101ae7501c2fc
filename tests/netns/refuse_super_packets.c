/* SPDX-License-Identifier: MIT
 *
 * For test_super_packets_refused.py: a kernel that hands out super-packets and does not take them
 * back. Loaded into viaductd (LD_PRELOAD), it refuses every write that begins with a virtio_net_hdr
 * of one; the rest goes to the kernel.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>

enum { VNET_HEADER = 10, GSO_TYPE = 1 };

long syscall(long number, ...) {
  static long (*kernel)(long, ...);
  long a[6];
  va_list list;

  va_start(list, number);
  for (int i = 0; i < 6; i++)
    a[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_write && a[2] > VNET_HEADER && ((const unsigned char *)a[1])[GSO_TYPE] != 0) {
    errno = EINVAL;
    return -1;
  }
  if (!kernel)
    kernel = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
