/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What crosses the border between the agent's BPF programs and its daemon: the maps' keys and values, and the
 * rows of the view of connections. No code. Addresses and ports are in network order unless a name says host.
 */
#ifndef VIADUCT_AGENT_RECORD_H
#define VIADUCT_AGENT_RECORD_H

#include "datapath/toa.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

/* Raised when a map below changes its form: pinned maps of another layout are not taken over. */
enum { AGENT_LAYOUT = 2 };

enum agent_limits {
  AGENT_MAX_SENDERS = 1024, /* prefixes of each family */
  AGENT_MAX_MPTCP = 65536,
  AGENT_MAX_FLOWS = 65536,       /* of UDP; the one that was idle longest gives way */
  AGENT_FLOW_IDLE_SECONDS = 600, /* after which a flow may be another client's */
  AGENT_PORT_WORDS = 65536 / 64,
};

enum agent_counter {
#define COUNTER(name, help) COUNTER_##name,
#include "agent/counters.def"
#undef COUNTER
  AGENT_COUNTERS
};

/* Which packet carried the address. */
enum agent_source { SOURCE_NONE = 0, SOURCE_SYN, SOURCE_ACK, SOURCE_DATA };

/* Of a connection with a TOA option: whether it is believed, or why not. */
enum agent_verdict {
  VERDICT_BELIEVED = 0,
  VERDICT_UNTRUSTED,
  VERDICT_MALFORMED,
  VERDICT_CONTRADICTING,
  VERDICT_IMPLAUSIBLE,
  VERDICT_AMBIGUOUS,
};

/* Map `connections`, in the socket. Written when the connection is made or its first data comes, read by the
 * hooks and the view. */
struct agent_record {
  struct toa toa;
  __u64 network_namespace; /* its cookie */
  __u8 verdict;            /* enum agent_verdict */
  __u8 source;             /* enum agent_source */
  __u8 pad[6];
};
DP_STATIC_ASSERT(sizeof(struct agent_record) == 56);

/* Map `waiting`, in a socket whose first data packet may bring the address. */
struct agent_waiting {
  __u16 flag_was_set; /* another program had asked for headers before us: its flag stays */
  __u16 data_in_syn;  /* bytes, of TCP Fast Open */
};
DP_STATIC_ASSERT(sizeof(struct agent_waiting) == 4);

/* Maps `senders4`, `senders6`: whose TOA is believed. Written by the daemon. */
struct agent_sender4 {
  __u32 length;
  __be32 address;
};
struct agent_sender6 {
  __u32 length;
  struct address address;
};
DP_STATIC_ASSERT(sizeof(struct agent_sender4) == 8);
DP_STATIC_ASSERT(sizeof(struct agent_sender6) == 20);

/* Map `scope`: for which listeners. Written by the daemon. */
struct agent_scope {
  __u64 network_namespace; /* its cookie; 0: for those of all */
  __u32 all_ports;
  __u32 pad;
  __u64 ports[AGENT_PORT_WORDS]; /* a bit for each */
};
DP_STATIC_ASSERT(sizeof(struct agent_scope) == 8208);

/* Map `by_tuple`: what an MPTCP connection's first subflow was told, since programs hold another socket. */
struct agent_tuple {
  __u64 network_namespace;
  struct address local, remote;
  __u16 local_port_host;
  __be16 remote_port;
  __u32 family; /* of the socket: AF_INET or AF_INET6 */
};
DP_STATIC_ASSERT(sizeof(struct agent_tuple) == 48);

/* --- UDP. Written and read by the hooks alone. -------------------------------------------------- */

/* Map `udp_flows`: who is behind a sender's address and port, by what a socket knows when a program receives. `local` is
 * what the socket is bound to, zero if to any. When the datagram comes in, the socket is all that is known of where:
 * `scope` is its cookie, and the first receive moves the entry to the network namespace's.
 * Map `udp_clients`: the same the other way round, `remote` being the client. */
struct agent_udp_key {
  __u64 scope; /* cookie of the network namespace, or the socket's */
  struct address remote, local;
  __be16 remote_port;
  __u16 local_port_host;
  __u8 family; /* of what is on the wire, 4 or 6 */
  __u8 of_socket;
  __u8 pad[2];
};
DP_STATIC_ASSERT(sizeof(struct agent_udp_key) == 48);

struct agent_udp_flow {
  struct address client;
  struct address local; /* where the datagram with the UOA went to */
  __u64 seen;           /* ns of CLOCK_MONOTONIC */
  __be16 client_port;
  __u8 family;    /* the client's */
  __u8 contested; /* two clients, by two of our addresses that the socket does not tell apart */
  __u32 pad;
};
DP_STATIC_ASSERT(sizeof(struct agent_udp_flow) == 48);

struct agent_udp_way {
  struct address remote; /* the load balancer */
  __u64 seen;
  __be16 remote_port;
  __u8 pad[6];
};
DP_STATIC_ASSERT(sizeof(struct agent_udp_way) == 32);

/* Map `udp_connected`, in a socket that its program has connected to a client. */
struct agent_udp_peer {
  struct address client, remote;
  __be16 client_port, remote_port;
  __u8 family; /* of both */
  __u8 pad[3];
};
DP_STATIC_ASSERT(sizeof(struct agent_udp_peer) == 40);

/* What the view writes for each socket of `connections`. */
struct agent_row {
  struct agent_record record;
  struct address local, remote;
  __u16 local_port_host;
  __be16 remote_port;
  __u16 family;
  __u8 state; /* as in RFC 9293, by the kernel's numbers */
  __u8 pad;
};
DP_STATIC_ASSERT(sizeof(struct agent_row) == 96);

/* What agent_listeners writes for each listener of ours that keeps no SYN. */
struct agent_listener {
  struct address local;
  __u32 network_namespace; /* its inode number */
  __u16 port_host;
  __u16 family;
};
DP_STATIC_ASSERT(sizeof(struct agent_listener) == 24);

/* getsockopt(fd, IPPROTO_IP, 4096, ...), as toa.ko of NAT64 clouds has it. */
enum { TOA_SO_GET_LOOKUP = 4096 };
struct toa_nat64_peer {
  struct address address;
  __be16 port;
  __u8 pad[2];
};
DP_STATIC_ASSERT(sizeof(struct toa_nat64_peer) == 20);

/* getsockopt(fd, IPPROTO_IP, 2048, ...), as DPVS has it; the caller fills in the first half. Bytes, since nothing in
 * it is aligned. */
enum { UOA_SO_GET_LOOKUP = 2048 };
struct uoa_param_map {
  __u8 family[2]; /* AF_INET or AF_INET6; in the byte order of whoever wrote the program */
  __u8 source[16];
  __u8 destination[16]; /* zero: whichever */
  __u8 source_port[2];
  __u8 destination_port[2];
  __u8 real_family[2]; /* in the host's order */
  __u8 real_source[16];
  __u8 real_source_port[2];
};
DP_STATIC_ASSERT(sizeof(struct uoa_param_map) == 58);

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
