/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The one page: a packet's whole way.
 */
#ifndef VIADUCT_DATAPATH_PATH_H
#define VIADUCT_DATAPATH_PATH_H

#include "datapath/ageing.h"
#include "datapath/answer.h"
#include "datapath/classify.h"
#include "datapath/fragment.h"
#include "datapath/packet.h"
#include "datapath/parse.h"
#include "datapath/parse_inner.h"
#include "datapath/session.h"
#include "datapath/session_error.h"
#include "datapath/translate.h"

STEP enum verdict walk(struct packet *p) {
  enum verdict v;

  v = parse(p); /* bytes to headers: from here on it is a whole TCP, UDP or ICMP packet */
  if (v != VERDICT_NEXT)
    return v;
  v = classify(p); /* from here on it is ours */
  if (v != VERDICT_NEXT)
    return v;
  v = gather(p); /* from here on it is a whole packet, or a fragment that needs no session */
  if (v != VERDICT_NEXT)
    return v;
  v = settle(p); /* from here on the tuple it leaves with is settled */
  if (v != VERDICT_NEXT)
    return v;
  v = translate(p); /* from here on its new headers are settled */
  if (v != VERDICT_NEXT)
    return v;
  return emit(p);
}

STEP enum reason forwarded_as(const struct packet *p) {
  if (p->headers->family == FAMILY_6)
    return p->headers->icmp_error ? REASON_translated_error_6to4 : REASON_translated_6to4;
  return p->headers->icmp_error ? REASON_translated_error_4to6 : REASON_translated_4to6;
}

/* Every packet is counted once, under the reason of its end. */
STEP enum verdict path_end(struct packet *p, enum verdict v) {
  if (v == VERDICT_FORWARD)
    p->reason = forwarded_as(p);
  if (v == VERDICT_DROP && p->headers->family && answer_message(p).type != NO_COUNTERPART)
    v = answer(p); /* the drop stays one; somebody is told */
  count(p, p->reason);
  return v;
}

STEP enum verdict path(struct packet *p) {
  return path_end(p, walk(p));
}

#endif
