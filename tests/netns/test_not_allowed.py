# SPDX-License-Identifier: MIT
"""Who is not in [nat64] allow gets nothing, and is counted; by default the connected prefixes are
in."""

import pytest

import lab as labs
from packets import drain, udp_socket


@pytest.fixture
def with_stranger(bare_lab):
    bare_lab.client.ip("address", "add", f"{labs.STRANGER}/64", "dev", "eth0", "nodad")
    return bare_lab


def connect_stranger(lab):
    lab.gateway.ip("address", "add", "2001:db8:bad::1/64", "dev", "lan", "nodad")


def ping_from(lab, source):
    return lab.client.run("ping", "-I", source, "-c", "1", "-W", "2", labs.embed(labs.SERVER),
                          check=False).returncode == 0


def test_dropped_and_counted(with_stranger):
    connect_stranger(with_stranger)
    with_stranger.start_daemon()
    stranger = udp_socket(with_stranger.client, labs.STRANGER)
    for _ in range(5):
        stranger.sendto(b"let me in", (labs.embed(labs.SERVER), 7))
    stranger.close()
    drain(lambda: with_stranger.counters()["not_allowed"] >= 5)
    assert with_stranger.counters()["not_allowed"] == 5
    assert with_stranger.show("sessions") == [] and with_stranger.show("bindings") == []
    assert ping_from(with_stranger, labs.CLIENT)


def test_connected_prefixes_are_the_default(with_stranger):
    config = with_stranger.config()
    del config["nat64"]["allow"]
    with_stranger.gateway.ip("-6", "route", "add", "2001:db8:bad::/64", "via", labs.CLIENT)
    with_stranger.config = lambda **_: config
    with_stranger.start_daemon()
    assert ping_from(with_stranger, labs.CLIENT)
    assert not ping_from(with_stranger, labs.STRANGER), "routed by a gateway, but not connected"
    assert with_stranger.counters()["not_allowed"] >= 1
