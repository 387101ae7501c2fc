# SPDX-License-Identifier: MIT
"""What viaduct-agent costs a backend: connections accepted a second, getpeername and getsockopt, without it and with
it, by connections without a TOA and by such with one, in one lab (tests/netns/agent_lab.py), in turns. The sender makes
its packets itself (toalab), on a processor of its own where there is one; what arrives is worked on there, too, so
the figures are of sender and backend together. Last, what the hooks take of each connection, by the kernel's own
statistics of BPF programs, which include a look at the clock for each run.

    accepted, hand-made        SYN, SYN-ACK, ACK, accept4 with the address, and the server's reset
    answered, hand-made        the same with a question, getpeername, getsockopt 4096 and an answer
    accepted, kernel's client  as the first, by sockets of the sender's kernel: connect(), the reset, close().
                               Hand-made packets leave out the client's half of a connection, so what the
                               server's half costs more weighs most there. A BPF program of the sender's adds
                               the TOA to its third packet
    answered, nginx            by the same client, which asks for a short page and resets when it has it. Client and
                               server share one processor, so that nothing is hidden in one that has nothing to do
    getpeername                of one connection, again and again; getsockopt (SO_TYPE) alike

toalab's servers do not sleep meanwhile: whether a virtual processor has to be woken for a connection, which takes
microseconds, decides more than what is to be measured.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys

import report as reports
import run
from topology import labs  # and the way to the lab

import agent_lab
import toa_lab

NAME = "agent"
WITHOUT, AGENT, GETSOCKOPT = "without", "agent", "agent, nat64_getsockopt"
CANDIDATES = (WITHOUT, AGENT, GETSOCKOPT)
MIXES = (("without TOA", "none"), ("with TOA", "ack"))
LEAST_RATE, MOST_NANOSECONDS = 0.97, 40
ACCEPTED, ANSWERED, OF_KERNEL = "accepted, hand-made", "answered, hand-made", "accepted, kernel's client"
OF_NGINX = "answered, nginx"
RATES = (OF_NGINX, OF_KERNEL, ACCEPTED, ANSWERED)
SENDERS = [f"{address}/32" for address in (agent_lab.LISTED, toa_lab.OWN)]
STATISTICS = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")
HOOKS = {"agent_sock_ops": "link_sock_ops", "agent_getpeername4": "link_getpeername4"}
NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  server {{ listen 0.0.0.0:{port} backlog=4096; location / {{ return 200 "hello\\n"; }} }}
}}
"""


class Placing:
    """The server's processor and the sender's, where there are two; and before what else runs here."""

    def __init__(self, come_first):
        cpus = sorted(os.sched_getaffinity(0))
        self.server, self.sender = ([cpus[0]], [cpus[1]]) if len(cpus) > 1 else (None, None)
        self._come_first = come_first

    def come_first(self, pid):
        if self._come_first:
            run.come_first([pid])


@contextlib.contextmanager
def candidate(lab, name):
    """The agent runs meanwhile, or does not."""
    if name != WITHOUT:
        lab.start_agent(nat64_getsockopt=name == GETSOCKOPT, senders=SENDERS)
    try:
        yield
    finally:
        if name != WITHOUT and lab.stop_agent() != 0:
            raise labs.LabError(f"viaduct-agent ended badly\n{lab.agent.said()}")


def rate(lab, placing, mix, seconds, *options):
    """Thousands of connections a second."""
    server = toa_lab.Server(lab, "serve", "0.0.0.0", "--spin", *options, cpus=placing.server)
    placing.come_first(server.process.pid)
    sent = toa_lab.send(lab, server.port, cpus=placing.sender, mix=mix, seconds=seconds)
    server.sums()
    return sent["connections"] / sent["seconds"] / 1e3, sent


def clients_found(lab, name):
    return lab.counters()["syn_recv_sock_toa"] if name != WITHOUT else 0


def connect_rate(lab, placing, name, toa, seconds):
    """The same, by the kernel's own client."""
    server = toa_lab.Server(lab, "serve", "0.0.0.0", "--close", "--spin", cpus=placing.server)
    placing.come_first(server.process.pid)
    made = connect(lab, name, toa, server.port, cpus=placing.sender, seconds=seconds)
    server.sums()
    return made


def nginx_rate(lab, placing, name, toa, seconds):
    """Connections that nginx has answered."""
    port = next(lab.ports)
    pinned = ["taskset", "--cpu-list", ",".join(map(str, placing.server))] if placing.server else []
    server = lab.start_nginx(NGINX.format(folder=lab.folder, port=port), port, *pinned)
    placing.come_first(server.pid)
    made = connect(lab, name, toa, port, ask=True, cpus=placing.server, seconds=seconds)
    server.stop()
    return made


def connect(lab, name, toa, port, **options):
    """Thousands of connections a second. The agent finds the client of each, or of none."""
    before = clients_found(lab, name)
    made = toa_lab.connect(lab, port, toa=toa != "none", **options)
    found = clients_found(lab, name) - before
    right = made["connections"] if toa != "none" and name != WITHOUT else 0
    if found != right:
        raise labs.LabError(f"{name}: {found} connections have a client's address, {right} should")
    return made["connections"] / made["seconds"] / 1e3


def check_answers(name, toa, sent):
    """Without the agent nobody is told the client, with it everybody is."""
    right = 2 * sent["connections"] if toa == "ack" and name != WITHOUT else 0
    if sent["rewritten"] != right:
        raise labs.LabError(f"{name}: {sent['rewritten']} answers name the client, {right} should")


def ask(lab, placing, mix, calls):
    server = toa_lab.Server(lab, "names", "0.0.0.0", "--calls", calls, cpus=placing.server)
    placing.come_first(server.process.pid)
    toa_lab.send(lab, server.port, cpus=placing.sender, mix=mix, connections=1)
    return server.ended()


def measure(lab, placing, name, args):
    figures = {}
    for words, toa in MIXES:
        if name != GETSOCKOPT:
            figures[OF_NGINX, words, "k/s"] = nginx_rate(lab, placing, name, toa, args.seconds)
            figures[OF_KERNEL, words, "k/s"] = connect_rate(lab, placing, name, toa, args.seconds)
            figures[ACCEPTED, words, "k/s"], _ = rate(lab, placing, toa + "-closed", args.seconds, "--close")
            answered, sent = rate(lab, placing, toa, args.seconds)
            check_answers(name, toa, sent)
            figures[ANSWERED, words, "k/s"] = answered
        asked = ask(lab, placing, toa + "-closed", args.calls)
        figures["getpeername", words, "ns"] = asked["getpeername"]
        if toa == "none":
            figures["getsockopt", "of something else", "ns"] = asked["getsockopt"]
    return figures


def take_turns(lab, placing, args):
    """Every other round the other way round: what drifts hits all alike."""
    results = reports.Results((WITHOUT,))
    for number in range(args.rounds):
        for name in CANDIDATES if number % 2 == 0 else reversed(CANDIDATES):
            with candidate(lab, name):
                figures = measure(lab, placing, name, args)
            results.add(name, figures)
            run.show_round(number, args, name, figures)
    return results.rows()


# --- what the hooks take ----------------------------------------------------------------------------


@contextlib.contextmanager
def statistics_of_programs():
    before = STATISTICS.read_text(encoding="ascii")
    STATISTICS.write_text("1", encoding="ascii")
    try:
        yield
    finally:
        STATISTICS.write_text(before, encoding="ascii")


def bpftool(*words):
    done = subprocess.run(["bpftool", "-j", *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise labs.LabError(f"bpftool {' '.join(map(str, words))}: {done.stderr}")
    return json.loads(done.stdout)


def taken(lab):
    """Nanoseconds and runs of each hook so far."""
    found = {}
    for program, link in HOOKS.items():
        number = bpftool("link", "show", "pinned", toa_lab.pinned(lab, link))["prog_id"]
        shown = bpftool("prog", "show", "id", number)
        found[program] = (shown.get("run_time_ns", 0), shown.get("run_cnt", 0))
    return found


def measure_hooks(lab, placing, args):
    rows = []
    with candidate(lab, AGENT), statistics_of_programs():
        for words, toa in MIXES:
            before = taken(lab)
            _, sent = rate(lab, placing, toa + "-closed", args.seconds, "--close")
            after = taken(lab)
            for program in HOOKS:
                nanoseconds, runs = (a - b for a, b in zip(after[program], before[program]))
                rows.append({"program": program, "variant": words,
                             "runs": round(runs / sent["connections"], 2),
                             "nanoseconds": round(nanoseconds / sent["connections"], 1)})
    return rows


# --- the report -------------------------------------------------------------------------------------


def aims(rows):
    def median(name, what, variant):
        return reports.median_of(rows, name, what, variant)

    found = [{"candidate": AGENT, "words": f"connections {what}, {words}, of {WITHOUT}",
              "aim": LEAST_RATE,
              "reached": round(median(AGENT, what, words) / median(WITHOUT, what, words), 3)}
             for what in RATES for words, _ in MIXES]
    return found + [{"candidate": AGENT, "words": f"nanoseconds more of getpeername, {words}",
                     "most": MOST_NANOSECONDS,
                     "reached": round(median(AGENT, "getpeername", words) -
                                      median(WITHOUT, "getpeername", words), 1)} for words, _ in MIXES]


def markdown(report):
    about = report["about"]
    return "\n".join([
        "# What viaduct-agent costs\n",
        f"{about['rounds']} round{reports.plural(about['rounds'])} of {about['seconds']:g} s each, in turns, medians. "
        f"{about['cpu']}, {about['cpus']} processor{reports.plural(about['cpus'])} for sender and backend "
        f"together, Linux {about['kernel']}, commit {about['commit']}, load of the machine before "
        f"{about['load_before']:.1f} and after {about['load_after']:.1f}, {about['time']}. bench/agent.py says what "
        "is measured.\n",
        "## Aims\n", reports.table(["candidate", "", "aim", "reached"],
                                   [reports.aim_line(row) for row in report["aims"]]),
        "## Figures\n", reports.figures_table(report["rows"], (WITHOUT,)),
        "## What the hooks take of a connection\n",
        reports.table(["program", "", "runs", "ns"],
                      [[row["program"], row["variant"], f"{row['runs']:.2f}", f"{row['nanoseconds']:.0f}"]
                       for row in report["hooks"]])])


def options(words=None):
    parser = argparse.ArgumentParser(prog="scripts/bench agent", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: does it all work?")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3, help="of each rate")
    parser.add_argument("--calls", type=int, default=2_000_000, help="of getpeername, and of getsockopt")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR", help=f"write DIR/{NAME}.md and .json")
    args = parser.parse_args(words)
    if args.quick:
        args.rounds, args.seconds, args.calls = 1, 0.2, 10_000
    return args


def check_machine():
    problems = [labs.cannot_run()]
    problems += [f"{labs.BIN / program} is not built" for program in ("toalab", "viaduct-agent")
                 if not (labs.BIN / program).exists()]
    problems = [problem for problem in problems if problem]
    if problems:
        sys.exit("scripts/bench: " + "\nscripts/bench: ".join(problems))


def measured(args):
    about = {**run.machine(), "commit": run.commit(), "rounds": args.rounds, "seconds": args.seconds}
    placing = Placing(not args.quick)
    placing.come_first(os.getpid())
    with agent_lab.AgentLab() as lab:
        toa_lab.quiet(lab)
        rows = take_turns(lab, placing, args)
        hooks = measure_hooks(lab, placing, args)
    return {"about": {**about, "load_after": os.getloadavg()[0]}, "rows": rows, "aims": aims(rows),
            "hooks": hooks}


def main():
    args = options()
    check_machine()
    labs.end_on_signals()
    report = measured(args)
    text = markdown(report)
    print(text)
    if args.output:
        reports.write(args.output, NAME, report, text=text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except labs.LabError as problem:
        sys.exit(f"scripts/bench: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
