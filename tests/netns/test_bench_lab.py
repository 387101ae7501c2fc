# SPDX-License-Identifier: MIT
"""The packet lab that scripts/bench measures with: what it says it sends is sent, whole and right,
and what arrives is counted to the last frame. A few hundred frames at a time: less than any queue on
the way holds, so none may be missing however busy the machine is."""

import ipaddress
import json
import struct
import subprocess
import sys

import pytest

import lab as labs
from packets import UDP, Capture, checksum_problem, injector, parse, udp

sys.path.insert(0, str(labs.REPOSITORY / "bench"))

import candidates  # noqa: E402
import measures  # noqa: E402
import topology  # noqa: E402

FRAMES = 200
LENGTH = {labs.PLAIN_SERVER6: 80, labs.SERVER: 60}
TARGETS = list(LENGTH)


@pytest.fixture(scope="module")
def packet_lab():
    if not topology.PACKETLAB.exists():
        print("SKIP: packetlab is not built (VIADUCT_BPF)")
        pytest.exit("skipped: packetlab is not built", 77)
    with topology.Topology() as lab:
        lab.forward()
        with lab.frames():
            yield lab


def capture(lab, target, **options):
    """The packets that arrive at the server of the frames that the generator sends."""
    with Capture(lab.server, "eth0") as wire:
        lab.generate(target, frames=FRAMES, **options)
        labs.wait_for("every frame", lambda: len(of_the_lab(wire.arrived)) == FRAMES)
    return of_the_lab(wire.arrived)


def of_the_lab(packets):
    parts = [(packet, parse(packet)) for packet in packets]
    return [packet for packet, (_, _, _, protocol, payload) in parts
            if protocol == UDP and payload[2:4] == struct.pack("!H", 9)]


def wrong(packets):
    return [problem for problem in map(checksum_problem, packets) if problem]


@pytest.mark.parametrize("target", TARGETS)
def test_every_frame_is_counted(packet_lab, target):
    with topology.Sink(packet_lab.server, verify=True) as sink:
        for number in range(1, 6):
            sent = packet_lab.generate(target, flows=0, first=number * FRAMES, frames=FRAMES)
            assert sent["sent"] == FRAMES
            labs.wait_for("every frame", lambda n=number: sink.arrived()["packets"] == n * FRAMES)
        arrived = sink.arrived()
    assert arrived["bytes"] == 5 * FRAMES * LENGTH[target]
    assert arrived["bad"] == 0
    assert not arrived["latencies"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("flows", [1, 150, 0])
def test_frames_are_right_and_of_so_many_flows(packet_lab, target, flows):
    packets = capture(packet_lab, target, flows=flows, first=70)
    assert not wrong(packets)
    assert {len(packet) + 14 for packet in packets} == {LENGTH[target]}
    sources = {(parse(packet)[1], parse(packet)[4][:2]) for packet in packets}
    assert len(sources) == (flows or FRAMES)
    hosts = ipaddress.ip_network(topology.HOSTS6 if ":" in target else "10.64.0.0/10")
    assert all(ipaddress.ip_address(address) in hosts for address, _ in sources)


def test_checksums_are_right_with_the_time_in_the_frame(packet_lab):
    for target in TARGETS:
        assert not wrong(capture(packet_lab, target, flows=3, stamp=True))


def test_latencies_are_counted(packet_lab):
    with topology.Sink(packet_lab.server, verify=True) as sink:
        packet_lab.generate(labs.PLAIN_SERVER6, flows=3, frames=FRAMES, stamp=True)
        labs.wait_for("every frame", lambda: sink.arrived()["packets"] == FRAMES)
        arrived = sink.arrived()
    assert arrived["bad"] == 0
    assert sum(arrived["latencies"].values()) == FRAMES
    assert min(arrived["latencies"]) > 100  # nanoseconds: nothing crosses three namespaces faster


def test_a_rate_is_kept(packet_lab):
    """Never faster; how much slower is the machine's affair."""
    sent = packet_lab.generate(labs.PLAIN_SERVER6, flows=1, frames=2000, rate=10_000, batch=4)
    assert sent["sent"] == 2000
    assert sent["seconds"] > 0.19


def test_trials_go_on_with_the_flow_after_the_last_one(packet_lab, monkeypatch):
    generate, asked, sent = packet_lab.generate, [], []

    def recorded(target, **options):
        asked.append(options["first"])
        done = generate(target, **options)
        sent.append(done["sent"])
        return done

    monkeypatch.setattr(packet_lab, "generate", recorded)
    trials = measures.Trials(measures.Subject(candidates.ALL["plain"], packet_lab,
                                              labs.PLAIN_SERVER6), 1_000)
    figures = [trials.at(2_000, 0.05) for _ in range(3)]
    assert all(figure > 0 and figure.lost < 0.5 for figure in figures)
    assert asked == [0, sent[0] % 1_000, (sent[0] + sent[1]) % 1_000]


def test_a_time_is_kept(packet_lab):
    sent = packet_lab.generate(labs.PLAIN_SERVER6, flows=1, seconds=0.2)
    assert sent["sent"] > 0
    assert sent["seconds"] < 20


@pytest.mark.parametrize("source, target", [("10.64.0.1", labs.SERVER),
                                            ("2001:db8:4000::1", labs.PLAIN_SERVER6)])
def test_the_sink_knows_a_wrong_checksum(packet_lab, source, target):
    right = udp(source, 1024, target, 9, bytes(range(18)))
    with topology.Sink(packet_lab.server, verify=True) as sink, \
            injector(packet_lab.client, "eth0", packet_lab.gateway.mac("lan")) as send:
        for number, (packet, bad) in enumerate([(right, 0), (right[:-1] + b"?", 1), (right, 1)], 1):
            send(packet)
            labs.wait_for("the packet", lambda n=number: sink.arrived()["packets"] == n)
            assert sink.arrived()["bad"] == bad


def test_the_xdp_forwarder_forwards():
    with topology.Topology() as lab:
        forwarder = candidates.ALL["xdp-forwarder"]
        target = forwarder.start(lab, measures.Scale())
        lab.server.run("ethtool", "-K", "eth0", "gro", "on")  # so that it polls: no sink is there
        with lab.frames():
            before = forwarded_by_the_stack(lab)
            packets = capture(lab, target, flows=3)
            assert forwarded_by_the_stack(lab) == before
        assert not wrong(packets)
        assert {packet[7] for packet in packets} == {63}


def forwarded_by_the_stack(lab):
    words = lab.gateway.run("cat", "/proc/net/snmp6").stdout.split()
    return int(words[words.index("Ip6OutForwDatagrams") + 1])


@pytest.mark.parametrize("name", [name for name, candidate in candidates.ALL.items()
                                  if isinstance(candidate, candidates.Viaduct)])
def test_a_candidate_of_ours_carries_frames(name):
    candidate = candidates.ALL[name]
    if "this version does not support" in candidate.missing():
        pytest.skip(candidate.missing())
    assert candidate.missing() == ""
    with topology.Topology() as lab:
        scale = measures.Scale(seconds=0.2, sessions=10_000, flows=(150,), fill_rate=5_000)
        subject = measures.Subject(candidate, lab, candidate.start(lab, scale))
        figures = measures.small(subject, scale)
        assert figures["small UDP", "150 flows", "Mpps"] > 0
        assert lab.show("status")[0]["sessions"] == 150


def test_a_candidate_that_viaductd_refuses_is_left_out_with_its_words():
    refused = candidates.Viaduct("later", engine="of the future")
    assert "viaductd refuses its configuration" in refused.missing()
    assert "of the future" in refused.missing()


def test_the_steps_are_timed():
    """Each of them lets the packet through; how long it takes is the machine's affair."""
    done = subprocess.run([topology.PACKETLAB, "steps"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)
    assert len(steps) == 8 and steps[0]["step"] == "an empty program"
    assert all(step["total"] > 0 for step in steps)
