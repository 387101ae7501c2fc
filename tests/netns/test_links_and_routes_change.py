# SPDX-License-Identifier: MIT
"""Links go down and up, addresses come and go, routes change by the thousand, somebody deletes
ours: sessions live on, and what the gateway needs comes back."""

import signal

import pytest
from scapy.layers.inet import IP, UDP

import lab as labs
from packets import ICMP, Capture, Connection, TcpEcho, drain, injector

TARGET = labs.embed(labs.SERVER)
LOOPING = (64, 63, 2)  # times to live


@pytest.fixture
def talking(nat_lab):
    with TcpEcho(nat_lab.server, labs.SERVER, 7), \
            Connection(nat_lab.client, TARGET, 7) as connection:
        connection.talk()
        yield nat_lab, connection


def looping(ttl):
    """To a port of the pool that nobody has, from a host beyond the server."""
    return IP(src=labs.FAR_SERVER, dst=labs.POOL_ROUTED, ttl=ttl) / UDP(sport=20_000 + ttl, dport=9)


def is_ours(packet, ttl):
    return packet[0] == 0x45 and packet[9] == 17 and packet[20:22] == (20_000 + ttl).to_bytes(2, "big")


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


def test_the_pools_route_is_withdrawn_and_packets_loop(bare_lab):
    """While viaductd cannot help it, the gateway's default route sends what is for the pool back to the
    router that it came from: each packet passes as often as its TTL says. Then viaductd heals it, and
    what nobody has a binding for is counted."""
    lab = bare_lab
    lab.pool4 = [labs.POOL_ROUTED]
    lab.gateway.ip("route", "add", "default", "via", labs.SERVER)
    lab.server.sysctl("net/ipv4/conf/all/forwarding", 1)
    lab.server.sysctl("net/ipv4/conf/all/send_redirects", 0)
    lab.server.sysctl("net/ipv4/conf/eth0/send_redirects", 0)
    lab.start_daemon()
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, TARGET, 7) as connection:
        connection.talk()
        lab.daemon.popen.send_signal(signal.SIGSTOP)
        lab.gateway.ip("route", "del", f"{labs.POOL_ROUTED}/32", "dev", "nvi0")
        with Capture(lab.server, "eth0") as seen, injector(lab.server, "eth0", lab.gateway.mac("wan")) as send:
            for ttl in LOOPING:
                send(looping(ttl))
            drain(lambda: False, 0.5)
        for ttl in LOOPING:
            # at the gateway, at the server, at the gateway, ... each takes one off
            assert [packet[8] for packet in seen.arrived if is_ours(packet, ttl)] == list(
                range(ttl - 1, 0, -2))
            assert [packet[8] for packet in seen.left if is_ours(packet, ttl)] == list(range(ttl, 0, -2))
        expired = [packet for packet in seen.arrived + seen.left if packet[9] == ICMP and packet[20] == 11]
        assert expired, "where it ends at the gateway, it says so"
        lab.daemon.popen.send_signal(signal.SIGCONT)
        labs.wait_for("the route is back", lambda: lab.gateway.ip(
            "-4", "route", "show", f"{labs.POOL_ROUTED}/32", "dev", "nvi0"))
        before = lab.counters()["no_binding"]
        with Capture(lab.server, "eth0") as seen, injector(lab.server, "eth0", lab.gateway.mac("wan")) as send:
            for ttl in LOOPING:
                send(looping(ttl))
            drain(lambda: lab.counters()["no_binding"] >= before + len(LOOPING))
            drain(lambda: False, 0.2)
        assert lab.counters()["no_binding"] == before + len(LOOPING)
        assert not [packet for packet in seen.arrived if any(is_ours(packet, ttl) for ttl in LOOPING)]
        goes_on(lab, connection)
