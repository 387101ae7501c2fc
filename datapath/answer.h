/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Which drops are answered with an ICMP error of our own, and with which. Everything else is
 * dropped silently: probing gets no replies, and nobody can make us send to a third party what his
 * packet did not cause.
 */
#ifndef VIADUCT_DATAPATH_ANSWER_H
#define VIADUCT_DATAPATH_ANSWER_H

#include "datapath/icmp_error.h"
#include "datapath/packet.h"
#include "datapath/session.h"
#include "datapath/stateless.h"

STEP struct icmp_message answer6(const struct packet *p) {
  switch (p->reason) {
  case REASON_routing_header: /* RFC 7915 5.1: points at Segments Left */
    return (struct icmp_message){ICMP6_PARAMETER_PROBLEM, 0, p->detail};
  case REASON_bad_fragment: /* RFC 8200 4.5: points at the field that says too much */
    return p->detail ? (struct icmp_message){ICMP6_PARAMETER_PROBLEM, 0, p->detail} : icmp_none();
  case REASON_unknown_protocol: /* RFC 6146 3.4 */
    return (struct icmp_message){ICMP6_UNREACHABLE, 4, 0};
  case REASON_no_port: /* RFC 6146 3.5.1.1 */
  case REASON_table_full:
    return (struct icmp_message){ICMP6_UNREACHABLE, 3, 0};
  case REASON_subscriber_quota: /* administratively prohibited */
  case REASON_binding_quota:
    return (struct icmp_message){ICMP6_UNREACHABLE, 1, 0};
  default:
    return icmp_none();
  }
}

STEP struct icmp_message answer4(const struct packet *p) {
  switch (p->reason) {
  case REASON_source_route: /* RFC 7915 4.1: source route failed */
    return (struct icmp_message){ICMP4_UNREACHABLE, 5, 0};
  case REASON_unknown_protocol:
    return (struct icmp_message){ICMP4_UNREACHABLE, 2, 0};
  default:
    return icmp_none();
  }
}

STEP struct icmp_message answer_message(const struct packet *p) {
  return p->headers->family == FAMILY_6 ? answer6(p) : answer4(p);
}

/* Whether the packet was for us, from somebody who may use us: parse ends before classify has
 * looked. Leaves the prefix that the packet was sent to in p->prefix. */
STEP bool may_be_answered(struct packet *p) {
  if (p->headers->icmp_error)
    return false; /* no error about an error, RFC 4443 2.4 (e) */
  if (p->headers->fragment_offset && p->reason != REASON_bad_fragment)
    return false; /* nor about a later fragment, RFC 1812 4.3.2.7 */
  if (p->headers->family == FAMILY_4)
    return !is_no_host4(p->in->source.word[0]) &&
           (find_pool_address(p, p->in->destination.word[0]) ||
            find_map4(p, p->in->destination.word[0]));
  return !is_no_host6(&p->in->source) && find_prefix(p, &p->in->destination) &&
         (is_allowed(p) || find_map6(p, &p->in->source));
}

#endif
