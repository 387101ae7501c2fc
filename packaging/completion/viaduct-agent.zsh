#compdef viaduct-agent
# SPDX-License-Identifier: MIT
# Completion of viaduct-agent for zsh, installed as _viaduct-agent. tests/packaging holds it against --help.

local subcommand='' i
local -a offered
for ((i = 2; i < CURRENT; i++)); do
  case ${words[i]} in
    --socket) ((i++)) ;;
    -*) ;;
    *) subcommand=${words[i]}; break ;;
  esac
done
if [[ ${words[CURRENT-1]} == (--socket|--config) ]]; then
  _files
  return
fi
case $subcommand in
  '') offered=(run check show toa-stats uoa-stats doctor reload --socket --help --version) ;;
  run) offered=(--config --socket --help) ;;
  show) offered=(status counters connections --json --socket --help) ;;
  check)
    if [[ ${words[CURRENT]} != -* ]]; then
      _files
      return
    fi
    offered=(--json --socket --help)
    ;;
  doctor) offered=(--json --socket --help) ;;
  toa-stats | uoa-stats | reload) offered=(--socket --help) ;;
esac
compadd -- $offered
