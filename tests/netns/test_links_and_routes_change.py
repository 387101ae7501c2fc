# SPDX-License-Identifier: MIT
"""Links go down and up, addresses come and go, routes change by the thousand, somebody deletes
ours: sessions live on, and what the gateway needs comes back."""

import pytest

import lab as labs
from packets import Connection, TcpEcho

TARGET = labs.embed(labs.SERVER)


@pytest.fixture
def talking(nat_lab):
    with TcpEcho(nat_lab.server, labs.SERVER, 7), \
            Connection(nat_lab.client, TARGET, 7) as connection:
        connection.talk()
        yield nat_lab, connection


def goes_on(lab, connection):
    connection.talk()
    assert lab.counters()["session_made"] == 1 and lab.daemon.running()


def test_links_flap(talking):
    lab, connection = talking
    for _ in range(5):
        for device in ("lan", "wan"):
            lab.gateway.ip("link", "set", device, "down")
            lab.gateway.ip("link", "set", device, "up")
    # The kernel forgets a port's IPv6 addresses when it goes down; it is an operator's to restore.
    lab.gateway.ip("address", "replace", f"{labs.GATEWAY6}/64", "dev", "lan", "nodad")
    goes_on(lab, connection)


def test_an_address_goes_and_comes_back(talking):
    lab, connection = talking
    for _ in range(3):
        lab.gateway.ip("address", "del", f"{labs.GATEWAY4}/24", "dev", "wan")
        labs.wait_for("no ARP for the pool where it is on no link", lambda: not lab.gateway.ip_json(
            "neighbour", "show", "proxy"))
        lab.gateway.ip("address", "add", f"{labs.GATEWAY4}/24", "dev", "wan")
        labs.wait_for("ARP for the pool", lambda: lab.gateway.ip_json("neighbour", "show", "proxy"))
    goes_on(lab, connection)


def test_routes_by_the_thousand(talking):
    lab, connection = talking
    batch = lab.folder / "routes"
    for action in ("add", "del", "add", "del"):
        batch.write_text("".join(f"route {action} 10.{number >> 8}.{number & 255}.0/24 "
                                 f"via {labs.SERVER}\n" for number in range(20_000)))
        lab.gateway.ip("-batch", str(batch))
    goes_on(lab, connection)


def test_somebody_deletes_our_routes(talking):
    lab, connection = talking
    lab.gateway.ip("neighbour", "del", "proxy", labs.POOL, "dev", "wan")
    for route in (["-6", f"{labs.PREFIX}/96"], ["-4", f"{labs.POOL}/32"]):
        family, destination = route
        lab.gateway.ip(family, "route", "del", destination, "dev", "nvi0")
        labs.wait_for("the route is back", lambda: lab.gateway.ip(
            family, "route", "show", "table", "all", destination, "dev", "nvi0"))
    assert lab.gateway.ip_json("neighbour", "show", "proxy"), "so is the ARP entry"
    goes_on(lab, connection)
