# SPDX-License-Identifier: MIT
"""Start, reload, restart, kill -9 and the end: what stays is what should."""

import os
import signal
import socket
import subprocess

import pytest

import lab as labs
from agent_lab import (BACKEND, CLIENT, CLIENT6, LISTED, PORT, STRANGER, UDP_HOOKS, toa4, toa6)

HOOKS = ["agent_getpeername4", "agent_getpeername6", "agent_sock_ops"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGUSR1])
def test_open_connections_keep_their_addresses(bare_agent_lab, how):
    lab = bare_agent_lab
    lab.start_agent(nat64_getsockopt=True, udp=True)
    port = lab.start_server()
    old = lab.connection(port).open(ack=toa4())
    old64 = lab.connection(port).open(ack=toa6())
    assert old.ask()["peer"] == [CLIENT, PORT]
    lab.stop_agent(how)
    # The hooks work without it, also for who comes now.
    assert old.ask()["peer"] == [CLIENT, PORT]
    assert old64.ask()["nat64"] == [20, CLIENT6, PORT]
    between = lab.connection(port).open(syn=toa4("203.0.113.20"))
    assert between.ask()["accepted"] == ["203.0.113.20", PORT]
    before = lab.hooks_attached()
    assert before == sorted([*HOOKS, *UDP_HOOKS, "agent_getsockopt"])
    lab.start_agent(nat64_getsockopt=True, udp=True)
    assert lab.hooks_attached() == before
    assert old.ask()["peer"] == [CLIENT, PORT]
    assert old64.ask()["nat64"] == [20, CLIENT6, PORT]
    assert between.ask()["peer"] == ["203.0.113.20", PORT]
    new = lab.connection(port).open(ack=toa4("203.0.113.30"))
    assert new.ask()["accepted"] == ["203.0.113.30", PORT]
    assert lab.counters()["syn_recv_sock_toa"] == 4  # they go on, too
    clients = {item.get("client") for item in lab.show("connections")}
    assert {f"{CLIENT}:{PORT}", f"203.0.113.20:{PORT}", f"203.0.113.30:{PORT}"} <= clients


def test_one_that_cannot_start_leaves_what_was_there(bare_agent_lab):
    """Its metrics' port is taken: the addresses that a killed agent has left are told all the same."""
    lab = bare_agent_lab
    lab.start_agent()
    port = lab.start_server()
    old = lab.connection(port).open(ack=toa4())
    assert old.ask()["peer"] == [CLIENT, PORT]
    lab.stop_agent(signal.SIGKILL)
    taken = next(lab.ports)
    with lab.backend.entered():
        other = socket.create_server((BACKEND, taken))
    with other:
        lab.configure({"metrics": f"{BACKEND}:{taken}"})
        agent = lab._start("refused", lab._agent_command("run", "--config", lab.config_path))
        assert agent.popen.wait(60) == 1 and "metrics" in agent.said()
    assert old.ask()["peer"] == [CLIENT, PORT]
    lab.start_agent()
    assert old.ask()["peer"] == [CLIENT, PORT]


def test_sigterm_removes_everything(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_agent(nat64_getsockopt=True)
    port = lab.start_server()
    connection = lab.connection(port).open(ack=toa4())
    assert connection.ask()["peer"] == [CLIENT, PORT]
    assert lab.stop_agent() == 0
    labs.wait_for("the hooks are gone", lambda: lab.hooks_attached() == [], 10)
    assert not (lab.bpf / "viaduct-agent").exists()
    assert not lab.socket_path.exists()
    told = connection.ask()
    assert told["peer"] == [LISTED, connection.port]
    assert told["nat64"] == "ENOPROTOOPT"


def test_reload(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_agent()
    port = lab.start_server()
    first = lab.connection(port).open(ack=toa4())
    assert first.ask()["nat64"] == "ENOPROTOOPT"
    lab.configure(senders=[STRANGER], kinds=["200/8", "254/20"], nat64_getsockopt=True)
    lab.command("reload")
    assert first.ask()["peer"] == [CLIENT, PORT]
    refused = lab.connection(port).open(ack=toa4(kind=200))
    assert refused.ask()["peer"] == [LISTED, refused.port]
    assert lab.connection(port, STRANGER).open(ack=toa4(kind=200)).ask()["peer"] == [CLIENT, PORT]
    other = lab.connection(port, STRANGER).open(ack=toa4())
    assert other.ask()["peer"] == [STRANGER, other.port]
    assert lab.connection(port, STRANGER).open(ack=toa6()).ask()["nat64"] == [20, CLIENT6, PORT]
    lab.configure(senders=["nonsense"])
    refused = lab.command("reload", check=False)
    assert refused.returncode == 1 and "nonsense" in refused.stderr and ":2:" in refused.stderr
    assert lab.connection(port, STRANGER).open(ack=toa4(kind=200)).ask()["peer"] == [CLIENT, PORT]
    lab.configure(senders=[STRANGER], nat64_getsockopt=False)
    lab.command("reload")
    assert lab.hooks_attached() == HOOKS


def test_nobody_is_believed_by_default(bare_agent_lab):
    lab = bare_agent_lab
    agent = lab.start_agent(senders=[])
    port = lab.start_server()
    connection = lab.connection(port).open(syn=toa4(), ack=toa4())
    assert connection.ask()["peer"] == [LISTED, connection.port]
    assert lab.counters()["untrusted_sender"] == 1
    assert "no TOA is believed" in agent.said()


def test_any_sender_is_believed_with_a_warning(bare_agent_lab):
    lab = bare_agent_lab
    agent = lab.start_agent(senders=["any"])
    port = lab.start_server()
    assert lab.connection(port, STRANGER).open(ack=toa4()).ask()["peer"] == [CLIENT, PORT]
    assert "any" in agent.said()


def test_a_second_agent_is_refused(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_agent()
    for socket_path, word in ((lab.socket_path, "listens on"), (lab.folder / "other.sock", "same cgroup")):
        done = lab.backend.run(*lab._agent_command("run", "--config", lab.config_path, "--socket",
                                                   socket_path)[3:], check=False)
        assert done.returncode == 1 and word in done.stderr
    assert lab.hooks_attached() == HOOKS
    port = lab.start_server()
    assert lab.connection(port).open(ack=toa4()).ask()["peer"] == [CLIENT, PORT]


def test_listener_older_than_the_agent(bare_agent_lab):
    """It keeps SYNs from now on; a connection that is older than the agent shows the load balancer."""
    lab = bare_agent_lab
    port = lab.start_server()
    older = lab.connection(port).open(syn=toa4())
    assert older.ask()["peer"] == [LISTED, older.port]
    lab.start_agent()
    assert lab.connection(port).open(ack=toa4()).ask()["accepted"] == [CLIENT, PORT]
    assert lab.connection(port).open().ask(toa4())["peer"] == [CLIENT, PORT]
    assert lab.connection(port).open(syn=toa4()).ask()["accepted"] == [CLIENT, PORT]
    assert older.ask()["peer"] == [LISTED, older.port]
    assert f":{port}" not in lab.command("doctor", check=False).stdout


def test_only_the_cgroup_is_served(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_agent()
    server = lab._start("outside", lab.backend.command(
        ["/usr/bin/python3", "-B", labs.REPOSITORY / "tests/netns/agent_server.py", "0.0.0.0", 7999]))
    labs.wait_for("it listens", lambda: "listens" in server.said(), 30)
    connection = lab.connection(7999).open(ack=toa4())
    assert connection.ask()["peer"] == [LISTED, connection.port]


def test_beside_another_program(bare_agent_lab):
    """Another agent's hooks on the cgroup above: both work, and neither's end takes the other's away."""
    lab = bare_agent_lab
    inner = lab.cgroup / "inner"
    inner.mkdir()
    try:
        lab.start_agent()
        outer_agent, lab.agent = lab.agent, None
        outer_config = lab.config_path.read_text(encoding="utf-8")
        inner_config = lab.folder / "inner.toml"
        inner_config.write_text(outer_config.replace(str(lab.cgroup), str(inner))
                                .replace("control.sock", "inner.sock"), encoding="utf-8")
        command = lab._agent_command("run", "--config", inner_config)
        inner_agent = lab._start("inner-agent", command)
        labs.wait_for("it is ready", lambda: "ready" in inner_agent.said(), 60)
        script = f"echo $$ > {inner}/cgroup.procs && exec \"$@\""
        server = lab._start("server", lab.backend.command(
            ["sh", "-c", script, "sh", "/usr/bin/python3", "-B",
             labs.REPOSITORY / "tests/netns/agent_server.py", "0.0.0.0", "7998"]))
        labs.wait_for("it listens", lambda: "listens" in server.said(), 30)
        for option in ({"syn": toa4()}, {"ack": toa4()}):
            assert lab.connection(7998).open(**option).ask()["accepted"] == [CLIENT, PORT]
        assert lab.connection(7998).open().ask(toa4())["peer"] == [CLIENT, PORT]
        inner_agent.stop()
        for option in ({"syn": toa4()}, {"ack": toa4()}):
            assert lab.connection(7998).open(**option).ask()["accepted"] == [CLIENT, PORT]
        outer_agent.stop()
        server.stop()
    finally:
        for process in lab.processes:
            process.stop()
        labs.wait_for("the inner cgroup is empty", lambda: _gone(inner), 5)


def _gone(folder):
    try:
        folder.rmdir()
    except OSError:
        return not folder.exists()
    return True


def test_metrics(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_agent(control={"metrics": f"{BACKEND}:9465"})
    port = lab.start_server()
    lab.connection(port).open(ack=toa4()).ask()
    with lab.backend.entered():
        connection = socket.create_connection((BACKEND, 9465), 10)
    with connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert 'viaduct_agent_events_total{event="source_ack"} 1\n' in text
    assert 'viaduct_agent_found_total{kind="254"} 1\n' in text
    checked = subprocess.run(["promtool", "check", "metrics"], input=text.split("\r\n\r\n", 1)[1],
                             capture_output=True, text=True) if _has("promtool") else None
    assert checked is None or checked.returncode == 0, checked.stderr


def _has(program):
    return any(os.access(os.path.join(folder, program), os.X_OK)
               for folder in os.environ["PATH"].split(":"))
