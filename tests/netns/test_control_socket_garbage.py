# SPDX-License-Identifier: MIT
"""The control socket: 0660; garbage, endless lines and silent clients are refused, and neither a
running transfer nor anybody else's question is disturbed."""

import contextlib
import hashlib
import json
import os
import socket
import stat
import time

import pytest

import lab as labs

LIMIT = 32


def connect(lab):
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(5)
    made.connect(str(lab.socket_path))
    return made


def lines(connection):
    """Everything until the other end closes or falls silent."""
    data = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while piece := connection.recv(65536):
            data += piece
    return [json.loads(line) for line in data.splitlines()]


def ask(lab, text, patience=0.5):
    with connect(lab) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(text)
        connection.settimeout(patience)
        return lines(connection)


@pytest.fixture(scope="module")
def lab():
    with labs.Lab() as made:
        made.start_web()
        made.start_daemon()
        yield made


def test_mode(lab):
    mode = lab.socket_path.stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660


GARBAGE = {
    "no JSON": b"hello\n",
    "JSON that is no object": b"[1,2,3]\n",
    "no command": b"{}\n",
    "a command of the wrong type": b'{"command":7}\n',
    "an unknown command": b'{"command":"launch"}\n',
    "bytes": b"\xff\xfe\x00\x01\n",
    "deep nesting": b"[" * 2000 + b"\n",
    "a line without end": b"x" * 5000,
    "a megabyte": b"x" * (1 << 20),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_gets_an_error(lab, name):
    said = ask(lab, GARBAGE[name])
    assert len(said) == 1 and isinstance(said[0].get("error"), str), said
    assert said[0]["error"].strip()
    assert ask(lab, b'{"command":"version"}\n')[-1] == {"end": True}


def test_a_line_may_come_in_pieces(lab):
    with connect(lab) as connection:
        for byte in b'{"command":"version"}\n':
            connection.sendall(bytes([byte]))
        connection.settimeout(0.5)
        said = lines(connection)
    assert "version" in said[0]["item"] and said[-1] == {"end": True}


def test_too_many_connections(lab):
    with contextlib.ExitStack() as stack:
        for _ in range(LIMIT):
            stack.enter_context(connect(lab))
        said = ask(lab, b"", patience=2)
        assert len(said) == 1 and "error" in said[0], said
    labs.wait_for("places are free again",
                  lambda: lab.viaduct("version", check=False).returncode == 0)
    assert lab.show("status")


def test_silence_is_ended(lab):
    with connect(lab) as connection:
        connection.settimeout(15)
        start = time.monotonic()
        lines(connection)
        assert 8 <= time.monotonic() - start <= 13


def test_a_transfer_goes_on(lab):
    body = os.urandom(8_000_000)
    (lab.folder / "www" / "slow.bin").write_bytes(body)
    got = lab.folder / "slow.bin"
    transfer = lab.start("curl", lab.client, [
        "curl", "--silent", "--fail", "--limit-rate", "4M", "--max-time", "20", "--output", got,
        f"http://[{labs.embed(labs.SERVER)}]/slow.bin"])
    rounds = 0
    while transfer.running():
        for text in GARBAGE.values():
            ask(lab, text, patience=0.02)
        rounds += 1
    assert transfer.stop() == 0 and rounds > 2
    assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(body).digest()
