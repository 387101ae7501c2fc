/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * How far a timed run goes (bpf/steps.bpf.c), for it and for the program that loads it.
 */
#ifndef VIADUCT_BENCH_STEPS_H
#define VIADUCT_BENCH_STEPS_H

enum timed_step {
  TIMED_NOTHING = 0, /* what a test run itself takes */
  TIMED_LOAD,        /* the first bytes are copied, clock and chance are asked */
  TIMED_PARSE,
  TIMED_CLASSIFY,
  TIMED_SESSION,
  TIMED_TRANSLATE,
  TIMED_EMIT,           /* the whole path; then the packet is put back */
  TIMED_THERE_AND_BACK, /* no step: only what emit and putting back ask of the kernel */
  TIMED_COUNT
};

#endif
