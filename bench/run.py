# SPDX-License-Identifier: MIT
"""Candidates (candidates.py) beside each other in labs of network namespaces (topology.py): each
measure (measures.py) for each in turn, several rounds, medians and ratios against plain IPv6
forwarding in the same run (report.py, plots.py).

Taking turns within a round makes whatever the machine does meanwhile hit all of them alike. Each
candidate has a lab of its own, wired alike, so that none pays for what another has set up
(connection tracking). Every process of the labs has the highest weight (autogroups), so that what
else runs on the machine gets what is left; the machine's load is in the report.
"""

import argparse
import atexit
import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time

import candidates
import measures
import plots
import qemu
import readme
import report as reports
import topology
from topology import labs

CONNTRACK_MAX = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_max")


def say(text):
    print(text, file=sys.stderr, flush=True)


def come_first(pids):
    """Before what else runs on this machine, where it groups processes by session. Our own session is that of
    whoever has called us: it gets back what it had."""
    for pid in pids:
        with contextlib.suppress(OSError):
            group = pathlib.Path(f"/proc/{pid}/autogroup")
            before = group.read_text(encoding="ascii").split()[-1]
            group.write_text("-20", encoding="ascii")
            if pid == os.getpid():
                atexit.register(give_back, group, before)


def give_back(group, nice):
    with contextlib.suppress(OSError):
        group.write_text(nice, encoding="ascii")


@contextlib.contextmanager
def room_for_connections(count):
    """The kernel's own NAT has one ceiling for the whole machine."""
    before = None
    with contextlib.suppress(OSError):
        before = CONNTRACK_MAX.read_text(encoding="ascii")
        if int(before) < count:
            CONNTRACK_MAX.write_text(str(count), encoding="ascii")
    try:
        yield
    finally:
        if before:
            CONNTRACK_MAX.write_text(before, encoding="ascii")


@contextlib.contextmanager
def started(candidate, scale, args):
    """The candidate in a lab of its own, and what is measured with."""
    with topology.Topology(offloads=not args.no_offloads) as lab:
        target = candidate.start(lab, scale)
        lab.start("iperf3", lab.server, ["iperf3", "--server"])
        if not candidate.bulk:
            labs.wait_for(f"{candidate.name} carries a ping", lambda: lab.client.run(
                "ping", "-c", "1", "-W", "1", target, check=False).returncode == 0, 15)
        come_first(process.pid for process in lab.processes)
        yield measures.Subject(candidate, lab, target)


def show_round(number, args, name, figures):
    for (what, variant, unit), figure in figures.items():
        lost = getattr(figure, "lost", None)
        say(f"round {number + 1}/{args.rounds}: {what}, {variant}: {name} {figure:.3f} {unit}"
            + (f", {100 * lost:.1f} % lost" if lost else ""))


def take_turns(chosen, scale, args, results):
    """The measures that can share a lab, then those that cannot."""
    shared = [name for name in measures.SHARED if name in args.measures]
    if shared:
        with contextlib.ExitStack() as stack:
            subjects = [stack.enter_context(started(one, scale, args)) for one in chosen]
            for number in range(args.rounds):
                for name in shared:
                    for subject in subjects:
                        figures = measures.SHARED[name](subject, scale)
                        results.add(subject.name, figures)
                        show_round(number, args, subject.name, figures)
    for name in (name for name in measures.FRESH if name in args.measures):
        large = dataclasses.replace(scale, sessions=args.new_sessions)
        for number in range(args.rounds):
            for candidate in chosen:
                with started(candidate, large, args) as subject:
                    figures = measures.FRESH[name](subject, large)
                results.add(candidate.name, figures)
                show_round(number, args, candidate.name, figures)


def measure_memory(chosen, scale, args):
    rows = []
    for candidate in chosen:
        if not isinstance(candidate, candidates.Viaduct):
            continue
        for sessions in scale.memory:
            with started(candidate, dataclasses.replace(scale, sessions=sessions, idle=3600),
                         args) as subject:
                rows.append(measures.memory(subject, dataclasses.replace(scale, sessions=sessions)))
            say(f"memory: {rows[-1]}")
    return rows


def measure_steps():
    program = labs.BIN / "packetlab"
    done = subprocess.run([program, "steps"], capture_output=True, text=True)
    if done.returncode != 0:
        raise labs.LabError(f"{program} steps: {done.stderr.strip()}")
    return json.loads(done.stdout)


def machine():
    model = [line.split(":", 1)[1].strip()
             for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
             if line.startswith("model name")]
    return {"kernel": platform.release().split("-fc")[0], "cpus": os.cpu_count(),
            "cpu": model[0] if model else platform.machine(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "load_before": os.getloadavg()[0]}


def commit():
    if os.environ.get("VIADUCT_COMMIT"):
        return os.environ["VIADUCT_COMMIT"]
    done = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(topology.REPOSITORY),
                           "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def options():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="one short round of small things: does it all work?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4], help="of TCP")
    parser.add_argument("--flows", type=int, nargs="+", default=[1, 1_000, 100_000])
    parser.add_argument("--sessions", type=int, default=1_000_000,
                        help="ceiling of the session tables")
    parser.add_argument("--new-sessions", type=int, default=4_000_000,
                        help="the same, where new flows are measured")
    parser.add_argument("--memory", type=int, nargs="+", default=[1_000_000, 4_000_000],
                        metavar="SESSIONS")
    parser.add_argument("--idle", type=int, default=5,
                        help="seconds until an idle datagram flow ends")
    parser.add_argument("--fill-rate", type=int, default=200_000,
                        help="frames a second while flows are only to be made")
    parser.add_argument("--candidates", nargs="+", default=list(candidates.ALL),
                        choices=candidates.ALL, metavar="NAME", help=" ".join(candidates.ALL))
    parser.add_argument("--measures", nargs="+", default=measures.ALL, choices=measures.ALL,
                        metavar="NAME", help=" ".join(measures.ALL))
    parser.add_argument("--no-offloads", action="store_true", help="switch segmentation, GRO and "
                        "checksum offload of every port off")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR",
                        help="write DIR/packetlab.md, .json and pictures; with "
                        "bench/results the README's figures, too")
    parser.add_argument("--in-qemu", choices=qemu.KERNELS, metavar="6.1|6.12",
                        help="run in Debian's own kernel in QEMU, beside Jool; writes DIR/qemu.*; "
                        "every other option is for the run in there")
    parser.add_argument("--stdout-report", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.streams, args.flows = 1, 1, [1], [1, 1000]
        args.memory, args.new_sessions = [10_000], 1_000_000
    return args


def what_can_run(args):
    """The candidates that can, and why the others cannot."""
    chosen, left_out = [], {}
    for name in args.candidates:
        reason = candidates.ALL[name].missing()
        if reason:
            left_out[name] = reason
            say(f"{name} is left out: {reason}")
        else:
            chosen.append(candidates.ALL[name])
            if candidates.ALL[name].bulk and {"bulk", "trains"} & set(args.measures):
                left_out[f"{name}, TCP and sockets"] = candidates.ALL[name].bulk
    return chosen, left_out


def check_machine(args):
    """Says what is missing and ends, before anything is set up."""
    problems = [labs.cannot_run()]
    for program in ("packetlab", "udp_flood"):
        if not (labs.BIN / program).exists():
            problems.append(f"{labs.BIN / program} is not built")
    wanted = ["ethtool", "iperf3", "nft", "ping", "taskset"]
    missing = [program for program in wanted if not shutil.which(program)]
    if missing:
        problems.append(f"{', '.join(missing)}: not installed (scripts/install-deps bench)")
    if args.output and plots.missing():
        problems.append(plots.missing())
    if "latency" in args.measures and not ("small" in args.measures and 1000 in args.flows):
        problems.append("the measure latency needs the measure small with 1000 flows: half of "
                        "that rate is its load")
    problems = [problem for problem in problems if problem]
    if problems:
        sys.exit("scripts/bench: " + "\nscripts/bench: ".join(problems))


def measured(args):
    """The whole report of a run on this kernel."""
    about = {**machine(), "commit": commit(), "offloads": not args.no_offloads,
             "rounds": args.rounds, "seconds": args.seconds}
    scale = measures.Scale(args.seconds, args.sessions, args.idle, tuple(args.flows),
                           tuple(args.streams), tuple(args.memory), args.fill_rate)
    chosen, left_out = what_can_run(args)
    come_first([os.getpid()])
    results = reports.Results()
    with room_for_connections(args.new_sessions):
        take_turns(chosen, scale, args, results)
        memory = measure_memory(chosen, scale, args) if "memory" in args.measures else []
    rows = results.rows()
    return {"about": {**about, "load_after": os.getloadavg()[0]}, "rows": rows,
            "aims": reports.aims(rows) + reports.memory_aims(memory), "memory": memory,
            "steps": measure_steps() if "steps" in args.measures else [], "left_out": left_out}


def in_qemu(args):
    """The report of a run in the guest, with the options given here but these two."""
    words = sys.argv[1:]
    for option in ("--in-qemu", "--output"):
        if option in words:
            at = words.index(option)
            del words[at:at + 2]
    return qemu.run(args.in_qemu, words, commit())


def main():
    args = options()
    check_machine(args)
    labs.end_on_signals()
    report = in_qemu(args) if args.in_qemu else measured(args)
    if args.stdout_report:
        qemu.report_to_output(report)
        return 0
    print(reports.markdown(report))
    if args.output:
        name = "qemu" if args.in_qemu else "packetlab"
        reports.write(args.output, name, report)  # whatever becomes of the pictures
        reports.write(args.output, name, report, plots.write(args.output, name, report))
        if args.output.resolve() == readme.RESULTS:
            readme.write()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except labs.LabError as problem:
        sys.exit(f"scripts/bench: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
