// SPDX-License-Identifier: MIT
//
// Any bytes as an answer to the health check. Besides what the sanitizers see: the id in the
// message decides whose answer it is, what is accepted stays within its bounds, a message cut short
// by a byte never yields more than the whole one, and an answer that is judged healthy holds such
// an address.
#include "dns64/dns_message.h"
#include "dns64/health_check.h"
#include "dns64/unbound_config.h"

#include <cstdlib>
#include <span>

using namespace viaduct;

namespace {

void require(bool holds) {
  if (!holds)
    abort();
}

const Prefix6 WELL_KNOWN{Ipv6{{0x00, 0x64, 0xff, 0x9b}}, 96};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::span<const uint8_t> message(data, size);
  uint16_t id = size >= 2 ? static_cast<uint16_t>(data[0] << 8 | data[1]) : 0;
  auto answer = dns64::parse_answer(message, id, dns64::HEALTH_NAME);
  require(!answer || dns64::has_id(message, id));
  require(!dns64::parse_answer(message, static_cast<uint16_t>(id + 1), dns64::HEALTH_NAME));
  bool healthy = static_cast<bool>(dns64::judge_answer(message, id, WELL_KNOWN));
  require(!healthy || (answer && !answer->addresses.empty()));
  if (!answer)
    return 0;
  require(answer->rcode <= 15 && answer->addresses.size() <= dns64::MAX_DNS_RECORDS);
  auto shorter = dns64::parse_answer(message.first(size - 1), id, dns64::HEALTH_NAME);
  require(!shorter || shorter->addresses == answer->addresses);
  return 0;
}
