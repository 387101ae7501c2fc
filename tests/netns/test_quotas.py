# SPDX-License-Identifier: MIT
"""A subscriber's sessions end at its limit, the table's at its own, a pool's ports at its ranges,
the second address after the first: all are counted, and nobody's sessions break."""

import time

import lab as labs
from packets import Connection, TcpEcho, UdpEcho, drain, udp_socket


def open_many(lab, count):
    client = udp_socket(lab.client, labs.CLIENT)
    for port in range(5000, 5000 + count):
        client.sendto(b"x", (labs.embed(labs.SERVER), port))
    client.close()


def test_per_subscriber(bare_lab):
    bare_lab.start_daemon(nat64={"max_sessions_per_subscriber": 20})
    with TcpEcho(bare_lab.server, labs.SERVER, 7), Connection(
            bare_lab.client, labs.embed(labs.SERVER), 7) as connection:
        open_many(bare_lab, 50)
        drain(lambda: bare_lab.counters()["subscriber_quota"] >= 31)
        assert bare_lab.counters()["subscriber_quota"] == 31
        assert bare_lab.show("status")[0]["sessions"] == 20
        connection.talk()


def test_of_the_whole_table(bare_lab):
    bare_lab.start_daemon(nat64={"max_sessions": 64})
    with TcpEcho(bare_lab.server, labs.SERVER, 7), Connection(
            bare_lab.client, labs.embed(labs.SERVER), 7) as connection:
        open_many(bare_lab, 200)
        drain(lambda: bare_lab.counters()["table_full"] > 0)
        assert bare_lab.counters()["table_full"] > 0
        assert bare_lab.show("status")[0]["sessions"] <= 64
        connection.talk()


def test_pool_exhausted(bare_lab):
    bare_lab.start_daemon(nat64={"pool4": [{"address": labs.POOL, "ports": "50000-50009"}]})
    sockets = [udp_socket(bare_lab.client, labs.CLIENT) for _ in range(15)]
    for client in sockets:
        client.sendto(b"x", (labs.embed(labs.SERVER), 5000))
    drain(lambda: bare_lab.counters()["no_port"] >= 5)
    assert bare_lab.counters()["no_port"] == 5
    assert bare_lab.show("pools")[0]["udp"] == 10
    labs.wait_for("the log says so", lambda: "no_port" in bare_lab.daemon.said(), 5)
    assert f"full={labs.POOL}/udp" in bare_lab.daemon.said()
    for _ in range(25):  # once a minute is enough
        for client in sockets:
            client.sendto(b"x", (labs.embed(labs.SERVER), 5000))
        time.sleep(0.1)
    assert bare_lab.counters()["no_port"] > 5
    assert bare_lab.daemon.said().count("viaduct explain no_port") == 1
    for client in sockets:
        client.close()


def test_the_next_pool_address_helps_out(bare_lab):
    bare_lab.start_daemon(nat64={"pool4": [
        {"address": address, "ports": "50000-50009"} for address in (labs.POOL, labs.POOL_ROUTED)]})
    sockets = [udp_socket(bare_lab.client, labs.CLIENT) for _ in range(25)]
    given = []
    with UdpEcho(bare_lab.server, labs.SERVER, 7001):
        for client in sockets[:20]:
            client.sendto(b"who am I?", (labs.embed(labs.SERVER), 7001))
            given.append(client.recv(100).decode())
        assert len(set(given)) == 20, "no port is given twice"
        first = given[0].split()[0]
        assert [answer.split()[0] for answer in given] == [first] * 10 + [
            ({labs.POOL, labs.POOL_ROUTED} - {first}).pop()] * 10, "the second after the first"
        for client in sockets[20:]:
            client.sendto(b"who am I?", (labs.embed(labs.SERVER), 7001))
        drain(lambda: bare_lab.counters()["no_port"] >= 5)
        assert bare_lab.counters()["no_port"] == 5
        for client, answer in zip(sockets, given):
            client.sendto(b"and now?", (labs.embed(labs.SERVER), 7001))
            assert client.recv(100).decode() == answer
    for client in sockets:
        client.close()
