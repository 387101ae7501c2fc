/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "datapath/native/uoa.h"

static const struct toa_kinds kinds = {.lengths[UOA_KIND] =
                                           1ULL << TOA_LENGTH_IP4 | 1ULL << TOA_LENGTH_IP6};

enum uoa_outcome native_uoa_take_off(struct uoa_head *head, __u32 length) {
  return uoa_take_off(head, length, &kinds);
}

enum toa_outcome native_uoa_find(const struct uoa_head *head, struct toa *found, __u32 *udp) {
  struct toa_header options = {};

  *udp = uoa_options(head, &options);
  return *udp ? toa_find(&options, &kinds, found) : TOA_NONE;
}
