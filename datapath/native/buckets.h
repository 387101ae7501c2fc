/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The BPF build's tables (bucket_table.h) for who has their memory before him: the daemon, which finds and dumps, and
 * tests, which put entries in before a run.
 */
#ifndef VIADUCT_DATAPATH_BUCKETS_H
#define VIADUCT_DATAPATH_BUCKETS_H

#include "datapath/types.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

/* Where the two arrays are, a piece at a time: what is returned is good until the next call of the same function.
 * NULL: it cannot be had. */
struct buckets_view {
  void *context;
  struct bucket *(*bucket)(void *context, __u32 index);
  struct entry_head *(*entry)(void *context, __u32 index);
};

/* The entry of a key of so many 32-bit words, or NULL; good until the next call of view->entry. */
const struct entry_head *buckets_find(const struct buckets_view *view,
                                      const struct table_shape *shape, const void *key,
                                      __u32 words);

/* A new entry for the key, which buckets_publish makes visible; NULL: it has one, or there is no room. */
struct entry_head *buckets_claim(const struct buckets_view *view, const struct table_shape *shape,
                                 struct table_pool *pool, const void *key, __u32 words,
                                 __u32 *slot);
void buckets_publish(const struct buckets_view *view, struct entry_head *entry, __u32 slot);
void buckets_delete(const struct buckets_view *view, const struct table_shape *shape,
                    struct table_pool *pool, const void *key, __u32 words);

/* Where a key is at home, and the word of the slot that its entry has. */
struct key_place {
  __u32 home, other; /* indices of buckets */
  __u32 live;
};
struct key_place buckets_place(const struct table_shape *shape, const void *key, __u32 words);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
