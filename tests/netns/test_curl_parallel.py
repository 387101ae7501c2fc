# SPDX-License-Identifier: MIT
"""A thousand transfers at once by curl, each with a body of its own: every body arrives as it is,
over a connection and a port of its own."""

import os
import subprocess

import pytest

import lab as labs

PROGRAMS, EACH = 4, 250  # one curl does not keep more than 300 transfers going
COUNT = PROGRAMS * EACH
BODY = 30_000

# Slowed down, so that they overlap; one connection for each, and a log that says which port it came
# from and how many there were at its end.
_SLOW = """
  log_format ports "$status $remote_addr $remote_port $connections_active";
  server {{
    listen {address}:81 backlog=2048;
    root {folder}/www;
    access_log {folder}/ports.log ports;
    keepalive_timeout 0;
    limit_rate 10k;
  }}
"""


@pytest.fixture(params=[True, False], ids=["offloads", "no-offloads"])
def lab(request):
    with labs.Lab(offloads=request.param) as made:
        made.server.sysctl("net/core/somaxconn", 4096)
        made.start_web(more=_SLOW.format(address=labs.SERVER, folder=made.folder))
        made.start_daemon()
        yield made


def test_every_body_arrives(lab):
    bodies = [os.urandom(BODY) for _ in range(COUNT)]
    for number, body in enumerate(bodies):
        (lab.folder / f"www/{number}").write_bytes(body)
    (lab.folder / "got").mkdir()
    curls = []
    for first in range(0, COUNT, EACH):
        urls = f"http://\\[{labs.embed(labs.SERVER)}\\]:81/[{first}-{first + EACH - 1}]"
        args = [
            "curl", "-sS", "--fail", "--parallel", "--parallel-immediate", "--parallel-max", EACH,
            "--max-time", "60", "-o", f"{lab.folder}/got/#1", urls]
        curls.append(subprocess.Popen(lab.client.command(args), stderr=subprocess.PIPE, text=True))
    for curl in curls:
        said = curl.communicate(timeout=80)[1]
        assert curl.returncode == 0, said
    for number, body in enumerate(bodies):
        assert (lab.folder / f"got/{number}").read_bytes() == body, f"body {number} differs"

    transfers = [line.split() for line in (lab.folder / "ports.log").read_text().splitlines()]
    assert {(status, address) for status, address, _, _ in transfers} == {("200", labs.POOL)}
    # One port for each connection; on a slow machine curl may take one that is done for another body.
    ports = {port for _, _, port, _ in transfers}
    assert COUNT - COUNT // 50 <= len(ports) <= COUNT
    assert max(int(active) for _, _, _, active in transfers) > COUNT // 2, "they did not overlap"
    assert len(lab.sessions(protocol="tcp")) == len(ports)
    counters = lab.counters()
    assert counters["session_made"] >= len(ports)
    assert counters["no_port"] == counters["table_full"] == counters["subscriber_quota"] == 0
