# SPDX-License-Identifier: MIT
"""What is measured. A measure is asked once for each candidate and round, and returns a dictionary
from what it has measured, (what, variant, unit), to the figure. After RFC 8219 (IPv6 transition) and
RFC 9693 (stateful NAT), as far as sender, gateway and receiver on one machine allow:

    bulk     TCP by iperf3, one and four streams, both ways: what arrives at the receiver
    small    overload: the smallest frames on 1, 1,000 and 100,000 flows that the gateway knows,
             frames that arrive a second while the generator sends all it can. One CPU that sends
             and forwards in turn cannot overrun itself; where the work moves to another CPU the
             loss is reported beside the rate, and the sender's CPU is not there for a second
             worker. The preliminary phase that makes the flows is RFC 9693's.
    throughput  the highest rate at which these frames arrive without loss (RFC 2544 26.1, RFC 8219
             7.1), by bisection of the offered rate, and what arrives in a last, long trial at that
             rate. The RFCs accept no loss; on a machine that others share too, one frame of 200 may
             be lost (ACCEPTED_LOSS), and a short trial is asked twice before it counts as failed.
             The generator has the lowest weight and stands for a machine beside the gateway; its
             processor still does the softirq that carries the frames to the gateway. Where nothing
             is lost at the fastest it can, the figure is that
    new      the same, each frame from an endpoint that was never seen (RFC 9693: the maximum
             connection establishment rate), over the 64 pool addresses, while old flows end
    latency  each frame of a stream at half the candidate's own rate on 1,000 flows carries the
             time of its sending (RFC 8219 7.2 asks for 500 of a stream at full rate): percentiles,
             of which the median and p99.9 are its typical and worst-case latency, and p99.9 less
             the smallest its packet delay variation (RFC 8219 7.3.1)
    trains   datagrams as programs send them, by sockets: 18 bytes, 40 of a flow one behind the
             other; and 1200 bytes, 40 by one call (UDP_SEGMENT, as QUIC does), whole to the gateway
    steps    of the BPF build: nanoseconds of a packet up to each of the data path's steps, by
             BPF_PROG_TEST_RUN, a million times the same one (packetlab steps)
    memory   of viaductd and its maps at 1 and at 4 million sessions (RFC 9693: the capacity of the
             connection tracking table asks for what is held; here: what holding it costs)
"""

import dataclasses
import json
import pathlib
import statistics
import time

import topology
from topology import labs

FLOOD_PORT, FLOOD_FLOWS, FLOOD_BURST = 9, 64, 40
PERCENTILES = (50, 90, 99, 99.9)
FRAMES_A_BATCH = 8  # at a given rate

# The search of the rate without loss.
ACCEPTED_LOSS = 0.005
STEP, NEAR = 1.3, 1.04  # from one rate to the next until it is between two; how near these end up
TRIALS, TRIAL_SECONDS = 14, 0.5  # at most
CONFIRMATIONS, BACK = 5, 1.1  # at most; how much lower the next one is


@dataclasses.dataclass
class Scale:
    """How large everything is; one for all candidates of a run."""

    seconds: float = 4
    sessions: int = 1_000_000  # the ceiling of the session table
    idle: int = 5  # seconds until an idle datagram flow ends
    flows: tuple = (1, 1_000, 100_000)
    streams: tuple = (1, 4)
    memory: tuple = (1_000_000, 4_000_000)
    fill_rate: int = 200_000  # frames a second, while flows are only to be made


@dataclasses.dataclass
class Subject:
    """A candidate that runs: its lab and the address that clients speak to."""

    candidate: object
    lab: topology.Topology
    target: str
    half_load: list = dataclasses.field(default_factory=list)  # its rates on 1,000 flows, Mpps

    @property
    def name(self):
        return self.candidate.name


class Figure(float):
    """A figure, and which share of what was sent did not arrive."""

    lost = None

    @staticmethod
    def of_frames(arrived, sent, seconds):
        figure = Figure(arrived / seconds / 1e6)
        figure.lost = max(0.0, 1 - arrived / sent)
        return figure


# --- bulk -----------------------------------------------------------------------------------------


def bulk(subject, scale):
    if subject.candidate.bulk:
        return {}
    figures = {}
    for streams in scale.streams:
        for direction, option in (("up", []), ("down", ["--reverse"])):
            done = subject.lab.client.run(
                "iperf3", "--client", subject.target, "--time", max(1, round(scale.seconds)),
                "--parallel", streams, "--omit", 1, "--json", *option, timeout=scale.seconds + 60)
            received = json.loads(done.stdout)["end"]["sum_received"]
            what = f"TCP, {streams} stream{'s' if streams > 1 else ''}"
            figures[what, direction, "Gbit/s"] = received["bits_per_second"] / 1e9
    return figures


# --- frames of the generator ------------------------------------------------------------------------


def make_flows(subject, flows, scale):
    """The flows get their sessions; what arrives must be right. A checksum may be left to the port
    (partial), which a real one does for nothing: meanwhile the gateway's must be done before."""
    lab = subject.lab
    lab.gateway.run("ethtool", "-K", "wan", "tx", "off")
    try:
        with topology.Sink(lab.server, verify=True) as sink:
            for _ in range(2):  # the first frames may wait for a neighbour
                lab.generate(subject.target, flows=flows, frames=max(flows, 1000),
                             rate=scale.fill_rate)
            labs.wait_for(f"frames through {subject.name}", lambda: sink.arrived()["packets"], 5)
            arrived = sink.arrived()
    finally:
        if lab.offloads:
            lab.gateway.run("ethtool", "-K", "wan", "tx", "on")
    if arrived["bad"]:
        raise labs.LabError(f"{subject.name}: {arrived['bad']} of {arrived['packets']} frames "
                            "arrive with a wrong checksum")


def count_frames(subject, **options):
    with topology.Sink(subject.lab.server) as sink:
        sent = subject.lab.generate(subject.target, **options)
        return sent, sink.arrived()


def small(subject, scale):
    figures = {}
    for flows in scale.flows:
        with subject.lab.frames():
            make_flows(subject, flows, scale)
            sent, arrived = count_frames(subject, flows=flows, seconds=scale.seconds)
        figure = Figure.of_frames(arrived["packets"], sent["sent"], sent["seconds"])
        figures["small UDP", f"{flows:,} flow{'s' if flows > 1 else ''}", "Mpps"] = figure
        if flows == 1000:
            subject.half_load.append(figure)
    return figures


def highest_without_loss(trial, guess):
    """The highest rate that passes, of what `trial` says (True: passed) of a rate; 0 where none
    does. The first is `guess`, from there in steps until it lies between two, then halving."""
    passed, failed, rate = 0, None, guess
    for _ in range(TRIALS):
        if trial(rate):
            passed = rate
        else:
            failed = rate
        if failed is None:
            rate = passed * STEP
        elif not passed:
            rate = failed / STEP
        elif failed / passed <= NEAR:
            break
        else:
            rate = (passed * failed) ** 0.5
    return passed


class Trials:
    """Frames at a rate, on flows that are there; each trial goes on with the flow after the last
    one's, so that none becomes idle."""

    def __init__(self, subject, flows):
        self._subject, self._flows, self._first = subject, flows, 0

    def at(self, rate, seconds):
        """The figure of one trial; a rate of 0: as many as can be."""
        pace = {"rate": round(rate)} if rate else {}
        sent, arrived = count_frames(self._subject, flows=self._flows, first=self._first,
                                     seconds=seconds, batch=FRAMES_A_BATCH, gives_way=True, **pace)
        self._first = (self._first + sent["sent"]) % self._flows
        return Figure.of_frames(arrived["packets"], sent["sent"], sent["seconds"])

    def passes(self, rate):
        return any(self.at(rate, TRIAL_SECONDS).lost <= ACCEPTED_LOSS for _ in range(2))


def without_loss(trials, seconds):
    """What arrives in a long trial at the highest rate that passes, or a little below it. Where none
    is confirmed, the last figure: the report has its loss."""
    figure = trials.at(0, seconds)
    if figure.lost <= ACCEPTED_LOSS:
        return figure
    rate = highest_without_loss(trials.passes, figure * 1e6)
    for _ in range(CONFIRMATIONS if rate else 0):
        figure = trials.at(rate, seconds)
        if figure.lost <= ACCEPTED_LOSS:
            break
        rate /= BACK
    return figure


def throughput(subject, scale):
    figures = {}
    for flows in scale.flows:
        with subject.lab.frames():
            make_flows(subject, flows, scale)
            figures["throughput", f"{flows:,} flow{'s' if flows > 1 else ''}", "Mpps"] = (
                without_loss(Trials(subject, flows), scale.seconds))
    return figures


def new(subject, scale):
    with subject.lab.frames():
        make_flows(subject, 1000, scale)
        sent, arrived = count_frames(subject, flows=0, first=1 << 20, seconds=scale.seconds)
    return {("new flows", "each frame", "Mpps"):
            Figure.of_frames(arrived["packets"], sent["sent"], sent["seconds"])}


def percentile(classes, percent):
    """Of a dictionary of values to how often they were seen."""
    left = sum(classes.values()) * percent / 100
    for value in sorted(classes):
        left -= classes[value]
        if left <= 0:
            return value
    return max(classes)


def latency(subject, scale):
    rate = round(statistics.median(subject.half_load) / 2 * 1e6)
    with subject.lab.frames():
        make_flows(subject, 1000, scale)
        sent, arrived = count_frames(subject, flows=1000, seconds=scale.seconds, rate=rate,
                                     batch=FRAMES_A_BATCH, stamp=True)
    classes = arrived["latencies"]
    if not classes:
        raise labs.LabError(f"{subject.name}: no frame arrived at half load")
    figures = {("latency at half load", f"p{percent:g}", "µs"): percentile(classes, percent) / 1e3
               for percent in PERCENTILES}
    figures["latency at half load", "delay variation", "µs"] = (
        figures["latency at half load", "p99.9", "µs"] - min(classes) / 1e3)
    figures["latency at half load", "load", "Mpps"] = Figure.of_frames(
        arrived["packets"], sent["sent"], sent["seconds"])
    return figures


# --- datagrams of sockets ---------------------------------------------------------------------------


def flood(subject, scale, size, whole):
    lab = subject.lab

    def arrived():
        port = lab.server.ip_json("-s", "link", "show", "dev", "eth0")[0]
        return port["stats64"]["rx"]["packets"]

    lab.client.run("ethtool", "-K", "eth0", "tx-udp-segmentation",
                   "on" if whole and lab.offloads else "off")
    before = arrived()
    done = lab.client.run(labs.BIN / "udp_flood", subject.target, FLOOD_PORT,
                          max(1, round(scale.seconds)), FLOOD_FLOWS, size, FLOOD_BURST,
                          timeout=scale.seconds + 60)
    return (arrived() - before) / float(done.stdout.split()[1]) / 1e6


def trains(subject, scale):
    """On both links each datagram is a packet of its own, but for what leaves the client whole."""
    if subject.candidate.bulk:
        return {}
    lab = subject.lab
    lab.gateway.run("ethtool", "-K", "wan", "tx-udp-segmentation", "off")
    ports = f"{FLOOD_PORT}-{FLOOD_PORT + FLOOD_FLOWS - 1}"
    lab.server.run("nft", "add table netdev sink; add chain netdev sink in "
                   "{ type filter hook ingress device eth0 priority 0; }; "
                   f"add rule netdev sink in udp dport {ports} drop")
    try:
        return {("UDP, bursts of a flow", "18 bytes", "Mpps"): flood(subject, scale, 18, False),
                ("UDP in trains", "1200 bytes", "Mpps"): flood(subject, scale, 1200, True)}
    finally:
        lab.server.run("nft", "delete table netdev sink")


# --- memory -----------------------------------------------------------------------------------------


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise labs.LabError(f"process {pid} has no VmRSS")


def of_maps(pid):
    """What the BPF maps that a process holds lock in the kernel, by their own word (fdinfo)."""
    sizes = {}
    for entry in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        fields = dict(line.split(":", 1) for line in entry.read_text(encoding="ascii").splitlines()
                      if ":" in line)
        if "map_id" in fields:
            sizes[fields["map_id"].strip()] = int(fields["memlock"])
    return sum(sizes.values())


def memory(subject, scale):
    """Fills the table of scale.sessions; figures in bytes."""
    sessions = scale.sessions
    pid = subject.lab.daemon.pid
    before = resident(pid)
    for _ in range(5):  # a queue may have dropped some
        with subject.lab.frames(), topology.Sink(subject.lab.server):
            subject.lab.generate(subject.target, flows=sessions, frames=sessions,
                                 rate=scale.fill_rate)
        time.sleep(0.5)
        held = subject.lab.show("status")[0]["sessions"]
        if held >= sessions:
            break
    return {"candidate": subject.name, "asked": sessions, "sessions": held, "before": before,
            "resident": resident(pid), "maps": of_maps(pid)}


# In the order in which they are taken. Those of FRESH get a lab of their own each time, as they
# leave too much behind.
SHARED = {"bulk": bulk, "small": small, "throughput": throughput, "latency": latency, "trains": trains}
FRESH = {"new": new}
ALL = [*SHARED, *FRESH, "memory", "steps"]
