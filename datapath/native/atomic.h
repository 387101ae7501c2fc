/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * How the native build reads and writes fields that several threads change (tables.h).
 */
#ifndef VIADUCT_DATAPATH_ATOMIC_H
#define VIADUCT_DATAPATH_ATOMIC_H

#define READ(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define WRITE(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)
#define ADD(field, n) __atomic_fetch_add(&(field), (__typeof__(field))(n), __ATOMIC_ACQ_REL)
#define SWAP_IF(field, old, new)                                                                   \
  ({                                                                                               \
    __typeof__(field) expected_ = (old);                                                           \
    __atomic_compare_exchange_n(&(field), &expected_, new, false, __ATOMIC_ACQ_REL,                \
                                __ATOMIC_RELAXED);                                                 \
  })

#endif
