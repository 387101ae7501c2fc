# SPDX-License-Identifier: MIT
"""A link of the IPv4 side is too small for what the IPv6 host sends: the router's "fragmentation
needed" arrives as "packet too big", 20 more, but never below 1280 (RFC 7915 4.2). What an IPv6
sender then still sends fits, or is fragmented by the IPv4 router, which it allows (RFC 7915 5.1)."""

import socket

import pytest

import lab as labs
from transfers import (IPV6_MTU, TARGET, client_learned, datagrams, download, far_lab_with, forget,
                       pings, server_learned, too_big, upload)


# 1420: a tunnel of WireGuard's.
@pytest.fixture(scope="module", params=[(mtu, offloads) for mtu in (1420, 1400, 1280) for offloads in (True, False)],
                ids=lambda param: f"{param[0]}-{'offloads' if param[1] else 'no-offloads'}")
def lab(request):
    mtu, offloads = request.param
    with far_lab_with(offloads, mtu4=mtu) as made:
        made.middle = mtu
        yield made


def test_ping_hears_the_mtu(lab):
    code, said = pings(lab.far_client, TARGET, lab.middle + 20 - 48 + 1)
    assert code == 1 and f"Packet too big: mtu={lab.middle + 20}" in said, said
    assert f"From {labs.embed(labs.SERVER)} " in said, "the router's address can be read"
    assert client_learned(lab) == lab.middle + 20
    code, said = pings(lab.far_client, TARGET, lab.middle + 20 - 48)
    assert code == 0, said


def test_datagrams(lab):
    with datagrams(lab) as (client, server):
        largest = lab.middle - 28
        too_big(client, largest + 1)
        assert client.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU) == lab.middle + 20
        client.send(b"f" * largest)
        assert server.recv(65536) == b"f" * largest


def test_upload(lab):
    forget(lab)
    before = lab.counters()
    assert client_learned(lab) is None, "nothing is known before"
    upload(lab)
    assert client_learned(lab) == lab.middle + 20
    assert lab.counters()["translated_error_4to6"] > before["translated_error_4to6"]


def test_download(lab):
    """The first router on the way is the host's own side: it learns without a translator."""
    forget(lab)
    download(lab)
    assert server_learned(lab) == lab.middle


@pytest.mark.parametrize("offloads", [True, False],
                         ids=["offloads", "no-offloads"])
def test_a_link_that_is_smaller_than_ipv6_allows(offloads):
    with far_lab_with(offloads, mtu4=1000) as lab:
        upload(lab)
        assert client_learned(lab) == 1280
        download(lab)
