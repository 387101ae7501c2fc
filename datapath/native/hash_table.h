/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A hash table of fixed capacity for the native build: what bucket_table.h is for the other one, which has
 * no epochs and must pass a verifier.
 *
 *  - All memory is taken when the table is made; insert says FULL, it never allocates.
 *  - Hashing is keyed (SipHash-1-3 under a random key): who chooses tuples cannot choose buckets.
 *  - Lookup takes no lock. Insert and remove lock one stripe of buckets for a moment.
 *  - A removed entry keeps its memory until every thread that may hold it has let go (epochs,
 * below), so a pointer from table_find is good until the caller's table_leave.
 *
 * Threads: each has a struct reader, registered once; find, insert and remove only between enter
 * and leave. table_reclaim is called by one thread, from time to time.
 */
#ifndef VIADUCT_DATAPATH_HASH_TABLE_H
#define VIADUCT_DATAPATH_HASH_TABLE_H

#include "datapath/tables.h"
#include "datapath/types.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum { MAX_READERS = 256 };

/* Which reader has been inside since when. One for all tables of an engine. */
struct epochs {
  __u64 now __attribute__((aligned(64)));
  struct {
    __u64 since __attribute__((aligned(64))); /* epoch at entry; 0: outside */
    __u32 used;
  } reader[MAX_READERS];
};

struct table {
  __u32 capacity;
  __u32 key_size;
  __u32 value_size;
  __u32 entry_size;
  __u32 bucket_mask;
  __u32 in_use; /* entries in the table, without those that wait to be reclaimed */
  __u64 hash_key[2];
  __u32 *buckets; /* index + 1 of the first entry, 0: none */
  __u8 *entries;
  struct epochs *epochs;
  __u32 fresh;     /* entries never used so far; this and the lists are guarded by pool_lock */
  __u32 free_head; /* index + 1 */
  __u32 limbo_head;
  __u32 limbo_tail;
  int pool_lock;
  int *stripes;
};

void epochs_init(struct epochs *epochs);
int reader_register(struct epochs *epochs); /* its number, or -1 when there are MAX_READERS */
void reader_release(struct epochs *epochs, int reader);
void reader_enter(struct epochs *epochs, int reader);
void reader_leave(struct epochs *epochs, int reader);
/* Returns when everybody who is inside now has left; the caller must be outside. */
void epochs_wait(struct epochs *epochs);

bool table_init(struct table *table, struct epochs *epochs, __u32 capacity, __u32 key_size,
                __u32 value_size);
void table_free(struct table *table);
/* What such a table takes when it is full. */
size_t table_memory(__u32 capacity, __u32 key_size, __u32 value_size);

void *table_find(struct table *table, const void *key);
/* The same in steps, for several keys at once: each step has the processor fetch what the next one
 * reads. table_expect says the key's bucket. */
__u32 table_expect(struct table *table, const void *key);
void table_expect_entry(struct table *table, __u32 bucket);
void *table_find_in(struct table *table, __u32 bucket, const void *key);
enum insertion table_insert(struct table *table, const void *key, const void *value);
bool table_remove(struct table *table, const void *key);
bool table_has_room(struct table *table); /* for one more entry, at this moment */

/* Gives the memory of removed entries back, as far as nobody can hold them any more. */
void table_reclaim(struct table *table);

/* Walks all buckets from `cursor` (0 at first) and calls `visit` for each entry of some of them;
 * returns the next cursor, or 0 behind the last bucket. `visit` may remove the entry. */
typedef void (*table_visit)(void *context, const void *key, void *value);
__u64 table_walk(struct table *table, __u64 cursor, __u32 buckets, table_visit visit,
                 void *context);

/* Zeroed memory that is touched only when it is used: a large ceiling costs nothing while tables are
 * small. In huge pages where the kernel has them: lookups go anywhere in it, and with small pages
 * each would miss the TLB, too. NULL: there is none; given back by munmap. */
void *memory_reserve(size_t size);

/* SipHash-1-3 (Aumasson, Bernstein: SipHash, 2012; one compression and three final rounds). */
__u64 siphash(const __u64 key[2], const __u8 *bytes, __u32 length);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
