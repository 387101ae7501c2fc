// SPDX-License-Identifier: MIT
//
// What is attached to the interface in the kernel: the filters of its clsact qdisc, over netlink, and
// what hangs there by links of BPF (tcx, Linux 6.6), which run before them.
#include "base/fd.h"
#include "doctor/look.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <memory>
#include <net/if.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace viaduct::doctor {

namespace {

constexpr timeval patience{.tv_sec = 2, .tv_usec = 0};

// Newer than Debian 12's kernel headers.
constexpr uint32_t TCX_INGRESS = 46;
constexpr uint32_t TCX_EGRESS = 47;

struct Place {
  bool egress;
  uint32_t parent; // of filters
  uint32_t tcx;
};
constexpr std::array<Place, 2> places{
    {{true, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), TCX_EGRESS},
     {false, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), TCX_INGRESS}}};

struct Dump {
  Place place;
  std::vector<Program> *programs;
};

std::string string_of(const nlattr *attribute) {
  const auto *text = static_cast<const char *>(mnl_attr_get_payload(attribute));
  return {text, strnlen(text, mnl_attr_get_payload_len(attribute))};
}

// Who attaches says the name: libbpf "nvi:[17]", tc "file.o:[section]".
std::string name_of(const nlattr *options) {
  std::string name;
  auto take = [](const nlattr *attribute, void *context) {
    if (mnl_attr_get_type(attribute) == TCA_BPF_NAME)
      *static_cast<std::string *>(context) = string_of(attribute);
    return MNL_CB_OK;
  };
  mnl_attr_parse_nested(options, take, &name);
  return name;
}

struct Filter {
  std::string kind;
  const nlattr *options = nullptr;
};

int take_attribute(const nlattr *attribute, void *context) {
  auto &filter = *static_cast<Filter *>(context);
  if (mnl_attr_get_type(attribute) == TCA_KIND)
    filter.kind = string_of(attribute);
  if (mnl_attr_get_type(attribute) == TCA_OPTIONS)
    filter.options = attribute;
  return MNL_CB_OK;
}

int take_filter(const nlmsghdr *message, void *context) {
  const auto &dump = *static_cast<Dump *>(context);
  if (message->nlmsg_type != RTM_NEWTFILTER || mnl_nlmsg_get_payload_len(message) < sizeof(tcmsg))
    return MNL_CB_OK;
  const auto *head = static_cast<const tcmsg *>(mnl_nlmsg_get_payload(message));
  Filter filter;
  mnl_attr_parse(message, sizeof(tcmsg), take_attribute, &filter);
  if (head->tcm_handle == 0 || filter.kind.empty()) // what holds the filters of one priority
    return MNL_CB_OK;
  std::string name = filter.options != nullptr ? name_of(filter.options) : std::string();
  const bool ours = filter.kind == "bpf" && name.starts_with("nvi:[") && dump.place.egress;
  if (name.empty() || filter.kind != "bpf")
    name = filter.kind;
  dump.programs->push_back({name, dump.place.egress, ours});
  return MNL_CB_OK;
}

Result<void> dump_filters(mnl_socket *socket, int interface, Dump dump) {
  std::array<char, 256> request{};
  nlmsghdr *header = mnl_nlmsg_put_header(request.data());
  header->nlmsg_type = RTM_GETTFILTER;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  header->nlmsg_seq = dump.place.tcx;
  auto *body = static_cast<tcmsg *>(mnl_nlmsg_put_extra_header(header, sizeof(tcmsg)));
  body->tcm_ifindex = interface;
  body->tcm_parent = dump.place.parent;
  if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
    return system_error("cannot ask for the interface's filters", errno);
  std::vector<char> answer(32768); // the kernel's own most for a dump
  int more = MNL_CB_OK;
  while (more > MNL_CB_STOP) {
    const ssize_t size = mnl_socket_recvfrom(socket, answer.data(), answer.size());
    if (size < 0)
      return system_error("cannot read the interface's filters", errno);
    more = mnl_cb_run(answer.data(), static_cast<size_t>(size), header->nlmsg_seq,
                      mnl_socket_get_portid(socket), take_filter, &dump);
  }
  if (more < 0 && errno != EINVAL && errno != ENOENT) // no clsact at all
    return system_error("cannot read the interface's filters", errno);
  return {};
}

std::string name_of(uint32_t id) {
  bpf_attr request{};
  request.prog_id = id;
  const Fd fd(static_cast<int>(syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &request, sizeof request)));
  bpf_prog_info info{};
  request = {};
  request.info.bpf_fd = static_cast<uint32_t>(fd.get());
  request.info.info_len = sizeof info;
  request.info.info = reinterpret_cast<uintptr_t>(&info);
  if (!fd || syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &request, sizeof request) != 0)
    return fmt::format("program {}", id);
  return fmt::format("{}:[{}]", info.name, id);
}

// Older kernels know of none, and without root there is nothing to be known.
void query_tcx(int interface, const Place &place, std::vector<Program> &programs) {
  std::array<uint32_t, 64> ids{};
  bpf_attr request{};
  request.query.target_fd = static_cast<uint32_t>(interface); // means the interface here
  request.query.attach_type = place.tcx;
  request.query.prog_ids = reinterpret_cast<uintptr_t>(ids.data());
  request.query.prog_cnt = ids.size();
  if (syscall(SYS_bpf, BPF_PROG_QUERY, &request, sizeof request) != 0)
    return;
  for (uint32_t i = 0; i < std::min<size_t>(request.query.prog_cnt, ids.size()); i++)
    programs.push_back({name_of(ids[i]), place.egress, false});
}

Result<std::vector<Program>> read_programs(const std::string &interface) {
  struct Close {
    void operator()(mnl_socket *socket) const { mnl_socket_close(socket); }
  };
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0)
    return error("there is no interface {}", interface);
  const std::unique_ptr<mnl_socket, Close> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return system_error("cannot open a netlink socket for the interface's filters", errno);
  (void)setsockopt(mnl_socket_get_fd(socket.get()), SOL_SOCKET, SO_RCVTIMEO, &patience,
                   sizeof patience);
  std::vector<Program> programs;
  for (const Place &place : places) {
    if (auto done = dump_filters(socket.get(), static_cast<int>(index), {place, &programs}); !done)
      return done.failure();
    query_tcx(static_cast<int>(index), place, programs);
  }
  return programs;
}

} // namespace

void look_at_programs(Facts &facts) {
  if (facts.presence == Presence::running)
    facts.programs = read_programs(facts.daemon.interface);
}

} // namespace viaduct::doctor
