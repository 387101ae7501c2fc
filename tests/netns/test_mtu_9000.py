# SPDX-License-Identifier: MIT
"""Links of 9000 bytes are used whole: nvi0 takes its MTU from the largest port. Where one side has
smaller links, path MTU discovery finds out."""

import pytest

import lab as labs
from transfers import (TARGET, client_learned, download, far_lab_with, forget, pings,
                       server_learned, upload)


@pytest.fixture(scope="module", params=[True, False], ids=["offloads", "no-offloads"])
def lab(request):
    with far_lab_with(request.param, mtu=9000) as made:
        yield made


@pytest.mark.parametrize("size", [1452, 1453, 8000, 8900, 9000 - 48])
def test_ping(lab, size):
    code, said = pings(lab.far_client, TARGET, size)
    assert code == 0, said


def test_ping_of_what_fits_no_more(lab):
    code, said = pings(lab.far_client, TARGET, 9000 - 48 + 1)
    assert code == 1 and "mtu: 9000" in said, said


def test_transfers(lab):
    forget(lab)
    download(lab)
    upload(lab)
    assert client_learned(lab) is None
    assert server_learned(lab) in (None, 8980), "the pool's route says 20 less"


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads", "no-offloads"])
@pytest.mark.parametrize("side", ["mtu4", "mtu6"])
def test_a_small_link_in_the_middle(side, offloads):
    with far_lab_with(offloads, mtu=9000, **{side: 1500}) as lab:
        download(lab)
        assert server_learned(lab) == (1500 if side == "mtu4" else 1480)
        forget(lab)  # the server would offer what it knows as its MSS
        upload(lab)
        assert client_learned(lab) == (1520 if side == "mtu4" else 1500)


def test_only_the_ipv4_side_is_large():
    """The gateway itself, routing to the smaller port after the translation, sends the error."""
    with labs.Lab() as lab:
        for where, device in ((lab.gateway, "wan"), (lab.server, "eth0")):
            where.ip("link", "set", device, "mtu", 9000)
        lab.start_daemon()
        target = labs.embed(labs.SERVER)
        assert pings(lab.client, target, 10)[0] == 0
        identifier = lab.sessions(protocol="icmp")[0]["outside"]["source"].split(":")[1]
        code, said = pings(lab.server, labs.POOL, 8900, "-e", identifier)
        assert code == 1 and "(mtu = 1480)" in said, said
        assert pings(lab.server, labs.POOL, 1480 - 28, "-e", identifier)[0] == 0
        counters = lab.counters()
        assert counters["translated_error_6to4"] == 1, counters
