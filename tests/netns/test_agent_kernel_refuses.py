# SPDX-License-Identifier: MIT
"""A kernel without a hook that the agent would like: the rest works, the status, the log and the doctor say what is
missing and why, and a reload goes on as the start did."""

import json
import signal

import pytest

import agent_udp
from agent_lab import CLIENT, LISTED, PORT, toa4

EVERYTHING = {"getsockname": True, "nat64_getsockopt": True, "udp": True}


def doctor(lab, check):
    done = lab.command("doctor", "--json", check=False)
    return done.returncode, next(item for item in json.loads(done.stdout) if item["check"] == check)


# What is refused: the name in status and doctor, and a word of the reason.
REFUSED = {
    "sockopt": ("getsockopt", "the kernel refused the BPF program for getsockopt 4096"),
    "skb": ("udp", "the kernel refused the BPF programs for UDP"),
    "sockname": ("getsockname", "cannot attach agent_getsockname6"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_rest_works_and_doctor_says_what_is_missing(bare_agent_lab, what):
    name, why = REFUSED[what]
    lab = bare_agent_lab
    lab.refuse(what)
    lab.start_agent(**EVERYTHING)
    status = lab.show("status")[0]
    assert not status[name] and why in status[f"why_no_{name}"], status
    for other in {"getsockopt", "udp", "getsockname"} - {name}:
        assert status[other], status
    assert why in lab.command("show", "status").stdout
    assert f"no_{name}" in lab.agent.said()
    code, found = doctor(lab, name)
    assert code == 3 and found["level"] == "fail" and why in found["text"] and found["advice"], found

    port = lab.start_server()
    assert lab.connection(port).open(syn=toa4()).ask()["accepted"] == [CLIENT, PORT]
    if what != "skb":
        flow = agent_udp.Flow(lab, agent_udp.start_server(lab))
        assert flow.ask(option=agent_udp.uoa4())["from"] == [CLIENT, PORT]


@pytest.mark.parametrize("what", REFUSED)
def test_a_reload_goes_on_as_the_start_did(bare_agent_lab, what):
    """It once was refused for ever, and with it whatever else had changed."""
    name, why = REFUSED[what]
    lab = bare_agent_lab
    lab.refuse(what)
    lab.start_agent(senders=["198.51.100.1"], **EVERYTHING)
    port = lab.start_server()
    stranger = lab.connection(port).open(ack=toa4())
    assert stranger.ask()["peer"] == [LISTED, stranger.port]
    lab.configure(**EVERYTHING)
    said = lab.agent.said().count(f"no_{name}")
    lab.command("reload")
    assert lab.agent.said().count(f"no_{name}") == said + 1
    assert lab.connection(port).open(ack=toa4()).ask()["peer"] == [CLIENT, PORT]
    lab.configure(**{**EVERYTHING, {"getsockopt": "nat64_getsockopt"}.get(name, name): False})
    lab.command("reload")  # not asked for any more: nothing is missing
    status = lab.show("status")[0]
    assert status[f"why_no_{name}"] == "", status
    _, found = doctor(lab, name)
    assert found["level"] == "ok", found
    assert why not in lab.command("show", "status").stdout


def test_without_iterators_connections_are_not_shown(bare_agent_lab):
    lab = bare_agent_lab
    lab.refuse("iter")
    lab.start_agent()
    port = lab.start_server()
    assert lab.connection(port).open(ack=toa4()).ask()["peer"] == [CLIENT, PORT]
    shown = lab.command("show", "connections", check=False)
    assert shown.returncode == 1 and "the kernel cannot show connections" in shown.stderr
    code, found = doctor(lab, "view")
    assert code == 3 and found["level"] == "fail", found


def test_without_a_walk_of_the_records_connections_are_found_by_files(bare_agent_lab):
    """There are kernels that let nobody walk what a map has (seen on a cloud's build of 6.18)."""
    lab = bare_agent_lab
    lab.refuse("records")
    lab.start_agent()
    port = lab.start_server()
    connections = [lab.connection(port).open(ack=toa4()) for _ in range(3)]
    for connection in connections:
        assert connection.ask()["peer"] == [CLIENT, PORT]
    shown = lab.show("connections")
    assert sorted(row["peer"] for row in shown) == sorted(f"{LISTED}:{each.port}" for each in connections)
    assert {row["client"] for row in shown} == {f"{CLIENT}:{PORT}"}
    _, found = doctor(lab, "view")
    assert found["level"] == "ok", found


def test_without_iterators_older_listeners_are_named_once(bare_agent_lab):
    """By what listened here before the hooks were there; who takes these over cannot say."""
    lab = bare_agent_lab
    lab.refuse("iter")
    port, other = lab.start_server(), lab.start_server()
    lab.start_agent(ports=[port])
    assert lab.connection(port).open(ack=toa4()).ask()["accepted"] == [CLIENT, PORT]
    missed = lab.connection(port).open(syn=toa4())
    assert missed.ask()["peer"] == [LISTED, missed.port]
    _, found = doctor(lab, "listeners")
    assert found["level"] == "warn" and f":{port}" in found["text"] and f":{other}" not in found["text"], found
    lab.stop_agent(signal.SIGKILL)
    lab.start_agent(ports=[port])
    _, found = doctor(lab, "listeners")
    assert found["level"] == "ok" and "not known" in found["text"], found
    assert "not known" in lab.command("show", "status").stdout
