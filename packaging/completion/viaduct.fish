# SPDX-License-Identifier: MIT
# Completion of viaduct for fish. tests/packaging holds it against --help.
set -l subcommands show clear monitor trace doctor explain check reload version
complete -c viaduct -f
complete -c viaduct -n "not __fish_seen_subcommand_from $subcommands" -a "$subcommands"
complete -c viaduct -n "not __fish_seen_subcommand_from $subcommands" -l version
complete -c viaduct -l help
complete -c viaduct -l socket -r -F
complete -c viaduct -n "__fish_seen_subcommand_from show" -a "status sessions bindings pools maps counters"
complete -c viaduct -n "__fish_seen_subcommand_from show" -l watch
complete -c viaduct -n "__fish_seen_subcommand_from clear" -a sessions
complete -c viaduct -n "__fish_seen_subcommand_from show clear" -l all
complete -c viaduct -n "__fish_seen_subcommand_from show clear monitor" -l filter -x
complete -c viaduct -n "__fish_seen_subcommand_from show clear monitor trace doctor explain check version" -l json
complete -c viaduct -n "__fish_seen_subcommand_from trace" -a "tcp udp icmp protocol from to port ttl tos length df syn ack fin rst psh urg sequence echo reply id no-route prohibited host-unreachable port-unreachable ttl-exceeded too-big type code mtu about"
complete -c viaduct -n "__fish_seen_subcommand_from trace" -l pcap -r -F
complete -c viaduct -n "__fish_seen_subcommand_from trace" -l packet -x
complete -c viaduct -n "__fish_seen_subcommand_from explain" -a "(viaduct explain 2>/dev/null | sed '1d; s/ .*//')"
complete -c viaduct -n "__fish_seen_subcommand_from check doctor" -F
complete -c viaduct -n "__fish_seen_subcommand_from check" -l canonical
complete -c viaduct -n "__fish_seen_subcommand_from check" -l print
