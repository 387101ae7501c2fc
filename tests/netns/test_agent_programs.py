# SPDX-License-Identifier: MIT
"""Programs as they are: nginx's access log, a Node server on a dual-stack socket, a C program that calls
getsockopt 4096; and what the agent's own commands say about them."""

import re
import shutil
import subprocess

import pytest

import lab as labs
from agent_lab import ACK, CLIENT, CLIENT6, LISTED, LISTED6, PORT, PSH, toa4, toa6

NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  server {{ listen [::]:8080 ipv6only=off; root {folder}; }}
}}
"""

NODE = """\
require("net").createServer(socket => {
  socket.on("error", () => {});
  socket.on("data", () => socket.end(socket.remoteAddress + " " + socket.remotePort + "\\n"));
}).listen(8090, "::", () => console.log("listens"));
"""


def fetch(connection):
    connection.send(ACK | PSH, b"", b"GET / HTTP/1.0\r\n\r\n")
    while True:
        packet = connection.receive()
        assert packet, "no answer"
        if packet[2]:
            connection.close()
            return packet[2].decode()


def test_nginx_access_log(agent_lab):
    if not shutil.which("nginx") and not shutil.which("/usr/sbin/nginx"):
        pytest.skip("nginx is not installed")
    lab = agent_lab
    lab.start_nginx(NGINX.format(folder=lab.folder), 8080)
    fetch(lab.connection(8080).open(ack=toa4()))
    fetch(lab.connection(8080, LISTED6).open(syn=toa6()))
    plain = lab.connection(8080).open()
    fetch(plain)
    log = lab.folder / "access.log"
    labs.wait_for("three lines in the log",
                  lambda: log.exists() and len(log.read_text().splitlines()) == 3)
    assert [line.split()[0] for line in log.read_text().splitlines()] == \
        ["::ffff:" + CLIENT, CLIENT6, "::ffff:" + LISTED]


def test_node_on_a_dual_stack_socket(agent_lab):
    lab = agent_lab
    script = lab.folder / "server.js"
    script.write_text(NODE, encoding="utf-8")
    node = lab._start("node", lab.in_cgroup("node", script))
    labs.wait_for("node listens", lambda: "listens" in node.said(), 60)
    assert fetch(lab.connection(8090).open(ack=toa4())) == f"::ffff:{CLIENT} {PORT}\n"
    assert fetch(lab.connection(8090, LISTED6).open(ack=toa6())) == f"{CLIENT6} {PORT}\n"


def test_c_program_that_calls_4096(agent_lab):
    lab = agent_lab
    program = lab.folder / "toa_caller"
    subprocess.run(["cc", "-Wall", "-Werror", "-o", program,
                    labs.REPOSITORY / "tests/netns/toa_caller.c"], check=True)
    server = lab._start("toa_caller", lab.in_cgroup(program, 8091))
    labs.wait_for("it listens", lambda: "listens" in server.said(), 30)
    for option in (toa6(), toa4(), b""):
        lab.connection(8091).open(ack=option)
    labs.wait_for("it has told of three", lambda: len(server.said().splitlines()) == 4)
    assert server.said().splitlines()[1:] == [
        f"{LISTED} nat64 [{CLIENT6}]:{PORT} length 20 behind ee",
        f"{CLIENT} error 14",  # EFAULT: there is one, but not NAT64's
        f"{LISTED} error 22",  # EINVAL: there is none
    ]


def test_toa_stats(agent_lab):
    """The format that scrapers of /proc/net/toa_stats know, and the order of its first six lines."""
    lines = agent_lab.command("toa-stats").stdout.splitlines()
    processors = lines[0].split()
    assert lines[0] == " " * 34 + "".join(f"{name}       " for name in processors)
    assert [line.split(":")[0].strip() for line in lines[1:7]] == [
        "syn_recv_sock_toa", "syn_recv_sock_no_toa", "getname_toa_ok", "getname_toa_mismatch",
        "getname_toa_bypass", "getname_toa_empty"]
    for line in lines[1:]:
        assert re.fullmatch(r"[a-z0-9_ ]{25}:( *\d+ ){%d}" % len(processors), line)
    counters = agent_lab.counters()
    sums = {line.split(":")[0].strip(): sum(map(int, line.split(":")[1].split()))
            for line in lines[1:]}
    assert sums["source_ack"] == counters["source_ack"]


def test_doctor(agent_lab):
    doctor = agent_lab.command("doctor", check=False)
    levels = {line.split()[1]: line.split()[0] for line in doctor.stdout.splitlines()
              if line and not line.startswith(" ")}
    assert doctor.returncode in (0, 4), doctor.stdout
    for check in ("agent", "senders", "hooks", "getsockopt", "view"):
        assert levels[check] == "ok", doctor.stdout
