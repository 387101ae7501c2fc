/* SPDX-License-Identifier: MIT */
#include "tables_buckets_beaten.h"

#include "datapath/native/atomic.h"
#include "datapath/native/target.h"

#include <stdbool.h>
#include <stddef.h>

__u32 beats = 0;

/* The list's head is the only field of eight bytes that is changed this way. */
static bool beaten(size_t size) {
  return size == sizeof(__u64) && beats && beats--;
}

#undef SWAP_IF
#define SWAP_IF(field, old, new)                                                                   \
  ({                                                                                               \
    __typeof__(field) expected_ = (old);                                                           \
    !beaten(sizeof(field)) && __atomic_compare_exchange_n(&(field), &expected_, new, false,        \
                                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);     \
  })

struct bucket_table {
  struct port_entry *entries;
  __u32 most;
};

#define PUBLISH(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELEASE)
#define BUCKET_AT(table, index) ((struct bucket *)((void)(table), (void)(index), NULL))
#define ENTRY_AT(table, index)                                                                     \
  ((index) < (table)->most ? &(table)->entries[index].head : (struct entry_head *)NULL)

#include "datapath/bucket_table.h"

__u32 beaten_take(struct port_entry *entries, __u32 most, struct table_pool *pool) {
  const struct bucket_table table = {entries, most};

  return pool_take(&table, pool, most);
}

void beaten_give_back(struct port_entry *entries, __u32 most, struct table_pool *pool,
                      __u32 index) {
  const struct bucket_table table = {entries, most};

  pool_give_back(&table, pool, index);
}
