# SPDX-License-Identifier: MIT
"""What `viaduct show` says about known traffic: the fields of docs/control-protocol.md, their
types, and numbers that can be added up by hand."""

import re

import pytest

import lab as labs
from packets import Connection, TcpEcho, UdpEcho, udp_socket

SESSION_FIELDS = {"protocol": str, "inside": dict, "outside": dict, "state": str,
                  "expires_seconds": int, "packets": int, "bytes": int}
BINDING_FIELDS = {"protocol": str, "inside": str, "outside": str, "sessions": int}
POOL_FIELDS = {"address": str, "ports": str, "tcp": int, "udp": int, "icmp": int, "most": dict}
COUNTER_FIELDS = {"name": str, "value": int, "kind": str, "help": str}
STATUS_FIELDS = {"version": str, "engine": str, "interface": str, "pid": int, "uptime_seconds": int,
                 "configuration": str, "workers": int, "offloads": list, "offloads_refused": list,
                 "offloads_missing": list,
                 "prefixes": list,
                 "sessions": int, "sessions_limit": int, "bindings": int, "entries_lost": int, "dns64": dict,
                 "handed_up": float, "why_not_bpf": str, "why_mortal": str, "direct": list}


@pytest.fixture
def traffic(nat_lab):
    """One TCP connection, one UDP exchange of 3 + 3 datagrams of 100 bytes, one ping."""
    with TcpEcho(nat_lab.server, labs.SERVER, 7), UdpEcho(
            nat_lab.server, labs.SERVER, 7001, answer=lambda data, _: data), Connection(
                nat_lab.client, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
        client = udp_socket(nat_lab.client, labs.CLIENT, 40123)
        for _ in range(3):
            client.sendto(b"u" * 100, (labs.embed(labs.SERVER), 7001))
            client.recv(200)
        client.close()
        nat_lab.client.run("ping", "-c", "1", "-W", "2", "-s", "56", labs.embed(labs.SERVER))
        yield nat_lab, connection.socket.getsockname()[1]


def has_fields(item, fields):
    assert set(item) == set(fields)
    for name, kind in fields.items():
        assert type(item[name]) is kind, f"{name} is {item[name]!r}"


def test_sessions(traffic):
    lab, tcp_port = traffic
    shown = lab.show("sessions")
    for item in shown:
        has_fields(item, SESSION_FIELDS)
        has_fields(item["inside"], {"source": str, "destination": str})
        has_fields(item["outside"], {"source": str, "destination": str})
    by = {item["protocol"]: item for item in shown}
    assert sorted(by) == ["icmp", "tcp", "udp"] and len(shown) == 3
    target = labs.embed(labs.SERVER)

    tcp = by["tcp"]
    assert tcp["inside"] == {"source": f"[{labs.CLIENT}]:{tcp_port}",
                             "destination": f"[{target}]:7"}
    assert re.fullmatch(rf"{re.escape(labs.POOL)}:\d+", tcp["outside"]["source"])
    assert tcp["outside"]["destination"] == f"{labs.SERVER}:7"
    assert tcp["state"] == "established" and 7100 <= tcp["expires_seconds"] <= 7200

    udp = by["udp"]
    assert udp["inside"] == {"source": f"[{labs.CLIENT}]:40123", "destination": f"[{target}]:7001"}
    assert udp["outside"]["destination"] == f"{labs.SERVER}:7001"
    assert (udp["packets"], udp["bytes"]) == (6, 6 * (40 + 8 + 100))
    assert 290 <= udp["expires_seconds"] <= 300

    icmp = by["icmp"]
    assert re.fullmatch(rf"\[{labs.CLIENT}\]:\d+", icmp["inside"]["source"])
    assert re.fullmatch(rf"{re.escape(labs.POOL)}:\d+", icmp["outside"]["source"])
    assert icmp["inside"]["destination"] == target and icmp["outside"]["destination"] == labs.SERVER
    assert (icmp["packets"], icmp["bytes"]) == (2, 2 * (40 + 8 + 56))
    assert 50 <= icmp["expires_seconds"] <= 60


def test_bindings_and_pools(traffic):
    lab, _ = traffic
    bindings = lab.show("bindings")
    for item in bindings:
        has_fields(item, BINDING_FIELDS)
    assert sorted(item["protocol"] for item in bindings) == ["icmp", "tcp", "udp"]
    pools = lab.show("pools")
    for item in pools:
        has_fields(item, POOL_FIELDS)
    assert pools == [{"address": labs.POOL, "ports": "1024-65535", "tcp": 1, "udp": 1, "icmp": 1,
                      "most": {"tcp": 1, "udp": 1, "icmp": 1}}]


def test_counters(traffic):
    lab, _ = traffic
    items = lab.show("counters")
    for item in items:
        has_fields(item, COUNTER_FIELDS)
        assert item["kind"] in ("event", "done", "held", "drop", "punt", "pass")
    value = {item["name"]: item["value"] for item in items}
    assert len(value) == len(items)
    assert value["session_made"] == 3 and value["binding_made"] == 3
    # 3 datagrams, 1 echo request, and at least SYN, ACK and data of TCP
    assert value["translated_6to4"] >= 3 + 1 + 3 and value["translated_4to6"] >= 3 + 1 + 2
    dropped = {name: count for name, count in value.items()
               if count and {i["name"]: i["kind"] for i in items}[name] == "drop"}
    # the kernel's own messages on nvi0 (router solicitations, MLD) may be refused, nothing else
    assert set(dropped) <= {"extension_headers", "icmp_type", "bad_source"}, dropped


def test_status(traffic):
    lab, _ = traffic
    items = lab.show("status")
    assert len(items) == 1
    status = items[0]
    has_fields(status, STATUS_FIELDS)
    has_fields(status["dns64"], {"state": str, "restarts": int, "detail": str})
    assert status["engine"] == labs.ENGINE and status["interface"] == "nvi0"
    assert status["pid"] == lab.daemon.pid
    assert status["configuration"] == str(lab.config_path)
    assert status["prefixes"] == [f"{labs.PREFIX}/96"]
    assert (status["sessions"], status["bindings"], status["sessions_limit"]) == (3, 3, 1000000)
    assert status["dns64"]["state"] == "off"
    assert status["workers"] >= 1


def test_tables_for_people_name_the_same_things(traffic):
    lab, _ = traffic
    said = lab.viaduct("show", "sessions").stdout
    assert f"[{labs.CLIENT}]:40123" in said and f"{labs.SERVER}:7001" in said
    assert "nvi0" in lab.viaduct("show", "status").stdout
    assert labs.POOL in lab.viaduct("show", "pools").stdout
    assert "translated_6to4" in lab.viaduct("show", "counters").stdout


def test_the_version_is_one(traffic):
    lab, _ = traffic
    assert lab.show("status")[0]["version"] in lab.viaduct("version").stdout
