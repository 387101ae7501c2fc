/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The one context that every step takes, and how a step ends.
 *
 * The steps never touch the packet: they see a copy of its first bytes in `head` (HEAD_BYTES, set
 * by the target) and leave in `rewrite` what emit is to write. That keeps them free of packet
 * pointers, so one text passes the verifiers and runs natively.
 *
 * A target (bpf/target.h, native/native.c) defines before including path.h:
 *   HEAD_BYTES     a power of two; `head` is twice as long, so that a masked offset is always inside
 *   TARGET_PUNTS   1 where rare packets are handed up to the native build, 0 in the native build
 *   PORT_SCAN      how many ports are tried in order after the random tries
 *   REPEAT(n, f, context)  calls f(i, context) for i below n, until it returns 1
 *   count(p, r)    counts an event or the end of a packet
 *   settle(p)      the session step: session(p), here or where the tables are
 *   emit(p)        writes the packet anew and sends it on
 *   answer(p)      makes the ICMP error that a drop is answered with (answer.h)
 *   hold_syn(p)    keeps a TCP SYN from IPv4 for some seconds (session.h)
 *   reassemble(p)  keeps a fragment until its datagram is whole (fragment.h)
 * and the table access of tables.h.
 */
#ifndef VIADUCT_DATAPATH_PACKET_H
#define VIADUCT_DATAPATH_PACKET_H

#include "datapath/types.h"

#include <stdbool.h>
#include <stddef.h>

/* EVENT(p, KIND, ...): a session or a binding was made, has moved or ended (event.h). A target that
 * tells of it has an event_KIND. */
#ifndef EVENT
#define EVENT(p, kind, ...) ((void)0)
#endif

/* NOTE(p, name, ...): what a step has decided, for a dry walk (native/trace.c, notes.def);
 * NOTE_ABOUT(thing, ...), where a function over there has to find the words. The other targets have
 * nothing of it, the arguments are not even compiled. */
#ifndef NOTE
#define NOTE(p, name, ...) ((void)0)
#define NOTE_ABOUT(thing, ...) ((void)0)
#endif

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define STEP static __always_inline __attribute__((unused))

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BE16(x) ((__be16)__builtin_bswap16((__u16)(x)))
#define BE32(x) ((__be32)__builtin_bswap32((__u32)(x)))
#else
#define BE16(x) ((__be16)(x))
#define BE32(x) ((__be32)(x))
#endif
#define HOST16(x) ((__u16)BE16(x)) /* the swap is its own inverse */
#define HOST32(x) ((__u32)BE32(x))

enum family { FAMILY_4 = 4, FAMILY_6 = 6 };

enum {
  IPV4_HEADER = 20,
  IPV6_HEADER = 40,
  TCP_HEADER = 20,
  UDP_HEADER = 8,
  ICMP_HEADER = 8,
  FRAGMENT_HEADER = 8, /* of IPv6 */
};

/* Flags and fragment offset of IPv4 (RFC 791 3.1). */
enum { IPV4_DF = 0x4000, IPV4_MORE = 0x2000, IPV4_OFFSET = 0x1fff };

/* IPv6 extension headers (RFC 8200 4). */
enum {
  NEXT_HOP_BY_HOP = 0,
  NEXT_ROUTING = 43,
  NEXT_FRAGMENT = 44,
  NEXT_AUTHENTICATION = 51,
  NEXT_DESTINATION_OPTIONS = 60,
  NEXT_MOBILITY = 135,
};

/* RFC 792, RFC 4443. */
enum {
  ICMP4_ECHO_REPLY = 0,
  ICMP4_UNREACHABLE = 3,
  ICMP4_ECHO_REQUEST = 8,
  ICMP4_TIME_EXCEEDED = 11,
  ICMP4_PARAMETER_PROBLEM = 12,
};

enum {
  ICMP6_UNREACHABLE = 1,
  ICMP6_TOO_BIG = 2,
  ICMP6_TIME_EXCEEDED = 3,
  ICMP6_PARAMETER_PROBLEM = 4,
  ICMP6_ECHO_REQUEST = 128,
  ICMP6_ECHO_REPLY = 129,
};

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };

/* Five values that name a flow in one direction. An ICMP query's identifier stands in both ports.
 */
struct tuple {
  struct address source;
  struct address destination;
  __be16 source_port;
  __be16 destination_port;
};

/* What parse found. */
struct headers {
  __u8 family;        /* enum family */
  __u8 protocol;      /* enum protocol, ICMP of both families as PROTOCOL_ICMP; see opaque */
  __u8 traffic_class; /* or type of service */
  __u8 hop_limit;     /* or time to live */
  __u8 tcp_flags;
  __u8 icmp_reply;        /* an echo reply, not a request */
  __u8 zero_checksum;     /* UDP over IPv4 that came without a checksum */
  __u8 icmp_error;        /* ICMP that is about another packet, see scratch.inside */
  __u16 transport;        /* offset of the transport header */
  __u16 transport_header; /* its length; TCP options included */
  __u32 transport_length; /* bytes from there to the end */
  __u8 opaque; /* neither TCP, UDP nor ICMP, or a later fragment: `protocol` as it came, no ports,
                     not looked into */
  __u8 stateless; /* classify: maps and prefixes give both addresses, there is no session */
  /* Fragments (fragment.h). `fragmented`: offset, M and identification are to be kept: there is a
   * Fragment header, also that of a whole packet (RFC 6946), or IPv4 said that there is more. */
  __u8 fragmented;
  __u8 more_fragments;
  __u16 fragment_offset; /* in bytes */
  __u8 dont_fragment;    /* DF */
  __u8 cut;              /* what leaves must be cut, see policy.lowest_ipv6_mtu */
  __u32 identification;
};

/* What emit is to write: a new network header, the first eight bytes of the transport header, and
 * how the transport checksum changes; and what a SYN announces. Deltas are ones' complement sums
 * (checksum.h). */
struct rewrite {
  __be32 network[12];
  __be32 transport[2]; /* the checksum, if it lies in here, is still the old one */
  __u32 pseudo_delta;  /* what the pseudo-header contributes: goes into partial checksums too */
  __u32 data_delta;    /* what lies in the transport header itself */
  __u8 network_length; /* IPV4_HEADER or IPV6_HEADER, with FRAGMENT_HEADER where there is one */
  __u8 checksum_at;    /* offset from the transport header */
  __u8 never_zero;     /* UDP: a result of 0 is written as 0xffff (RFC 768) */
  __u8 compute;        /* there was no checksum: calculate one over the whole datagram */
  __u8 mss_at;         /* offset of `mss` from the transport header; 0: what is there stays */
  __be16 mss;
};

/* Everything about a packet that is not a pointer, off the stack. BPF has only 512 bytes of stack;
 * and what lies in a map the verifier knows nothing about, which is what we want: it forgets which
 * protocol a path came by and checks the rest of the way once instead of once for each. */
struct scratch {
  struct layer {
    struct headers headers;
    struct tuple in;
    struct tuple out;
    struct rewrite rewrite;
    __be32 transport[2];
  } packet, inside; /* inside: of the packet that an ICMP error is about */
  struct prefix6 prefix;
  struct mapping mapping; /* the one that was found last */
  __u32 option;           /* of TCP: the one that is looked at (mss.h) */
  struct search {
    __u32 low;
    __u32 high;
  } search;
  struct port_choice {
    __u32 low;
    __u32 count;
    __u32 step;
    __u32 hints;  /* index */
    __u32 before; /* what the hint of the port that this packet took said */
  } port_choice;

  struct binding_key binding_key;
  struct port_key port_key;
  struct session_key session_key;
  struct subscriber_key subscriber_key;
  struct subscriber_key binding_subscriber_key;
  struct peer_key peer_key;
  struct binding binding;
  struct port port;
  struct session session;
  struct subscriber subscriber;
  struct peer peer;
};

struct packet {
  /* Set by the target before parse. */
  void *target;
  const __u8 *head;
  const struct policy *policy;
  struct scratch *scratch;
  __u32 head_length;  /* valid bytes in head, at most HEAD_BYTES */
  __u32 length;       /* of the whole packet */
  __u32 segments;     /* on the wire, of a super-packet; at least 1 */
  __u32 segment_size; /* most bytes of payload in each of them; 0: no super-packet */
  __u32 now;          /* second of CLOCK_MONOTONIC */
  __u32 random;
  __u32 partial_checksum;

  /* Set by the steps, in order; all but the reason lie in scratch (packet_start). */
  __u32 reason;            /* enum reason */
  __u32 detail;            /* with REASON_routing_header: the offset of what is wrong */
  struct headers *headers; /* parse */
  struct tuple *in;
  __be32 *transport;       /* first eight bytes of the transport header */
  struct prefix6 *prefix;  /* classify: that the IPv6 side uses for this packet */
  struct tuple *out;       /* classify and session */
  struct rewrite *rewrite; /* translate */
};

/* From here on the steps look at this layer. */
STEP void look_at(struct packet *p, struct layer *layer) {
  p->headers = &layer->headers;
  p->in = &layer->in;
  p->transport = layer->transport;
  p->out = &layer->out;
  p->rewrite = &layer->rewrite;
}

STEP void packet_start(struct packet *p, struct scratch *scratch) {
  struct headers *headers = &scratch->packet.headers;

  p->scratch = scratch;
  p->prefix = &scratch->prefix;
  look_at(p, &scratch->packet);
  *headers = (struct headers){};
  scratch->port_choice.before = HINT_NONE;
}

/* Transport header and payload, of the packets on the wire: a super-packet is judged by its
 * segments, it never meets a link. */
STEP __u32 longest_on_the_wire(const struct packet *p) {
  __u32 transport = p->headers->transport_length;

  if (p->segment_size && p->headers->transport_header + p->segment_size < transport)
    transport = p->headers->transport_header + p->segment_size;
  return transport;
}

/* A verdict is made only with a reason. */
STEP enum verdict drop(struct packet *p, enum reason reason) {
  p->reason = reason;
  return VERDICT_DROP;
}

STEP enum verdict pass(struct packet *p, enum reason reason) {
  p->reason = reason;
  return VERDICT_PASS;
}

STEP enum verdict punt(struct packet *p, enum reason reason) {
  p->reason = reason;
  return VERDICT_PUNT;
}

/* Compilers delete bounds they can prove and the verifier cannot; this keeps the mask in the
 * program. */
#define KEEP(x) asm volatile("" : "+r"(x))

/* Bytes of the head at an offset that was checked against head_length. */
STEP const __u8 *at(const struct packet *p, __u32 offset) {
  __u64 bounded = offset;
  KEEP(bounded);
  bounded &= HEAD_BYTES - 1;
  return p->head + bounded;
}

typedef __u32 __attribute__((may_alias, aligned(1))) any32;
typedef __u16 __attribute__((may_alias, aligned(1))) any16;

STEP __be32 load32(const __u8 *bytes) {
  return *(const any32 *)bytes;
}

STEP __be16 load16(const __u8 *bytes) {
  return *(const any16 *)bytes;
}

STEP void load_address6(struct address *address, const __u8 *bytes) {
  address->word[0] = load32(bytes);
  address->word[1] = load32(bytes + 4);
  address->word[2] = load32(bytes + 8);
  address->word[3] = load32(bytes + 12);
}

STEP void set_address4(struct address *address, __be32 value) {
  address->word[0] = value;
  address->word[1] = 0;
  address->word[2] = 0;
  address->word[3] = 0;
}

STEP bool is_inside(const struct session *session, const struct address *address, __be16 port) {
  return session->inside_port == port && !((session->inside.word[0] ^ address->word[0]) |
                                           (session->inside.word[1] ^ address->word[1]) |
                                           (session->inside.word[2] ^ address->word[2]) |
                                           (session->inside.word[3] ^ address->word[3]));
}

#endif
