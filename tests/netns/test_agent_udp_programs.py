# SPDX-License-Identifier: MIT
"""UDP programs as they are: unbound's access list and log, and a QUIC server with its congestion control, its
sockets and its segmentation offload."""

import contextlib
import os
import select
import shutil
import socket
import struct
import threading

import pytest

import lab as labs
from agent_lab import BACKEND, CLIENT, LISTED
from agent_udp import Flow, protocol_248, uoa4

UNBOUND = """\
server:
  interface: 0.0.0.0@{port}
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  log-queries: yes
  do-ip6: no
  access-control: 0.0.0.0/0 refuse
  access-control: {client}/32 allow
  local-zone: "example." static
  local-data: "www.example. A 192.0.2.1"
remote-control:
  control-enable: no
"""
REFUSED = 5
DNS, QUIC = 5353, 4433


def query(number):
    return struct.pack("!HHHHHH", number, 0x100, 1, 0, 0, 0) + b"\3www\7example\0" + struct.pack("!HH", 1, 1)


def bound(lab, port):
    return f":{port} " in lab.backend.run("ss", "-Hlun").stdout


@pytest.fixture(scope="module")
def lab(agent_lab):
    agent_lab.configure(udp_ports=["eth0"])
    agent_lab.command("reload")
    return agent_lab


def test_dns_server(lab):
    """Only the client may ask: the load balancer's own address is refused."""
    if not shutil.which("unbound", path=os.environ["PATH"] + ":/usr/sbin"):
        pytest.skip("unbound is not installed")
    config = lab.folder / "unbound.conf"
    config.write_text(UNBOUND.format(port=DNS, folder=lab.folder, client=CLIENT), encoding="utf-8")
    server = lab._start("unbound", lab.in_cgroup("/usr/sbin/unbound", "-d", "-c", config))
    labs.wait_for("unbound is bound", lambda: bound(lab, DNS), 60)
    for number, packet in ((1, {"option": uoa4()}), (2, {"between": protocol_248(uoa4())})):
        flow = Flow(lab, DNS)
        for packet in (packet, {}):
            flow.send(query(number), **packet)
            answer = flow.receive()
            assert answer, "no answer"
            assert struct.unpack("!H", answer[:2])[0] == number and answer[3] & 15 == 0
            assert socket.inet_aton("192.0.2.1") in answer
    direct = Flow(lab, DNS)
    direct.send(query(3))
    answer = direct.receive()
    assert answer and answer[3] & 15 == REFUSED
    assert server.said().count(f"info: {CLIENT} www.example. A IN") == 4


class Balancer:
    """Between a client and the server: its first three datagrams have a UOA."""

    def __init__(self, lab):
        with lab.sender.entered():
            self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.front.bind(("127.0.0.1", QUIC))
            self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.back.bind((LISTED, 0))
        self.back.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, uoa4())
        self.ends, self.sent = False, 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        client = None
        while not self.ends:
            for sock in select.select([self.front, self.back], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):
                    data, sender = sock.recvfrom(65535)
                    if sock is self.back and client:
                        self.front.sendto(data, client)
                    elif sock is self.front:
                        client = sender
                        self.back.sendto(data, (BACKEND, QUIC))
                        self.sent += 1
                        if self.sent == 3:
                            self.back.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"")

    def close(self):
        self.ends = True
        self.thread.join()
        self.front.close()
        self.back.close()


def test_quic_server(lab):
    if not shutil.which("gtlsserver", path=os.environ["PATH"] + ":/usr/sbin"):
        pytest.skip("gtlsserver is not installed")
    www, got = lab.folder / "www", lab.folder / "got"
    for folder in (www, got):
        folder.mkdir()
    (www / "one").write_bytes(os.urandom(2000000))
    key, certificate = lab.folder / "quic.key", lab.folder / "quic.pem"
    lab.backend.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", "2", "-subj", "/CN=quic", "-keyout", key, "-out", certificate)
    lab._start("quic", lab.in_cgroup("gtlsserver", "-q", "-d", www, BACKEND, QUIC, key, certificate))
    labs.wait_for("the QUIC server listens", lambda: bound(lab, QUIC), 60)
    lab.sender.ip("address", "add", f"{LISTED}/24", "dev", "eth0")
    lab.sender.ip("link", "set", "lo", "up")
    before = lab.counters()
    balancer = Balancer(lab)
    try:
        lab.sender.run("gtlsclient", "-q", "--exit-on-all-streams-close", "--timeout=20s",
                       f"--download={got}", "127.0.0.1", QUIC, "https://quic/one")
    finally:
        balancer.close()
        lab.sender.ip("address", "delete", f"{LISTED}/24", "dev", "eth0")
    assert (got / "one").read_bytes() == (www / "one").read_bytes()
    counts = {name: value - before[name] for name, value in lab.counters().items()}
    assert counts["uoa_got"] == 3 and counts["uoa_receive_unknown"] == 0
    assert counts["uoa_receive_ok"] > 20 and counts["uoa_send_ok"] > 20
