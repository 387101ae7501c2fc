/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What crosses the border between the BPF programs, the daemon, the command and the tests: table
 * keys and values, the policy, verdicts and reasons. No code.
 *
 * Every struct has fixed-width fields, explicit padding (zeroed: keys are compared as bytes) and
 * its size asserted. Addresses and ports are in network order, as they lie on the wire; everything
 * else is in host order. An IPv4 address in a struct address lies in word[0], the rest is zero.
 *
 * C11 for the data path (BPF and native), C++20 for everybody else, who sees viaduct::dp.
 */
#ifndef VIADUCT_DATAPATH_TYPES_H
#define VIADUCT_DATAPATH_TYPES_H

#include <linux/types.h>

#ifdef __cplusplus
#define DP_STATIC_ASSERT(condition) static_assert(condition, #condition)
namespace viaduct::dp {
extern "C" {
#else
#define DP_STATIC_ASSERT(condition) _Static_assert(condition, #condition)
#endif

enum limits {
  MAX_PREFIXES = 8,
  MAX_POOL = 64,
  MAX_ALLOW = 64,
  MAX_MAPS = 64,
  MAX_ERROR_SOURCES = 64,
};

/* Subscribers that may have sessions at once, of max_sessions: all of them while those are few, half
 * as many later. A subscriber has many sessions, and a table costs memory while it is empty, too. */
#define FEW_SUBSCRIBERS 65536U
#define SUBSCRIBERS_OF(max_sessions)                                                               \
  ((max_sessions) <= FEW_SUBSCRIBERS       ? (max_sessions)                                        \
   : (max_sessions) / 2 <= FEW_SUBSCRIBERS ? FEW_SUBSCRIBERS                                       \
                                           : (max_sessions) / 2)

/* What a step says. NEXT: the next step goes on. The others end the walk. */
enum verdict {
  VERDICT_NEXT = 0,
  VERDICT_FORWARD, /* translated: goes back to the kernel to be routed */
  VERDICT_PASS,    /* not ours */
  VERDICT_DROP,
  VERDICT_PUNT, /* only from the BPF build: the native build takes the packet */
  VERDICT_HELD, /* only from the native build: a fragment that waits for the others */
};

/* Why. REASON_none is what a packet has that nothing was said about. */
enum reason {
  REASON_none = 0,
#define REASON(name, kind, rfc, help) REASON_##name,
#include "datapath/reasons.def"
#undef REASON
  REASON_COUNT
};

/* IP protocol numbers as they stand in a key; ICMP queries of both families are PROTOCOL_ICMP
 * there. */
enum protocol {
  PROTOCOL_ICMP = 1,
  PROTOCOL_TCP = 6,
  PROTOCOL_UDP = 17,
  PROTOCOL_ICMPV6 = 58,
};

struct address {
  union {
    __u8 byte[16];
    __be32 word[4];
  };
};
DP_STATIC_ASSERT(sizeof(struct address) == 16);

/* RFC 6146 3.5.2.2 for TCP; UDP and ICMP queries have one state. */
enum session_state {
  STATE_OPEN = 0, /* UDP, ICMP query */
  STATE_V4_INIT,
  STATE_V6_INIT,
  STATE_ESTABLISHED,
  STATE_V4_FIN_RCV,
  STATE_V6_FIN_RCV,
  STATE_V4_FIN_V6_FIN_RCV,
  STATE_TRANS,
  STATE_COUNT
};

/* --- tables -------------------------------------------------------------------------------------
 * Written by the session step and the sweep (session.h, ageing.h), read by them and by the
 * daemon's dumps. RFC 6146's own two tables: the binding information base, which needs an entry
 * from each side (bindings and ports), and the session table. */

/* Binding, from the IPv6 host's side. */
struct binding_key {
  struct address inside;
  __be16 inside_port; /* or ICMP query identifier */
  __u8 protocol;
  __u8 pad;
};
DP_STATIC_ASSERT(sizeof(struct binding_key) == 20);

struct binding {
  __be32 pool_address;
  __be16 pool_port;
  __u8 subscriber_prefix; /* bits of `inside` that name whom it was counted to; 0: to nobody */
  __u8 is_static;         /* from the configuration; counts as one that uses it */
  __u32 sessions;         /* how many use it; BINDING_DEAD once the sweep has taken it */
  __u32 generation;       /* of the policy it was made under */
};
DP_STATIC_ASSERT(sizeof(struct binding) == 16);

/* Binding, from the IPv4 side: a port is taken by inserting this key where there is none. */
struct port_key {
  __be32 pool_address;
  __be16 pool_port;
  __u8 protocol;
  __u8 pad;
};
DP_STATIC_ASSERT(sizeof(struct port_key) == 8);

struct port {
  struct address inside;
  __be16 inside_port;
  __u8 pad[2];
};
DP_STATIC_ASSERT(sizeof(struct port) == 20);

/* Session, under its IPv4 5-tuple. */
struct session_key {
  __be32 pool_address;
  __be32 remote_address;
  __be16 pool_port;
  __be16 remote_port; /* zero for ICMP queries */
  __u8 protocol;
  __u8 pad[3];
};
DP_STATIC_ASSERT(sizeof(struct session_key) == 16);

struct session {
  struct address inside;
  struct address prefix; /* the RFC 6052 prefix the IPv6 host used, zeros behind it */
  __u64 packets;         /* both directions; segments of a super-packet count one by one */
  __u64 bytes;           /* of IPv6 packets, headers included */
  __be16 inside_port;
  __u8 prefix_length : 7; /* at most 96 */
  __u8 has_peer : 1;      /* it holds its entry in the table of peers */
  __u8 subscriber_prefix; /* bits of `inside` that name whom it was counted to */
  __u32 state;            /* enum session_state */
  __u32 made;             /* second of CLOCK_MONOTONIC */
  __u32 sequence6; /* TCP: what follows the highest sequence number that the IPv6 side has sent */
  __u32 sequence4; /* and the IPv4 side; 0: not known (sequence.h) */
  __u32 expires;   /* second of CLOCK_MONOTONIC after which it may end; SESSION_DEAD once it did.
                    * The last one: whoever finds it set in a new entry finds the rest */
};
DP_STATIC_ASSERT(sizeof(struct session) == 72);

/* Address-dependent filtering only: whom (pool address, port) has sessions with. */
struct peer_key {
  __be32 pool_address;
  __be32 remote_address;
  __be16 pool_port;
  __u8 protocol;
  __u8 pad;
};
DP_STATIC_ASSERT(sizeof(struct peer_key) == 12);

struct peer {
  __u32 sessions; /* how many; BINDING_DEAD once the last one has ended */
};

/* A subscriber is an IPv6 prefix (RFC 6888 REQ-4 seen from RFC 7785); quotas are counted here. */
struct subscriber_key {
  struct address prefix;
};

struct subscriber {
  __be32 pool_address; /* all its bindings use this one (RFC 6146 3.5.1.1, paired pooling) */
  __u32 sessions;
  __u32 bindings;
};
DP_STATIC_ASSERT(sizeof(struct subscriber) == 12);

/* What is known of the ports of a pool address and protocol without asking the table of ports: in
 * use, or freed not long ago and at rest (RFC 6888 REQ-8). Only a hint: a port is taken in the
 * table. */
enum { REST_TICK = 4 /* seconds */, REST_TICKS = 254, HINT_NONE = 0, HINT_IN_USE = 255 };

struct port_hints {
  __u8 port[65536]; /* HINT_, or the tick in which it was freed, 1 to REST_TICKS and round again */
  __u32 used;       /* how many are in use (HINT_IN_USE), or a few less */
  __u32 most;       /* the highest that `used` has been since the address came into the pool */
};

enum { PORT_PROTOCOLS = 3, PORT_HINTS = MAX_POOL * PORT_PROTOCOLS };

/* What the hints say of a pool address, for the daemon: by protocol, TCP, UDP, ICMP. */
struct pool_use {
  __u32 used[PORT_PROTOCOLS];
  __u32 most[PORT_PROTOCOLS];
};

/* --- the BPF build's tables of bindings, ports and sessions (bucket_table.h) --------------------- */

enum {
  BUCKET_SLOTS = 15,
  AWAY = BUCKET_SLOTS /* how many entries live away from this, their home */
};

struct bucket {
  __u32 word[BUCKET_SLOTS + 1];
  __u32 entry[BUCKET_SLOTS + 1]; /* index; the last one is not used */
};
DP_STATIC_ASSERT(sizeof(struct bucket) == 128);

/* Beside each binding, in what is fetched with it: where the session lies that it was last asked for. May be
 * wrong, and is believed where the session itself says so. */
struct binding_bucket {
  struct bucket bucket;
  __u32 last[BUCKET_SLOTS + 1]; /* index + 1 of an entry of the sessions; 0: not known */
};
DP_STATIC_ASSERT(sizeof(struct binding_bucket) == 192);

/* How every entry begins; the key follows. */
struct entry_head {
  __u32 owner; /* 0: never used; slot + 1; or ENTRY_FREE with the index + 1 of the next free one */
};
#define ENTRY_FREE 0x80000000U

struct binding_entry {
  struct entry_head head;
  struct binding_key key;
  struct binding value;
};
DP_STATIC_ASSERT(sizeof(struct binding_entry) == 40);

struct port_entry {
  struct entry_head head;
  struct port_key key;
  struct port value;
};
DP_STATIC_ASSERT(sizeof(struct port_entry) == 32);

struct session_entry {
  struct entry_head head;
  struct session_key key;
  __u32 pad;
  struct session value;
};
DP_STATIC_ASSERT(sizeof(struct session_entry) == 96);

/* One for all three; written once, before the first packet. */
struct table_shape {
  __u64 multiplier[8]; /* of the hash: nobody may know them */
  __u32 most;          /* entries */
  __u32 buckets;       /* BUCKETS_OF(most) */
};

/* Half as many slots again as there may be entries. */
#define BUCKETS_OF(most) ((most) / 10 + 1)

enum { POOL_ASIDE = 4 };

/* Entries that nobody has; a line of the processor's cache for each table. */
struct table_pool {
  __u64
      free; /* index + 1 of the one that was freed last, and above it how often this has changed */
  __u32 fresh;             /* from this one on none was ever used */
  __u32 aside[POOL_ASIDE]; /* index + 1 of what could not be put back among the free ones; or 0 */
  __u32 lost;              /* how many found no room there either */
  __u32 pad[8];
};
DP_STATIC_ASSERT(sizeof(struct table_pool) == 64);

struct table_pools {
  struct table_pool bindings;
  struct table_pool ports;
  struct table_pool sessions;
};

#define BINDING_DEAD 0x80000000U
#define SESSION_DEAD 0U

/* --- direct ports --------------------------------------------------------------------------------
 * Written by the daemon, read by the XDP program: one behind the other, the first without an index
 * is their end. */

enum { MAX_DIRECT = 64 };

struct direct_port {
  __u32 index;
  __u8 address[6]; /* link-layer */
  __u8 native;     /* the driver runs the program, and takes frames that another one's sends */
  __u8 pad;
};
DP_STATIC_ASSERT(sizeof(struct direct_port) == 12);

struct direct_ports {
  struct direct_port port[MAX_DIRECT];
};

/* --- policy --------------------------------------------------------------------------------------
 * Written by the daemon as a whole, read by every step. */

struct prefix6 {
  struct address address;
  __u8 length; /* bits */
  __u8 pad[3];
};
DP_STATIC_ASSERT(sizeof(struct prefix6) == 20);

struct pool_address {
  __be32 address;
  __u16 port_low; /* host order, both ends belong to the range */
  __u16 port_high;
  __u8 draining; /* what is bound stays, nothing new is */
  __u8 slot;     /* where its hints lie: its own as long as it is in the pool */
  __u16 pad;
};
DP_STATIC_ASSERT(sizeof(struct pool_address) == 12);

/* An explicit address mapping (RFC 7757 3.2). The masks have one bits where the prefixes are. */
struct mapping {
  struct address inside;
  struct address inside_mask;
  __be32 outside;
  __be32 outside_mask;
  __u8 inside_length;
  __u8 outside_length; /* at least inside_length - 96: the IPv4 suffix fits */
  __u8 pad[2];
};
DP_STATIC_ASSERT(sizeof(struct mapping) == 44);

/* Seconds. */
struct timeouts {
  __u32 udp;
  __u32 tcp_established;
  __u32 tcp_transitory;
  __u32 icmp;
  __u32 tcp_incoming_syn;
  __u32 fragment;  /* how long a datagram may take to become whole */
  __u32 port_rest; /* at most REST_TICK * (REST_TICKS - 1) */
};

/* Who may send to a port that is bound (RFC 4787 5). */
enum filtering {
  FILTER_ENDPOINT = 0, /* anybody */
  FILTER_ADDRESS,      /* addresses that the port has sessions with */
};

struct policy {
  __u32 generation; /* counts reloads */
  __u32 max_sessions_per_subscriber;
  __u32 lowest_ipv6_mtu; /* from IPv4 with DF clear nothing longer goes to IPv6 in one piece */
  __u32 max_bindings_per_subscriber; /* 0: as many as sessions */
  __u32 icmp_error_rate;             /* answers of our own, a second and worker; 0: none */
  struct timeouts timeouts;
  __u8 prefix_count;
  __u8 pool_count;
  __u8 allow_count;
  __u8 subscriber_prefix; /* bits */
  __u8 allow_private_ipv4;
  __u8 accounting;
  __u8 map_count;
  __u8 error_source_count;
  __u8 filtering;  /* enum filtering */
  __u8 rst_window; /* resets and errors are held against the session's sequence numbers */
  __u8 outbound_refresh_only; /* packets from IPv4 do not keep a session alive */
  __u8 usable_count;          /* of `usable`; 0: all of the pool */
  __u8 usable[MAX_POOL];      /* indices of pool addresses that do not drain */
  __u8 zero_traffic_class;    /* nor the type of service goes over */
  __u8 drop_zero_checksum;    /* of UDP over IPv4 to a mapped host; else one is calculated */
  __u16 largest_segment;      /* what SYNs may announce (mss.h); 0: anything */
  __u32 mtu; /* of the interface: no port of ours carries more of IPv6; 0: not known */
  struct prefix6 prefix[MAX_PREFIXES];
  struct pool_address pool[MAX_POOL]; /* sorted by address in host order */
  struct prefix6 allow[MAX_ALLOW];
  struct mapping map_by_inside[MAX_MAPS];  /* the same maps twice, longest prefix first, so that */
  struct mapping map_by_outside[MAX_MAPS]; /* the first one that matches is the longest */
  __be32 error_source[MAX_ERROR_SOURCES];  /* of errors from routers without an IPv4 address; none:
                                              the pool's */
};

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
