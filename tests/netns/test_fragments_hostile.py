# SPDX-License-Identifier: MIT
"""Fragments that come in any order, twice, in each other's way, or never all: what can be put
together is, once and right; the rest is dropped under its counter, and forgotten in time."""

import os
import random
import socket
import time

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment

import lab as labs
from packets import drain, injector, ones_sum, udp, udp_socket

TARGET = labs.embed(labs.SERVER)
SIZE = 5000
PIECE = 1200
IP_MTU_DISCOVER = 10


@pytest.fixture(scope="module")
def lab():
    with labs.Lab() as made:
        made.start_daemon()
        yield made


class Side:
    """One end of a UDP conversation: sends datagrams in pieces of our choice, and what arrives at
    the other end is in its socket."""

    def __init__(self, lab, six):
        self._lab, self.six, self._number = lab, six, random.getrandbits(16)
        self.server = lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)
        self.server.bind((labs.SERVER, 0))
        self.port = self.server.getsockname()[1]
        self.server.settimeout(2)
        self.client = udp_socket(lab.client, labs.CLIENT)
        self.client.sendto(b"open", (TARGET, self.port))
        self.outside = self.server.recvfrom(100)[1]
        self.heard = self.server if six else self.client

    def pieces(self, data, cuts=None):
        """The fragments, as packets, of a datagram with this content."""
        self._number = self._number % 65535 + 1
        if self.six:
            whole = udp(labs.CLIENT, self.client.getsockname()[1], TARGET, self.port, data)[40:]
        else:
            whole = udp(labs.SERVER, self.port, *self.outside, data)[20:]
        return [self.piece(whole, start, min(end, len(whole)))
                for start, end in cuts or
                [(start, start + PIECE) for start in range(0, len(whole), PIECE)]]

    def piece(self, whole, start, end):
        if self.six:
            return bytes(IPv6(src=labs.CLIENT, dst=TARGET) / IPv6ExtHdrFragment(
                nh=17, offset=start // 8, m=end < len(whole), id=self._number) / whole[start:end])
        return bytes(IP(src=labs.SERVER, dst=self.outside[0], proto=17, id=self._number,
                        frag=start // 8, flags="MF" if end < len(whole) else 0) / whole[start:end])

    def send(self, packets):
        where, port = (self._lab.client, "lan") if self.six else (self._lab.server, "wan")
        with injector(where, "eth0", self._lab.gateway.mac(port)) as inject:
            for packet in packets:
                inject(packet)

    def nothing_came(self):
        self.heard.settimeout(0.3)
        with pytest.raises(TimeoutError):
            self.heard.recv(70000)
        self.heard.settimeout(2)

    def close(self):
        self.server.close()
        self.client.close()


@pytest.fixture(params=[True, False], ids=["from-IPv6", "from-IPv4"])
def side(lab, request):
    made = Side(lab, request.param)
    yield made
    made.close()


def counted(lab, before, name):
    return lab.counters()[name] - before[name]


def test_in_any_order(side):
    for seed in range(20):
        data = os.urandom(SIZE)
        packets = side.pieces(data)
        random.Random(seed).shuffle(packets)
        side.send(packets)
        assert side.heard.recv(70000) == data
    side.nothing_came()


def test_mixed_with_another_datagrams(side):
    contents = [os.urandom(SIZE) for _ in range(5)]
    packets = [packet for data in contents for packet in side.pieces(data)]
    random.Random(1).shuffle(packets)
    side.send(packets)
    assert {side.heard.recv(70000) for _ in contents} == set(contents)
    side.nothing_came()


def test_the_same_ones_twice(lab, side):
    """RFC 5722 lets an exact copy pass for one; the datagram arrives once."""
    data, before = os.urandom(SIZE), lab.counters()
    packets = side.pieces(data)
    side.send([packets[0], packets[0], *packets[1:4], packets[2], packets[4]])
    assert side.heard.recv(70000) == data
    side.nothing_came()
    assert counted(lab, before, "fragment_overlap") == 0


def test_overlapping_ones(lab, side):
    """Eight bytes of another content: nothing of that datagram goes on, and the next one does."""
    data, before = os.urandom(SIZE), lab.counters()
    packets = side.pieces(data, [(0, 1200), (1192, 2400), (2400, 3600), (3600, 4800), (4800, 9999)])
    side.send(packets)
    side.nothing_came()
    assert counted(lab, before, "fragment_overlap") >= 1
    data = os.urandom(SIZE)
    side.send(side.pieces(data))
    assert side.heard.recv(70000) == data


def test_one_that_would_hide_a_header(lab, side):
    """The tiny fragment attack (RFC 1858): a second first fragment says another port."""
    before = lab.counters()
    packets = side.pieces(os.urandom(SIZE), [(0, 8), (0, 16), (8, 1200)])
    side.send(packets)
    side.nothing_came()
    assert counted(lab, before, "fragment_overlap") >= 1


def test_never_finished_ones_age(lab):
    sides, before = [Side(lab, True), Side(lab, False)], lab.counters()
    for side in sides:
        for _ in range(50):
            side.send(side.pieces(os.urandom(SIZE))[:-1])
    drain(lambda: counted(lab, before, "fragment_held") >= 400)
    time.sleep(3.5)  # timeouts.fragment is 2 s; somebody has to come by for it to be noticed
    for side in sides:
        data = os.urandom(SIZE)
        side.send(side.pieces(data))
        assert side.heard.recv(70000) == data
        side.nothing_came()
        side.close()
    drain(lambda: counted(lab, before, "fragments_missing") >= 100)
    assert counted(lab, before, "fragments_missing") == 100


def with_identification(packet, number):
    changed = bytearray(packet)
    if packet[0] >> 4 == 6:
        changed[44:48] = number.to_bytes(4, "big")
    else:
        changed[4:6] = number.to_bytes(2, "big")
        changed[10:12] = bytes(2)
        changed[10:12] = (0xFFFF - ones_sum(bytes(changed[:20]))).to_bytes(2, "big")
    return bytes(changed)


@pytest.mark.parametrize("six", [True, False], ids=["from-IPv6", "from-IPv4"])
def test_a_flood_of_identifications(nat_lab, six):
    """More than there is room for: bounded, counted, and another source is not concerned."""
    side, other = Side(nat_lab, six), Side(nat_lab, not six)
    before = nat_lab.counters()
    (start,) = side.pieces(bytes(PIECE), [(0, PIECE)])
    side.send(with_identification(start, number) for number in range(20_000))
    drain(lambda: counted(nat_lab, before, "fragment_limit") > 0)
    assert counted(nat_lab, before, "fragment_limit") > 0
    full = nat_lab.resident()
    for _ in range(2):
        side.send(with_identification(start, number) for number in range(20_000, 60_000))
    assert nat_lab.resident() - full < 2000, "kB more for another 80,000"
    data = os.urandom(SIZE)
    other.send(other.pieces(data))
    assert other.heard.recv(70000) == data
    side.close()
    other.close()
