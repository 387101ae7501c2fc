# SPDX-License-Identifier: MIT
"""Bulk TCP and UDP through the gateway of the lab (tests/netns/lab.py), the candidates beside each
other.

    plain    the gateway forwards IPv6 to an IPv6 address of the server: what this machine can do
    viaduct  NAT64 by viaductd, tun engine
    tayga    NAT64 by Debian's tayga, with nftables masquerading its dynamic pool: the whole
             of what one would set up to get many hosts behind one address

Each candidate has a lab of its own, wired alike, so that none pays for what another has set up
(connection tracking). They take turns within each round, so that whatever the machine does
meanwhile hits all of them; the result is the median over the rounds, its spread the smallest and
largest, and the ratio is against plain in the same run. Every process of the labs has the highest
weight (autogroups), so that what else runs on the machine gets what is left; the load is reported.

UDP (--udp): bench/udp_flood.c sends datagrams in 64 flows from the client; nftables drops them
where they enter the server, and the server's port counts what arrived. On both links each datagram
is a packet of its own, but for the trains, which the client sends whole.

    small UDP, bursts   18 bytes, 40 of a flow one behind the other
    small UDP, mixed    18 bytes, each of another flow than the one before
    UDP in trains       1200 bytes, the client sends 40 by one call (UDP_SEGMENT, as QUIC does), and
                        its port does not cut them

Sender, gateway and sink share the machine's CPUs, so the rate is for comparing, not for planning.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "netns"))

import lab as labs  # noqa: E402

# tayga refuses 64:ff9b:1::/48, and private IPv4 under 64:ff9b::/96.
TAYGA_PREFIX = "2001:db8:ff9b::"
TAYGA_POOL = "192.168.255.0/24"
TAYGA_CONF = """\
tun-device nat64
ipv4-addr 192.168.255.1
ipv6-addr 2001:db8:ffff::1
prefix {prefix}/96
dynamic-pool {pool}
data-dir {folder}
"""

FLOOD_PORT, FLOOD_FLOWS = 9, 64
SMALL, LARGE, BURST = 18, 1200, 40

DIRECTIONS = {"up": [], "down": ["--reverse"]}


def forward(lab):
    for family in ("ipv4", "ipv6"):
        lab.gateway.sysctl(f"net/{family}/conf/all/forwarding", 1)


def start_plain(lab):
    lab.server.ip("-6", "address", "add", f"{labs.PLAIN_SERVER6}/64", "dev", "eth0", "nodad")
    lab.server.ip("-6", "route", "add", "default", "via", "2001:db8:80::1")
    lab.gateway.ip("-6", "address", "add", "2001:db8:80::1/64", "dev", "wan", "nodad")
    forward(lab)
    return labs.PLAIN_SERVER6


def start_viaduct(lab):
    lab.start_daemon()
    return labs.embed(labs.SERVER)


def start_tayga(lab):
    folder = lab.folder / "tayga"
    folder.mkdir()
    config = folder / "tayga.conf"
    config.write_text(TAYGA_CONF.format(prefix=TAYGA_PREFIX, pool=TAYGA_POOL, folder=folder),
                      encoding="ascii")
    gateway = lab.gateway
    forward(lab)
    gateway.run("tayga", "--mktun", "-c", config)
    gateway.ip("link", "set", "nat64", "up")
    gateway.ip("address", "add", "192.168.255.1", "dev", "nat64")
    gateway.ip("route", "add", TAYGA_POOL, "dev", "nat64")
    gateway.ip("-6", "address", "add", "2001:db8:ffff::1", "dev", "nat64")
    gateway.ip("-6", "route", "add", f"{TAYGA_PREFIX}/96", "dev", "nat64")
    gateway.run("nft", "add table ip nat64; "
                "add chain ip nat64 post { type nat hook postrouting priority srcnat; }; "
                f"add rule ip nat64 post ip saddr {TAYGA_POOL} oifname wan masquerade")
    lab.start("tayga", gateway, ["tayga", "-d", "-c", config])
    return labs.embed(labs.SERVER, TAYGA_PREFIX)


CANDIDATES = {"plain": start_plain, "viaduct": start_viaduct, "tayga": start_tayga}


def iperf(lab, target, streams, direction, seconds):
    """Gbit/s that the receiver got."""
    done = lab.client.run("iperf3", "--client", target, "--time", seconds, "--parallel", streams,
                          "--omit", 1, "--json", *DIRECTIONS[direction], timeout=seconds + 30)
    return json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9


def build_flood(lab):
    """Compiles the sender, and makes the server drop what it sends at its port."""
    source = labs.REPOSITORY / "bench" / "udp_flood.c"
    subprocess.run(["cc", "-O2", "-o", lab.folder / "udp_flood", source], check=True)
    lab.gateway.run("ethtool", "-K", "wan", "tx-udp-segmentation", "off")
    lab.server.run("nft", "add table netdev sink; add chain netdev sink in "
                   "{ type filter hook ingress device eth0 priority 0; }; "
                   f"add rule netdev sink in udp dport {FLOOD_PORT}-{FLOOD_PORT + FLOOD_FLOWS - 1} "
                   "drop")


def flood(lab, target, args, size, burst, whole=False):
    """Millions of datagrams a second that arrived at the server's port. A burst leaves the sender
    by one call, which is cheap, so that not the sender is measured; its port cuts it."""
    def arrived():
        port = lab.server.ip_json("-s", "link", "show", "dev", "eth0")[0]
        return port["stats64"]["rx"]["packets"]

    lab.client.run("ethtool", "-K", "eth0", "tx-udp-segmentation",
                   "on" if whole and not args.no_offloads else "off")
    before = arrived()
    done = lab.client.run(lab.folder / "udp_flood", target, FLOOD_PORT, args.seconds, FLOOD_FLOWS,
                          size, burst, timeout=args.seconds + 30)
    return (arrived() - before) / float(done.stdout.split()[1]) / 1e6


def kinds(args):
    """What is measured: (kind, variant) and the function of a lab and its target that measures it."""
    for streams in args.streams:
        for direction in DIRECTIONS:
            yield (f"TCP, {streams} stream{'s' if streams > 1 else ''}", direction, "Gbit/s"), (
                lambda lab, target, s=streams, d=direction: iperf(lab, target, s, d, args.seconds))
    if args.udp:
        for what, size, burst, whole in (("small UDP, bursts", SMALL, BURST, False),
                                         ("small UDP, mixed", SMALL, 1, False),
                                         ("UDP in trains", LARGE, BURST, True)):
            yield (what, "up", "Mpps"), (
                lambda lab, target, s=size, b=burst, w=whole: flood(lab, target, args, s, b, w))


def measure(candidates, args):
    results = {}
    what = list(kinds(args))
    for number in range(args.rounds):
        for key, one in what:
            for name, (lab, target) in candidates.items():
                rate = one(lab, target)
                results.setdefault(key, {}).setdefault(name, []).append(rate)
                print(f"round {number + 1}/{args.rounds}: {key[0]}, {key[1]}: {name} {rate:.2f} "
                      f"{key[2]}", file=sys.stderr, flush=True)
    return results


def summary(results):
    def ratio(medians, name, base, digits):
        return round(medians[name] / medians[base], digits) if base in medians else None

    rows = []
    for (what, direction, unit), by_name in results.items():
        medians = {name: statistics.median(rates) for name, rates in by_name.items()}
        for name, rates in by_name.items():
            rows.append({
                "what": what, "direction": direction, "candidate": name, "unit": unit,
                "median": round(medians[name], 3), "lowest": round(min(rates), 3),
                "highest": round(max(rates), 3), "rounds": [round(rate, 3) for rate in rates],
                "of_plain": ratio(medians, name, "plain", 3),
                "of_tayga": ratio(medians, name, "tayga", 2),
            })
    return rows


def machine():
    model = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
             if line.startswith("model name")]
    return {"kernel": platform.release().split("-")[0], "cpus": os.cpu_count(), "cpu": model[0] if model else "?",
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def markdown(about, rows, args):
    def ratio(value, form):
        return "–" if value is None else form.format(value)

    lines = [
        f"{args.rounds} rounds of {args.seconds} s each (TCP: after a first second left out), "
        f"median (lowest–highest). {about['cpus']} CPUs, Linux {about['kernel']}, "
        f"offloads {'off' if args.no_offloads else 'on'}, commit {about['commit']}, load before {about['load_before']}, {about['time']}.",
        "",
        "| what | direction | | rate | of plain | of tayga |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(f"| {row['what']} | {row['direction']} | {row['candidate']} | "
                     f"{row['median']:.2f} ({row['lowest']:.2f}–{row['highest']:.2f}) "
                     f"{row['unit']} | "
                     f"{ratio(row['of_plain'], '{:.2f}')} | {ratio(row['of_tayga'], '{:.1f}')} |")
    return "\n".join(lines) + "\n"


def commit():
    done = subprocess.run(["git", "-C", str(labs.REPOSITORY), "rev-parse", "--short", "HEAD"],
                          capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def start(lab, name, args):
    """The candidate, and what is measured with; its target."""
    target = CANDIDATES[name](lab)
    if args.udp:
        build_flood(lab)
    lab.start("iperf3", lab.server, ["iperf3", "--server"])
    labs.wait_for(f"{name} carries a ping", lambda: lab.client.run(
        "ping", "-c", "1", "-W", "1", target, check=False).returncode == 0, 15)
    return target


def come_first(pids):
    """Before what else runs on this machine, where it groups processes by session."""
    for pid in pids:
        with contextlib.suppress(OSError):
            pathlib.Path(f"/proc/{pid}/autogroup").write_text("-20", encoding="ascii")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4,
                        help="of each measurement; TCP's first second is left out")
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 4], help="of TCP; none: no TCP")
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=CANDIDATES)
    parser.add_argument("--udp", action="store_true", help="also rates of UDP datagrams")
    parser.add_argument("--no-offloads", action="store_true", help="switch segmentation, GRO and "
                        "checksum offload of every port off")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR",
                        help="also write DIR/packetlab.json and DIR/packetlab.md")
    args = parser.parse_args()
    reason = labs.cannot_run()
    if reason:
        print(f"SKIP: {reason}")
        return 77
    labs.end_on_signals()
    before = os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        candidates = {}
        for name in args.candidates:
            lab = stack.enter_context(labs.Lab(offloads=not args.no_offloads))
            candidates[name] = lab, start(lab, name, args)
        come_first([os.getpid(), *(process.pid for lab, _ in candidates.values()
                                   for process in lab.processes)])
        results = measure(candidates, args)
    rows = summary(results)
    about = {**machine(), "commit": commit(), "offloads": not args.no_offloads,
             "load_before": round(before, 1)}
    table = markdown(about, rows, args)
    print(table)
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        (args.output / "packetlab.json").write_text(
            json.dumps({"about": about, "rows": rows}, indent=2) + "\n", encoding="utf-8")
        (args.output / "packetlab.md").write_text(table, encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except labs.LabError as problem:
        sys.exit(f"scripts/bench: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
