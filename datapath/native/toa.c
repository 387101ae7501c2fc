/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "datapath/native/toa.h"

enum toa_outcome native_toa_find(const struct toa_header *header, const struct toa_kinds *kinds,
                                 struct toa *found) {
  return toa_find(header, kinds, found);
}
