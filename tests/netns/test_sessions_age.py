# SPDX-License-Identifier: MIT
"""Sessions end at their time and give back binding and port; a closed TCP connection goes to the
short timer. Why each has ended is counted."""

import pytest

import lab as labs
from packets import Connection, TcpEcho, udp_socket


def test_an_idle_session_ends(bare_lab):
    bare_lab.start_daemon(nat64={"timeouts": {"udp": "2m", "icmp": "2s"}})
    bare_lab.client.run("ping", "-c", "1", "-W", "2", labs.embed(labs.SERVER))
    client = udp_socket(bare_lab.client, labs.CLIENT)
    client.sendto(b"x", (labs.embed(labs.SERVER), 9))
    client.close()
    assert len(bare_lab.sessions(protocol="icmp")) == 1
    labs.wait_for("the ping's session ends",
                  lambda: not bare_lab.sessions(protocol="icmp"), 8, 0.2)
    labs.wait_for("its binding ends",
                  lambda: bare_lab.show("pools")[0]["icmp"] == 0, 8, 0.2)
    assert len(bare_lab.sessions(protocol="udp")) == 1, "the other one is not old yet"
    counters = bare_lab.counters()
    assert counters["session_ended"] == counters["session_expired"] == 1 and counters["binding_ended"] == 1


def test_tcp_after_both_fins(nat_lab):
    with TcpEcho(nat_lab.server, labs.SERVER, 7):
        with Connection(nat_lab.client, labs.embed(labs.SERVER), 7) as connection:
            connection.talk()
            assert nat_lab.sessions(protocol="tcp")[0]["state"] == "established"
        closed = labs.wait_for("the session is on the transitory timer", lambda: [
            item for item in nat_lab.sessions(protocol="tcp") if item["expires_seconds"] <= 240])
    assert closed[0]["state"] != "established"


def test_why_connections_end(bare_lab):
    """One that was closed, and one that was refused: the reset is no SYN."""
    bare_lab.start_daemon(nat64={"timeouts": {"tcp_transitory": "2s"}})
    with TcpEcho(bare_lab.server, labs.SERVER, 7):
        with Connection(bare_lab.client, labs.embed(labs.SERVER), 7) as connection:
            connection.talk()
        with pytest.raises(ConnectionRefusedError):
            Connection(bare_lab.client, labs.embed(labs.SERVER), 8)
        labs.wait_for("both sessions end", lambda: not bare_lab.sessions(protocol="tcp"), 15, 0.2)
    counters = bare_lab.counters()
    assert counters["session_ended"] == 2
    assert counters["session_closed"] == counters["session_unanswered"] == 1
