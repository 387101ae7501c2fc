# SPDX-License-Identifier: MIT
"""A reload, by SIGHUP or by command, takes the new configuration and keeps what still is allowed;
a wrong configuration changes nothing and is named with file, line and column."""

import json
import os
import re
import signal
import threading

import pytest

import lab as labs
from packets import Connection, TcpEcho, UdpEcho, udp_socket


@pytest.fixture
def talking(nat_lab):
    with TcpEcho(nat_lab.server, labs.SERVER, 7), Connection(
            nat_lab.client, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
        yield nat_lab, connection


def pool_addresses(lab):
    return [item["address"] for item in lab.show("pools")]


def only_session(lab):
    sessions = lab.sessions(protocol="tcp")
    assert len(sessions) == 1
    return sessions[0]["inside"], sessions[0]["outside"]


def test_reload_command(talking):
    lab, connection = talking
    before = only_session(lab)
    lab.write_config(nat64={"pool4": [labs.POOL, labs.POOL_ROUTED]})
    lab.viaduct("reload")
    assert pool_addresses(lab) == [labs.POOL, labs.POOL_ROUTED]
    connection.talk()
    assert only_session(lab) == before


def test_sighup(talking):
    lab, connection = talking
    before = only_session(lab)
    lab.write_config(nat64={"pool4": [labs.POOL, labs.POOL_ROUTED]})
    os.kill(lab.daemon.pid, signal.SIGHUP)
    labs.wait_for("the new pool address", lambda: labs.POOL_ROUTED in pool_addresses(lab))
    connection.talk()
    assert only_session(lab) == before


def test_sighup_with_a_wrong_configuration(talking):
    lab, connection = talking
    lab.write_config(nat64={"pool4": [labs.POOL_ROUTED, "not an address"]})
    os.kill(lab.daemon.pid, signal.SIGHUP)
    labs.wait_for("the log names the file", lambda: f"{lab.config_path}:" in lab.daemon.said())
    assert lab.daemon.running() and pool_addresses(lab) == [labs.POOL]
    connection.talk()


def test_reload_command_with_a_wrong_configuration(talking):
    lab, connection = talking
    before = only_session(lab)
    lab.write_config(nat64={"pool4": [labs.POOL_ROUTED, "not an address"]})
    lines = lab.config_path.read_text().splitlines()
    line = 1 + [text.startswith("pool4") for text in lines].index(True)
    refused = lab.viaduct("reload", check=False)
    assert refused.returncode != 0
    assert re.search(rf"{re.escape(str(lab.config_path))}:{line}:\d+: .*not an address",
                     refused.stdout + refused.stderr), refused
    assert pool_addresses(lab) == [labs.POOL] and only_session(lab) == before
    connection.talk()
    lab.write_config()
    lab.viaduct("reload")
    connection.talk()


def test_a_pool_address_that_goes_takes_its_sessions_along(talking):
    lab, connection = talking
    lab.write_config(nat64={"pool4": [labs.POOL_ROUTED]})
    lab.viaduct("reload")
    assert pool_addresses(lab) == [labs.POOL_ROUTED]
    with Connection(lab.client, labs.embed(labs.SERVER), 7) as fresh:
        fresh.talk()
        port = fresh.socket.getsockname()[1]
        used = [item["outside"]["source"] for item in lab.sessions(protocol="tcp")
                if item["inside"]["source"].endswith(f":{port}")]
        assert len(used) == 1 and used[0].startswith(f"{labs.POOL_ROUTED}:")
    assert labs.POOL not in str(lab.gateway.ip_json("route", "show"))


def test_under_load_nothing_is_lost(nat_lab):
    """Datagrams of an old flow and of new ones, as many as go, while one reload follows the other: each
    has its answer, and nothing is dropped."""
    lab, reloads, done = nat_lab, 30, threading.Event()

    def reload_again_and_again():
        try:
            for number in range(reloads):
                lab.write_config(nat64={"max_sessions_per_subscriber": 5000 + number})
                lab.viaduct("reload")
        finally:
            done.set()

    def exchange(client, window=16):
        """A few on the way at a time, no more than every queue holds."""
        sent = {os.urandom(16) for _ in range(window)}
        for text in sent:
            client.sendto(text, (labs.embed(labs.SERVER), 7001))
        for _ in range(window):
            sent.remove(client.recv(100))
        return window

    answered, ports = 0, set()
    with UdpEcho(lab.server, labs.SERVER, 7001, answer=lambda data, _: data), \
            udp_socket(lab.client, labs.CLIENT, timeout=20) as old:
        answered += exchange(old)
        ports.add(old.getsockname()[1])
        reloading = threading.Thread(target=reload_again_and_again)
        reloading.start()
        while not done.is_set():
            answered += exchange(old)
            with udp_socket(lab.client, labs.CLIENT, timeout=20) as new:
                answered += exchange(new)
                ports.add(new.getsockname()[1])  # one that was used before is a flow that is there
        reloading.join()
    assert lab.daemon.said().count(" reloaded ") == reloads, lab.daemon.said()
    drops = {item["name"]: item["value"] for item in json.loads(
        lab.viaduct("show", "counters", "--json").stdout)
        if item["kind"] == "drop" and item["value"] > 0 and item["name"] != "not_allowed"}
    assert drops == {}
    assert lab.counters()["session_ended"] == 0 and len(lab.sessions(protocol="udp")) == len(ports)
    assert answered > 10 * reloads
