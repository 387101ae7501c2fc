/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The steps of datapath/uoa.h as functions, for whoever is not restricted C.
 */
#ifndef VIADUCT_DATAPATH_NATIVE_UOA_H
#define VIADUCT_DATAPATH_NATIVE_UOA_H

#include "datapath/uoa.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum uoa_outcome native_uoa_take_off(struct uoa_head *head, __u32 length);

/* What a datagram's options say; *udp: where its UDP header begins, 0 where there are none. */
enum toa_outcome native_uoa_find(const struct uoa_head *head, struct toa *found, __u32 *udp);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
