// SPDX-License-Identifier: MIT
#include "doctor/look.h"

#include "base/fd.h"
#include "base/version.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

namespace viaduct::doctor {

namespace {

constexpr const char *usual_file = "/etc/viaduct/viaduct.toml";

} // namespace

Result<std::string> read_small(const std::string &path) {
  constexpr size_t most = size_t{64} << 10;
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd)
    return errno == EACCES ? error("reading {} needs root", path)
                           : system_error("cannot open " + path, errno);
  std::string text(most, '\0');
  size_t length = 0;
  while (length < most) {
    const ssize_t count = read(fd.get(), text.data() + length, most - length);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return system_error("cannot read " + path, errno);
    if (count == 0)
      break;
    length += static_cast<size_t>(count);
  }
  text.resize(length);
  return text;
}

// The daemon says which configuration it has, and a configuration says where its daemon listens.
Facts look(const Where &where) {
  Facts facts;
  facts.program_version = program_version;
  look_at_daemon(where.socket, facts);
  facts.path = where.file;
  if (facts.path.empty())
    facts.path =
        facts.presence == Presence::running ? facts.daemon.configuration : std::string(usual_file);
  auto outcome = config::load(facts.path);
  facts.config = std::move(outcome.config);
  for (const config::Problem &problem : outcome.problems)
    facts.problems.push_back(problem.text());
  if (facts.config && facts.presence == Presence::absent &&
      facts.config->control.socket != where.socket)
    look_at_daemon(facts.config->control.socket, facts);
  std::error_code ignored;
  facts.socket_folder =
      std::filesystem::is_directory(std::filesystem::path(facts.socket).parent_path(), ignored);
  look_at_machine(facts);
  look_at_network(facts);
  look_at_firewall(facts);
  look_at_programs(facts);
  look_at_resolver(facts);
  return facts;
}

} // namespace viaduct::doctor
