# SPDX-License-Identifier: MIT
"""The daemon may open nothing more: packets go on, questions wait, and all is well afterwards."""

import os
import socket
import subprocess

import lab as labs
from packets import Connection, TcpEcho


def limit(lab, files):
    subprocess.run(["prlimit", f"--pid={lab.daemon.pid}", f"--nofile={files}"], check=True)


def test_packets_go_on(nat_lab):
    lab = nat_lab
    with TcpEcho(lab.server, labs.SERVER, 7), \
            Connection(lab.client, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
        used = max(map(int, os.listdir(f"/proc/{lab.daemon.pid}/fd"))) + 1
        limit(lab, f"{used}:1024")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting:
            waiting.settimeout(0.5)
            waiting.connect(str(lab.socket_path))
            waiting.sendall(b'{"command":"version"}\n')
            try:
                assert not waiting.recv(100), "there was a descriptor left: nothing is shown"
            except TimeoutError:
                pass
            connection.talk()
            with Connection(lab.client, labs.embed(labs.SERVER), 7) as another:
                another.talk()
            before = cpu_ticks(lab)
            lab.client.run("sleep", "1")
            assert cpu_ticks(lab) - before < 50, "it does not spin"
            limit(lab, "1024:1024")
        labs.wait_for("questions are answered again",
                      lambda: lab.viaduct("version", check=False).returncode == 0)
        lab.viaduct("reload")
        connection.talk()
        assert len(lab.sessions(protocol="tcp")) == 2


def cpu_ticks(lab):
    with open(f"/proc/{lab.daemon.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])
