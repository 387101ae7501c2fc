// SPDX-License-Identifier: MIT
#include "nvi/sysctl.h"

#include "base/fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <string_view>
#include <unistd.h>

namespace viaduct::nvi {
namespace {

constexpr std::string_view root = "/proc/sys/";
constexpr size_t longest_value = 4096;

std::string path_of(const std::string &name) {
  return std::string(root) + name;
}

// "net/ipv4/conf/eth0/rp_filter" as sysctl(8) wants it; a dot in an interface's name becomes a
// slash.
std::string dotted(std::string name) {
  for (char &c : name)
    c = c == '/' ? '.' : c == '.' ? '/' : c;
  return name;
}

Error cannot_write(const std::string &name, const std::string &value, int number) {
  Error result = system_error(fmt::format("cannot set {} to {}", dotted(name), value), number);
  if (number == EROFS || number == EACCES || number == EPERM)
    result.message +=
        fmt::format(": run as root; where /proc/sys is read-only (a container), set it "
                    "from outside, \"sysctl -w {}={}\"",
                    dotted(name), value);
  if (number == ENOENT)
    result.message += ": this kernel does not have it, or /proc/sys is not mounted";
  return result;
}

} // namespace

bool Sysctl::exists(const std::string &name) {
  return ::access(path_of(name).c_str(), F_OK) == 0;
}

Result<std::string> Sysctl::read(const std::string &name) {
  const Fd fd(::open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, longest_value> buffer;
  const ssize_t length = fd ? ::read(fd.get(), buffer.data(), buffer.size()) : -1;
  if (length < 0)
    return system_error(fmt::format("cannot read {}", dotted(name)), errno);
  std::string_view value(buffer.data(), static_cast<size_t>(length));
  while (!value.empty() && (value.back() == '\n' || value.back() == ' '))
    value.remove_suffix(1);
  return std::string(value);
}

Result<void> Sysctl::write(const std::string &name, const std::string &value) {
  const Fd fd(::open(path_of(name).c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), value.data(), value.size()) < 0)
    return cannot_write(name, value, errno);
  return {};
}

// The values that the kernel writes when `name` is written: see inet_forward_change() and
// addrconf_fixup_forwarding(), which go over every interface.
Sysctl::Values Sysctl::followers(const std::string &name) {
  const bool four = name == "net/ipv4/ip_forward";
  if (!four && name != "net/ipv6/conf/all/forwarding")
    return {};
  const std::string folder = four ? "net/ipv4/conf" : "net/ipv6/conf";
  Values values;
  auto note = [&](const std::string &each) {
    if (auto value = read(each))
      values.emplace(each, *value);
  };
  if (four)
    note(folder + "/all/accept_redirects");
  std::error_code failed; // nothing to list: nothing follows
  for (const auto &entry : std::filesystem::directory_iterator(path_of(folder), failed))
    if (entry.path().filename() != "all")
      note(folder + "/" + entry.path().filename().string() + "/forwarding");
  return values;
}

Result<void> Sysctl::set(const std::string &name, const std::string &value) {
  const auto before = read(name);
  if (before && *before == value)
    return {};
  if (!before)
    return exists(name) ? Result<void>(before.failure()) : cannot_write(name, value, ENOENT);

  Setting setting{.name = name,
                  .before = *before,
                  .ours = value,
                  .followers_before = followers(name),
                  .followers_after = {}};
  if (auto done = write(name, value); !done)
    return done;
  setting.followers_after = followers(name);
  const auto known = std::ranges::find(settings_, name, &Setting::name);
  if (known == settings_.end())
    settings_.push_back(std::move(setting));
  else
    known->ours = value; // what stood there before us still counts
  return {};
}

// What followed our write goes back to what it was; what somebody set since then keeps that.
Result<void> Sysctl::put_back(const Setting &setting) {
  const auto now = read(setting.name);
  if (!now || *now != setting.ours)
    return {}; // gone with its interface, or no longer ours
  const Values followers_now = followers(setting.name);
  if (auto done = write(setting.name, setting.before); !done)
    return done;
  for (const auto &[name, value] : followers_now) {
    const auto before = setting.followers_before.find(name);
    const auto after = setting.followers_after.find(name);
    if (before == setting.followers_before.end() || after == setting.followers_after.end())
      continue; // an interface that came later gets what the kernel gives it
    const std::string &right = value == after->second ? before->second : value;
    const auto current = read(name);
    if (!current || *current == right)
      continue;
    if (auto done = write(name, right); !done)
      return done;
  }
  return {};
}

Result<void> Sysctl::restore(const std::string &name) {
  const auto known = std::ranges::find(settings_, name, &Setting::name);
  if (known == settings_.end())
    return {};
  const Setting setting = std::move(*known);
  settings_.erase(known);
  return put_back(setting);
}

void Sysctl::forget(const std::string &name) {
  std::erase_if(settings_, [&](const Setting &setting) { return setting.name == name; });
}

Result<void> Sysctl::restore_all() {
  Result<void> first;
  for (auto setting = settings_.rbegin(); setting != settings_.rend(); ++setting)
    if (auto done = put_back(*setting); !done && first)
      first = done;
  settings_.clear();
  return first;
}

std::vector<std::string> Sysctl::changed() const {
  std::vector<std::string> names;
  names.reserve(settings_.size());
  for (const Setting &setting : settings_)
    names.push_back(setting.name);
  return names;
}

} // namespace viaduct::nvi
