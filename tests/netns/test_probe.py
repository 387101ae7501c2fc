# SPDX-License-Identifier: MIT
"""An established TCP session that expires is probed (RFC 6146 3.5.2.2): a host that still has the
connection keeps it, one that has not lets it go."""

import lab as labs
from packets import Connection, TcpEcho, drain


def test_a_silent_connection_is_kept_and_a_forgotten_one_ends(bare_lab):
    bare_lab.start_daemon(nat64={"timeouts": {"tcp_established": "2s", "tcp_transitory": "3s"}})
    with TcpEcho(bare_lab.server, labs.SERVER, 7):
        with Connection(bare_lab.client, labs.embed(labs.SERVER), 7) as connection:
            connection.talk()
            drain(lambda: bare_lab.counters()["probe_sent"] >= 3, 20)
            assert bare_lab.counters()["probe_sent"] >= 3
            assert len(bare_lab.sessions(protocol="tcp")) == 1
            assert bare_lab.counters()["session_ended"] == 0
            connection.talk()  # longer than both timers have run
        with Connection(bare_lab.client, labs.embed(labs.SERVER), 7) as connection:
            connection.talk()
            # The host forgets its connection without a word: its answer to the probe is lost.
            bare_lab.client.ip("link", "set", "lo", "up")
            bare_lab.client.ip("-6", "route", "add", "blackhole", labs.embed(labs.SERVER) + "/128")
            labs.wait_for("the sessions end", lambda: not bare_lab.sessions(protocol="tcp"), 20, 0.2)
            bare_lab.client.ip("-6", "route", "del", "blackhole", labs.embed(labs.SERVER) + "/128")
