# SPDX-License-Identifier: MIT
"""An ssh session that lies idle is used again: each use gives it the whole `tcp_established` anew,
keepalives do the same, and without both the probe finds that its host is still there."""

import select
import subprocess
import time

import pytest

import lab as labs
from sshd import TARGET, SshServer

ESTABLISHED = 3
IDLE, TIMES = 1.2, 4  # together longer, also by the second that a sweep may take


class Shell:
    """An ssh on the client with a `cat` at the other end; use() proves that it is alive."""

    def __init__(self, lab, server, *options):
        self._ssh = subprocess.Popen(
            lab.client.command(["ssh", *server.options, *options, TARGET, "cat"]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def use(self, text):
        self._ssh.stdin.write(text + b"\n")
        self._ssh.stdin.flush()
        assert select.select([self._ssh.stdout], [], [], 10)[0], "no answer from the other end"
        assert self._ssh.stdout.readline() == text + b"\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ssh.kill()
        self._ssh.wait()


@pytest.fixture
def lab(bare_lab):
    bare_lab.start_daemon(nat64={"timeouts": {"tcp_established": f"{ESTABLISHED}s"}})
    return bare_lab


def of_ssh(lab):
    """The sessions of ssh by the port that the client took."""
    return {item["inside"]["source"]: item for item in lab.sessions(protocol="tcp")
            if item["inside"]["destination"].endswith("]:22")}


def test_an_idle_session_is_used_again(lab):
    server = SshServer(lab)
    with Shell(lab, server) as used:
        used.use(b"first words")
        ((port, first),) = of_ssh(lab).items()
        with Shell(lab, server, "-o", "ServerAliveInterval=1") as kept_alive:
            kept_alive.use(b"first words")
            for number in range(TIMES):
                time.sleep(IDLE)
                assert of_ssh(lab)[port]["expires_seconds"] <= ESTABLISHED - IDLE + 1
                used.use(b"still there? %d" % number)
                assert of_ssh(lab)[port]["expires_seconds"] > ESTABLISHED - IDLE
            kept_alive.use(b"still there?")
            sessions = of_ssh(lab)
            assert sessions[port]["outside"]["source"] == first["outside"]["source"]
            assert [item["state"] for item in sessions.values()] == ["established"] * 2
            assert lab.counters()["probe_sent"] == 0
        labs.wait_for("the probe", lambda: lab.counters()["probe_sent"], ESTABLISHED + 10)
        used.use(b"and now?")
        assert of_ssh(lab)[port]["outside"]["source"] == first["outside"]["source"]
    counters = lab.counters()
    assert counters["tcp_not_syn"] == 0 and counters["session_ended"] == 0
