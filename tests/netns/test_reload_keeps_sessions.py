# SPDX-License-Identifier: MIT
"""A reload, by SIGHUP or by command, takes the new configuration and keeps what still is allowed;
a wrong configuration changes nothing and is named with file, line and column."""

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time

import pytest

import lab as labs
from packets import Connection, TcpEcho, UdpEcho, udp_socket

sys.path.insert(0, str(labs.REPOSITORY / "bench"))

import topology  # noqa: E402

RELOADS = 30


@pytest.fixture
def talking(nat_lab):
    with TcpEcho(nat_lab.server, labs.SERVER, 7), Connection(
            nat_lab.client, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
        yield nat_lab, connection


def pool_addresses(lab):
    return [item["address"] for item in lab.show("pools")]


def only_session(lab):
    sessions = lab.sessions(protocol="tcp")
    assert len(sessions) == 1
    return sessions[0]["inside"], sessions[0]["outside"]


@contextlib.contextmanager
def reloads(lab, command=("reload",), **nat64):
    """So many, one behind the other, with these keys; an event tells of their end, which the block waits
    for. Another command instead costs the machine about as much, and changes nothing."""
    done = threading.Event()

    def again_and_again():
        try:
            for number in range(RELOADS):
                lab.write_config(nat64={**nat64, "max_sessions_per_subscriber": 5000 + number})
                lab.viaduct(*command)
        finally:
            done.set()

    thread = threading.Thread(target=again_and_again)
    thread.start()
    try:
        yield done
    finally:
        thread.join()


def drops(lab):
    return {item["name"]: item["value"]
            for item in json.loads(lab.viaduct("show", "counters", "--json").stdout)
            if item["kind"] == "drop" and item["value"] > 0 and item["name"] != "not_allowed"}


def settled(value, still=0.2):
    """A number that has stopped to change."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < still:
        now = value()
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.02)
    return last


def test_reload_command(talking):
    lab, connection = talking
    before = only_session(lab)
    lab.write_config(nat64={"pool4": [labs.POOL, labs.POOL_ROUTED]})
    lab.viaduct("reload")
    assert pool_addresses(lab) == [labs.POOL, labs.POOL_ROUTED]
    connection.talk()
    assert only_session(lab) == before


def test_sighup(talking):
    lab, connection = talking
    before = only_session(lab)
    lab.write_config(nat64={"pool4": [labs.POOL, labs.POOL_ROUTED]})
    os.kill(lab.daemon.pid, signal.SIGHUP)
    labs.wait_for("the new pool address", lambda: labs.POOL_ROUTED in pool_addresses(lab))
    connection.talk()
    assert only_session(lab) == before


def test_sighup_with_a_wrong_configuration(talking):
    lab, connection = talking
    lab.write_config(nat64={"pool4": [labs.POOL_ROUTED, "not an address"]})
    os.kill(lab.daemon.pid, signal.SIGHUP)
    labs.wait_for("the log names the file", lambda: f"{lab.config_path}:" in lab.daemon.said())
    assert lab.daemon.running() and pool_addresses(lab) == [labs.POOL]
    connection.talk()


def test_reload_command_with_a_wrong_configuration(talking):
    lab, connection = talking
    before = only_session(lab)
    lab.write_config(nat64={"pool4": [labs.POOL_ROUTED, "not an address"]})
    lines = lab.config_path.read_text().splitlines()
    line = 1 + [text.startswith("pool4") for text in lines].index(True)
    refused = lab.viaduct("reload", check=False)
    assert refused.returncode != 0
    assert re.search(rf"{re.escape(str(lab.config_path))}:{line}:\d+: .*not an address",
                     refused.stdout + refused.stderr), refused
    assert pool_addresses(lab) == [labs.POOL] and only_session(lab) == before
    connection.talk()
    lab.write_config()
    lab.viaduct("reload")
    connection.talk()


def test_a_pool_address_that_goes_takes_its_sessions_along(talking):
    lab, connection = talking
    lab.write_config(nat64={"pool4": [labs.POOL_ROUTED]})
    lab.viaduct("reload")
    assert pool_addresses(lab) == [labs.POOL_ROUTED]
    counters = lab.counters()
    assert counters["session_disallowed"] == counters["session_ended"] == 1
    with Connection(lab.client, labs.embed(labs.SERVER), 7) as fresh:
        fresh.talk()
        port = fresh.socket.getsockname()[1]
        used = [item["outside"]["source"] for item in lab.sessions(protocol="tcp")
                if item["inside"]["source"].endswith(f":{port}")]
        assert len(used) == 1 and used[0].startswith(f"{labs.POOL_ROUTED}:")
    assert labs.POOL not in str(lab.gateway.ip_json("route", "show"))


def test_under_load_nothing_is_lost(nat_lab):
    """Datagrams of an old flow and of new ones, as many as go, while one reload follows the other: each
    has its answer, and nothing is dropped."""
    lab = nat_lab

    def exchange(client, window=16):
        """A few on the way at a time, no more than every queue holds."""
        sent = {os.urandom(16) for _ in range(window)}
        for text in sent:
            client.sendto(text, (labs.embed(labs.SERVER), 7001))
        for _ in range(window):
            sent.remove(client.recv(100))
        return window

    answered, ports = 0, set()
    with UdpEcho(lab.server, labs.SERVER, 7001, answer=lambda data, _: data), \
            udp_socket(lab.client, labs.CLIENT, timeout=20) as old:
        answered += exchange(old)
        ports.add(old.getsockname()[1])
        with reloads(lab) as done:
            while not done.is_set():
                answered += exchange(old)
                with udp_socket(lab.client, labs.CLIENT, timeout=20) as new:
                    answered += exchange(new)
                    ports.add(new.getsockname()[1])  # one that was used before is a flow that is there
    assert lab.daemon.said().count(" reloaded ") == RELOADS, lab.daemon.said()
    assert drops(lab) == {}
    assert lab.counters()["session_ended"] == 0 and len(lab.sessions(protocol="udp")) == len(ports)
    assert answered > 10 * RELOADS


@pytest.fixture
def packet_lab():
    if not topology.PACKETLAB.exists():
        pytest.skip("packetlab is not built (VIADUCT_BPF)")
    with topology.Topology() as lab:
        lab.start_daemon(nat64=MANY_HOSTS)
        with lab.frames():
            yield lab


MANY_HOSTS = {"allow": ["2001:db8:64::/64", topology.HOSTS6], "max_sessions": 50_000}
FLOWS, MOST_TRIALS = 1000, 5


def test_under_half_the_load_nothing_more_is_lost(packet_lab):
    """Half of what the lab carries, on a thousand flows. A machine that others use loses some by itself, at
    queues before and behind nvi0: so the same is sent without reloads, in turn, and the share that is
    lost with them is no larger. What viaductd drops is counted: nothing."""
    lab = packet_lab

    def send(sink, rate):
        """(how many were sent in half a second, how many of them arrived)"""
        before = sink.arrived()["packets"]
        sent = lab.generate(labs.embed(labs.SERVER), flows=FLOWS, seconds=0.5, rate=rate)["sent"]
        return sent, settled(lambda: sink.arrived()["packets"]) - before

    def share_lost(sink, rate, **command):
        sent = arrived = 0
        with reloads(lab, **command, **MANY_HOSTS) as done:
            while not done.is_set():
                some, of_them = send(sink, rate)
                sent, arrived = sent + some, arrived + of_them
        assert sent > 1000
        return 1 - arrived / sent

    reloading, quiet = [], []
    with topology.Sink(lab.server) as sink:
        send(sink, 4000)  # the flows are there
        rate = int(max(send(sink, 0)[1] for _ in range(3)))  # in half a second
        while not reloading or (reloading[-1] > max(quiet) and len(reloading) < MOST_TRIALS):
            quiet.append(share_lost(sink, rate, command=("show", "status")))
            reloading.append(share_lost(sink, rate))
    print(f"{rate} packets a second; lost with reloads {reloading}, without {quiet}")
    assert lab.daemon.said().count(" reloaded ") == RELOADS * len(reloading)
    assert drops(lab) == {} and lab.counters()["session_ended"] == 0
    assert len(lab.sessions()) == FLOWS
    assert reloading[-1] <= max(quiet)
