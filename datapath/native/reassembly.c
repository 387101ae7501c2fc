/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "datapath/native/reassembly.h"

#include "datapath/native/hash_table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "datapath/native/target.h"

#include "datapath/checksum.h"
#include "datapath/packet.h"

enum {
  BUCKETS = 1024,
  SOURCES = 256,
  CHUNK_DATA = 2048 - 16,
  ECN_MASK = 3, /* RFC 3168 5 */
  ECN_CE = 3,
};

/* Part of a datagram, or all of a short one. Indices are one more than the place; 0: none. */
struct chunk {
  __u16 next; /* in order of offset; or the next free one */
  __u16 length;
  __u32 offset;
  __u32 piece_length; /* of the fragment that begins here; 0 in its further chunks */
  __u32 pad;
  __u8 data[CHUNK_DATA];
};

struct datagram {
  struct piece_key key;
  __u16 next;               /* in its bucket; or the next free one */
  __u16 older, younger;     /* by arrival */
  __u16 chunks, last_chunk; /* the first and the last of them, by offset */
  __u16 chunk_count;
  __u16 source;
  __u32 expires;
  __u32 gathered;                             /* bytes */
  __u32 total;                                /* 0 as long as the last fragment is missing */
  __u32 farthest;                             /* end of the last chunk */
  __u8 given_up;                              /* after an overlap */
  __u8 hop_limit, traffic_class, next_header; /* of the first fragment */
  __u8 congestion;                            /* one of them said so */
};

struct reassembly {
  pthread_mutex_t lock;
  __u64 hash_key[2];
  __u16 buckets[BUCKETS];
  __u16 oldest, youngest;
  __u16 free_datagram, fresh_datagrams;
  __u16 free_chunk, fresh_chunks;
  struct {
    __u16 datagrams, chunks;
  } used[SOURCES];
  struct datagram datagrams[REASSEMBLY_DATAGRAMS];
  struct chunk chunks[REASSEMBLY_CHUNKS];
};

struct reassembly *reassembly_new(void) {
  struct reassembly *all = calloc(1, sizeof *all);

  if (!all)
    return NULL;
  pthread_mutex_init(&all->lock, NULL);
  while (getrandom(all->hash_key, sizeof all->hash_key, 0) != (long)sizeof all->hash_key)
    ;
  return all;
}

void reassembly_free(struct reassembly *all) {
  if (!all)
    return;
  pthread_mutex_destroy(&all->lock);
  free(all);
}

static struct datagram *datagram_at(struct reassembly *all, __u16 index) {
  return &all->datagrams[index - 1];
}

static struct chunk *chunk_at(struct reassembly *all, __u16 index) {
  return &all->chunks[index - 1];
}

/* --- memory ----------------------------------------------------------------------------------- */

static __u16 take_datagram(struct reassembly *all) {
  __u16 index = all->free_datagram;

  if (index)
    all->free_datagram = datagram_at(all, index)->next;
  else if (all->fresh_datagrams < REASSEMBLY_DATAGRAMS)
    index = ++all->fresh_datagrams;
  return index;
}

static __u16 take_chunk(struct reassembly *all) {
  __u16 index = all->free_chunk;

  if (index)
    all->free_chunk = chunk_at(all, index)->next;
  else if (all->fresh_chunks < REASSEMBLY_CHUNKS)
    index = ++all->fresh_chunks;
  return index;
}

static void release_chunks(struct reassembly *all, struct datagram *datagram) {
  while (datagram->chunks) {
    __u16 index = datagram->chunks;
    struct chunk *chunk = chunk_at(all, index);

    datagram->chunks = chunk->next;
    chunk->next = all->free_chunk;
    all->free_chunk = index;
  }
  all->used[datagram->source].chunks =
      (__u16)(all->used[datagram->source].chunks - datagram->chunk_count);
  datagram->chunk_count = 0;
}

/* --- datagrams -------------------------------------------------------------------------------- */

static __u32 bucket_of(const struct reassembly *all, const struct piece_key *key) {
  return (__u32)siphash(all->hash_key, (const __u8 *)key, sizeof *key) % BUCKETS;
}

/* Hosts of one /64 are one source: they can take any of its addresses. */
static __u16 source_of(const struct reassembly *all, const struct piece_key *key) {
  return (__u16)(siphash(all->hash_key, key->source.byte, 8) % SOURCES);
}

static __u16 find(const struct reassembly *all, const struct piece_key *key) {
  __u16 index = all->buckets[bucket_of(all, key)];

  while (index && memcmp(&all->datagrams[index - 1].key, key, sizeof *key) != 0)
    index = all->datagrams[index - 1].next;
  return index;
}

static void by_age_remove(struct reassembly *all, const struct datagram *datagram) {
  if (datagram->older)
    datagram_at(all, datagram->older)->younger = datagram->younger;
  else
    all->oldest = datagram->younger;
  if (datagram->younger)
    datagram_at(all, datagram->younger)->older = datagram->older;
  else
    all->youngest = datagram->older;
}

static void forget(struct reassembly *all, __u16 index) {
  struct datagram *datagram = datagram_at(all, index);
  __u16 *link = &all->buckets[bucket_of(all, &datagram->key)];

  release_chunks(all, datagram);
  while (*link != index)
    link = &datagram_at(all, *link)->next;
  *link = datagram->next;
  by_age_remove(all, datagram);
  all->used[datagram->source].datagrams--;
  datagram->next = all->free_datagram;
  all->free_datagram = index;
}

static __u16 begin(struct reassembly *all, const struct piece *piece, __u32 expires) {
  __u16 source = source_of(all, &piece->key), index;
  __u16 *bucket = &all->buckets[bucket_of(all, &piece->key)];
  struct datagram *datagram;

  if (all->used[source].datagrams >= REASSEMBLY_DATAGRAMS / REASSEMBLY_SHARE)
    return 0;
  index = take_datagram(all);
  if (!index)
    return 0;
  datagram = datagram_at(all, index);
  *datagram = (struct datagram){.key = piece->key,
                                .next = *bucket,
                                .older = all->youngest,
                                .source = source,
                                .expires = expires};
  *bucket = index;
  if (all->youngest)
    datagram_at(all, all->youngest)->younger = index;
  else
    all->oldest = index;
  all->youngest = index;
  all->used[source].datagrams++;
  return index;
}

/* The oldest come first, so it stops at the first that may stay. */
static bool is_late(const struct datagram *datagram, __u32 now) {
  return (int)(now - datagram->expires) > 0;
}

static __u32 expire(struct reassembly *all, __u32 now) {
  __u32 given_up = 0;

  while (all->oldest && is_late(datagram_at(all, all->oldest), now)) {
    given_up += !datagram_at(all, all->oldest)->given_up;
    forget(all, all->oldest);
  }
  return given_up;
}

__u32 reassembly_expire(struct reassembly *all, __u32 now) {
  __u32 given_up;

  pthread_mutex_lock(&all->lock);
  given_up = expire(all, now);
  pthread_mutex_unlock(&all->lock);
  return given_up;
}

/* --- fragments -------------------------------------------------------------------------------- */

enum place { PLACE_FREE, PLACE_SAME, PLACE_TAKEN };

/* Where a fragment belongs: *link is what must point to it. */
static enum place place_of(struct reassembly *all, struct datagram *datagram,
                           const struct piece *piece, __u16 **link) {
  __u32 end = piece->offset + piece->length;

  *link = &datagram->chunks;
  if (datagram->last_chunk &&
      piece->offset >= datagram->farthest) { /* in order, as they mostly are */
    *link = &chunk_at(all, datagram->last_chunk)->next;
    return PLACE_FREE;
  }
  while (**link) {
    struct chunk *chunk = chunk_at(all, **link);

    if (chunk->offset == piece->offset && chunk->piece_length == piece->length)
      return PLACE_SAME;
    if (end <= chunk->offset)
      return PLACE_FREE;
    if (piece->offset < chunk->offset + chunk->length)
      return PLACE_TAKEN;
    *link = &chunk->next;
  }
  return PLACE_FREE;
}

/* Whether a fragment agrees with what is known of its datagram's length. */
static bool length_agrees(const struct datagram *datagram, const struct piece *piece) {
  __u32 end = piece->offset + piece->length;

  if (datagram->total && (piece->last ? end != datagram->total : end > datagram->total))
    return false;
  return !piece->last || datagram->farthest <= end;
}

static bool has_room(const struct reassembly *all, const struct datagram *datagram, __u32 chunks) {
  return datagram->chunk_count + chunks <= REASSEMBLY_PIECES &&
         all->used[datagram->source].chunks + chunks <= REASSEMBLY_CHUNKS / REASSEMBLY_SHARE;
}

/* Copies the fragment in; false: no memory, and nothing has changed but what the caller forgets. */
static bool store(struct reassembly *all, struct datagram *datagram, const struct piece *piece,
                  __u16 *link) {
  __u32 chunks = (piece->length + CHUNK_DATA - 1) / CHUNK_DATA;

  if (!has_room(all, datagram, chunks))
    return false;
  for (__u32 done = 0; done < piece->length; done += CHUNK_DATA) {
    __u16 index = take_chunk(all);
    struct chunk *chunk;

    if (!index)
      return false;
    chunk = chunk_at(all, index);
    chunk->length =
        (__u16)(piece->length - done < CHUNK_DATA ? piece->length - done : (__u32)CHUNK_DATA);
    chunk->offset = piece->offset + done;
    chunk->piece_length = done ? 0 : piece->length;
    memcpy(chunk->data, piece->data + done, chunk->length);
    chunk->next = *link;
    *link = index;
    link = &chunk->next;
    if (chunk->offset >= datagram->farthest) {
      datagram->farthest = chunk->offset + chunk->length;
      datagram->last_chunk = index;
    }
    datagram->chunk_count++;
    all->used[datagram->source].chunks++;
  }
  datagram->gathered += piece->length;
  return true;
}

static void remember_headers(struct datagram *datagram, const struct piece *piece) {
  datagram->congestion |= (piece->traffic_class & ECN_MASK) == ECN_CE;
  if (piece->last)
    datagram->total = piece->offset + piece->length;
  if (piece->offset)
    return;
  datagram->hop_limit = piece->hop_limit;
  datagram->traffic_class = piece->traffic_class;
  datagram->next_header = piece->next;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Congestion that any fragment met is the datagram's (RFC 3168 5.3). */
static __u8 whole_class(const struct datagram *datagram) {
  bool capable = datagram->traffic_class & ECN_MASK;

  return datagram->congestion && capable ? datagram->traffic_class | ECN_CE
                                         : datagram->traffic_class;
}

static __u32 write_header4(const struct datagram *datagram, __u8 *to) {
  __be32 h[IPV4_HEADER / 4] = {
      BE32(0x45000000U | ((__u32)whole_class(datagram) << 16) | (IPV4_HEADER + datagram->total)),
      BE32(datagram->key.identification << 16),
      BE32(((__u32)datagram->hop_limit << 24) | ((__u32)datagram->next_header << 16)),
      datagram->key.source.word[0],
      datagram->key.destination.word[0],
  };
  __u32 sum = 0;

  for (int i = 0; i < 5; i++)
    sum = sum_add(sum, h[i]);
  h[2] |= BE32((__u32)HOST16((__u16)~sum_fold(sum)));
  memcpy(to, h, sizeof h);
  return sizeof h;
}

static __u32 write_header6(const struct datagram *datagram, __u8 *to) {
  __be32 h[2] = {BE32(0x60000000U | ((__u32)whole_class(datagram) << 20)),
                 BE32(((FRAGMENT_HEADER + datagram->total) << 16) | ((__u32)NEXT_FRAGMENT << 8) |
                      datagram->hop_limit)};
  __be32 fragment[2] = {BE32((__u32)datagram->next_header << 24),
                        BE32(datagram->key.identification)};

  memcpy(to, h, sizeof h);
  memcpy(to + 8, datagram->key.source.byte, 16);
  memcpy(to + 24, datagram->key.destination.byte, 16);
  memcpy(to + IPV6_HEADER, fragment, sizeof fragment);
  return IPV6_HEADER + FRAGMENT_HEADER;
}

static __u32 put_together(struct reassembly *all, const struct datagram *datagram, __u8 *whole) {
  __u32 header = datagram->key.family == FAMILY_4 ? write_header4(datagram, whole)
                                                  : write_header6(datagram, whole);

  for (__u16 index = datagram->chunks; index; index = chunk_at(all, index)->next) {
    const struct chunk *chunk = chunk_at(all, index);
    memcpy(whole + header + chunk->offset, chunk->data, chunk->length);
  }
  return header + datagram->total;
}

static enum gathering add(struct reassembly *all, const struct piece *piece, __u32 expires,
                          __u8 *whole, __u32 *length) {
  __u16 index = find(all, &piece->key), *link;
  struct datagram *datagram;
  enum place place;

  if (!index)
    index = begin(all, piece, expires);
  if (!index)
    return GATHERING_FULL;
  datagram = datagram_at(all, index);
  if (datagram->given_up)
    return GATHERING_OVERLAP;
  place = place_of(all, datagram, piece, &link);
  if (place == PLACE_SAME)
    return GATHERING;
  if (place == PLACE_TAKEN || !length_agrees(datagram, piece)) {
    datagram->given_up = 1;
    release_chunks(all, datagram);
    return GATHERING_OVERLAP;
  }
  if (!store(all, datagram, piece, link)) {
    forget(all, index);
    return GATHERING_FULL;
  }
  remember_headers(datagram, piece);
  if (datagram->total && datagram->gathered == datagram->total) {
    *length = put_together(all, datagram, whole);
    forget(all, index);
  }
  return GATHERING;
}

enum gathering reassembly_add(struct reassembly *all, const struct piece *piece, __u32 now,
                              __u32 timeout, __u8 *whole, __u32 *length, __u32 *given_up) {
  enum gathering result;

  pthread_mutex_lock(&all->lock);
  *given_up = expire(all, now);
  result = add(all, piece, now + timeout, whole, length);
  pthread_mutex_unlock(&all->lock);
  return result;
}

/* --- what add would do ------------------------------------------------------------------------ */

/* What expire would give back. */
struct late {
  __u32 datagrams, chunks;         /* of all sources */
  __u32 its_datagrams, its_chunks; /* of one */
  __u32 given_up;
  bool itself; /* the one that is asked for is among them */
};

static struct late foresee_late(struct reassembly *all, __u32 now, __u16 source, __u16 index) {
  struct late late = {0};

  for (__u16 i = all->oldest; i && is_late(datagram_at(all, i), now);
       i = datagram_at(all, i)->younger) {
    const struct datagram *datagram = datagram_at(all, i);
    bool its = datagram->source == source;

    late.datagrams++;
    late.chunks += datagram->chunk_count;
    late.its_datagrams += its;
    late.its_chunks += its ? datagram->chunk_count : 0U;
    late.given_up += !datagram->given_up;
    late.itself |= i == index;
  }
  return late;
}

static __u32 free_chunks(struct reassembly *all) {
  __u32 count = REASSEMBLY_CHUNKS - all->fresh_chunks;

  for (__u16 index = all->free_chunk; index; index = chunk_at(all, index)->next)
    count++;
  return count;
}

static bool may_begin(const struct reassembly *all, __u16 source, const struct late *late) {
  return all->used[source].datagrams - late->its_datagrams <
             REASSEMBLY_DATAGRAMS / REASSEMBLY_SHARE &&
         (all->free_datagram || late->datagrams || all->fresh_datagrams < REASSEMBLY_DATAGRAMS);
}

static bool may_store(struct reassembly *all, const struct datagram *datagram, __u32 length,
                      const struct late *late) {
  __u32 chunks = (length + CHUNK_DATA - 1) / CHUNK_DATA;

  return datagram->chunk_count + chunks <= REASSEMBLY_PIECES &&
         all->used[datagram->source].chunks - late->its_chunks + chunks <=
             REASSEMBLY_CHUNKS / REASSEMBLY_SHARE &&
         free_chunks(all) + late->chunks >= chunks;
}

/* Like add, on a copy of the datagram's head. */
static enum gathering foresee(struct reassembly *all, const struct piece *piece, __u32 now,
                              __u8 *whole, struct gathered *result) {
  __u16 source = source_of(all, &piece->key), index = find(all, &piece->key), *link;
  struct late late = foresee_late(all, now, source, index);
  struct datagram copy = {.key = piece->key, .source = source};
  enum place place;

  result->given_up = late.given_up;
  if (index && !late.itself)
    copy = *datagram_at(all, index);
  else if (!may_begin(all, source, &late))
    return GATHERING_FULL;
  result->bytes = copy.gathered;
  if (copy.given_up)
    return GATHERING_OVERLAP;
  place = place_of(all, &copy, piece, &link);
  if (place == PLACE_SAME)
    return GATHERING;
  if (place == PLACE_TAKEN || !length_agrees(&copy, piece))
    return GATHERING_OVERLAP;
  if (!may_store(all, &copy, piece->length, &late))
    return GATHERING_FULL;
  copy.gathered += piece->length;
  result->bytes = copy.gathered;
  remember_headers(&copy, piece);
  if (copy.total && copy.gathered == copy.total) {
    result->length = put_together(all, &copy, whole);
    memcpy(whole + result->length - copy.total + piece->offset, piece->data, piece->length);
  }
  return GATHERING;
}

void reassembly_foresee(struct reassembly *all, const struct piece *piece, __u32 now, __u8 *whole,
                        struct gathered *result) {
  *result = (struct gathered){0};
  pthread_mutex_lock(&all->lock);
  result->gathering = foresee(all, piece, now, whole, result);
  pthread_mutex_unlock(&all->lock);
}
