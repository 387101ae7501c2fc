// SPDX-License-Identifier: MIT
#include "agent/connections.h"

#include "base/address.h"
#include "base/fd.h"
#include "tables/libbpf_words.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstring>
#include <malloc.h>
#include <string_view>
#include <sys/socket.h>
#include <toa_view.skel.h>
#include <unistd.h>
#include <unordered_set>

namespace viaduct::agent {

namespace {

using nlohmann::json;

constexpr const char *state_names[] = {"?",          "established", "syn-sent",  "syn-received",
                                       "fin-wait-1", "fin-wait-2",  "time-wait", "closed",
                                       "close-wait", "last-ack",    "listen",    "closing"};
constexpr const char *source_names[] = {"", "syn", "ack", "data"};
constexpr const char *verdict_texts[] = {"",
                                         "the sender is not in [agent] senders",
                                         "malformed",
                                         "contradicting options",
                                         "no client has such an address or port",
                                         "may be a TCP Fast Open cookie"};

template <typename T, size_t Count> T named(const T (&names)[Count], size_t index) {
  return index < Count ? names[index] : names[0];
}

// An IPv4 peer of a dual-stack socket is shown as what it is.
std::string socket_end(uint16_t family, const dp::address &address, uint16_t port) {
  if (family == AF_INET)
    return endpoint_text(Ipv4::from_network_order(address.word[0]), port);
  bool mapped = address.word[0] == 0 && address.word[1] == 0 && address.word[2] == htonl(0xffff);
  if (mapped)
    return endpoint_text(Ipv4::from_network_order(address.word[3]), port);
  return endpoint_text(Ipv6::from_bytes(address.byte), port);
}

// How the kernel finds the connections. Some kernels refuse programs that walk what a map has; the files of
// processes are another way, which sees what a program has accepted, once for each file of it.
enum class Way : uint8_t { records, files };

struct Destroy {
  void operator()(toa_view *skeleton) const { toa_view__destroy(skeleton); }
  void operator()(bpf_link *link) const { bpf_link__destroy(link); }
};
using View = std::unique_ptr<toa_view, Destroy>;

// connections_map < 0: to see whether it can be loaded.
Result<View> load_view(Way way, int connections_map) {
  tables::LibbpfWords words;
  View view(toa_view__open());
  if (view == nullptr)
    return words.failure("cannot open the BPF object of the view", -errno);
  // Of the shared maps it needs the one.
  bpf_map__set_autocreate(view->maps.by_tuple, false);
  bpf_map__set_autocreate(view->maps.counters, false);
  bpf_program__set_autoload(
      way == Way::records ? view->progs.agent_view_of_files : view->progs.agent_view, false);
  int code = 0;
  if (connections_map >= 0)
    code = bpf_map__reuse_fd(view->maps.connections, connections_map);
  if (code == 0)
    code = toa_view__load(view.get());
  if (code < 0)
    return words.failure("the kernel cannot show connections (it needs BTF and BPF iterators)",
                         code);
  return view;
}

// By the first way that the kernel takes, which is the first to be tried the next time; else what it says of the
// last one.
Result<View> load_some_view(Way &way, int connections_map) {
  static Way takes = Way::records;
  way = takes;
  auto view = load_view(way, connections_map);
  if (!view && way == Way::records) {
    way = Way::files;
    view = load_view(way, connections_map);
    if (view)
      takes = way;
  }
  malloc_trim(0); // to load it libbpf reads all types of the kernel, some 10 MB
  return view;
}

class Connections : public control::Answer {
public:
  Connections(View view, std::unique_ptr<bpf_link, Destroy> link, Fd rows, Way way)
      : view_(std::move(view)), link_(std::move(link)), rows_(std::move(rows)), way_(way) {}

  Step next(json &item) override {
    if (have_ < sizeof row_) {
      ssize_t count = read(rows_.get(), row_ + have_, sizeof row_ - have_);
      if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return Step::again;
      if (count <= 0)
        return Step::end;
      have_ += static_cast<size_t>(count);
      if (have_ < sizeof row_)
        return Step::again;
    }
    have_ = 0;
    if (way_ == Way::files && !is_new())
      return Step::again;
    dp::agent_row row{};
    memcpy(&row, row_, sizeof row);
    item = row_item(row);
    return Step::item;
  }

private:
  // Processes share a socket, and one may have it twice.
  bool is_new() { return seen_.insert(std::hash<std::string_view>{}({row_, sizeof row_})).second; }

  View view_;
  std::unique_ptr<bpf_link, Destroy> link_;
  Fd rows_;
  Way way_;
  char row_[sizeof(dp::agent_row)];
  size_t have_ = 0;
  std::unordered_set<size_t> seen_;
};

} // namespace

json row_item(const dp::agent_row &row) {
  const dp::agent_record &record = row.record;
  const dp::toa &toa = record.toa;
  bool believed = record.verdict == dp::VERDICT_BELIEVED;
  uint16_t peer_port = ntohs(row.remote_port);
  json item = {{"protocol", "tcp"},
               {"local", socket_end(row.family, row.local, row.local_port_host)},
               {"peer", socket_end(row.family, row.remote, peer_port)},
               {"state", named(state_names, row.state)},
               {"believed", believed},
               {"carried_by", named(source_names, record.source)},
               {"why_not", named(verdict_texts, record.verdict)},
               {"network_namespace", record.network_namespace}};
  // What a malformed one says is not an address.
  if (toa.family == 4 || toa.family == 6) {
    uint16_t port = toa.client_port != 0 ? ntohs(toa.client_port) : peer_port;
    item["client"] = toa.family == 4
                         ? endpoint_text(Ipv4::from_network_order(toa.client.word[0]), port)
                         : endpoint_text(Ipv6::from_bytes(toa.client.byte), port);
    item["kind"] = fmt::format("{}/{}", toa.kind, toa.length);
  }
  return item;
}

Result<std::unique_ptr<control::Answer>> connections_answer(int connections_map) {
  Way way{};
  auto view = load_some_view(way, connections_map);
  if (!view)
    return view.failure();
  tables::LibbpfWords words;
  bpf_iter_link_info what{};
  what.map.map_fd = static_cast<uint32_t>(connections_map);
  bpf_iter_attach_opts options{};
  options.sz = sizeof options;
  options.link_info = &what;
  options.link_info_len = sizeof what;
  std::unique_ptr<bpf_link, Destroy> link(
      way == Way::records ? bpf_program__attach_iter((*view)->progs.agent_view, &options)
                          : bpf_program__attach_iter((*view)->progs.agent_view_of_files, nullptr));
  Fd rows(link == nullptr ? -1 : bpf_iter_create(bpf_link__fd(link.get())));
  if (!rows)
    return words.failure("the kernel cannot walk the connections", -errno);
  return std::unique_ptr<control::Answer>(
      new Connections(std::move(*view), std::move(link), std::move(rows), way));
}

Result<void> probe_view() {
  Way way{};
  auto view = load_some_view(way, -1);
  if (!view)
    return view.failure();
  return {};
}

} // namespace viaduct::agent
