/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "datapath/native/buckets.h"

#include "datapath/native/atomic.h"
#include "datapath/native/target.h"

struct bucket_table {
  const struct buckets_view *view;
};

#define PUBLISH(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELEASE)
#define BUCKET_AT(table, index) (table)->view->bucket((table)->view->context, index)
#define ENTRY_AT(table, index) (table)->view->entry((table)->view->context, index)

#include "datapath/bucket_table.h"

const struct entry_head *buckets_find(const struct buckets_view *view,
                                      const struct table_shape *shape, const void *key,
                                      __u32 words) {
  const struct bucket_table table = {view};
  __u32 found = bucket_table_find(&table, shape, key, words);

  return found ? ENTRY_AT(&table, found - 1) : NULL;
}

struct entry_head *buckets_claim(const struct buckets_view *view, const struct table_shape *shape,
                                 struct table_pool *pool, const void *key, __u32 words,
                                 __u32 *slot) {
  const struct bucket_table table = {view};
  int claimed = bucket_table_claim(&table, shape, pool, key, words);

  if (claimed <= 0)
    return NULL;
  *slot = (__u32)claimed - 1;
  return bucket_table_entry(&table, *slot);
}

void buckets_publish(const struct buckets_view *view, struct entry_head *entry, __u32 slot) {
  const struct bucket_table table = {view};

  bucket_table_publish(&table, entry, slot);
}

void buckets_delete(const struct buckets_view *view, const struct table_shape *shape,
                    struct table_pool *pool, const void *key, __u32 words) {
  const struct bucket_table table = {view};

  bucket_table_delete(&table, shape, pool, key, words);
}

struct key_place buckets_place(const struct table_shape *shape, const void *key, __u32 words) {
  struct table_place place = bucket_table_place(shape, (const __u32 *)key, words);

  return (struct key_place){place.home, place.other, place.tag | SLOT_LIVE};
}
