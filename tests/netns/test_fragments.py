# SPDX-License-Identifier: MIT
"""Datagrams that no link takes whole: echoes of 65,000 bytes and UDP of 65,000 bytes there and back,
with links of 1280, 1500 and 9000 bytes (RFC 6146 3.4, RFC 7915 4.1)."""

import os
import socket

import pytest

import lab as labs
from transfers import IP_MTU_DISCOVER, TARGET, far_lab_with, pings

PORT = 5000
LARGEST = 65000
ETH_P_IPV6 = 0x86dd
SOURCE = socket.inet_pton(socket.AF_INET6, TARGET)


@pytest.fixture(scope="module",
                params=[(1280, True), (1500, True), (1500, False), (9000, True), (9000, False)],
                ids=lambda p: f"{p[0]}-{'offloads' if p[1] else 'no-offloads'}")
def lab(request):
    mtu, offloads = request.param
    with far_lab_with(offloads, mtu=mtu) as made:
        yield made


def held(lab):
    return lab.counters()["fragment_held"]


def test_ping_of_65000_bytes(lab):
    before = held(lab)
    code, said = pings(lab.far_client, TARGET, LARGEST, "-M", "dont")
    assert code == 0 and f"{LARGEST + 8} bytes from" in said, said
    assert held(lab) > before
    counters = lab.counters()
    assert counters["fragments_missing"] == counters["fragment_overlap"] == 0


def test_ping_of_65000_bytes_from_ipv4(lab):
    """To the identifier that a ping of the IPv6 host has bound."""
    assert pings(lab.far_client, TARGET, 10)[0] == 0
    identifier = lab.show("bindings")[0]["outside"].rsplit(":", 1)[1]
    code, said = pings(lab.far_server, labs.POOL, LARGEST, "-M", "dont", "-e", identifier)
    assert code == 0 and f"{LARGEST + 8} bytes from" in said, said


def exchange(lab, size, discovery):
    """One datagram there, the same back; the server lets IPv4 cut what it sends, or not."""
    with lab.far_server.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, \
            lab.far_client.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        server.bind((labs.FAR_SERVER, PORT))
        server.settimeout(10)
        client.settimeout(10)
        server.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, discovery)
        said = os.urandom(size)
        client.sendto(said, (TARGET, PORT))
        heard, peer = server.recvfrom(70000)
        assert heard == said
        server.sendto(heard, peer)
        assert client.recv(70000) == said


@pytest.mark.parametrize("size", [1232, 1233, 1500, 4000, LARGEST])
def test_udp(lab, size):
    exchange(lab, size, discovery=0)


def test_df_clear_reaches_ipv6_in_pieces_of_1280(lab):
    """The kernel would not cut for IPv6: nothing longer than lowest_ipv6_mtu arrives whole."""
    with lab.far_client.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IPV6)) as tap:
        exchange(lab, 4000, discovery=0)
        tap.setblocking(False)
        lengths = []
        try:
            while True:
                packet, sender = tap.recvfrom(70000)
                if sender[2] != socket.PACKET_OUTGOING and packet[8:24] == SOURCE:
                    lengths.append(len(packet))
        except BlockingIOError:
            pass
    assert lengths == [1280, 1280, 1280, 48 + 4008 - 3 * 1232]
