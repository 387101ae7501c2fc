# SPDX-License-Identifier: MIT
# Completion of viaduct-agent for bash. tests/packaging holds it against --help.

_viaduct_agent() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} subcommand='' words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --socket) i=$((i + 1)) ;;
      -*) ;;
      *) subcommand=${COMP_WORDS[i]}; break ;;
    esac
  done
  COMPREPLY=()
  if [ "$before" = --socket ] || [ "$before" = --config ]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    return
  fi
  case $subcommand in
    '') words='run check show toa-stats uoa-stats doctor reload --socket --help --version' ;;
    run) words='--config --socket --help' ;;
    show) words='status counters connections --json --socket --help' ;;
    check)
      if [[ $word != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
      fi
      words='--json --socket --help'
      ;;
    doctor) words='--json --socket --help' ;;
    toa-stats | uoa-stats | reload) words='--socket --help' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _viaduct_agent viaduct-agent
