/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What a dry walk brings home of each decision (native/trace.h). No code; the words are in notes.def.
 */
#ifndef VIADUCT_DATAPATH_NOTE_H
#define VIADUCT_DATAPATH_NOTE_H

#include "datapath/types.h"

#ifdef __cplusplus
namespace viaduct::dp {
extern "C" {
#endif

enum note_kind {
#define NOTE_TEXT(name, step, rfc, text) NOTE_##name,
#include "datapath/notes.def"
#undef NOTE_TEXT
  NOTE_COUNT
};

enum end_kind { END_NONE = 0, END_ADDRESS, END_ENDPOINT, END_PREFIX };

/* An address, with a port or a prefix length where its kind says so. */
struct note_end {
  struct address address;
  __be16 port;
  __u8 family; /* 4 or 6 */
  __u8 kind;   /* enum end_kind */
  __u8 length; /* bits */
  __u8 pad[3];
};

/* One decision of a step; notes.def has the words. */
struct note {
  __u32 kind; /* enum note_kind */
  __u32 n[4];
  struct note_end a, b, c;
};

#ifdef __cplusplus
} // extern "C"
} // namespace viaduct::dp
#endif

#endif
