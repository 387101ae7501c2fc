/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Cutting super-packets in software, for where the kernel does not take them whole; and what it
 * takes to make one of datagrams. Each segment
 * gets the headers of the whole with what differs: lengths, IPv4 identifications that count up
 * (RFC 6864 asks for different ones), TCP sequence numbers; CWR stands in the first segment only,
 * FIN and PSH in the last. Checksums are calculated whole, so nothing is left to anybody else.
 */
#include "datapath/native/native.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

enum {
  TCP_FIN_PSH = 0x09,
  TCP_CWR_BIT = 0x80,
};

static __u16 read16(const __u8 *bytes) {
  return (__u16)(bytes[0] << 8 | bytes[1]);
}

static void write16(__u8 *bytes, __u32 value) {
  bytes[0] = (__u8)(value >> 8);
  bytes[1] = (__u8)value;
}

/* RFC 1071, in the host's order: 32 bits at a time into 64, which 64 KiB cannot fill. */
static __u64 sum_of(const __u8 *bytes, __u32 length, __u64 sum) {
  __u32 word = 0;

  for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
    memcpy(&word, bytes, sizeof word);
    sum += word;
  }
  word = 0;
  memcpy(&word, bytes, length);
  return sum + word;
}

/* The complement, in the order of the bytes that were summed. */
static __u16 checksum_of(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)~sum;
}

struct shape {
  bool six;
  __u8 protocol;
  __u32 transport; /* offset */
  __u32 headers;   /* bytes of all headers */
};

/* How the super-packet is made up; false where it is none. */
static bool shape_of(const struct frame *frame, struct shape *shape) {
  const __u8 *data = frame->data;
  __u32 transport = frame->transport;

  if (frame->length <= transport || transport < 20 || frame->segment_size == 0)
    return false;
  shape->six = data[0] >> 4 == 6;
  if (shape->six && transport < 40)
    return false;
  shape->protocol = data[shape->six ? 6 : 9];
  shape->transport = transport;
  if (shape->protocol == PROTOCOL_UDP)
    shape->headers = transport + 8;
  else if (shape->protocol == PROTOCOL_TCP && transport + 20 <= frame->length)
    shape->headers = transport + (data[transport + 12] >> 4) * 4U;
  else
    return false;
  return shape->headers <= sizeof((struct segment *)0)->header && shape->headers <= frame->length &&
         (shape->protocol == PROTOCOL_UDP || shape->headers >= transport + 20);
}

/* Of the packet whose headers begin at `ip`; `length` is all of it. */
static void network_length(__u8 *ip, __u32 transport, __u32 length) {
  __u16 checksum;

  if (ip[0] >> 4 == 6) {
    write16(ip + 4, length - 40);
    return;
  }
  write16(ip + 2, length);
  write16(ip + 10, 0);
  checksum = checksum_of(sum_of(ip, transport, 0));
  memcpy(ip + 10, &checksum, sizeof checksum);
}

static __u64 pseudo_sum(const __u8 *ip, __u8 protocol, __u32 length) {
  __u64 sum = (__u64)htons((__u16)length) + htons(protocol);

  return ip[0] >> 4 == 6 ? sum_of(ip + 8, 32, sum) : sum_of(ip + 12, 8, sum);
}

static void tcp_fields(__u8 *tcp, __u32 offset, bool last, bool first) {
  __u32 sequence;

  memcpy(&sequence, tcp + 4, sizeof sequence);
  sequence = htonl(ntohl(sequence) + offset);
  memcpy(tcp + 4, &sequence, sizeof sequence);
  if (!last)
    tcp[13] &= (__u8)~TCP_FIN_PSH;
  if (!first)
    tcp[13] &= (__u8)~TCP_CWR_BIT;
}

static void transport_checksum(const struct shape *shape, struct segment *segment) {
  __u8 *ip = segment->header, *transport = ip + shape->transport;
  __u8 *field = transport + (shape->protocol == PROTOCOL_TCP ? 16 : 6);
  __u32 header = shape->headers - shape->transport;
  __u16 checksum;
  __u64 sum;

  memset(field, 0, sizeof checksum);
  sum = sum_of(transport, header, pseudo_sum(ip, shape->protocol, header + segment->length));
  checksum = checksum_of(sum_of(segment->data, segment->length, sum));
  if (shape->protocol == PROTOCOL_UDP && checksum == 0)
    checksum = 0xffff;
  memcpy(field, &checksum, sizeof checksum);
}

int frame_segment(const struct frame *frame, struct segment *segment) {
  const __u8 *end = frame->data + frame->length;
  struct shape shape;
  __u32 rest, offset;
  bool first = !segment->data;

  if (!shape_of(frame, &shape))
    return 0;
  if (first)
    segment->data = frame->data + shape.headers;
  else if ((segment->data += segment->length) == end)
    return 0;
  segment->number = first ? 0 : segment->number + 1;
  rest = (__u32)(end - segment->data);
  segment->length = rest < frame->segment_size ? rest : frame->segment_size;
  segment->header_length = shape.headers;
  offset = (__u32)(segment->data - frame->data) - shape.headers;
  memcpy(segment->header, frame->data, shape.headers);
  if (!shape.six)
    write16(segment->header + 4, read16(segment->header + 4) + segment->number);
  network_length(segment->header, shape.transport, shape.headers + segment->length);
  if (shape.protocol == PROTOCOL_TCP)
    tcp_fields(segment->header + shape.transport, offset, segment->length == rest, first);
  else
    write16(segment->header + shape.transport + 4, 8 + segment->length);
  transport_checksum(&shape, segment);
  return 1;
}

int frame_checksum_right(const struct frame *frame) {
  __u32 length = frame->length - frame->transport;
  __u64 sum = pseudo_sum(frame->data, PROTOCOL_UDP, length);

  return checksum_of(sum_of(frame->data + frame->transport, length, sum)) == 0;
}

void frame_finish_train(struct frame *frame) {
  __u8 *ip = frame->data, *udp = ip + frame->transport;
  __u32 length = frame->length - frame->transport;
  __u16 partial = (__u16)~checksum_of(pseudo_sum(ip, PROTOCOL_UDP, length));

  network_length(ip, frame->transport, frame->length);
  write16(udp + 4, length);
  memcpy(udp + 6, &partial, sizeof partial);
}
