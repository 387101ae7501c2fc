# SPDX-License-Identifier: MIT
"""Many connections at once, each with its own bytes: nothing is mixed up, each is a session."""

import lab as labs
from packets import Connection, TcpEcho

OFFLOADS_OFF_TOO = True

COUNT = 200


def test_connections_do_not_mix(nat_lab):
    with TcpEcho(nat_lab.server, labs.SERVER, 7) as echo:
        open_now = [Connection(nat_lab.client, labs.embed(labs.SERVER), 7) for _ in range(COUNT)]
        for number, connection in enumerate(open_now):
            connection.socket.sendall(f"connection {number:05}".encode())
        for number, connection in enumerate(open_now):
            expected = f"connection {number:05}".encode()
            assert connection.socket.recv(100) == expected
        assert len(set(echo.peers)) == COUNT
        assert {peer[0] for peer in echo.peers} == {labs.POOL}
        shown = nat_lab.sessions(protocol="tcp", state="established")
        assert {item["outside"]["source"] for item in shown} == {
            f"{address}:{port}" for address, port in echo.peers}
        for connection in open_now:
            connection.socket.close()
