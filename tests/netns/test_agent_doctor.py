# SPDX-License-Identifier: MIT
"""What `viaduct-agent doctor` says, each with the one thing that it must notice."""

import json
import signal

import lab as labs
from agent_lab import CLIENT, HERE, LISTED, PORT, toa4


def findings(lab):
    done = lab.command("doctor", "--json", check=False)
    return done.returncode, {item["check"]: item for item in json.loads(done.stdout)}


def listeners(lab):
    return findings(lab)[1]["listeners"]["text"]


def start_outside(lab, port):
    server = lab._start(f"outside-{port}", lab.backend.command(
        ["/usr/bin/python3", "-B", HERE / "agent_server.py", "0.0.0.0", port]))
    labs.wait_for("the server listens", lambda: "listens" in server.said(), 30)


# --- listeners older than the agent -----------------------------------------------------------------

def keeps_syns(lab, port):
    """Whether an option that only the SYN has arrives."""
    connection = lab.connection(port).open(syn=toa4())
    told = connection.ask()["peer"]
    connection.close()
    assert told in ([CLIENT, PORT], [LISTED, connection.port])
    return told == [CLIENT, PORT]


def test_older_listeners_keep_syns_from_the_start(bare_agent_lab):
    lab = bare_agent_lab
    port, dual = lab.start_server(), lab.start_server("::")
    start_outside(lab, 7999)
    lab.start_agent()
    assert keeps_syns(lab, port)
    assert lab.connection(dual).open(syn=toa4()).ask()["accepted"] == ["::ffff:" + CLIENT, PORT]
    assert findings(lab)[1]["listeners"]["level"] == "ok"
    assert not keeps_syns(lab, 7999)


def test_older_listeners_keep_syns_from_a_reload_that_makes_them_ours(bare_agent_lab):
    lab = bare_agent_lab
    first, second = lab.start_server(), lab.start_server()
    lab.start_agent(ports=[first])
    later = lab.start_server()  # the hooks see it begin, and it is none of theirs
    assert keeps_syns(lab, first) and not keeps_syns(lab, second) and not keeps_syns(lab, later)
    assert findings(lab)[1]["listeners"]["level"] == "ok"  # theirs alone are looked at
    lab.configure()
    lab.command("reload")
    assert all(keeps_syns(lab, port) for port in (first, second, later))


def test_older_listeners_in_containers_are_named(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_elsewhere(7001)
    lab.start_elsewhere(7002)
    lab.start_agent(ports=[7001])
    number = lab.sender.run("stat", "--dereference", "--format", "%i", "/proc/self/ns/net").stdout.strip()

    def check():
        code, found = findings(lab)
        assert code in (3, 4) and found["listeners"]["level"] == "warn", found
        assert f"0.0.0.0:7001 (network namespace {number})" in found["listeners"]["text"]
        assert "7002" not in found["listeners"]["text"]  # not at our ports

    check()
    lab.stop_agent(signal.SIGKILL)
    lab.start_agent(ports=[7001])  # who takes over knows them, too
    check()
    lab.stop_agent()
    lab.start_agent(network_namespace="own")
    assert findings(lab)[1]["listeners"]["level"] == "ok"


def test_listeners_of_other_cgroups_are_not_named(bare_agent_lab):
    lab = bare_agent_lab
    inside, outside = lab.cgroup / "inside", lab.cgroup / "outside"
    try:
        for folder in (inside, outside):
            folder.mkdir()
        lab.start_elsewhere(7001, inside)
        lab.start_elsewhere(7002, outside)
        lab.start_agent(cgroup=str(inside))
        assert ":7001 " in listeners(lab) and ":7002 " not in listeners(lab)
    finally:
        for process in reversed(lab.processes):
            process.stop()
        for folder in (inside, outside):
            labs.wait_for(f"{folder} is empty", lambda folder=folder: "populated 0" in
                          (folder / "cgroup.events").read_text(), 10)
            folder.rmdir()
