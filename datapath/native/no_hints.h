/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Of the table access (tables.h), what the native targets have none of: they know sessions by their IPv4
 * tuple only.
 */
#ifndef VIADUCT_DATAPATH_NO_HINTS_H
#define VIADUCT_DATAPATH_NO_HINTS_H

#include "datapath/packet.h"

STEP struct session *session_hinted(const struct packet *p) {
  (void)p;
  return NULL;
}

STEP void session_expect(const struct packet *p) {
  (void)p;
}

STEP void session_hint(const struct packet *p) {
  (void)p;
}

#endif
