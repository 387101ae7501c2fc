// SPDX-License-Identifier: MIT
#include "vectors.h"

namespace viaduct::test {

std::vector<Vector> all_vectors() {
  std::vector<Vector> all;
  for (auto theme :
       {udp_vectors, tcp_vectors, mss_vectors, icmp_vectors, icmp_error_vectors, fragment_vectors,
        header_vectors, malformed_vectors, classify_vectors, map_vectors, session_vectors,
        filtering_vectors, ageing_vectors, reset_vectors, port_vectors, hairpin_vectors}) {
    std::vector<Vector> some = theme();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

} // namespace viaduct::test
