// SPDX-License-Identifier: MIT
//
// The list of free entries (datapath/bucket_table.h) where others are always faster: for as many compare-and-swaps of its
// head as `beats` says, then no more.
#pragma once

#include "datapath/types.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

extern __u32 beats;

/* Over `most` entries. */
__u32 beaten_take(struct port_entry *entries, __u32 most, struct table_pool *pool);
void beaten_give_back(struct port_entry *entries, __u32 most, struct table_pool *pool, __u32 index);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif
