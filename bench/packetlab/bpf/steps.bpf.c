/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The data path up to one of its steps, to be timed by BPF_PROG_TEST_RUN: a test run repeats the
 * program on the same packet, and no step but emit changes it. Behind emit the packet is put back.
 */
#include "datapath/bpf/nvi.bpf.c"

#include "bench/packetlab/steps.h"

enum { FAMILY_CHANGED = 40 + 8 }; /* the headers that emit writes: IPv6, UDP */

const volatile __u32 last_step = 0; /* enum timed_step; set before loading */

/* As it came: emit's headers over the first bytes of the IPv6 packet. */
static __always_inline int put_back(struct __sk_buff *skb, const __u8 *headers) {
  if (bpf_skb_change_proto(skb, BE16(ETHERTYPE_IPV6), 0))
    return TC_ACT_SHOT;
  if (bpf_skb_store_bytes(skb, layer2, headers, FAMILY_CHANGED, 0))
    return TC_ACT_SHOT;
  return TC_ACT_OK;
}

static __always_inline int there_and_back(struct __sk_buff *skb) {
  __u8 headers[FAMILY_CHANGED];

  if (bpf_skb_load_bytes(skb, layer2, headers, sizeof headers) ||
      bpf_skb_change_proto(skb, BE16(ETHERTYPE_IPV4), 0))
    return TC_ACT_SHOT;
  return put_back(skb, headers);
}

static __always_inline int whole(struct packet *p, struct __sk_buff *skb) {
  __u8 headers[FAMILY_CHANGED];

  if (bpf_skb_load_bytes(skb, layer2, headers, sizeof headers) || path(p) != VERDICT_FORWARD)
    return TC_ACT_SHOT;
  return put_back(skb, headers);
}

/* OK when every step said NEXT, SHOT when one did not. */
SEC("tc")
int timed(struct __sk_buff *skb) {
  struct packet p = {};

  if (last_step == TIMED_NOTHING)
    return TC_ACT_OK;
  if (last_step == TIMED_THERE_AND_BACK)
    return there_and_back(skb);
  if (!packet_init(&p, skb) || !load_skb(&p, skb))
    return TC_ACT_SHOT;
  if (last_step == TIMED_LOAD)
    return TC_ACT_OK;
  if (last_step == TIMED_EMIT)
    return whole(&p, skb);
  if (parse(&p) != VERDICT_NEXT)
    return TC_ACT_SHOT;
  if (last_step == TIMED_PARSE)
    return TC_ACT_OK;
  if (classify(&p) != VERDICT_NEXT || gather(&p) != VERDICT_NEXT)
    return TC_ACT_SHOT;
  if (last_step == TIMED_CLASSIFY)
    return TC_ACT_OK;
  if (session(&p) != VERDICT_NEXT)
    return TC_ACT_SHOT;
  if (last_step == TIMED_SESSION)
    return TC_ACT_OK;
  return translate(&p) == VERDICT_NEXT ? TC_ACT_OK : TC_ACT_SHOT;
}
