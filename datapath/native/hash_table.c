/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "datapath/native/hash_table.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

enum { STRIPES = 1024, NOBODY = -1 };

/* An entry: this, then the key, then the value (8-aligned). */
struct entry {
  __u32 next;      /* index + 1 in the bucket's chain; readers may still follow it after removal */
  __u32 pool_next; /* index + 1 in the free or limbo list */
  __u64 retired;   /* epoch of removal */
};

/* --- locks: held for a few instructions, hardly ever contended -------------------------------- */

static void lock(int *word) {
  for (int spins = 0; __atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE); spins++)
    if (spins > 100)
      sched_yield();
}

static void unlock(int *word) {
  __atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

/* --- epochs -------------------------------------------------------------------------------------
 * A reader notes the epoch at which it came in. An entry is first taken out of its chain and then
 * stamped with the current epoch; a reader that came in at a later epoch cannot find it any more.
 */

void epochs_init(struct epochs *epochs) {
  memset(epochs, 0, sizeof *epochs);
  epochs->now = 1;
}

int reader_register(struct epochs *epochs) {
  for (int i = 0; i < MAX_READERS; i++) {
    __u32 expected = 0;
    if (__atomic_compare_exchange_n(&epochs->reader[i].used, &expected, 1, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED))
      return i;
  }
  return NOBODY;
}

void reader_release(struct epochs *epochs, int reader) {
  __atomic_store_n(&epochs->reader[reader].since, 0, __ATOMIC_RELEASE);
  __atomic_store_n(&epochs->reader[reader].used, 0, __ATOMIC_RELEASE);
}

void reader_enter(struct epochs *epochs, int reader) {
  __u64 now = __atomic_load_n(&epochs->now, __ATOMIC_SEQ_CST);

  /* Ordered before every look into a chain: either the reclaimer sees us, or we see its removal. */
  __atomic_exchange_n(&epochs->reader[reader].since, now, __ATOMIC_SEQ_CST);
}

void reader_leave(struct epochs *epochs, int reader) {
  __atomic_store_n(&epochs->reader[reader].since, 0, __ATOMIC_RELEASE);
}

/* The epoch before which everything that was removed is out of everybody's hands. */
static __u64 epochs_settled(struct epochs *epochs) {
  __u64 settled = __atomic_add_fetch(&epochs->now, 1, __ATOMIC_SEQ_CST);

  for (int i = 0; i < MAX_READERS; i++) {
    __u64 since = __atomic_load_n(&epochs->reader[i].since, __ATOMIC_SEQ_CST);
    if (since != 0 && since < settled)
      settled = since;
  }
  return settled;
}

void epochs_wait(struct epochs *epochs) {
  __u64 now = __atomic_add_fetch(&epochs->now, 1, __ATOMIC_SEQ_CST);

  for (int i = 0; i < MAX_READERS; i++)
    for (;;) {
      __u64 since = __atomic_load_n(&epochs->reader[i].since, __ATOMIC_SEQ_CST);
      if (since == 0 || since >= now)
        break;
      sched_yield();
    }
}

/* --- hashing ---------------------------------------------------------------------------------- */

static __u64 rotate(__u64 x, int bits) {
  return (x << bits) | (x >> (64 - bits));
}

static void sip_round(__u64 v[4]) {
  v[0] += v[1];
  v[1] = rotate(v[1], 13) ^ v[0];
  v[0] = rotate(v[0], 32);
  v[2] += v[3];
  v[3] = rotate(v[3], 16) ^ v[2];
  v[0] += v[3];
  v[3] = rotate(v[3], 21) ^ v[0];
  v[2] += v[1];
  v[1] = rotate(v[1], 17) ^ v[2];
  v[2] = rotate(v[2], 32);
}

__u64 siphash(const __u64 key[2], const __u8 *bytes, __u32 length) {
  __u64 v[4] = {0x736f6d6570736575ULL ^ key[0], 0x646f72616e646f6dULL ^ key[1],
                0x6c7967656e657261ULL ^ key[0], 0x7465646279746573ULL ^ key[1]};
  __u64 word;
  __u32 done = 0;

  for (; done + 8 <= length; done += 8) {
    memcpy(&word, bytes + done, 8);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
  }
  word = 0;
  memcpy(&word, bytes + done, length - done);
  word |= (__u64)length << 56;
  v[3] ^= word;
  sip_round(v);
  v[0] ^= word;
  v[2] ^= 0xff;
  sip_round(v);
  sip_round(v);
  sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static __u32 bucket_of(const struct table *table, const void *key) {
  return (__u32)siphash(table->hash_key, key, table->key_size) & table->bucket_mask;
}

/* --- entries ---------------------------------------------------------------------------------- */

static struct entry *entry_at(const struct table *table, __u32 index_plus_1) {
  return (struct entry *)(table->entries + (size_t)(index_plus_1 - 1) * table->entry_size);
}

static __u32 index_of(const struct table *table, const struct entry *entry) {
  return (__u32)(((const __u8 *)entry - table->entries) / table->entry_size) + 1;
}

static void *key_of(struct entry *entry) {
  return entry + 1;
}

static __u32 padded(__u32 size) {
  return (size + 7) & ~7U;
}

static void *value_of(const struct table *table, struct entry *entry) {
  return (__u8 *)(entry + 1) + padded(table->key_size);
}

static struct entry *entry_take(struct table *table) {
  struct entry *entry = NULL;

  lock(&table->pool_lock);
  if (table->free_head) {
    entry = entry_at(table, table->free_head);
    table->free_head = entry->pool_next;
  } else if (table->fresh < table->capacity) {
    entry = entry_at(table, ++table->fresh);
  }
  unlock(&table->pool_lock);
  return entry;
}

bool table_has_room(struct table *table) {
  bool room;

  lock(&table->pool_lock);
  room = table->free_head || table->fresh < table->capacity;
  unlock(&table->pool_lock);
  return room;
}

static void entry_give_back(struct table *table, struct entry *entry) {
  lock(&table->pool_lock);
  entry->pool_next = table->free_head;
  table->free_head = index_of(table, entry);
  unlock(&table->pool_lock);
}

/* Removed from its chain, perhaps still in somebody's hands: waits in the limbo list. */
static void entry_retire(struct table *table, struct entry *entry) {
  lock(&table->pool_lock);
  entry->retired = __atomic_load_n(&table->epochs->now, __ATOMIC_SEQ_CST);
  entry->pool_next = 0;
  if (table->limbo_tail)
    entry_at(table, table->limbo_tail)->pool_next = index_of(table, entry);
  else
    table->limbo_head = index_of(table, entry);
  table->limbo_tail = index_of(table, entry);
  unlock(&table->pool_lock);
}

void table_reclaim(struct table *table) {
  __u64 settled = epochs_settled(table->epochs);

  lock(&table->pool_lock);
  while (table->limbo_head) {
    __u32 index = table->limbo_head;
    struct entry *entry = entry_at(table, index);
    if (entry->retired >= settled)
      break;
    table->limbo_head = entry->pool_next;
    if (!table->limbo_head)
      table->limbo_tail = 0;
    entry->pool_next = table->free_head;
    table->free_head = index;
  }
  unlock(&table->pool_lock);
}

/* --- the table -------------------------------------------------------------------------------- */

void *memory_reserve(size_t size) {
  void *memory =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  if (memory == MAP_FAILED)
    return NULL;
  madvise(memory, size, MADV_HUGEPAGE);
  return memory;
}

static size_t entries_size(const struct table *table) {
  return (size_t)table->capacity * table->entry_size;
}

static size_t buckets_size(const struct table *table) {
  return ((size_t)table->bucket_mask + 1) * sizeof(__u32);
}

static void table_shape(struct table *table, __u32 capacity, __u32 key_size, __u32 value_size) {
  __u32 buckets = 16;

  memset(table, 0, sizeof *table);
  table->capacity = capacity;
  table->key_size = key_size;
  table->value_size = value_size;
  table->entry_size = (__u32)sizeof(struct entry) + padded(key_size) + padded(value_size);
  while (buckets < capacity && buckets < (1U << 30))
    buckets *= 2;
  table->bucket_mask = buckets - 1;
}

size_t table_memory(__u32 capacity, __u32 key_size, __u32 value_size) {
  struct table table;

  table_shape(&table, capacity, key_size, value_size);
  return entries_size(&table) + buckets_size(&table);
}

bool table_init(struct table *table, struct epochs *epochs, __u32 capacity, __u32 key_size,
                __u32 value_size) {
  table_shape(table, capacity, key_size, value_size);
  table->epochs = epochs;
  if (getrandom(table->hash_key, sizeof table->hash_key, 0) != (long)sizeof table->hash_key)
    return false;
  table->entries = memory_reserve(entries_size(table));
  table->buckets = memory_reserve(buckets_size(table));
  table->stripes = calloc(STRIPES, sizeof(int));
  if (!table->entries || !table->buckets || !table->stripes) {
    table_free(table);
    return false;
  }
  return true;
}

void table_free(struct table *table) {
  if (table->entries)
    munmap(table->entries, entries_size(table));
  if (table->buckets)
    munmap(table->buckets, buckets_size(table));
  free(table->stripes);
  table->entries = NULL;
  table->buckets = NULL;
  table->stripes = NULL;
}

static struct entry *find_in(struct table *table, __u32 bucket, const void *key) {
  __u32 index = __atomic_load_n(&table->buckets[bucket], __ATOMIC_ACQUIRE);

  while (index) {
    struct entry *entry = entry_at(table, index);
    if (memcmp(key_of(entry), key, table->key_size) == 0)
      return entry;
    index = __atomic_load_n(&entry->next, __ATOMIC_ACQUIRE);
  }
  return NULL;
}

void *table_find(struct table *table, const void *key) {
  struct entry *entry = find_in(table, bucket_of(table, key), key);

  return entry ? value_of(table, entry) : NULL;
}

__u32 table_expect(struct table *table, const void *key) {
  __u32 bucket = bucket_of(table, key);

  __builtin_prefetch(&table->buckets[bucket]);
  return bucket;
}

void table_expect_entry(struct table *table, __u32 bucket) {
  __u32 index = __atomic_load_n(&table->buckets[bucket], __ATOMIC_RELAXED);
  __u8 *entry;

  if (!index)
    return;
  entry = (__u8 *)entry_at(table, index);
  for (__u32 at = 0; at < table->entry_size; at += 64)
    __builtin_prefetch(entry + at);
}

void *table_find_in(struct table *table, __u32 bucket, const void *key) {
  struct entry *entry = find_in(table, bucket, key);

  return entry ? value_of(table, entry) : NULL;
}

enum insertion table_insert(struct table *table, const void *key, const void *value) {
  __u32 bucket = bucket_of(table, key);
  int *stripe = &table->stripes[bucket % STRIPES];
  struct entry *entry;

  if (find_in(table, bucket, key)) /* the common refusal, without a lock */
    return EXISTS;
  entry = entry_take(table);
  if (!entry)
    return FULL;
  memcpy(key_of(entry), key, table->key_size);
  memcpy(value_of(table, entry), value, table->value_size);

  lock(stripe);
  if (find_in(table, bucket, key)) {
    unlock(stripe);
    entry_give_back(table, entry);
    return EXISTS;
  }
  __atomic_store_n(&entry->next, table->buckets[bucket], __ATOMIC_RELAXED);
  /* Counted before anybody can take it out again: the count never goes below zero. */
  __atomic_fetch_add(&table->in_use, 1, __ATOMIC_RELAXED);
  __atomic_store_n(&table->buckets[bucket], index_of(table, entry), __ATOMIC_RELEASE);
  unlock(stripe);
  return INSERTED;
}

bool table_remove(struct table *table, const void *key) {
  __u32 bucket = bucket_of(table, key);
  int *stripe = &table->stripes[bucket % STRIPES];
  __u32 *link = &table->buckets[bucket];
  struct entry *entry = NULL;

  lock(stripe);
  while (*link) {
    entry = entry_at(table, *link);
    if (memcmp(key_of(entry), key, table->key_size) == 0)
      break;
    link = &entry->next;
    entry = NULL;
  }
  if (entry)
    __atomic_store_n(link, entry->next, __ATOMIC_SEQ_CST);
  unlock(stripe);
  if (!entry)
    return false;
  __atomic_fetch_sub(&table->in_use, 1, __ATOMIC_RELAXED);
  entry_retire(table, entry);
  return true;
}

__u64 table_walk(struct table *table, __u64 cursor, __u32 buckets, table_visit visit,
                 void *context) {
  __u64 end = cursor + buckets;

  if (end > (__u64)table->bucket_mask + 1)
    end = (__u64)table->bucket_mask + 1;
  for (; cursor < end; cursor++) {
    __u32 index = __atomic_load_n(&table->buckets[cursor], __ATOMIC_ACQUIRE);
    while (index) {
      struct entry *entry = entry_at(table, index);
      index = __atomic_load_n(&entry->next, __ATOMIC_ACQUIRE);
      visit(context, key_of(entry), value_of(table, entry));
    }
  }
  return cursor > table->bucket_mask ? 0 : cursor;
}
