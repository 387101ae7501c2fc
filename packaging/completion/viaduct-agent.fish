# SPDX-License-Identifier: MIT
# Completion of viaduct-agent for fish. tests/packaging holds it against --help.
set -l subcommands run check show toa-stats uoa-stats doctor reload
complete -c viaduct-agent -f
complete -c viaduct-agent -n "not __fish_seen_subcommand_from $subcommands" -a "$subcommands"
complete -c viaduct-agent -n "not __fish_seen_subcommand_from $subcommands" -l version
complete -c viaduct-agent -l help
complete -c viaduct-agent -l socket -r -F
complete -c viaduct-agent -n "__fish_seen_subcommand_from run" -l config -r -F
complete -c viaduct-agent -n "__fish_seen_subcommand_from show" -a "status counters connections"
complete -c viaduct-agent -n "__fish_seen_subcommand_from check show doctor" -l json
complete -c viaduct-agent -n "__fish_seen_subcommand_from check" -F
