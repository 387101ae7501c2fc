/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A hash table of a fixed size in plain arrays: bindings, ports and sessions of the BPF build. The programs find the
 * arrays as maps, the daemon as the same memory, and both by this text.
 *
 *   buckets   15 slots each: a word that says what is in it, and the index of its entry; and how many entries whose
 *             home this is live away from it
 *   entries   owner, key, value; taken one behind the other, and those that were freed last first
 *
 * A key has two buckets by a keyed hash, its home and another one, and lives in its home as long as that is not
 * mostly full, then in whichever of the two has more room. With half as many slots again as there may be entries,
 * that finds room for all (30 million insertions into a full table of a million: none refused). An entry is found
 * by two misses of the cache, and inserted by one: new entries lie side by side, in memory that was used just now.
 * Where a table is larger than what the processor holds of the page tables, that is what its time goes to.
 *
 * A word is 0 (free), or 29 bits of the hash (tag) with what the slot is:
 *
 *   free ──compare-and-swap──▶ TAKEN ──the entry is written──▶ LIVE ──▶ free
 *
 * Two who insert the same key at once mostly want the same slot, and one gets it. They may want different ones when
 * a slot was freed just then: so whoever has taken one looks again, and withdraws where he sees his key in
 * another. It may happen that both do. A key is never there twice.
 *
 * Who takes an entry out answers for it that nobody looks at it any more, or minds finding another one there.
 *
 * A target defines before including this, besides READ, WRITE, ADD and SWAP_IF (tables.h):
 *   PUBLISH(field, value)      WRITE, behind everything that was written before
 *   struct bucket_table        where a table is
 *   BUCKET_AT(table, index)    struct bucket *, or NULL
 *   ENTRY_AT(table, index)     struct entry_head *, or NULL
 */
#ifndef VIADUCT_DATAPATH_BUCKET_TABLE_H
#define VIADUCT_DATAPATH_BUCKET_TABLE_H

#include "datapath/packet.h"
#include "datapath/tables.h"

/* For the verifier. */
#ifdef __bpf__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED
#endif

enum { TABLE_MISSING = 0, TABLE_EXISTS = -1, TABLE_FULL = -2 };

enum {
  SLOT_FREE = 0,
  SLOT_TAKEN = 1,
  SLOT_LIVE = 2,
  SLOT_STATE = 3,
  SLOT_TAG = 4 /* in every tag */
};

/* x86 keeps loads in their order, and stores in theirs; this text relies on it. */

enum {
  MOSTLY_FULL = 10,      /* of BUCKET_SLOTS: from then on the other bucket is considered */
  CLAIM_TRIES = 4,       /* at one insertion, while others take what was free */
  POOL_TRIES = 64,       /* at taking a free entry or giving one back, while others do */
  NO_SLOT = 0xffffffffU, /* nor an entry */
};

struct table_place {
  __u32 home; /* indices of buckets */
  __u32 other;
  __u32 tag; /* a word without its state */
};

/* Slots are numbered 16 to a bucket, the last of which there is not. */
STEP __u32 slot_of(__u32 bucket, __u32 i) {
  return bucket * 16 + i;
}
STEP __u32 bucket_of_slot(__u32 slot) {
  return slot >> 4;
}

/* Multilinear hashing (Lemire, Kaser: Strongly universal string hashing is fast, 2014): whoever chooses the keys, no
 * two have the same sum more often than chance has it. Sums of keys in a row are numbers in a row, and would fill some
 * buckets and leave others; so they are spread by the finaliser of MurmurHash3. */
STEP __u64 keyed_hash(const struct table_shape *shape, const __u32 *words, __u32 count) {
  __u64 sum = shape->multiplier[0];

  UNROLLED
  for (__u32 i = 0; i < count; i++)
    sum += shape->multiplier[i + 1] * words[i];
  sum = (sum ^ sum >> 33) * 0xff51afd7ed558ccdULL;
  sum = (sum ^ sum >> 33) * 0xc4ceb9fe1a85ec53ULL;
  return sum ^ sum >> 33;
}

/* The part of `size` that half of a hash falls into. */
STEP __u32 share_of(__u32 half, __u32 size) {
  return (__u32)(((__u64)half * size) >> 32);
}

STEP struct table_place bucket_table_place(const struct table_shape *shape, const __u32 *key,
                                           __u32 words) {
  __u64 hash = keyed_hash(shape, key, words);

  return (struct table_place){share_of((__u32)(hash >> 32), shape->buckets),
                              share_of((__u32)hash, shape->buckets), (__u32)hash << 3 | SLOT_TAG};
}

/* --- bits: of slots, one each ------------------------------------------------------------------- */

/* Without branches, which the empty assembly hinders the compiler from making: the verifier would go through
 * each combination of them. And one by one: all words at once have no room on the stack. */
STEP __u32 slots_with(const struct bucket *bucket, __u32 word, __u32 mask) {
  __u32 found = 0;

  UNROLLED
  for (__u32 i = 0; i < BUCKET_SLOTS; i++) {
    __u64 negative_if_equal = (__u64)((READ(bucket->word[i]) ^ word) & mask) - 1;
    asm volatile("" : "+r"(negative_if_equal)::"memory");
    found |= (__u32)(negative_if_equal >> 63) << i;
  }
  return found;
}

/* Number of the lowest bit of sixteen; one must be set. By a sequence (0x09af) in which each four bits occur once,
 * and where they do. */
STEP __u32 lowest(__u32 bits) {
  __u32 at = (((bits & -bits) * 0x09afU) >> 12) & 15;

  return (__u32)(0xcd7ea84fb6935210ULL >> (at * 4)) & 15;
}

STEP __u32 how_many(__u32 bits) {
  bits = bits - ((bits >> 1) & 0x5555);
  bits = (bits & 0x3333) + ((bits >> 2) & 0x3333);
  bits = (bits + (bits >> 4)) & 0x0f0f;
  return (bits + (bits >> 8)) & 31;
}

/* --- finding ------------------------------------------------------------------------------------ */

STEP bool has_key(const struct entry_head *entry, const void *key, __u32 words) {
  __u32 differs = 0;

  UNROLLED
  for (__u32 i = 0; i < words; i++)
    differs |= load32((const __u8 *)(entry + 1) + 4 * i) ^ load32((const __u8 *)key + 4 * i);
  return differs == 0;
}

/* Index + 1 of the key's entry, if it is that of the lowest candidate, or TABLE_MISSING. */
STEP __u32 candidate_find(const struct bucket_table *table, const struct bucket *bucket,
                          __u32 candidates, const void *key, __u32 words) {
  const struct entry_head *entry;
  __u32 at;

  if (!candidates)
    return TABLE_MISSING;
  at = READ(bucket->entry[lowest(candidates)]);
  entry = ENTRY_AT(table, at);
  return entry && has_key(entry, key, words) ? at + 1 : TABLE_MISSING;
}

/* Index + 1 of the key's entry, if one of this bucket's, or TABLE_MISSING. Two may have one tag; that three have
 * is as likely as a broken hash. */
STEP __u32 bucket_find(const struct bucket_table *table, __u32 index, __u32 tag, const void *key,
                       __u32 words) {
  const struct bucket *bucket = BUCKET_AT(table, index);
  __u32 candidates, found;

  if (!bucket)
    return TABLE_MISSING;
  candidates = slots_with(bucket, tag | SLOT_LIVE, ~0U);
  found = candidate_find(table, bucket, candidates, key, words);
  return found ? found : candidate_find(table, bucket, candidates & (candidates - 1), key, words);
}

/* Index + 1 of the key's entry, or TABLE_MISSING. */
STEP __u32 bucket_table_find(const struct bucket_table *table, const struct table_shape *shape,
                             const void *key, __u32 words) {
  struct table_place place = bucket_table_place(shape, (const __u32 *)key, words);
  const struct bucket *home = BUCKET_AT(table, place.home);
  __u32 found = bucket_find(table, place.home, place.tag, key, words);

  if (found || !home || !READ(home->word[AWAY]))
    return found;
  return bucket_find(table, place.other, place.tag, key, words);
}

STEP bool is_owned(const struct entry_head *entry) {
  __u32 owner = READ(entry->owner);

  return owner && !(owner & ENTRY_FREE);
}

/* --- entries that nobody has --------------------------------------------------------------------- */

STEP __u64 pool_head(__u64 before, __u32 next) {
  return ((before >> 32) + 1) << 32 | next;
}

/* Index of one that was put aside, or NO_SLOT. Unlike the list it has no order to mistake: who changes the index in
 * its place to zero has it. */
STEP __u32 aside_take(struct table_pool *pool) {
  for (__u32 i = 0; i < POOL_ASIDE; i++) {
    __u32 seen = READ(pool->aside[i]);

    if (seen && SWAP_IF(pool->aside[i], seen, 0))
      return seen - 1;
  }
  return NO_SLOT;
}

STEP bool aside_put(struct table_pool *pool, __u32 index) {
  for (__u32 i = 0; i < POOL_ASIDE; i++)
    if (!READ(pool->aside[i]) && SWAP_IF(pool->aside[i], 0, index + 1))
      return true;
  return false;
}

/* Index of one, or NO_SLOT: there is none, or others were faster time after time. Whoever loses a try has lost it to
 * one who has won: so it takes more processors than there are tries, or winners who are back at once, for a table to
 * be called full that is not. The verifier walks through each try, which is a fiftieth of what it does at most. */
STEP __u32 pool_take(const struct bucket_table *table, struct table_pool *pool, __u32 most) {
  __u32 fresh = aside_take(pool);

  if (fresh != NO_SLOT)
    return fresh;
  for (__u32 i = 0; i < POOL_TRIES; i++) {
    __u64 head = READ(pool->free);
    const struct entry_head *entry = (__u32)head ? ENTRY_AT(table, (__u32)head - 1) : NULL;

    if (!entry)
      break;
    if (SWAP_IF(pool->free, head, pool_head(head, READ(entry->owner) & ~ENTRY_FREE)))
      return (__u32)head - 1;
  }
  fresh = READ(pool->fresh) < most ? ADD(pool->fresh, 1) : most;
  if (fresh < most)
    return fresh;
  if (fresh > most || READ(pool->fresh) > most)
    WRITE(pool->fresh, most);
  return NO_SLOT;
}

/* Where others are faster time after time it is put aside, and is the next one to be taken. It is lost, and counted,
 * where that happens to more at once than there is room for. */
STEP void pool_give_back(const struct bucket_table *table, struct table_pool *pool, __u32 index) {
  struct entry_head *entry = ENTRY_AT(table, index);

  for (__u32 i = 0; i < POOL_TRIES && entry; i++) {
    __u64 head = READ(pool->free);

    WRITE(entry->owner, ENTRY_FREE | (__u32)head);
    if (SWAP_IF(pool->free, head, pool_head(head, index + 1)))
      return;
  }
  if (entry && !aside_put(pool, index))
    ADD(pool->lost, 1);
}

/* Has the processor fetch the key's home, and goes on: what is read then need not be waited for. */
STEP void bucket_table_expect(const struct bucket_table *table, const struct table_shape *shape,
                              const void *key, __u32 words) {
  __u32 home = bucket_table_place(shape, (const __u32 *)key, words).home;
  const struct bucket *bucket = BUCKET_AT(table, home);

  if (bucket)
    asm volatile("" ::"r"(READ(bucket->word[0])));
}

/* --- inserting ---------------------------------------------------------------------------------- */

/* Whether the lowest candidate's slot has the key: LIVE, or TAKEN by somebody with the same tag. */
STEP bool candidate_has(const struct bucket_table *table, const struct bucket *bucket,
                        __u32 candidates, const void *key, __u32 words) {
  return candidates && ((READ(bucket->word[lowest(candidates)]) & SLOT_STATE) == SLOT_TAKEN ||
                        candidate_find(table, bucket, candidates, key, words));
}

/* Whether another slot of the bucket than `own` has the key. */
STEP bool bucket_has(const struct bucket_table *table, __u32 index, __u32 tag, const void *key,
                     __u32 words, __u32 own) {
  const struct bucket *bucket = BUCKET_AT(table, index);
  __u32 candidates;

  if (!bucket)
    return false;
  candidates = slots_with(bucket, tag, ~(__u32)SLOT_STATE);
  if (bucket_of_slot(own) == index)
    candidates &= ~(1U << (own & 15));
  return candidate_has(table, bucket, candidates, key, words) ||
         candidate_has(table, bucket, candidates & (candidates - 1), key, words);
}

STEP bool bucket_table_has(const struct bucket_table *table, const struct table_place *place,
                           const void *key, __u32 words, __u32 own) {
  const struct bucket *home = BUCKET_AT(table, place->home);

  if (bucket_has(table, place->home, place->tag, key, words, own))
    return true;
  return home && READ(home->word[AWAY]) &&
         bucket_has(table, place->other, place->tag, key, words, own);
}

/* The free slot that the key should have, or NO_SLOT: both buckets are full. */
STEP __u32 bucket_table_choose(const struct bucket_table *table, const struct table_place *place) {
  const struct bucket *home = BUCKET_AT(table, place->home);
  const struct bucket *other = BUCKET_AT(table, place->other);
  __u32 free, elsewhere;

  if (!home || !other)
    return NO_SLOT;
  free = slots_with(home, SLOT_FREE, ~0U);
  if (how_many(free) <= BUCKET_SLOTS - MOSTLY_FULL) {
    elsewhere = slots_with(other, SLOT_FREE, ~0U);
    if (how_many(elsewhere) > how_many(free))
      return slot_of(place->other, lowest(elsewhere));
  }
  return free ? slot_of(place->home, lowest(free)) : NO_SLOT;
}

/* Takes a slot that was free; false: somebody else has it. */
STEP bool bucket_table_take(const struct bucket_table *table, const struct table_place *place,
                            __u32 slot) {
  struct bucket *bucket = BUCKET_AT(table, bucket_of_slot(slot));
  struct bucket *home = BUCKET_AT(table, place->home);
  bool away = bucket_of_slot(slot) != place->home;

  if (!bucket || !home)
    return false;
  if (away) /* before the slot is taken: who inserts the same key must look there */
    ADD(home->word[AWAY], 1);
  if (SWAP_IF(bucket->word[slot & 15], 0, place->tag | SLOT_TAKEN))
    return true;
  if (away)
    ADD(home->word[AWAY], -1);
  return false;
}

/* Gives back a slot whose word is `word`; false where it is another one. */
STEP bool bucket_table_give_back(const struct bucket_table *table, const struct table_place *place,
                                 __u32 slot, __u32 word) {
  struct bucket *bucket = BUCKET_AT(table, bucket_of_slot(slot));
  struct bucket *home = BUCKET_AT(table, place->home);

  if (!bucket || !home || !SWAP_IF(bucket->word[slot & 15], word, 0))
    return false;
  if (bucket_of_slot(slot) != place->home)
    ADD(home->word[AWAY], -1);
  return true;
}

/* Takes a slot for the key: slot + 1; TABLE_EXISTS, also where somebody else is about to insert it, or where others
 * were faster time after time; TABLE_FULL. The slot is chosen before the key is looked for: two of whom neither
 * sees the other have chosen the same one. */
STEP int bucket_table_slot(const struct bucket_table *table, const struct table_shape *shape,
                           const void *key, __u32 words) {
  struct table_place place = bucket_table_place(shape, (const __u32 *)key, words);
  __u32 chosen = NO_SLOT, own = NO_SLOT;

  for (__u32 i = 0; i < CLAIM_TRIES; i++) {
    if (own == NO_SLOT)
      chosen = bucket_table_choose(table, &place);
    if (bucket_table_has(table, &place, key, words, own)) {
      if (own != NO_SLOT)
        bucket_table_give_back(table, &place, own, place.tag | SLOT_TAKEN);
      return TABLE_EXISTS;
    }
    if (own != NO_SLOT)
      return (int)own + 1;
    if (chosen == NO_SLOT)
      return TABLE_FULL;
    if (bucket_table_take(table, &place, chosen))
      own = chosen;
  }
  if (own != NO_SLOT)
    bucket_table_give_back(table, &place, own, place.tag | SLOT_TAKEN);
  return TABLE_EXISTS;
}

/* A slot with an entry, which is the caller's to write before bucket_table_publish: slot + 1, or as
 * bucket_table_slot. */
STEP int bucket_table_claim(const struct bucket_table *table, const struct table_shape *shape,
                            struct table_pool *pool, const void *key, __u32 words) {
  __u32 index = pool_take(table, pool, shape->most);
  struct bucket *bucket;
  int slot;

  if (index == NO_SLOT)
    return TABLE_FULL;
  slot = bucket_table_slot(table, shape, key, words);
  bucket = slot > 0 ? BUCKET_AT(table, bucket_of_slot((__u32)slot - 1)) : NULL;
  if (bucket)
    WRITE(bucket->entry[((__u32)slot - 1) & 15], index);
  else
    pool_give_back(table, pool, index);
  return slot;
}

/* The entry of a slot that was claimed, or NULL. */
STEP struct entry_head *bucket_table_entry(const struct bucket_table *table, __u32 slot) {
  const struct bucket *bucket = BUCKET_AT(table, bucket_of_slot(slot));

  return bucket ? ENTRY_AT(table, READ(bucket->entry[slot & 15])) : NULL;
}

/* Key and value are written. */
STEP void bucket_table_publish(const struct bucket_table *table, struct entry_head *entry,
                               __u32 slot) {
  struct bucket *bucket = BUCKET_AT(table, bucket_of_slot(slot));

  PUBLISH(entry->owner, slot + 1);
  if (bucket)
    PUBLISH(bucket->word[slot & 15], (bucket->word[slot & 15] & ~(__u32)SLOT_STATE) | SLOT_LIVE);
}

/* Takes the key's entry out. */
STEP void bucket_table_delete(const struct bucket_table *table, const struct table_shape *shape,
                              struct table_pool *pool, const void *key, __u32 words) {
  struct table_place place = bucket_table_place(shape, (const __u32 *)key, words);
  __u32 found = bucket_table_find(table, shape, key, words);
  const struct entry_head *entry = found ? ENTRY_AT(table, found - 1) : NULL;

  if (entry && is_owned(entry) && /* or somebody else has just done it */
      bucket_table_give_back(table, &place, READ(entry->owner) - 1, place.tag | SLOT_LIVE))
    pool_give_back(table, pool, found - 1);
}

#endif
