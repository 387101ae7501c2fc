/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the programs that carry packets have in common, whichever hook they sit on: how the steps
 * are compiled for BPF, the tables, and what this build leaves to the native one.
 *
 * A program includes this, defines emit() (packet.h) with emit_tc.h or emit_xdp.h, and includes
 * datapath/path.h.
 */
#ifndef VIADUCT_DATAPATH_BPF_TARGET_H
#define VIADUCT_DATAPATH_BPF_TARGET_H

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

/* Set before loading. */
const volatile __u32 secret[2] = {0, 0};

/* Test runs only: the clock and the chance, and what a run ended with. */
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

/* A global function: the verifier goes through its loop once, and not on each of the ways that lead
 * to translate, which would take most of what it allows. */
__attribute__((noinline)) int lower_mss_of_workspace(__u32 head_length, __u32 largest);
#define LOWER_MSS(p, largest) lower_mss_of_workspace((p)->head_length, largest)

#include "datapath/binding.h"
#include "datapath/mss.h"

__attribute__((noinline)) int lower_mss_of_workspace(__u32 head_length, __u32 largest) {
  struct workspace *workspace = workspace_find();
  struct packet p = {.head_length = head_length};

  if (!workspace)
    return 0;
  p.head = workspace->head;
  p.scratch = &workspace->scratch;
  look_at(&p, &workspace->scratch.packet);
  return lower_mss(&p, largest);
}

/* Ports must not be guessable (RFC 6056): the kernel's own chance here is no secret to who has seen
 * enough of it, so it is mixed with one. */
STEP __u32 next_random(void) {
  return testing ? test_random : spread(bpf_get_prandom_u32() ^ secret[0], secret[1] | 1);
}

/* Second of CLOCK_MONOTONIC, late by a tick at most: reading the time stamp counter would take a
 * fifteenth of a direct port's time for a packet. */
STEP __u32 second_now(void) {
  return testing ? test_now : (__u32)(bpf_ktime_get_coarse_ns() / 1000000000ULL);
}

/* All but where the packet's bytes lie; false where there is no policy, which cannot be. */
STEP bool packet_init(struct packet *p, void *target) {
  struct workspace *workspace = workspace_find();
  const struct policy *policy = policy_now();

  if (!workspace || !policy)
    return false;
  p->target = target;
  p->policy = policy;
  packet_start(p, &workspace->scratch);
  p->head = workspace->head;
  p->now = second_now();
  p->random = next_random();
  return true;
}

STEP void tell_test(const struct packet *p, enum verdict v) {
  if (!testing)
    return;
  test_verdict = v;
  test_reason = p->reason;
}

#endif
