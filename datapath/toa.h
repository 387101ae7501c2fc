/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * TOA: a TCP option by which a load balancer tells a backend who the client is. This file finds it in a TCP
 * header and says what it holds; it is the agent's, and will be the gateway's, which must not send on what a
 * client forged.
 *
 * Vendors use a handful of kinds and agree on what a length means:
 *
 *   length 8    port, IPv4 address                        length 7    version, IPv4 address
 *   length 20   port, IPv6 address                        length 19   version, IPv6 address
 *   length 16   port, IPv4 address, two bytes, virtual port, virtual IPv4 address
 *
 * all in network order. So a table of kinds and lengths (struct toa_kinds) is all there is to configure.
 *
 * The rule is: never a wrong address. Whoever asks gets an address only if the options can be walked to their
 * end, every option of a kind in the table has a length in the table, all of them say the same with the same length,
 * and what they say can be a client. In doubt the answer names the doubt, and the socket keeps the address it has.
 *
 * One doubt is the kinds' own: 253 and 254 belong to experiments (RFC 6994) that tell themselves apart by
 * the two bytes behind the length, which here are the port. Port 63881 is the number of TCP Fast Open
 * (0xF989), whose option of 8 or 20 bytes is a cookie. Only a SYN can carry that one: what a SYN says with
 * that port is not believed unless a later packet says the same, and what later packets alone say is.
 *
 * The walk looks at each byte by its index and counts down those that an option has used up: verifiers take
 * that, where a pointer that moves by a length costs them a million steps.
 */
#ifndef VIADUCT_DATAPATH_TOA_H
#define VIADUCT_DATAPATH_TOA_H

#include "datapath/types.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum toa_limits {
  TOA_FIRST_OPTION = 20, /* behind the fixed TCP header, RFC 9293 3.1 */
  TOA_LONGEST_HEADER = 60,
  TOA_LONGEST = 20, /* of the options that we know */
};

enum toa_length {
  TOA_LENGTH_CDN4 = 7,
  TOA_LENGTH_IP4 = 8,
  TOA_LENGTH_IP4_VIRTUAL = 16,
  TOA_LENGTH_CDN6 = 19,
  TOA_LENGTH_IP6 = 20,
};

enum toa_outcome {
  TOA_NONE = 0,
  TOA_FOUND,
  TOA_MALFORMED,   /* options that overrun, or one of ours with a length that it never has */
  TOA_CONTRADICTS, /* two that do not say the same */
  TOA_IMPLAUSIBLE, /* an address or port that no client has */
  TOA_AMBIGUOUS,   /* may as well be a Fast Open cookie */
  TOA_OUTCOMES
};

/* Which lengths are a TOA, by kind: a bit for each. Written by the agent's daemon. */
struct toa_kinds {
  __u64 lengths[256];
};
DP_STATIC_ASSERT(sizeof(struct toa_kinds) == 2048);

/* A TCP header as it was on the wire. The zeros behind it let an option be read as a whole before its length
 * is known to fit. */
struct toa_header {
  __u8 byte[TOA_LONGEST_HEADER + TOA_LONGEST];
};

/* What was found. Whole words, so that two can be compared as such. */
struct toa {
  struct address client; /* IPv4 in word[0] */
  struct address
      virtual_; /* the address the client had asked for, IPv4; zero where the layout has none */
  __be16 client_port; /* 0: the layout has none, the socket's own stays */
  __be16 virtual_port;
  __u8 family; /* 4 or 6; 0: nothing */
  __u8 kind;
  __u8 length;
  __u8 multipath; /* the header has an option of MPTCP */
};
DP_STATIC_ASSERT(sizeof(struct toa) == 40);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#else

/* Numbers of RFC 9293 3.1, RFC 8684 3, RFC 7413 4.1.1 (experimental: RFC 6994). */
enum toa_tcp {
  TOA_OPTION_END = 0,
  TOA_OPTION_NOP = 1,
  TOA_OPTION_MPTCP = 30,
  TOA_KIND_EXPERIMENT_1 = 253,
  TOA_KIND_EXPERIMENT_2 = 254,
  TOA_FAST_OPEN_HIGH = 0xf9,
  TOA_FAST_OPEN_LOW = 0x89,
  TOA_FLAGS_BYTE = 13,
  TOA_FLAG_SYN = 0x02,
};

#define TOA_STEP static __attribute__((always_inline)) inline

#ifdef __clang__ /* unrolled, the walk is forty times as long and no faster */
#define TOA_KEEP_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define TOA_KEEP_ROLLED
#endif

TOA_STEP __be16 toa_port(const __u8 *at) {
  __be16 port;
  __builtin_memcpy(&port, at, sizeof port);
  return port;
}

/* What the walk has seen so far. No step of it branches on what it finds: what is looked at forty times must not
 * have as many ways through it. */
struct toa_walk {
  __u8 first[TOA_LONGEST]; /* the first option of ours, and what is behind it */
  __u8 seen;
  __u8 differs; /* another one of ours says something else, or the same in another layout */
  __u8 may_be_cookie;
  __u8 multipath;
};

TOA_STEP __u8 toa_difference(const __u8 *one, const __u8 *other) {
  __u32 length = one[1];
  __u8 difference = one[1] ^ other[1];
  __u32 i;

#ifdef __clang__
#pragma clang loop unroll(full)
#endif
  for (i = 2; i < TOA_LONGEST; i++)
    difference |= (__u8)((one[i] ^ other[i]) & (__u8)((int)(i - length) >> 8));
  return difference;
}

TOA_STEP __u8 toa_may_be_cookie(const __u8 *at) {
  return (__u8)((at[0] >= TOA_KIND_EXPERIMENT_1) & (at[0] <= TOA_KIND_EXPERIMENT_2) &
                (at[2] == TOA_FAST_OPEN_HIGH) & (at[3] == TOA_FAST_OPEN_LOW));
}

/* An option of ours. */
TOA_STEP void toa_take(const __u8 *at, struct toa_walk *walk) {
  walk->may_be_cookie |= toa_may_be_cookie(at);
  if (walk->seen) {
    walk->differs |= toa_difference(walk->first, at);
  } else {
    __builtin_memcpy(walk->first, at, TOA_LONGEST);
    walk->seen = 1;
  }
}

/* False: malformed. */
TOA_STEP int toa_walk(const struct toa_header *header, const struct toa_kinds *kinds,
                      struct toa_walk *walk) {
  __u32 end = (__u32)(header->byte[12] >> 4) * 4;
  __u32 used = 0; /* how many of the coming bytes belong to the option before */
  __u32 i;

  if (end < TOA_FIRST_OPTION)
    return 0;
  TOA_KEEP_ROLLED
  for (i = TOA_FIRST_OPTION; i < TOA_LONGEST_HEADER; i++) {
    const __u8 *at = &header->byte[i];
    __u64 lengths;

    if (i >= end)
      break;
    if (used > 0) {
      used--;
      continue;
    }
    if (at[0] == TOA_OPTION_END)
      break;
    if (at[0] == TOA_OPTION_NOP)
      continue;
    if (i + 1 >= end || at[1] < 2 || at[1] > end - i)
      return 0;
    used = at[1] - 1;
    walk->multipath |= at[0] == TOA_OPTION_MPTCP;
    lengths = kinds->lengths[at[0]];
    if (lengths == 0)
      continue;
    if (at[1] > TOA_LONGEST || !(lengths & (1ULL << (at[1] & 63))))
      return 0;
    toa_take(at, walk);
  }
  return 1;
}

/* An option of ours, whose length says what it holds. False: not one of the lengths we know. */
TOA_STEP int toa_read(const __u8 *at, struct toa *found) {
  __u8 length = at[1];
  int with_port =
      length == TOA_LENGTH_IP4 || length == TOA_LENGTH_IP4_VIRTUAL || length == TOA_LENGTH_IP6;
  int is_ip6 = length == TOA_LENGTH_IP6 || length == TOA_LENGTH_CDN6;

  if (!with_port && length != TOA_LENGTH_CDN4 && length != TOA_LENGTH_CDN6)
    return 0;
  if (with_port)
    found->client_port = toa_port(at + 2);
  if (is_ip6 && with_port)
    __builtin_memcpy(&found->client, at + 4, 16);
  else if (is_ip6)
    __builtin_memcpy(&found->client, at + 3, 16);
  else if (with_port)
    __builtin_memcpy(&found->client.word[0], at + 4, 4);
  else
    __builtin_memcpy(&found->client.word[0], at + 3, 4);
  if (length == TOA_LENGTH_IP4_VIRTUAL) {
    found->virtual_port = toa_port(at + 10);
    __builtin_memcpy(&found->virtual_.word[0], at + 12, 4);
  }
  found->family = is_ip6 ? 6 : 4;
  found->kind = at[0];
  found->length = length;
  return 1;
}

/* Not "this network", not a host's own loopback, not several hosts (RFC 6890 2.2.2, RFC 1112 4). */
TOA_STEP int toa_client4_can_be(const __u8 *byte) {
  return byte[0] != 0 && byte[0] != 127 && byte[0] < 224;
}

/* The same of IPv6 (RFC 4291 2.4): not ::, ::1 or ff00::/8; of ::ffff:a.b.c.d what IPv4 says. */
TOA_STEP int toa_client6_can_be(const struct address *client) {
  const __u8 *byte = client->byte;

  if ((client->word[0] | client->word[1]) != 0)
    return byte[0] != 0xff;
  if ((byte[8] | byte[9]) == 0 && (byte[10] & byte[11]) == 0xff)
    return toa_client4_can_be(byte + 12);
  return (client->word[2] | byte[12] | byte[13] | byte[14]) != 0 || byte[15] > 1;
}

/* An address that a client can have, and a port. */
TOA_STEP int toa_plausible(const struct toa *found) {
  const struct address *client = &found->client;
  int with_port = found->length != TOA_LENGTH_CDN4 && found->length != TOA_LENGTH_CDN6;

  if (with_port && found->client_port == 0)
    return 0;
  if (found->family == 6)
    return toa_client6_can_be(client);
  return toa_client4_can_be(client->byte);
}

TOA_STEP int toa_same(const struct toa *one, const struct toa *other) {
  return one->client.word[0] == other->client.word[0] &&
         one->client.word[1] == other->client.word[1] &&
         one->client.word[2] == other->client.word[2] &&
         one->client.word[3] == other->client.word[3] && one->client_port == other->client_port &&
         one->family == other->family;
}

/* What the options of a TCP header say. *found, zeroed by the caller, holds an address to be believed only if
 * the outcome is TOA_FOUND; `multipath` is right whatever the outcome, as far as the walk came. */
TOA_STEP enum toa_outcome toa_find(const struct toa_header *header, const struct toa_kinds *kinds,
                                   struct toa *found) {
  /* Zero, as the end of the options is no kind, but no verifier knows: it need not tell the walk's ways apart
   * by what has been seen. */
  __u8 zero = (__u8)kinds->lengths[TOA_OPTION_END];
  struct toa_walk walk = {.seen = zero, .differs = zero, .may_be_cookie = zero, .multipath = zero};
  int well_formed = toa_walk(header, kinds, &walk);

  found->multipath = walk.multipath;
  if (!well_formed)
    return TOA_MALFORMED;
  if (!walk.seen)
    return TOA_NONE;
  if (!toa_read(walk.first, found))
    return TOA_MALFORMED;
  if (walk.differs)
    return TOA_CONTRADICTS;
  if (!toa_plausible(found))
    return TOA_IMPLAUSIBLE;
  if (walk.may_be_cookie && (header->byte[TOA_FLAGS_BYTE] & TOA_FLAG_SYN))
    return TOA_AMBIGUOUS;
  return TOA_FOUND;
}

#endif
#endif
