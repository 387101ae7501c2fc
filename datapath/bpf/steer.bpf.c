/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Which queue of nvi0 a packet waits in: by a hash of its flow that nothing changes. The kernel's own
 * choice follows the queue that the other direction was last written to, so a flow would change its
 * queue when its other side begins to speak, and what waits in the old one would be overtaken; and
 * the kernel would look up and stamp an entry of its flow table with each packet written.
 *
 * Fragments go by addresses alone, since only the first has ports. The other direction of a flow may
 * be in another queue: workers share the tables.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

enum { TCP = 6, UDP = 17, IPV4 = 4, IPV6 = 6, IPV6_HEADER = 40 };
enum { FRAGMENT_BITS = 0x3fff }; /* more fragments, and the offset */

struct ipv4 {
  __u8 version, tos;
  __be16 length, id, fragment;
  __u8 ttl, protocol;
  __be16 checksum;
  __u32 addresses[2];
};

struct ipv6 {
  __u32 version;
  __be16 length;
  __u8 next, hop_limit;
  __u64 addresses[4];
};

/* Set before loading, by chance: nobody can choose flows that all go into one queue. */
const volatile __u64 seed = 0;

static __always_inline __u64 mix(__u64 hash, __u64 word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 32);
}

/* Every bit of the hash in the 32 that are asked for, the lowest above all. */
static __always_inline __u32 finish(__u64 hash) {
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return (__u32)(hash >> 32);
}

static __always_inline __u64 with_ports(struct __sk_buff *skb, __u64 hash, __u8 protocol,
                                        __u32 transport) {
  __u32 ports = 0;

  if (protocol == TCP || protocol == UDP)
    bpf_skb_load_bytes(skb, transport, &ports, sizeof ports); /* a short one has none */
  return mix(hash, (__u64)ports << 32 | protocol);
}

static __always_inline __u64 hash4(struct __sk_buff *skb) {
  struct ipv4 ip;

  if (bpf_skb_load_bytes(skb, 0, &ip, sizeof ip) < 0)
    return 0;
  __u64 hash = mix(seed, (__u64)ip.addresses[0] << 32 | ip.addresses[1]);
  if (ip.fragment & __builtin_bswap16(FRAGMENT_BITS))
    return hash;
  return with_ports(skb, hash, ip.protocol, (ip.version & 15) * 4U);
}

static __always_inline __u64 hash6(struct __sk_buff *skb) {
  struct ipv6 ip;

  if (bpf_skb_load_bytes(skb, 0, &ip, sizeof ip) < 0)
    return 0;
  __u64 hash = mix(mix(seed, ip.addresses[0]), ip.addresses[1]);
  hash = mix(mix(hash, ip.addresses[2]), ip.addresses[3]);
  return with_ports(skb, hash, ip.next, IPV6_HEADER);
}

/* The kernel takes it modulo the number of queues. */
SEC("socket")
int steer(struct __sk_buff *skb) {
  __u8 version = 0;

  bpf_skb_load_bytes(skb, 0, &version, sizeof version);
  __u64 hash = version >> 4 == IPV4 ? hash4(skb) : version >> 4 == IPV6 ? hash6(skb) : 0;
  return (int)finish(hash);
}

char license_[] SEC("license") = "Dual MIT/GPL";
