# SPDX-License-Identifier: MIT
"""FTP in extended passive mode (RFC 2428) needs nobody's help; the older ways, in which addresses
are part of the conversation, do not work, as there is no ALG."""

import ftplib
import os
import socket

import pytest

import lab as labs

TARGET = labs.embed(labs.SERVER)
URL = f"ftp://[{TARGET}]"
BYTES = 3_000_000
ENETUNREACH = 101
CLOSED = 40000  # a port that is not given to anybody


@pytest.fixture(scope="module", params=[True, False], ids=["offloads", "no-offloads"])
def lab(request):
    with labs.Lab(offloads=request.param) as made:
        made.files = made.folder / "ftp"
        made.files.mkdir()
        (made.files / "file").write_bytes(os.urandom(BYTES))
        made.start_listening("ftp", ["/usr/bin/python3", "-B", "-W", "ignore", "-m", "pyftpdlib",
                                     "-i", labs.SERVER, "-p", 21, "-w", "-d", made.files],
                             labs.SERVER, 21)
        made.start_daemon(nat64={"pool4": [{"address": labs.POOL, "ports": f"1024-{CLOSED - 1}"}],
                                 "timeouts": {"tcp_incoming_syn": "1s"}})
        yield made


def same(lab, name, other):
    return (lab.files / name).read_bytes() == other.read_bytes()


def test_curl(lab):
    got, sent = lab.folder / "got", lab.folder / "sent"
    sent.write_bytes(os.urandom(BYTES))
    done = lab.client.run("curl", "-gsSv", "--max-time", "20", "-o", got, f"{URL}/file")
    assert "> EPSV" in done.stderr and "229 " in done.stderr
    assert same(lab, "file", got)
    lab.client.run("curl", "-gsS", "--max-time", "20", "-T", sent, f"{URL}/by-curl")
    assert same(lab, "by-curl", sent)
    assert "file" in lab.client.run("curl", "-gsS", "--max-time", "20", f"{URL}/").stdout


def test_lftp(lab):
    mirror = lab.folder / "mirror"
    for number in range(20):
        (lab.files / f"small-{number}").write_bytes(os.urandom(1000 * number))
    lab.client.run("env", f"HOME={lab.folder}", "lftp", "-c",
                   "set ftp:ssl-allow no; set net:timeout 5; set net:max-retries 2; "
                   f"open {URL}/; mirror --parallel=5 --include-glob small-* . {mirror}")
    assert len(list(mirror.iterdir())) == 20
    assert all(same(lab, file.name, file) for file in mirror.iterdir())


class _Ftp(ftplib.FTP):
    """Through the gateway, with commands of our choice."""

    def __init__(self, lab):
        super().__init__()
        with lab.client.entered():
            self.connect(TARGET, 21, timeout=5)
        self.login()


def test_passive_mode_names_an_address_that_the_client_has_no_way_to(lab):
    with _Ftp(lab) as ftp:
        address, port = ftplib.parse227(ftp.sendcmd("PASV"))
    assert address == labs.SERVER
    with lab.client.socket(socket.AF_INET, socket.SOCK_STREAM) as data:
        assert data.connect_ex((address, port)) == ENETUNREACH


def test_active_mode_names_an_address_that_the_server_has_no_way_to(lab):
    """What the client says of itself reaches the server as it is, and the server refuses it."""
    with _Ftp(lab) as ftp, pytest.raises(ftplib.error_perm, match="^5(01|22) "):
        ftp.sendcmd(f"EPRT |2|{labs.CLIENT}|40000|")


def test_active_mode_with_the_pools_address_finds_a_closed_port(lab):
    with _Ftp(lab) as ftp, pytest.raises(ftplib.error_temp, match="^425 "):
        ftp.sendcmd(f"PORT {labs.POOL.replace('.', ',')},{CLOSED // 256},{CLOSED % 256}")
    counters = {name: value for name, value in lab.counters().items() if value}
    assert counters.get("syn_unanswered"), (counters, lab.show("bindings"))
