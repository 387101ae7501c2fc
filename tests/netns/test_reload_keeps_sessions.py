# SPDX-License-Identifier: MIT
"""A reload, by SIGHUP or by command, takes the new configuration and keeps what still is allowed;
a wrong configuration changes nothing and is named with file, line and column."""

import os
import re
import signal

import pytest

import lab as labs
from packets import Connection, TcpEcho


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
