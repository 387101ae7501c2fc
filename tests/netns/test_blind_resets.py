# SPDX-License-Identifier: MIT
"""Resets by somebody who does not see the connection, from outside at every port of the pool
(ReDAN, NDSS 2025) and from inside by a neighbour: the connection stays, also after the timer that a
reset would have started."""

import random
import struct
import time

import pytest

import lab as labs
from packets import ACK, RST, TCP, Capture, Connection, TcpEcho, drain, injector, tcp

TARGET = labs.embed(labs.SERVER)
TRANSITORY = 2


@pytest.fixture
def talking(bare_lab):
    bare_lab.client.ip("address", "add", f"{labs.STRANGER}/64", "dev", "eth0", "nodad",
                       "preferred_lft", 0)
    bare_lab.start_daemon(nat64={"allow": ["2001:db8:64::/64", "2001:db8:bad::/64"],
                                 "timeouts": {"tcp_transitory": f"{TRANSITORY}s"}})
    with TcpEcho(bare_lab.server, labs.SERVER, 7), \
            Connection(bare_lab.client, TARGET, 7) as connection:
        connection.talk()
        yield bare_lab, connection


def still_there(lab, connection):
    time.sleep(TRANSITORY + 1.5)
    (session,) = lab.sessions(protocol="tcp")
    assert session["state"] == "established"
    assert lab.counters()["session_ended"] == 0
    connection.talk()


def end_of(packet):
    """The sequence number behind an IPv4 packet's TCP segment."""
    payload = struct.unpack("!H", packet[2:4])[0] - 20 - (packet[32] >> 4) * 4
    return (struct.unpack("!I", packet[24:28])[0] + payload) % (1 << 32)


def next_numbers(lab, connection):
    """The sequence numbers that the next segments of (client, server) will have."""
    with Capture(lab.server, "eth0") as seen:
        connection.talk()
        drain(lambda: False, 0.3)  # the last acknowledgement
    return [[end_of(packet) for packet in packets if packet[9] == TCP][-1]
            for packets in (seen.arrived, seen.left)]


def test_from_outside_at_every_port(talking):
    lab, connection = talking
    (_, right), numbers = next_numbers(lab, connection), random.Random(2)
    with injector(lab.server, "eth0", lab.gateway.mac("wan")) as send:
        for port in range(1024, 65536):
            # Guessed, but never right by chance (1 in 32,000).
            guess = (right + numbers.randrange(1 << 17, (1 << 32) - (1 << 17))) % (1 << 32)
            send(tcp(labs.SERVER, 7, labs.POOL, port, RST, guess))
            if port % 64 == 0:
                time.sleep(0.002)  # or those that matter are lost in a queue of a slow machine
    drain(lambda: lab.counters()["reset_ignored"] >= 1)
    assert lab.counters()["reset_ignored"] == 1, "one of them had the right port"
    still_there(lab, connection)


def test_from_inside(talking):
    """A neighbour with its own address has no part in the session; one that lies about its address
    has to guess the number, too."""
    lab, connection = talking
    port = connection.socket.getsockname()[1]
    with injector(lab.client, "eth0", lab.gateway.mac("lan")) as send:
        for flags in (RST, RST | ACK):
            for sequence in range(0, 1 << 32, 1 << 25):
                send(tcp(labs.STRANGER, port, TARGET, 7, flags, sequence))
    drain(lambda: lab.counters()["tcp_not_syn"] >= 256)
    assert lab.counters()["tcp_not_syn"] == 256
    assert lab.counters()["reset_ignored"] == 0
    right, _ = next_numbers(lab, connection)
    with injector(lab.client, "eth0", lab.gateway.mac("lan")) as send:
        for number in range(1, 256):
            send(tcp(labs.CLIENT, port, TARGET, 7, RST, (right + (number << 24)) % (1 << 32)))
    drain(lambda: lab.counters()["reset_ignored"] >= 255)
    assert lab.counters()["reset_ignored"] == 255
    still_there(lab, connection)
