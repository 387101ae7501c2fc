// SPDX-License-Identifier: MIT
//
// All packet vectors, by theme. A theme is a file; its vectors are one list.
#pragma once

#include "lib/vector.h"

#include <vector>

namespace viaduct::test {

std::vector<Vector> udp_vectors();
std::vector<Vector> tcp_vectors();
std::vector<Vector> mss_vectors();
std::vector<Vector> icmp_vectors();
std::vector<Vector> icmp_error_vectors();
std::vector<Vector> fragment_vectors();
std::vector<Vector> header_vectors();
std::vector<Vector> malformed_vectors();
std::vector<Vector> classify_vectors();
std::vector<Vector> map_vectors();
std::vector<Vector> session_vectors();
std::vector<Vector> filtering_vectors();
std::vector<Vector> ageing_vectors();
std::vector<Vector> reset_vectors();
std::vector<Vector> port_vectors();
std::vector<Vector> hairpin_vectors();

std::vector<Vector> all_vectors();

} // namespace viaduct::test
