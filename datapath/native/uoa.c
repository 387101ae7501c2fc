/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "datapath/native/uoa.h"

enum uoa_outcome native_uoa_take_off(struct uoa_head *head, __u32 length) {
  struct uoa_walk walk;

  return uoa_take_off(head, length, &walk);
}

enum toa_outcome native_uoa_find(const struct uoa_head *head, struct toa *found, __u32 *udp) {
  struct uoa_walk walk;
  __u32 from = 0;

  *udp = uoa_options(head, &from);
  return *udp ? uoa_find(head, from, *udp, &walk, found) : TOA_NONE;
}
