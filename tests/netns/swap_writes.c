/* SPDX-License-Identifier: MIT
 *
 * For test_order_kept.py: a viaductd that does not keep the order of packets. Loaded into it
 * (LD_PRELOAD), it keeps every 50th packet that a thread writes back until the 40th after it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

enum { EVERY = 50, LATER = 40, LARGEST = 66000 };

long syscall(long number, ...) {
  static long (*kernel)(long, ...);
  static __thread unsigned char kept[LARGEST];
  static __thread long kept_size, count;
  long a[6], result;
  va_list list;

  va_start(list, number);
  for (int i = 0; i < 6; i++)
    a[i] = va_arg(list, long);
  va_end(list);
  if (!kernel)
    kernel = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  if (number == SYS_write && ++count % EVERY == 0 && a[2] <= LARGEST) {
    memcpy(kept, (const void *)a[1], (size_t)a[2]);
    return kept_size = a[2];
  }
  result = kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (number == SYS_write && kept_size && count % EVERY == LATER) {
    kernel(number, a[0], kept, kept_size, 0, 0, 0);
    kept_size = 0;
  }
  return result;
}
