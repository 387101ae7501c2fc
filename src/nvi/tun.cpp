// SPDX-License-Identifier: MIT
//
// A tun with several queues lets any number of programs attach to it, and the kernel would spread
// the packets over all of them: that the interface has exactly our queues is checked before and
// after attaching, since no flag of TUNSETIFF refuses a second reader.
#include "nvi/tun.h"

#include "nvi/netlink.h"
#include "nvi/vnet.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

namespace viaduct::nvi {
namespace {

constexpr unsigned max_queues = 256; // the kernel's MAX_TAP_QUEUES
// sizeof(struct virtio_net_hdr); its kernel header is not C++.
constexpr int vnet_header_size = 10;
constexpr short tun_flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE | IFF_VNET_HDR;

// Newer than Debian 12's kernel headers: Linux 6.2, which wants both or none.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct OffloadFlag {
  unsigned flag;
  std::array<const char *, 2> names;
};
// In the order in which they are given up, from the last: each needs those before it.
constexpr std::array<OffloadFlag, 5> offload_list = {{{TUN_F_CSUM, {"csum", nullptr}},
                                                      {TUN_F_TSO4, {"tso4", nullptr}},
                                                      {TUN_F_TSO6, {"tso6", nullptr}},
                                                      {TUN_F_TSO_ECN, {"tso_ecn", nullptr}},
                                                      {TUN_F_USO4 | TUN_F_USO6, {"uso4", "uso6"}}}};

Error busy(const std::string &name) {
  return error("interface {} is already in use by another viaductd or another program: stop it, or "
               "set another [nvi] name",
               name);
}

Error other_kind(const Link &link) {
  const std::string what = link.kind.empty() ? "a network port"
                           : link.tun && link.tun->tap
                               ? "a tap interface"
                               : fmt::format("an interface of kind {}", link.kind);
  return error("interface {} exists and is {}, not a tun: remove it or set another [nvi] name",
               link.name, what);
}

Result<Fd> open_device() {
  Fd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (fd)
    return fd;
  const int number = errno;
  if (number == ENOENT || number == ENODEV || number == ENXIO)
    return error("cannot open /dev/net/tun ({}): load the tun module with \"modprobe tun\" (in a "
                 "container: pass the device /dev/net/tun in)",
                 std::strerror(number));
  if (number == EPERM || number == EACCES)
    return error("cannot open /dev/net/tun ({}): run as root, or grant access to the device and "
                 "CAP_NET_ADMIN",
                 std::strerror(number));
  return system_error("cannot open /dev/net/tun", number);
}

// Whether a predecessor's interface may be taken over; an index of 0 says there is none.
Result<void> check_existing(const Link &link) {
  if (link.index == 0)
    return {};
  if (link.kind != "tun" || !link.tun || link.tun->tap)
    return other_kind(link);
  if (!link.tun->multi_queue || !link.tun->vnet_hdr)
    return error("interface {} is a tun that another program made ({}): remove it with \"ip link "
                 "del {}\" or set another [nvi] name",
                 link.name, link.tun->multi_queue ? "without vnet_hdr" : "with a single queue",
                 link.name);
  if (link.tun->queues != 0)
    return busy(link.name);
  return {};
}

Error attach_error(const std::string &name, int number) {
  if (number == EPERM || number == EACCES)
    return error("cannot make or open interface {}: it needs CAP_NET_ADMIN: run as root, or grant "
                 "it",
                 name);
  if (number == EBUSY)
    return busy(name);
  if (number == EINVAL)
    return error("the kernel refuses {} as a tun with several queues: an interface of another kind "
                 "has that name; remove it or set another [nvi] name",
                 name);
  return system_error(fmt::format("cannot make or open interface {}", name), number);
}

Result<Fd> attach(const std::string &name) {
  auto fd = open_device();
  if (!fd)
    return fd;
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_flags = tun_flags;
  if (::ioctl(fd->get(), TUNSETIFF, &request) != 0)
    return attach_error(name, errno);
  if (name != request.ifr_name) // "nvi%d" asks the kernel for a number
    return error("\"{}\" is no name for an interface", name);
  return fd;
}

void append_names(std::vector<std::string> &names, size_t from, size_t to) {
  for (size_t i = from; i < to; ++i)
    for (const char *one : offload_list[i].names)
      if (one != nullptr)
        names.emplace_back(one);
}

// The most the kernel grants. With whatever number it refuses the others: without any of them each
// segment is a packet of its own with its whole checksum, which a fresh interface begins with.
Offloads set_offloads(const Fd &queue) {
  Offloads offloads;
  for (size_t count = offload_list.size(); count > 0; --count) {
    unsigned flags = 0;
    for (size_t i = 0; i < count; ++i)
      flags |= offload_list[i].flag;
    if (::ioctl(queue.get(), TUNSETOFFLOAD, static_cast<unsigned long>(flags)) == 0) {
      append_names(offloads.given, 0, count);
      append_names(offloads.missing, count, offload_list.size());
      return offloads;
    }
    offloads.why_missing = std::strerror(errno);
  }
  (void)::ioctl(queue.get(), TUNSETOFFLOAD, 0UL); // what a predecessor had
  append_names(offloads.missing, 0, offload_list.size());
  return offloads;
}

Result<void> check_request(const std::string &name, unsigned queues) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == ".." ||
      name.find_first_of("%/: \t\n") != std::string::npos)
    return error("\"{}\" is no name for an interface: 1 to {} characters, no slash, colon, percent "
                 "sign or space",
                 name, IFNAMSIZ - 1);
  if (queues == 0 || queues > max_queues)
    return error("cannot open {} with {} queues: 1 to {} are possible", name, queues, max_queues);
  return {};
}

} // namespace

Result<Tun> Tun::open(const std::string &name, unsigned queues) {
  if (auto good = check_request(name, queues); !good)
    return good.failure();
  auto netlink = Netlink::open();
  if (!netlink)
    return netlink.failure();
  auto before = netlink->link(name);
  if (!before)
    return before.failure();
  if (auto good = check_existing(*before); !good)
    return good.failure();

  Tun tun;
  tun.name_ = name;
  tun.adopted_ = before->index != 0;
  for (unsigned i = 0; i < queues; ++i) {
    auto queue = attach(name);
    if (!queue)
      return queue.failure();
    tun.queues_.push_back(std::move(*queue));
  }
  auto after = netlink->link(name);
  if (!after)
    return after.failure();
  if (after->index == 0)
    return error("interface {} was removed while it was being opened", name);
  if (after->tun && after->tun->queues != queues)
    return busy(name); // somebody attached at the same moment
  tun.ifindex_ = after->index;

  // From here on the interface is ours.
  const Fd &first = tun.queues_.front();
  int header_size = vnet_header_size;
  if (::ioctl(first.get(), TUNSETVNETHDRSZ, &header_size) != 0)
    return system_error(fmt::format("cannot set the packet header's size of {}", name), errno);
  tun.offloads_ = set_offloads(first);
  if (::ioctl(first.get(), TUNSETPERSIST, 1UL) != 0)
    return system_error(fmt::format("cannot make {} persistent", name), errno);
  return tun;
}

std::vector<int> Tun::queues() const {
  std::vector<int> numbers;
  numbers.reserve(queues_.size());
  for (const Fd &queue : queues_)
    numbers.push_back(queue.get());
  return numbers;
}

bool Tun::send(std::span<const uint8_t> packet) {
  VnetHeader header{};
  std::array<iovec, 2> parts{
      {{&header, sizeof header}, {const_cast<uint8_t *>(packet.data()), packet.size()}}};
  next_ = (next_ + 1) % queues_.size();
  return writev(queues_[next_].get(), parts.data(), parts.size()) >= 0;
}

Result<void> Tun::steer(int program) {
  if (::ioctl(queues_.front().get(), TUNSETSTEERINGEBPF, &program) != 0)
    return system_error(fmt::format("cannot have {}'s packets steered by BPF", name_), errno);
  return {};
}

Result<void> Tun::remove() {
  if (queues_.empty())
    return {};
  if (::ioctl(queues_.front().get(), TUNSETPERSIST, 0UL) != 0)
    return system_error(fmt::format("cannot give {} up", name_), errno);
  return {};
}

} // namespace viaduct::nvi
