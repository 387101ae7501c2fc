# SPDX-License-Identifier: MIT
"""QUIC and HTTP/3: large transfers, a connection that lies idle, one whose session has ended
meanwhile, and one that moves to another port."""

import os

import pytest

import lab as labs

PORT = 443
BYTES = 5_000_000


class Quic:
    """A lab with ngtcp2's server; fetch() gets its files with ngtcp2's client."""

    def __init__(self, lab, udp):
        self.lab = lab
        self._www, self._got = lab.folder / "www", lab.folder / "got"
        self._www.mkdir()
        self._got.mkdir()
        for name in ("one", "two"):
            (self._www / name).write_bytes(os.urandom(BYTES))
        key, certificate = lab.folder / "key.pem", lab.folder / "certificate.pem"
        lab.server.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                       "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=quic",
                       "-keyout", key, "-out", certificate)
        server = lab.start("quic", lab.server, ["gtlsserver", "-q", "-d", self._www, labs.SERVER,
                                                PORT, key, certificate])
        labs.wait_for("the QUIC server listens", lambda: f"{labs.SERVER}:{PORT} " in lab.server.run(
            "ss", "-Hlun").stdout or not server.running())
        lab.start_daemon(nat64={"timeouts": {"udp": udp}})

    def fetch(self, *options):
        """Both files on one connection; they are what the server has."""
        self.lab.client.run(
            "gtlsclient", "-q", "--exit-on-all-streams-close", "--timeout=20s",
            f"--download={self._got}", "-n", "2", *options, labs.embed(labs.SERVER), PORT,
            "https://quic/one", "https://quic/two")
        for name in ("one", "two"):
            assert (self._got / name).read_bytes() == (self._www / name).read_bytes()

    def sessions(self):
        return self.lab.sessions(protocol="udp")


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads", "no-offloads"])
def test_large_transfers(offloads):
    with labs.Lab(offloads=offloads) as lab:
        quic = Quic(lab, "5m")
        quic.fetch()
        assert len(quic.sessions()) == 1


def test_a_connection_that_lies_idle(bare_lab):
    quic = Quic(bare_lab, "30s")
    quic.fetch("--delay-stream=3s")
    assert len(quic.sessions()) == 1
    assert bare_lab.counters()["session_made"] == 1


def test_a_connection_whose_session_has_ended(bare_lab):
    """The client notices nothing, and the server takes the new port for what it is: RFC 9000 9."""
    quic = Quic(bare_lab, "1s")
    quic.fetch("--delay-stream=4s")
    assert bare_lab.counters()["session_made"] >= 2
    assert bare_lab.counters()["session_ended"] >= 1


@pytest.mark.parametrize("option", [[], ["--nat-rebinding"]], ids=["migration", "rebinding"])
def test_a_connection_that_moves_to_another_port(bare_lab, option):
    quic = Quic(bare_lab, "5m")
    quic.fetch("--change-local-addr=500ms", "--delay-stream=1s", *option)
    first, second = quic.sessions()
    assert first["outside"]["source"] != second["outside"]["source"]
