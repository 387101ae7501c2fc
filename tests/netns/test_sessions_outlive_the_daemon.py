# SPDX-License-Identifier: MIT
"""The BPF engine's sessions outlive the daemon: killed or told to leave (SIGUSR1, what systemd sends for
a restart), packets of what has a session go on while it is away, and the next one takes all over."""

import json
import os
import re
import select
import signal
import subprocess

import pytest

import lab as labs
from packets import Connection, TcpEcho, UdpEcho, udp_socket

STATIC = {"protocol": "tcp", "outside": f"{labs.POOL}:8080", "inside": f"[{labs.CLIENT}]:80"}
SERVER6 = labs.embed(labs.SERVER)
SMALL = {"max_sessions": 5000}


def start(lab, nat64=(), **sections):
    lab.start_daemon(nat64={**SMALL, **dict(nat64)}, **sections)


def known(lab):
    """What must not change."""
    return {(item["protocol"], item["inside"]["source"], item["outside"]["source"])
            for item in lab.sessions()}


def begins_anew(lab, words, **sections):
    """The next daemon says why it takes nothing over, and is as good as any."""
    start(lab, **sections)
    said = lab.daemon.said()
    lost = said[said.rindex("sessions_lost"):].splitlines()[0]
    for word in words:
        assert word in lost, lost
    assert lab.sessions() == []
    with TcpEcho(lab.server, labs.SERVER, 9), Connection(lab.client, SERVER6, 9) as connection:
        connection.talk(b"after")
    assert lab.show("status")[0]["sessions"] == 1


@pytest.fixture
def left(bare_lab):
    """A daemon was killed and has left one session."""
    start(bare_lab)
    with TcpEcho(bare_lab.server, labs.SERVER, 7), Connection(bare_lab.client, SERVER6,
                                                              7) as connection:
        connection.talk(b"before")
        bare_lab.stop_daemon(signal.SIGKILL)
    return bare_lab


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGUSR1])
def test_sessions_are_taken_over(bare_lab, how):
    lab = bare_lab
    start(lab, static=[STATIC])
    client = udp_socket(lab.client, labs.CLIENT, 40123)
    target = (SERVER6, 7001)

    def echo():
        client.sendto(b"still here?", target)
        return client.recv(200)

    with TcpEcho(lab.server, labs.SERVER, 7), UdpEcho(lab.server, labs.SERVER, 7001), \
            Connection(lab.client, SERVER6, 7) as connection:
        connection.talk(b"before")
        outside = echo()
        sessions, bindings = known(lab), lab.show("bindings")
        for _ in range(2):  # the successor leaves as well
            counted = lab.counters()
            lab.stop_daemon(how)
            connection.talk(b"while nobody is there")
            assert echo() == outside
            start(lab, static=[STATIC])
            assert "sessions=kept" in lab.daemon.said() and "sessions=lost" not in lab.daemon.said()
            assert known(lab) == sessions and lab.show("bindings") == bindings
            status = lab.show("status")[0]
            assert status["sessions"] == len(sessions) and status["bindings"] == len(bindings)
            assert lab.counters()["session_made"] == counted["session_made"]
            assert lab.counters()["translated_6to4"] > counted["translated_6to4"]
            connection.talk(b"after")
            assert echo() == outside
    with udp_socket(lab.client, labs.CLIENT, 40124) as other, UdpEcho(lab.server, labs.SERVER, 7001):
        other.sendto(b"who am I?", target)
        assert other.recv(200) != outside, "a port that belongs to somebody"
    client.close()
    assert known(lab) > sessions
    lab.viaduct("clear", "sessions", "--all")
    assert lab.sessions() == [] and len(lab.show("bindings")) == 1  # the static one
    assert len(lab.pins()) == 1
    assert lab.stop_daemon() == 0
    assert lab.pins() == []
    assert "nvi0" not in [link["ifname"] for link in lab.gateway.ip_json("link", "show")]


def test_the_share_handed_up_is_this_daemons(bare_lab):
    """What a predecessor's workers have translated is not known any more, so what was handed up to them does
    not count either."""
    lab = bare_lab
    start(lab)
    lab.may_hand_up = True
    share = lambda: lab.show("status")[0]["handed_up"]  # noqa: E731
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, SERVER6, 7) as connection:
        connection.talk(b"before")
        lab.client.run("ping", "-c", "20", "-i", "0.01", "-s", "3000", SERVER6)  # in fragments
        assert share() > 0.3
        lab.stop_daemon(signal.SIGKILL)
        start(lab)
        assert share() == 0
        for _ in range(5):
            connection.talk(b"after")
        assert share() < 0.1


def read_exactly(pipe, size):
    data = bytearray()
    while len(data) < size:
        assert select.select([pipe], [], [], 60)[0], f"the transfer stands still after {len(data)} bytes"
        piece = os.read(pipe.fileno(), min(size - len(data), 1 << 20))
        assert piece, f"the transfer ends after {len(data)} bytes"
        data += piece
    return bytes(data)


def test_nothing_is_lost_on_the_way(bare_lab):
    """kill -9 in the middle of a transfer and of a ping, twice: both go on as if nothing had been. curl
    waits for who reads, and what is read while no daemon runs is more than buffers hold."""
    lab = bare_lab
    whole = os.urandom(80 << 20)
    (lab.start_web() / "big").write_bytes(whole)
    start(lab)
    ping = lab.start("ping", lab.client, ["ping", "-q", "-i", "0.02", SERVER6])
    curl = subprocess.Popen(lab.client.command(["curl", "--silent", f"http://[{SERVER6}]/big"]),
                            stdout=subprocess.PIPE)
    got = b""
    try:
        for _ in range(2):
            got += read_exactly(curl.stdout, 8 << 20)
            lab.stop_daemon(signal.SIGKILL)
            got += read_exactly(curl.stdout, 24 << 20)
            assert curl.poll() is None and ping.running()
            start(lab)
        got += read_exactly(curl.stdout, len(whole) - len(got))
        assert curl.wait(30) == 0
    finally:
        curl.kill()
        curl.wait()
    assert got == whole, "other bytes than were sent"
    ping.stop(signal.SIGINT)
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received",
                                        ping.said()).groups())
    assert sent - received <= 1, ping.said()  # the last one may be on its way
    assert lab.show("status")[0]["why_mortal"] == ""


def test_a_reload_while_nobody_ran(left):
    """The configuration has changed meanwhile: what it does not allow any more ends, static bindings
    follow it."""
    lab = left
    start(lab, nat64={"allow": ["2001:db8:bad::/64"]}, static=[STATIC])
    assert "sessions=kept" in lab.daemon.said()
    assert lab.sessions() == [] and len(lab.show("bindings")) == 1
    lab.stop_daemon(signal.SIGKILL)
    start(lab)
    assert lab.show("bindings") == []


def test_another_size_begins_anew(left):
    begins_anew(left, ["max_sessions = 5000", "2000"], nat64={"max_sessions": 2000})
    assert left.stop_daemon() == 0
    assert left.pins() == []


def test_another_layout_begins_anew(left):
    (folder,) = left.pins()
    folder.rename(folder.with_name("999" + folder.name[folder.name.index("-"):]))
    begins_anew(left, ["layout is 999"])
    assert left.pins() == [folder]
    assert left.stop_daemon() == 0
    assert left.pins() == []


def test_damaged_pins_begin_anew(left):
    (folder,) = left.pins()
    (folder / "sessions").unlink()
    begins_anew(left, ["sessions, cannot be had"])


def test_the_tun_engine_begins_anew(left):
    begins_anew(left, ["bpf engine"], nvi={"engine": "tun"})
    assert left.pins() == []
    assert "filter" not in left.gateway.run("tc", "filter", "show", "dev", "nvi0", "egress").stdout


def test_two_daemons_do_not_share(bare_lab):
    """The second one for an interface is refused, and the first one has all that it had."""
    lab = bare_lab
    start(lab)
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, SERVER6, 7) as connection:
        connection.talk(b"before")
        for sections in ({}, {"nat64": {"max_sessions": 2000}}):
            lab.write_config(**{"nat64": SMALL, **sections},
                             control={"socket": str(lab.folder / "other.sock")})
            refused = lab.run_daemon_once()
            assert refused.returncode == 1 and "in use" in refused.stdout + refused.stderr
            assert len(lab.pins()) == 1
        connection.talk(b"after")
        assert len(lab.sessions()) == 1
        lab.stop_daemon(signal.SIGKILL)
        start(lab)
        assert len(lab.sessions()) == 1
        connection.talk(b"and after that")


def test_who_cannot_start_takes_nothing_away(bare_lab):
    lab = bare_lab
    start(lab)
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, SERVER6, 7) as connection:
        connection.talk(b"before")
        lab.stop_daemon(signal.SIGKILL)
        lab.write_config(nat64=SMALL, control={"metrics": "192.0.2.1:9464"})  # nobody here has that address
        assert lab.run_daemon_once().returncode == 1
        connection.talk(b"without a daemon")
        start(lab)
        assert len(lab.sessions()) == 1
        connection.talk(b"after")


def test_without_a_bpf_file_system_they_are_mortal():
    with labs.Lab(bpf_file_system=False) as lab:
        start(lab)
        why = lab.show("status")[0]["why_mortal"]
        assert "mount -t bpf" in why
        assert "sessions_mortal" in lab.daemon.said()
        assert "end with viaductd" in lab.viaduct("show", "status").stdout
        doctor = json.loads(lab.viaduct("doctor", "--json", lab.config_path, check=False).stdout)
        (found,) = [item for item in doctor if item["check"] == "engine"]
        assert found["level"] == "warn" and "mount -t bpf" in found["text"], found
        lab.client.run("ping", "-c", "1", "-W", "5", SERVER6)
