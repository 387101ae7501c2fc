# SPDX-License-Identifier: MIT
# Completion of viaduct for bash. tests/packaging holds it against --help.

_viaduct() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} subcommand='' words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --socket) i=$((i + 1)) ;;
      -*) ;;
      *) subcommand=${COMP_WORDS[i]}; break ;;
    esac
  done
  COMPREPLY=()
  if [ "$before" = --socket ] || [ "$before" = --pcap ]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    return
  fi
  case $subcommand in
    '') words='show clear monitor trace doctor explain check reload version --socket --help --version' ;;
    show) words='status sessions bindings pools maps counters --json --all --filter --watch --socket --help' ;;
    clear) words='sessions --filter --all --json --socket --help' ;;
    monitor) words='--filter --json --socket --help' ;;
    trace)
      words='tcp udp icmp protocol from to port ttl tos length df syn ack fin rst psh urg sequence echo reply id'
      words+=' no-route prohibited host-unreachable port-unreachable ttl-exceeded too-big type code mtu about'
      words+=' --pcap --packet --json --socket --help'
      ;;
    explain) words="$(viaduct explain 2>/dev/null | sed '1d; s/ .*//') --json --socket --help" ;;
    check | doctor)
      if [[ $word != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
      fi
      words='--json --socket --help'
      [ "$subcommand" = doctor ] || words+=' --canonical --print'
      ;;
    reload) words='--socket --help' ;;
    version) words='--json --socket --help' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _viaduct viaduct
