# SPDX-License-Identifier: MIT
"""A kernel that hands out super-packets but does not take them back: they are cut in software, all
arrives as it was sent, and the operator is told once which offloads are refused."""

import json
import os
import socket

import pytest

import lab as labs
from packets import Connection, move, udp_socket
from test_udp_super_packets import PORT, pieces, receive, send_train

BYTES = 5_000_000


@pytest.fixture(scope="module")
def refusing_lab():
    with labs.Lab() as lab:
        lab.start_daemon(wrapper=lab.preload("refuse_super_packets.c"))
        yield lab


def test_all_arrives(refusing_lab):
    lab = refusing_lab
    given = set(lab.show("status")[0]["offloads"])
    assert {"tso4", "tso6"} <= given and lab.show("status")[0]["offloads_refused"] == []
    with lab.server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((labs.SERVER, 7))
        listener.listen()
        with Connection(lab.client, labs.embed(labs.SERVER), 7) as connection:
            server = listener.accept()[0]
            # the checksums of all segments are whole, so the receiver's kernel verifies them
            move(connection.socket, server, BYTES)
            move(server, connection.socket, BYTES)
            server.close()
    with lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((labs.SERVER, PORT))
        server.settimeout(5)
        with udp_socket(lab.client, labs.CLIENT, 40100) as client:
            client.settimeout(5)
            data = os.urandom(12345)
            for _ in range(20):  # more than are tried
                send_train(client, data, 1200, (labs.embed(labs.SERVER), PORT))
                got = receive(server, 11)
                assert [datagram for datagram, _ in got] == pieces(data, 1200)
                send_train(server, data, 1200, got[0][1])
                assert [datagram for datagram, _ in receive(client, 11)] == pieces(data, 1200)

    refused = given & {"tso4", "tso6", "uso4", "uso6"}
    status = lab.show("status")[0]
    assert set(status["offloads_refused"]) == refused
    assert set(status["offloads"]) == given - refused
    assert "(refused: tso4, tso6" in lab.viaduct("show", "status").stdout
    lines = json.loads(lab.viaduct("doctor", "--json", lab.config_path, check=False).stdout)
    found = next(line for line in lines if line["check"] == "offloads")
    assert found["level"] == "warn" and all(name in found["text"] for name in refused), found
    counters = lab.counters()
    # 16 of each kind are tried, and what other workers had under way then
    assert 16 * len(refused) <= counters["super_packet_refused"] < 24 * len(refused)
    assert counters["tun_write_failed"] == counters["tun_bad_frame"] == 0
    labs.wait_for("the log says so", lambda: lab.daemon.said().count("offload_refused") > 0, 5)
