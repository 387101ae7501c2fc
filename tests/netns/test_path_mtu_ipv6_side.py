# SPDX-License-Identifier: MIT
"""A link of the IPv6 side is too small for what the IPv4 host sends: the router's "packet too big"
arrives from the pool address as "fragmentation needed", 20 less (RFC 7915 5.2)."""

import socket

import pytest

import lab as labs
from transfers import (IP_MTU, TARGET, client_learned, datagrams, download, far_lab_with, forget,
                       pings, server_learned, too_big, upload)


# 1420: a tunnel of WireGuard's.
@pytest.fixture(scope="module", params=[(mtu, offloads) for mtu in (1420, 1400, 1280) for offloads in (True, False)],
                ids=lambda param: f"{param[0]}-{'offloads' if param[1] else 'no-offloads'}")
def lab(request):
    mtu, offloads = request.param
    with far_lab_with(offloads, mtu6=mtu) as made:
        made.middle = mtu
        yield made


def test_ping_hears_the_mtu(lab):
    """The client's ping opens an identifier, which the server then pings by."""
    assert pings(lab.far_client, TARGET, 10)[0] == 0
    identifier = lab.sessions(protocol="icmp")[0]["outside"]["source"].split(":")[1]
    code, said = pings(lab.far_server, labs.POOL, lab.middle - 48 + 1, "-e", identifier)
    assert code == 1 and f"(mtu = {lab.middle - 20})" in said, said
    assert f"From {labs.POOL} " in said
    assert server_learned(lab) == lab.middle - 20
    code, said = pings(lab.far_server, labs.POOL, lab.middle - 48, "-e", identifier)
    assert code == 0, said


def test_datagrams(lab):
    with datagrams(lab) as (client, server):
        largest = lab.middle - 48
        too_big(server, largest + 1)
        assert server.getsockopt(socket.IPPROTO_IP, IP_MTU) == lab.middle - 20
        server.send(b"f" * largest)
        assert client.recv(65536) == b"f" * largest


def test_download(lab):
    forget(lab)
    before = lab.counters()
    assert server_learned(lab) is None, "nothing is known before"
    download(lab)
    assert server_learned(lab) == lab.middle - 20
    assert lab.counters()["translated_error_6to4"] > before["translated_error_6to4"]


def test_upload(lab):
    """The first router on the way is the host's own side: it learns without a translator."""
    forget(lab)
    upload(lab)
    assert client_learned(lab) == lab.middle
