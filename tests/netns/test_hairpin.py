# SPDX-License-Identifier: MIT
"""Two IPv6 hosts reach each other by the pool's address: two passes through nvi0 (RFC 6146 3.5.1,
RFC 4787 REQ-9: each sees the other's outside address)."""

import socket

import lab as labs
from packets import Connection, TcpEcho, UdpEcho, udp_socket

OFFLOADS_OFF_TOO = True


def test_udp_by_the_pool_address(nat_lab):
    with UdpEcho(nat_lab.server, labs.SERVER, 7001):
        endpoints = []
        for port in (40001, 40002):
            host = udp_socket(nat_lab.client, labs.CLIENT, port)
            host.sendto(b"who am I?", (labs.embed(labs.SERVER), 7001))
            endpoints.append((host, int(host.recv(200).split()[1])))
    (one, port_one), (two, port_two) = endpoints
    one.sendto(b"to the other", (labs.embed(labs.POOL), port_two))
    assert two.recvfrom(200)[:2] == (b"to the other", (labs.embed(labs.POOL), port_one, 0, 0))
    two.sendto(b"and back", (labs.embed(labs.POOL), port_one))
    assert one.recvfrom(200)[:2] == (b"and back", (labs.embed(labs.POOL), port_two, 0, 0))
    one.close()
    two.close()


def test_tcp_by_the_pool_address(nat_lab):
    with TcpEcho(nat_lab.server, labs.SERVER, 7) as echo:
        one, listener = (nat_lab.client.socket(socket.AF_INET6, socket.SOCK_STREAM)
                         for _ in range(2))
        for item in (one, listener):  # the connection to a server makes the listener's binding
            item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            item.settimeout(5)
            item.bind((labs.CLIENT, 40002))
        one.connect((labs.embed(labs.SERVER), 7))
        one.sendall(b"hello")
        assert one.recv(100) == b"hello"
        listener.listen()
        with Connection(nat_lab.client, labs.embed(labs.POOL), echo.peers[0][1]) as two:
            accepted, seen = listener.accept()
            two.socket.sendall(b"to the other")
            assert accepted.recv(100) == b"to the other"
            accepted.sendall(b"and back")
            assert two.socket.recv(100) == b"and back"
            assert seen[0] == labs.embed(labs.POOL) and seen[1] != two.socket.getsockname()[1]
            accepted.close()
        for item in (one, listener):
            item.close()


def test_ping_by_the_pool_address(nat_lab):
    """The identifier is what a port is elsewhere: who has it answers."""
    nat_lab.client.run("ping", "-c", "1", "-W", "2", "-e", "1001", labs.embed(labs.SERVER))
    (binding,) = nat_lab.show("bindings")
    identifier = binding["outside"].rsplit(":", 1)[1]
    said = nat_lab.client.run("ping", "-c", "2", "-i", "0.2", "-W", "2", "-e", identifier,
                              labs.embed(labs.POOL)).stdout
    assert " 2 received" in said
    assert len(nat_lab.show("bindings")) == 2
