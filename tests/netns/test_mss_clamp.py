# SPDX-License-Identifier: MIT
"""SYNs announce no longer segments than the gateway's ports carry: TCP through a small port works
also where no host hears "too big" (nftables drops it here), and hangs with mss_clamp = false."""

import contextlib
import select
import socket

import pytest

import lab as labs

BYTES = 300_000
TARGET = labs.embed(labs.SERVER)
TIMESTAMPS = 12  # what this option takes of each segment
SMALL = 1400
CARRIED = SMALL - 60  # both ports have IPv6 addresses, be they link-local


def deaf_lab(offloads):
    """The hosts' own links are of 1500 bytes, and nothing tells them of smaller ones."""
    lab = labs.Lab(offloads=offloads)
    for where, family, what in (
            (lab.server, "ip", "icmp type destination-unreachable"),
            (lab.client, "ip6", "icmpv6 type packet-too-big")):
        where.run("nft", f"add table {family} deaf; add chain {family} deaf in {{ type filter hook input priority 0; }}; "
                         f"add rule {family} deaf in {what} drop")
        where.sysctl("net/ipv4/tcp_mtu_probing", 0)
    return lab


@contextlib.contextmanager
def connection(lab):
    """(the client's socket, the server's)"""
    with lab.server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener, \
            lab.client.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
        listener.bind((labs.SERVER, 0))
        listener.listen()
        client.settimeout(5)
        client.connect((TARGET, listener.getsockname()[1]))
        with listener.accept()[0] as server:
            yield client, server


def arrives(sender, receiver, patience):
    """How many of BYTES do, until nothing has happened for `patience` seconds."""
    sender.setblocking(False)
    left, got = BYTES, 0
    while got < BYTES:
        ready, room, _ = select.select([receiver], [sender] if left else [], [], patience)
        if room:
            left -= sender.send(bytes(min(left, 1 << 16)))
        elif not ready:
            break
        if ready:
            got += len(receiver.recv(1 << 16))
    return got


def segment(end):
    return end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) + TIMESTAMPS


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads", "no-offloads"])
@pytest.mark.parametrize("port", ["lan", "wan"])
def test_a_small_port(port, offloads):
    with deaf_lab(offloads) as lab:
        lab.may_hand_up = True  # the router's errors, which the hosts do not hear
        lab.gateway.ip("link", "set", port, "mtu", SMALL)
        lab.start_daemon(nat64={"mss_clamp": False})
        with connection(lab) as (client, server):
            way = (server, client) if port == "lan" else (client, server)
            assert arrives(*way, 2) == 0, "the test's own premise: without it nothing arrives"
        assert lab.counters()["mss_clamped"] == 0
        lab.write_config()  # without the key
        lab.viaduct("reload")
        with connection(lab) as (client, server):
            assert segment(client) == segment(server) == CARRIED
            assert arrives(server, client, 10) == BYTES
            assert arrives(client, server, 10) == BYTES
        assert lab.counters()["mss_clamped"] == 2, "the SYN and the SYN-ACK"


def test_ports_change_while_it_runs(bare_lab):
    lab = bare_lab
    lab.start_daemon()

    def carried(what):
        def seen():
            with connection(lab) as (client, server):
                return segment(client) == segment(server) == what

        labs.wait_for(f"segments of {what} bytes", seen)

    carried(1440)
    lab.gateway.ip("link", "set", "wan", "mtu", 1280)
    carried(1220)
    lab.gateway.ip("link", "set", "wan", "mtu", 1500)
    carried(1440)
    assert lab.daemon.said().count("mss_clamp") == 3, lab.daemon.said()
