# SPDX-License-Identifier: MIT
"""Somebody deletes nvi0, or a port under it: without nvi0 viaductd ends and says so, for systemd to start
it again, and the bpf engine's sessions are still there; a port that comes back is used as before."""

import json

import lab as labs
from packets import Connection, TcpEcho

TARGET = labs.embed(labs.SERVER)


def test_nvi0_is_deleted(nat_lab):
    lab = nat_lab
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, TARGET, 7) as connection:
        connection.talk()
        before = lab.sessions(protocol="tcp")
        lab.gateway.ip("link", "del", "nvi0")
        labs.wait_for("viaductd ends", lambda: not lab.daemon.running())
        assert lab.daemon.popen.returncode == 1, "an end that systemd does not leave at that"
        assert "interface nvi0 was deleted" in lab.daemon.said()

        lab.start_daemon()
        if labs.ENGINE == "bpf":
            connection.talk()
            after = lab.sessions(protocol="tcp")
            assert [one["outside"] for one in after] == [one["outside"] for one in before]
        with Connection(lab.client, TARGET, 7) as another:
            another.talk()
    assert lab.stop_daemon() == 0
    assert lab.pins() == []


def test_a_port_is_deleted_and_made_again(nat_lab):
    lab = nat_lab
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(lab.client, TARGET, 7) as connection:
        connection.talk()
        lab.gateway.ip("link", "del", "lan")  # a cable of two ends: both are gone
        doctor = json.loads(lab.viaduct("doctor", "--json", lab.config_path, check=False).stdout)
        assert {line["check"]: line["level"] for line in doctor}["daemon"] == "ok"
        lab._link(lab.mtu, (lab.gateway, "lan"), (lab.client, "eth0"))
        lab.gateway.ip("address", "add", f"{labs.GATEWAY6}/64", "dev", "lan", "nodad")
        lab.client.ip("address", "add", f"{labs.CLIENT}/64", "dev", "eth0", "nodad")
        lab.client.ip("-6", "route", "add", "default", "via", labs.GATEWAY6)
        connection.talk()
        assert len(lab.sessions(protocol="tcp")) == 1

        lab.gateway.ip("link", "del", "wan")
        lab._link(lab.mtu, (lab.gateway, "wan"), (lab.server, "eth0"))
        lab.gateway.ip("address", "add", f"{labs.GATEWAY4}/24", "dev", "wan")
        for address in (labs.SERVER, labs.SERVER2):
            lab.server.ip("address", "add", f"{address}/24", "dev", "eth0")
        labs.wait_for("ARP for the pool", lambda: lab.gateway.ip_json("neighbour", "show", "proxy"))
        connection.talk()
    assert lab.daemon.running() and lab.counters()["session_made"] == 1
