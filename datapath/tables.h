/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The table access that each target supplies, for binding, port, session, subscriber and peer:
 *
 *   struct X *X_find(p, key)            the entry, or NULL; valid until this packet is done
 *   int X_insert(p, key, value)         INSERTED, EXISTS (somebody has the key) or FULL; atomic
 *   void X_remove(p, key)               takes the entry out of the table, where it is marked as
 *                                       dead: at once, or when nobody can look at it any more
 *   bool subscriber_revive(entry)       whether a dead one that was not taken out yet is alive again
 *
 *   struct port_hints *hints_find(p, index)  one of PORT_HINTS
 *
 *   struct session *session_hinted(p)   the session of scratch->binding_key and the packet's destination,
 *                                       and its key in scratch, if the target knows it at once; NULL: it
 *                                       does not, there may be one
 *   void session_expect(p)              a session under scratch->port_key is going to be made: what it is
 *                                       looked up in may be fetched meanwhile. A guess, it changes nothing
 *   void session_hint(p)                scratch->session_key is that session: session_hinted is to know
 *                                       it from now on
 *
 * and, for fields that several CPUs change: READ(field), WRITE(field, value), ADD(field, n)
 * (returns the old value) and SWAP_IF(field, old, new) (compare and swap; true if it took place).
 */
#ifndef VIADUCT_DATAPATH_TABLES_H
#define VIADUCT_DATAPATH_TABLES_H

#include "datapath/types.h"

enum insertion { INSERTED = 0, EXISTS, FULL };

#endif
