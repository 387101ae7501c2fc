# SPDX-License-Identifier: MIT
"""filtering = "address": only IPv4 hosts that the IPv6 host has spoken to reach its port (RFC 6146
3.5.1), and TCP SYNs of the others are held in case both sides open at once (RFC 5382 REQ-4)."""

import select
import socket
import time

import lab as labs
from packets import Connection, TcpEcho, UdpEcho, drain, udp_socket

BY_ADDRESS = {"filtering": "address", "timeouts": {"tcp_incoming_syn": "2s"}}


def test_only_known_addresses_get_in(bare_lab):
    bare_lab.start_daemon(nat64=BY_ADDRESS)
    with UdpEcho(bare_lab.server, labs.SERVER, 7001) as echo:
        client = udp_socket(bare_lab.client, labs.CLIENT, 40123)
        client.sendto(b"who am I?", (labs.embed(labs.SERVER), 7001))
        address, port = client.recv(200).decode().split()
        stranger = bare_lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stranger.bind((labs.SERVER2, 9999))
        stranger.sendto(b"unasked", (address, int(port)))
        drain(lambda: bare_lab.counters()["filtered"] == 1)
        assert bare_lab.counters()["filtered"] == 1
        known = bare_lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
        known.bind((labs.SERVER, 9999))
        known.sendto(b"from another port", (address, int(port)))
        data, sender = client.recvfrom(200)
        assert data == b"from another port" and sender[:2] == (labs.embed(labs.SERVER), 9999)
        # Once spoken to, the stranger is none.
        client.sendto(b"hello", (labs.embed(labs.SERVER2), 9999))
        assert stranger.recv(200) == b"hello"
        stranger.sendto(b"hello yourself", (address, int(port)))
        assert client.recvfrom(200)[0] == b"hello yourself"
        assert echo.seen
        for item in (client, stranger, known):
            item.close()


def opening(namespace, here, there):
    """A TCP connection that is being opened."""
    made = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(here)
    made.setblocking(False)
    made.connect_ex(there)
    return made


def test_a_syn_that_nobody_wants_is_refused_after_its_time(bare_lab):
    bare_lab.start_daemon(nat64=BY_ADDRESS)
    begun = time.monotonic()
    stranger = opening(bare_lab.server, (labs.SERVER2, 9999), (labs.POOL, 20000))
    assert select.select([], [stranger], [], 10)[1], "nobody has answered"
    assert time.monotonic() - begun >= 2
    assert stranger.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
    stranger.close()
    counters = bare_lab.counters()
    assert counters["syn_unanswered"] == 1 and counters["session_made"] == 0


def test_both_sides_open_at_once(bare_lab):
    bare_lab.start_daemon(nat64=BY_ADDRESS)
    with TcpEcho(bare_lab.server, labs.SERVER, 7) as echo:
        # The first connection makes the binding, and shows its port.
        with Connection(bare_lab.client, labs.embed(labs.SERVER), 7) as first:
            first.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            first.talk()
            mine, outside = first.socket.getsockname()[1], echo.peers[0]
            theirs = opening(bare_lab.server, (labs.SERVER2, 9000), outside)
            drain(lambda: bare_lab.counters()["syn_held"] >= 1)
            assert bare_lab.counters()["syn_held"] >= 1
            ours = bare_lab.client.socket(socket.AF_INET6, socket.SOCK_STREAM)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ours.bind(("::", mine))
            ours.settimeout(5)
            ours.connect((labs.embed(labs.SERVER2), 9000))
            theirs.setblocking(True)
            theirs.settimeout(5)
            ours.sendall(b"both at once")
            assert theirs.recv(100) == b"both at once"
            time.sleep(3.5)  # the held SYN's time is over: nobody is told anything
            theirs.sendall(b"still there")
            assert ours.recv(100) == b"still there"
            assert bare_lab.counters()["syn_unanswered"] == 0
            ours.close()
            theirs.close()
