# SPDX-License-Identifier: MIT
"""There is no inside and no outside: what the gateway itself sends to the prefix is translated."""

import lab as labs
from packets import Connection, TcpEcho


def test_ping_from_the_gateway(nat_lab):
    nat_lab.gateway.run("ping", "-c", "2", "-i", "0.1", "-W", "2", labs.embed(labs.SERVER))
    shown = nat_lab.sessions(protocol="icmp")
    assert len(shown) == 1 and shown[0]["outside"]["destination"] == labs.SERVER


def test_tcp_from_the_gateway(nat_lab):
    with TcpEcho(nat_lab.server, labs.SERVER, 7) as echo, Connection(
            nat_lab.gateway, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
        assert echo.peers[0][0] == labs.POOL
