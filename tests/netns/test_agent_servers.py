# SPDX-License-Identifier: MIT
"""More programs as they are: a login by ssh, HAProxy's log, ACL and PROXY header, a C program that accepts by
io_uring."""

import contextlib
import select
import shutil
import socket
import subprocess
import threading

import pytest

import lab as labs
import sshd
from agent_lab import ACK, BACKEND, BACKEND6, CLIENT, CLIENT6, FIN, LISTED, LISTED6, PORT, PSH, RST, toa4, toa6

HAPROXY = """\
global
  log stdout format raw local0
defaults
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend web
  bind 0.0.0.0:8100
  bind :::8100 v6only
  mode http
  log global
  log-format "client %ci port %cp"
  acl known src 203.0.113.0/29 2001:db8:99::/64
  http-request return status 200 content-type text/plain string "known" if known
  http-request return status 403 content-type text/plain string "unknown"
frontend relay
  bind 0.0.0.0:8101
  bind :::8101 v6only
  mode tcp
  default_backend behind
backend behind
  mode tcp
  server one 127.0.0.1:8102 send-proxy
"""


def relay(connection, plain):
    """Bytes between a plain socket and a connection by hand, until one of them ends."""
    wire = connection.lab.wire
    while True:
        ready, _, _ = select.select([plain, wire], [], [], 60)
        if plain in ready:
            data = plain.recv(1000)
            if not data:
                return
            connection.send(ACK | PSH, b"", data)
        packet = connection._mine(wire.recv(65535)) if wire in ready else None
        if packet is None:
            continue
        flags, sequence, data, _ = packet
        if flags & RST:
            return
        if sequence == connection.acknowledged:
            connection.acknowledged += len(data) + (1 if flags & FIN else 0)
            plain.sendall(data)
        if data:
            connection.send(ACK)
        if flags & FIN:
            return


@contextlib.contextmanager
def door(lab, connection):
    """A port of the sender's own loopback that leads into the connection."""
    with lab.sender.entered():
        listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            plain, _ = listener.accept()
            with plain:
                relay(connection, plain)
        connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        thread.join(90)


class Backend:
    """What sshd.py expects of a lab: here programs run in the agent's cgroup."""

    def __init__(self, lab):
        self.lab = lab
        self.folder = lab.folder
        self.server = lab.backend

    def start_listening(self, name, command, address, port):
        del address
        self.process = self.lab._start(name, self.lab.in_cgroup(*command))
        labs.wait_for(f"{name} listens", lambda: f":{port}" in
                      self.lab.backend.run("ss", "-ltnH").stdout, 30)


def test_ssh_login(agent_lab):
    """The log, and what the session is told (SSH_CONNECTION), for a login that goes through."""
    if not shutil.which("/usr/sbin/sshd"):
        pytest.skip("sshd is not installed")
    lab = agent_lab
    backend = Backend(lab)
    server = sshd.SshServer(backend, BACKEND)
    for number, option in enumerate((toa4("203.0.113.21", 50022), b"")):
        connection = lab.connection(sshd.PORT).open(ack=option)
        client = ("203.0.113.21", 50022) if option else (LISTED, connection.port)
        with door(lab, connection) as port:
            done = lab.sender.run("ssh", *server.options, "-p", port, "127.0.0.1",
                                  "echo $SSH_CONNECTION", timeout=60, check=False)
        assert done.stdout == f"{client[0]} {client[1]} {BACKEND} {sshd.PORT}\n", done.stderr
        accepted = [line for line in backend.process.said().splitlines() if "Accepted publickey" in line]
        assert len(accepted) == number + 1
        assert f"from {client[0]} port {client[1]} " in accepted[number]


def fetch(connection):
    connection.send(ACK | PSH, b"", b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while True:
        packet = connection.receive()
        assert packet, "no answer"
        if packet[1] == connection.acknowledged:
            answer += packet[2]
            connection.acknowledged += len(packet[2])
        if packet[0] & (FIN | RST) or b"known" in answer:
            connection.close()
            return answer.decode()


@pytest.fixture(scope="module")
def haproxy(agent_lab):
    if not shutil.which("haproxy") and not shutil.which("/usr/sbin/haproxy"):
        pytest.skip("haproxy is not installed")
    config = agent_lab.folder / "haproxy.cfg"
    config.write_text(HAPROXY, encoding="ascii")
    process = agent_lab._start("haproxy", agent_lab.in_cgroup("/usr/sbin/haproxy", "-db", "-f", config))
    labs.wait_for("haproxy listens", lambda: agent_lab.backend.run("ss", "-ltnH").stdout.count(":810") == 4, 30)
    return process


VISITORS = [(LISTED, toa4(), CLIENT, "unknown"),
            (LISTED, toa4("203.0.113.3"), "203.0.113.3", "known"),
            (LISTED6, toa6(), CLIENT6, "known"),
            (LISTED6, toa6("2001:db8:98::9"), "2001:db8:98::9", "unknown"),
            (LISTED, b"", LISTED, "unknown")]


def test_haproxy_log_and_acl(agent_lab, haproxy):
    lines = []
    for source, option, client, answer in VISITORS:
        connection = agent_lab.connection(8100, source).open(ack=option)
        said = fetch(connection)
        assert (" 200 " in said.splitlines()[0], said.endswith("\n" + answer)) == (answer == "known", True)
        lines.append(f"client {client} port {PORT if option else connection.port}")
    labs.wait_for("its log", lambda: haproxy.said().count("client ") == len(lines))
    # Its threads write each for itself: the order is nobody's.
    assert sorted(line for line in haproxy.said().splitlines() if "client " in line) == sorted(lines)


def test_haproxy_sends_proxy_with_the_client(agent_lab, haproxy):
    """From TOA to the PROXY protocol: what is behind HAProxy gets the client, too."""
    lab = agent_lab
    with lab.backend.entered():
        behind = socket.create_server(("127.0.0.1", 8102))
    with behind:
        behind.settimeout(30)
        for source, option, line in (
                (LISTED, toa4(), f"PROXY TCP4 {CLIENT} {BACKEND} {PORT} 8101\r\n"),
                (LISTED6, toa6(), f"PROXY TCP6 {CLIENT6} {BACKEND6} {PORT} 8101\r\n")):
            connection = lab.connection(8101, source).open(ack=option)
            connection.send(ACK | PSH, b"", b"hello\n")
            accepted, _ = behind.accept()
            with accepted, accepted.makefile("rb") as lines:
                accepted.settimeout(30)
                assert lines.readline().decode() == line
                assert lines.readline() == b"hello\n"
            connection.close()


def test_accept_by_io_uring(agent_lab):
    """What the ring's accept gives, and SO_PEERNAME of the same socket."""
    lab = agent_lab
    program = lab.folder / "ring_server"
    subprocess.run(["cc", "-Wall", "-Werror", "-o", program,
                    labs.REPOSITORY / "tests/netns/ring_server.c", "-luring"], check=True)
    server = lab._start("ring_server", lab.in_cgroup(program, 8110))
    labs.wait_for("it listens, or cannot", lambda: server.said(), 30)
    if "no io_uring" in server.said():
        pytest.skip("this kernel has no io_uring")
    visits = [(LISTED, toa4(), f"[::ffff:{CLIENT}]:{PORT}"), (LISTED6, toa6(), f"[{CLIENT6}]:{PORT}")]
    told = []
    for source, option, name in visits:
        lab.connection(8110, source).open(ack=option)
        told.append(f"accept {name} peername {name}")
        labs.wait_for("it has told of it", lambda: len(server.said().splitlines()) == len(told) + 1)
    assert server.said().splitlines()[1:] == told
