// SPDX-License-Identifier: MIT
//
// toalab: a sender of TOA and the server behind it, for loads that a script is too slow for. The sender makes
// each packet of each connection itself, so that any option can be on any of them and a port is free again at
// once; the server is a plain program with kernel sockets, which tells every client who it takes him for. Each acts
// in the network namespace it is started in, and only there.
#pragma once

#include "base/result.h"

#include <array>
#include <cstdint>
#include <string>
#include <sys/socket.h>

namespace viaduct::toalab {

struct Options {
  // serve, names, connect
  std::string address;
  uint16_t port = 0;
  bool close_at_once = false;
  bool spin = false;
  std::string toa_cgroup; // of connect: a folder of cgroup2
  bool ask = false;       // of connect
  uint32_t calls = 1'000'000;
  // send; connections, seconds and window of connect, too
  std::string device;
  std::string to; // the server's MAC address
  std::string server4, server6;
  std::string listed4, listed6;
  std::string stranger4, stranger6;
  uint16_t port4 = 0, port6 = 0;
  std::string mix = "mixed";
  uint64_t connections = 1000;
  double seconds = 0; // instead of a number of connections
  uint32_t window = 128;
  // sockets
  std::string map;
};

Result<void> serve(const Options &options);
Result<void> time_names(const Options &options);
Result<void> send(const Options &options);
Result<void> connect_often(const Options &options);
Result<void> count_sockets(const Options &options);

// An address and port as a program sees them: the family is the socket's. Port in network order.
struct Name {
  uint8_t family = 0; // 4 or 6
  uint8_t pad = 0;
  uint16_t port = 0;
  std::array<uint8_t, 16> address{};

  bool operator==(const Name &) const = default;
  std::string text() const;
};
static_assert(sizeof(Name) == 20);

Name name_of(const sockaddr_storage &address);

// What the server answers: accept's address, getpeername's when the question had come, getsockopt 4096's answer.
struct Told {
  Name accepted, peer, nat64;
  int32_t nat64_error = 0;
};
static_assert(sizeof(Told) == 64);

// A socket that listens, with the dual-stack behaviour that most programs ask for.
Result<int> listener(const std::string &address, uint16_t port);

} // namespace viaduct::toalab
