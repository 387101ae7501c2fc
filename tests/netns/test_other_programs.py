# SPDX-License-Identifier: MIT
"""Others attach their programs to nvi0: packets go on, by the workers where the engine's program does not
see them, and the doctor names it. Who takes the engine's program away finds it there again."""

import json

import pytest

import lab as labs
from packets import Connection, TcpEcho

# A classic BPF program that matches everything, and so accepts it.
MATCH_ALL = ["bpf", "bytecode", "1,6 0 0 4294967295,"]


@pytest.fixture
def talking(bare_lab):
    lab = bare_lab
    lab.may_hand_up = True  # it is what the tests are about
    lab.start_daemon(nvi={"engine": "bpf"})
    with TcpEcho(lab.server, labs.SERVER, 7), Connection(
            lab.client, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
        assert doctor(lab)["level"] == "ok", doctor(lab)
        yield lab, connection


def tc(lab, *args):
    return lab.gateway.run("tc", *args).stdout


def doctor(lab):
    said = lab.viaduct("doctor", "--json", lab.config_path, check=False).stdout
    return next(item for item in json.loads(said) if item["check"] == "programs")


def goes_on(lab, connection):
    connection.talk()
    with Connection(lab.client, labs.embed(labs.SERVER), 7) as another:
        another.talk()
    assert lab.daemon.running()


def attach(lab, place, preference=100):
    tc(lab, "filter", "add", "dev", "nvi0", place, "protocol", "all", "pref", str(preference), "handle", "2",
       *MATCH_ALL)


def test_behind_ours(talking):
    lab, connection = talking
    attach(lab, "egress")
    goes_on(lab, connection)
    found = doctor(lab)
    assert found["level"] == "warn" and "bpf (egress)" in found["text"], found
    tc(lab, "filter", "del", "dev", "nvi0", "egress", "pref", "100")
    assert doctor(lab)["level"] == "ok"


def test_in_front_of_ours(talking):
    """And it lets everything pass: the engine's program sees nothing."""
    lab, connection = talking
    attach(lab, "egress", preference=1)
    shown = json.loads(tc(lab, "-j", "filter", "show", "dev", "nvi0", "egress"))
    names = [one["options"].get("bpf_name", "") for one in shown if "options" in one]
    assert len(names) == 2 and names[1].startswith("nvi:["), names
    goes_on(lab, connection)
    found = doctor(lab)
    assert found["level"] == "warn" and "bpf (egress)" in found["text"], found


def test_ours_is_taken_away(talking):
    lab, connection = talking
    tc(lab, "qdisc", "del", "dev", "nvi0", "clsact")
    connection.talk()
    labs.wait_for("the program is back", lambda: doctor(lab)["level"] == "ok", 10)
    assert "it is there again" in lab.daemon.said()
    goes_on(lab, connection)


def test_ours_is_taken_away_alone(talking):
    """Its place stays, with somebody else's program in it."""
    lab, connection = talking
    attach(lab, "egress")
    tc(lab, "filter", "del", "dev", "nvi0", "egress", "protocol", "all", "pref", "1", "handle", "1", "bpf")
    labs.wait_for("the program is back", lambda: "not on nvi0" not in doctor(lab)["text"], 10)
    goes_on(lab, connection)


def test_on_the_ingress(talking):
    lab, connection = talking
    attach(lab, "ingress")
    goes_on(lab, connection)
    found = doctor(lab)
    assert found["level"] == "warn" and "bpf (ingress)" in found["text"], found
