#compdef viaduct
# SPDX-License-Identifier: MIT
# Completion of viaduct for zsh, installed as _viaduct. tests/packaging holds it against --help.

local subcommand='' i
local -a offered
for ((i = 2; i < CURRENT; i++)); do
  case ${words[i]} in
    --socket) ((i++)) ;;
    -*) ;;
    *) subcommand=${words[i]}; break ;;
  esac
done
if [[ ${words[CURRENT-1]} == (--socket|--pcap) ]]; then
  _files
  return
fi
case $subcommand in
  '') offered=(show clear monitor trace doctor explain check reload version --socket --help --version) ;;
  show) offered=(status sessions bindings pools maps counters --json --all --filter --watch --socket --help) ;;
  clear) offered=(sessions --filter --all --json --socket --help) ;;
  monitor) offered=(--filter --json --socket --help) ;;
  trace)
    offered=(tcp udp icmp protocol from to port ttl tos length df syn ack fin rst psh urg sequence echo reply id
      no-route prohibited host-unreachable port-unreachable ttl-exceeded too-big type code mtu about
      --pcap --packet --json --socket --help)
    ;;
  explain) offered=(${${(f)"$(viaduct explain 2>/dev/null)"}[2,-1]%% *} --json --socket --help) ;;
  check | doctor)
    if [[ ${words[CURRENT]} != -* ]]; then
      _files
      return
    fi
    offered=(--json --socket --help)
    [[ $subcommand == doctor ]] || offered+=(--canonical --print)
    ;;
  reload) offered=(--socket --help) ;;
  version) offered=(--json --socket --help) ;;
esac
compadd -- $offered
