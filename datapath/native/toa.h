/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The search of datapath/toa.h as a function, for whoever is not restricted C.
 */
#ifndef VIADUCT_DATAPATH_NATIVE_TOA_H
#define VIADUCT_DATAPATH_NATIVE_TOA_H

#include "datapath/toa.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum toa_outcome native_toa_find(const struct toa_header *header, const struct toa_kinds *kinds,
                                 struct toa *found);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
