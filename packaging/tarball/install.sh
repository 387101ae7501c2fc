#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs viaduct-agent from the folder that this lies in, or takes it away. DESTDIR puts it below another root,
# where no service is touched.
set -eu
cd "$(dirname "$0")"
root=${DESTDIR:-}

usage() {
  cat <<'END_OF_USAGE'
Usage: ./install.sh                 install, or put a newer one in its place (the service is restarted if it runs)
       ./install.sh --uninstall     stop it and take everything away, but not /etc/viaduct-agent
       ./install.sh --purge         and that, too
END_OF_USAGE
}

# Mode, file here, place there.
files() {
  cat <<'END_OF_FILES'
755 viaduct-agent /usr/local/sbin/viaduct-agent
644 viaduct-agent.service /etc/systemd/system/viaduct-agent.service
644 viaduct-agent.8 /usr/local/share/man/man8/viaduct-agent.8
644 completion/viaduct-agent.bash /usr/local/share/bash-completion/completions/viaduct-agent
644 completion/viaduct-agent.fish /usr/local/share/fish/vendor_completions.d/viaduct-agent.fish
644 completion/viaduct-agent.zsh /usr/local/share/zsh/site-functions/_viaduct-agent
END_OF_FILES
}

has_systemd() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

# Under another name first: a program that runs cannot be written to.
place() {
  mkdir -p "$(dirname "$root$3")"
  cp "$2" "$root$3.new"
  chmod "$1" "$root$3.new"
  mv "$root$3.new" "$root$3"
}

install_all() {
  files | while read -r mode from to; do place "$mode" "$from" "$to"; done
  [ -e "$root/etc/viaduct-agent/agent.toml" ] || place 644 agent.toml /etc/viaduct-agent/agent.toml
  has_systemd || return 0
  systemctl daemon-reload
  systemctl try-restart viaduct-agent.service
}

# What an agent that was killed has left for its successor. Where it has mounted cgroup v2 for itself, that goes first:
# what lies in there are the machine's own cgroups.
take_away_leftovers() {
  rm -rf /sys/fs/bpf/viaduct-agent
  while grep -qs ' /run/viaduct-agent/cgroup2 ' /proc/mounts; do
    umount -l /run/viaduct-agent/cgroup2 || return 0
  done
  rm -rf /run/viaduct-agent
}

uninstall() {
  ! has_systemd || systemctl disable --now viaduct-agent.service || :
  files | while read -r mode from to; do rm -f "$root$to"; done
  [ -n "$root" ] || take_away_leftovers
  ! has_systemd || systemctl daemon-reload
}

case ${1:-} in
  '') install_all ;;
  --uninstall) uninstall ;;
  --purge) uninstall; rm -rf "$root/etc/viaduct-agent" ;;
  -h | --help) usage ;;
  *) echo "install.sh: unknown option $1 (--help shows what there is)" >&2; exit 2 ;;
esac
