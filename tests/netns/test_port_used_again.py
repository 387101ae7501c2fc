# SPDX-License-Identifier: MIT
"""A client's port that is used again at once, for the same server, while the server still has the connection
before in TIME-WAIT: the session is in its last state, the SYN passes with the same outside port, and the
server can tell by its timestamp and number that it is a new connection (RFC 6191, RFC 7857 2.2)."""

import socket
import struct
import time

import pytest

import lab as labs

PORT = 4711
ROUNDS = 20


@pytest.fixture
def server(nat_lab):
    listener = nat_lab.server.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((labs.SERVER, 7))
    listener.listen()
    listener.settimeout(5)
    yield listener
    listener.close()


def connect(lab):
    client = lab.client.socket(socket.AF_INET6, socket.SOCK_STREAM)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.settimeout(5)
    client.bind((labs.CLIENT, PORT))
    client.connect((labs.embed(labs.SERVER), 7))
    return client


def waiting(lab):
    return lab.server.run("ss", "-Htan", "state", "time-wait").stdout.splitlines()


@pytest.mark.parametrize("timestamps", [1, 0])
def test_a_port_is_used_again_in_time_wait(nat_lab, server, timestamps):
    for where in (nat_lab.client, nat_lab.server):
        where.sysctl("net/ipv4/tcp_timestamps", timestamps)
    # The client's last ACK and its FIN leave from two processors and may arrive in the other order; the
    # answer to the late ACK meets a closed socket, whose reset would end the server's TIME-WAIT (RFC 1337).
    nat_lab.server.sysctl("net/ipv4/tcp_rfc1337", 1)
    outside = set()
    for round_ in range(ROUNDS):
        before = time.monotonic()
        client = connect(nat_lab)
        accepted, peer = server.accept()
        # A SYN that is not taken is sent again after a second.
        assert time.monotonic() - before < 0.8, f"round {round_}"
        outside.add(peer)
        accepted.sendall(struct.pack("!I", round_))
        accepted.close()  # first, so that TIME-WAIT is the server's
        assert client.recv(10) == struct.pack("!I", round_) and client.recv(10) == b""
        client.close()
        labs.wait_for("the server waits", lambda: len(waiting(nat_lab)) == 1)
        if not timestamps:
            time.sleep(0.3)  # then only a number that has grown tells the two apart: the clock drives it
    assert len(outside) == 1 and next(iter(outside))[0] == labs.POOL
    assert len(nat_lab.sessions(protocol="tcp")) == 1
    assert nat_lab.counters()["binding_made"] == 1
