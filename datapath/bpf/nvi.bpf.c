/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The BPF build of the five steps, for tc on nvi0's egress: a packet that the kernel routes into
 * nvi0 is translated and redirected to nvi0's own ingress, from where it is routed again. What this
 * build leaves (PASS, PUNT) goes on into the tun, where the native build takes it.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#define HEAD_BYTES 128
#define TARGET_PUNTS 1
#define PORT_SCAN 0
#define EVENT(p, kind, ...) event_##kind(p, __VA_ARGS__)
#define COUNT_UP(counter) (counter)++
/* Unrolled: 6.1's verifier refuses a loop here that clang lays out. */
#define REPEAT(times, call, context)                                                               \
  _Pragma("clang loop unroll(full)") for (__u32 i_ = 0; i_ < (times); i_++) {                      \
    if (call(i_, context))                                                                         \
      break;                                                                                       \
  }

#include "datapath/packet.h"

/* Set before loading; what they switch off is gone from the program. */
const volatile __u32 layer2 = 0; /* bytes before the IP header: 0 on a tun, 14 in test runs */
const volatile __u32 secret[2] = {0, 0};

/* Test runs only: the clock and the chance. */
__u32 test_now = 0;
__u32 test_random = 0;
__u32 test_verdict = 0;
__u32 test_reason = 0;

static const __u8 poison[40] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};

#include "datapath/bpf/maps.h"

#include "datapath/bpf/emit_tc.h"

STEP enum verdict settle(struct packet *p);

STEP enum verdict answer(struct packet *p) {
  return punt(p, REASON_punt_answer);
}

STEP enum verdict hold_syn(struct packet *p) {
  return punt(p, REASON_punt_syn);
}

STEP enum verdict reassemble(struct packet *p) {
  return punt(p, REASON_punt_fragment);
}

#include "datapath/path.h"

STEP enum verdict settle(struct packet *p) {
  return session(p);
}

/* Ports must not be guessable (RFC 6056): the kernel's own chance here is no secret to who has seen
 * enough of it, so it is mixed with one. */
STEP __u32 next_random(void) {
  return testing ? test_random : spread(bpf_get_prandom_u32() ^ secret[0], secret[1] | 1);
}

/* Copies the first bytes of the packet to where the steps look at them. A packet without any is
 * left to parse, which has a word for it. */
STEP bool load_head(struct __sk_buff *skb, struct packet *p, __u8 *head) {
  __u64 length = skb->len - layer2;

  if (skb->len <= layer2)
    return true;
  p->length = (__u32)length;
  if (length > HEAD_BYTES)
    length = HEAD_BYTES;
  p->head_length = (__u32)length;
  KEEP(length);
  if (length == 0 || length > HEAD_BYTES)
    return false;
  return bpf_skb_load_bytes(skb, layer2, head, (__u32)length) == 0;
}

STEP bool packet_init(struct __sk_buff *skb, struct packet *p) {
  struct workspace *workspace = workspace_find();
  const struct policy *policy = policy_now();

  if (!workspace || !policy)
    return false;
  p->target = skb;
  p->policy = policy;
  packet_start(p, &workspace->scratch);
  p->head = workspace->head;
  p->segments = skb->gso_segs ? skb->gso_segs : 1;
  p->segment_size = skb->gso_size;
  p->now = testing ? test_now : (__u32)(bpf_ktime_get_ns() / 1000000000ULL);
  p->random = next_random();
  return load_head(skb, p, workspace->head);
}

SEC("tc")
int nvi(struct __sk_buff *skb) {
  struct packet p = {};
  enum verdict v;

  if (!packet_init(skb, &p))
    return TC_ACT_OK; /* cannot happen; the native build sees the packet */
  v = path(&p);
  if (testing) {
    test_verdict = v;
    test_reason = p.reason;
  }
  switch (v) {
  case VERDICT_FORWARD:
    return (int)bpf_redirect(skb->ifindex, BPF_F_INGRESS);
  case VERDICT_DROP:
    return TC_ACT_SHOT;
  default:
    return TC_ACT_OK;
  }
}

char license_[] SEC("license") = "Dual MIT/GPL";
