// SPDX-License-Identifier: MIT
#include "plan.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>

namespace viaduct::toalab {

namespace {

constexpr uint8_t kind = 254;
constexpr uint16_t fast_open = 63881; // 0xf989
constexpr uint16_t first_port = 1024, ports = 60000;
constexpr std::array<uint8_t, 4> mss = {2, 4, 0x05, 0xb4};

// Sockets of the server, families of who connects and of the client that the option names.
struct Form {
  bool six;    // of the connection
  bool dual;   // the server's socket is AF_INET6
  bool client; // IPv6
};
constexpr std::array<Form, 6> forms = {{{false, false, false},
                                        {false, true, false},
                                        {true, true, true},
                                        {true, true, false},
                                        {false, true, true},
                                        {false, false, true}}};
constexpr uint64_t ways = 9; // of the mix; `ambiguous` comes by its port

Result<Host> host(const std::string &text, bool six) {
  Host made{.six = six, .bytes = {}};
  if (inet_pton(six ? AF_INET6 : AF_INET, text.c_str(), made.bytes.data()) != 1)
    return error("{} is no IPv{} address", text, six ? 6 : 4);
  return made;
}

// A client of its own for each connection: 10.0.0.0/8, 2001:db8:99::/96.
Host client_of(uint64_t number, bool six) {
  Host client{.six = six, .bytes = {10}};
  if (six)
    client.bytes = {0x20, 0x01, 0x0d, 0xb8, 0, 0x99};
  uint32_t low = htonl(static_cast<uint32_t>(number + 1));
  auto *bytes = reinterpret_cast<const uint8_t *>(&low);
  if (six)
    std::copy(bytes, bytes + 4, client.bytes.data() + 12);
  else
    std::copy(bytes + 1, bytes + 4, client.bytes.data() + 1);
  return client;
}

uint16_t client_port_of(uint64_t number) {
  return static_cast<uint16_t>(1 + number % 65535);
}

void add_toa(TcpOptions &options, const Host &client, uint16_t port) {
  std::array<uint8_t, 20> option{};
  size_t length = client.six ? 20 : 8;
  option[0] = kind;
  option[1] = static_cast<uint8_t>(length);
  option[2] = static_cast<uint8_t>(port >> 8);
  option[3] = static_cast<uint8_t>(port & 255);
  std::copy_n(client.bytes.begin(), length - 4, option.begin() + 4);
  options.add({option.data(), length});
}

// As a socket of the server shows an address: ::ffff:a.b.c.d on AF_INET6.
Name name(const Host &host, uint16_t port, bool on_dual) {
  Name made;
  made.family = on_dual ? 6 : 4;
  made.port = htons(port);
  if (!on_dual || host.six) {
    made.address = host.bytes;
  } else {
    made.address[10] = made.address[11] = 0xff;
    std::copy_n(host.bytes.begin(), 4, made.address.begin() + 12);
  }
  return made;
}

void add_options(Planned &planned, const Host &client, uint16_t port) {
  switch (planned.way) {
  case Way::none:
    return;
  case Way::syn:
  case Way::stranger_syn:
  case Way::ambiguous:
    return add_toa(planned.syn, client, port);
  case Way::ack:
  case Way::stranger_ack:
    return add_toa(planned.ack, client, port);
  case Way::data:
    return add_toa(planned.data, client, port);
  case Way::syn_ack:
    add_toa(planned.syn, client, port);
    return add_toa(planned.ack, client, port);
  case Way::ack_data:
    add_toa(planned.ack, client, port);
    return add_toa(planned.data, client, port);
  case Way::contradicting:
    add_toa(planned.ack, client, port);
    return add_toa(planned.ack, client, static_cast<uint16_t>(port ^ 1U));
  }
}

bool is_believed(Way way) {
  return way == Way::syn || way == Way::ack || way == Way::data || way == Way::syn_ack ||
         way == Way::ack_data;
}

bool is_stranger(Way way) {
  return way == Way::stranger_syn || way == Way::stranger_ack;
}

} // namespace

void TcpOptions::add(std::span<const uint8_t> option) {
  std::copy(option.begin(), option.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(size_));
  size_ += option.size();
}

Result<Plan> Plan::make(const Options &options) {
  Plan plan;
  plan.mix_ = {.mixed = options.mix == "mixed",
               .with_toa = options.mix.starts_with("ack"),
               .until_told = !options.mix.ends_with("-closed")};
  plan.port4_ = options.port4;
  plan.port6_ = options.port6;
  struct {
    Host &to;
    const std::string &text;
    bool six;
  } wanted[] = {
      {plan.server4_, options.server4, false},     {plan.server6_, options.server6, true},
      {plan.listed4_, options.listed4, false},     {plan.listed6_, options.listed6, true},
      {plan.stranger4_, options.stranger4, false}, {plan.stranger6_, options.stranger6, true}};
  for (auto &each : wanted) {
    auto found = host(each.text, each.six);
    if (!found)
      return found.failure();
    each.to = *found;
  }
  return plan;
}

Planned Plan::connection(uint64_t number) const {
  Form form = mix_.mixed ? forms[number % forms.size()] : forms[0];
  Planned planned;
  planned.way = mix_.mixed ? static_cast<Way>(number / forms.size() % ways)
                           : (mix_.with_toa ? Way::ack : Way::none);
  uint16_t client_port = client_port_of(number);
  if (client_port == fast_open && planned.way == Way::syn)
    planned.way = Way::ambiguous;
  bool strange = is_stranger(planned.way);
  if (form.six)
    planned.source = strange ? stranger6_ : listed6_;
  else
    planned.source = strange ? stranger4_ : listed4_;
  planned.server = form.six ? server6_ : server4_;
  planned.server_port = form.dual ? port6_ : port4_;
  planned.source_port = static_cast<uint16_t>(first_port + number % ports);
  planned.sequence = static_cast<uint32_t>((number + 1) * 2654435761U);

  Host client = client_of(number, form.client);
  planned.syn.add(mss);
  add_options(planned, client, client_port);
  planned.own = name(planned.source, planned.source_port, form.dual);
  planned.shown = planned.own;
  planned.nat64_error = EINVAL;
  if (is_believed(planned.way)) {
    bool only_nat64 = form.client && !form.dual;
    if (!only_nat64)
      planned.shown = name(client, client_port, form.dual);
    planned.nat64_error = only_nat64 ? 0 : EFAULT;
    if (only_nat64)
      planned.nat64 = name(client, client_port, true);
  }
  return planned;
}

bool right(const Planned &planned, const Told &told) {
  bool accepted =
      told.accepted == planned.shown || (planned.way == Way::data && told.accepted == planned.own);
  return accepted && told.peer == planned.shown && told.nat64_error == planned.nat64_error &&
         told.nat64 == planned.nat64;
}

} // namespace viaduct::toalab
