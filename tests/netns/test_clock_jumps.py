# SPDX-License-Identifier: MIT
"""The clock on the wall is set a day forward and two back: timers run by another clock, so nothing
ends early and nothing stays for ever."""

import re

import lab as labs
from packets import Connection, TcpEcho

LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def test_sessions_do_not_notice(bare_lab):
    clock = bare_lab.folder / "clock"

    def set_clock(days):
        clock.write_text(f"{days:+}d\n")

    set_clock(0)
    bare_lab.start_daemon(
        wrapper=["env", f"LD_PRELOAD={LIBRARY}", f"FAKETIME_TIMESTAMP_FILE={clock}",
                 "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"],
        nat64={"timeouts": {"tcp_established": "1h", "icmp": "2s"}})
    with TcpEcho(bare_lab.server, labs.SERVER, 7), \
            Connection(bare_lab.client, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
        for days in (1, -1):
            set_clock(days)
            bare_lab.client.run("ping", "-c", "1", "-W", "2", labs.embed(labs.SERVER))
            labs.wait_for("a session that is due ends",
                          lambda: not bare_lab.sessions(protocol="icmp"), 8, 0.2)
            (session,) = bare_lab.sessions(protocol="tcp")
            assert 3500 < session["expires_seconds"] <= 3600
            connection.talk()
            bare_lab.viaduct("reload")
    said = re.findall(r"^\d{4}-\d\d-\d\dT", bare_lab.daemon.said(), re.MULTILINE)
    assert len(set(said)) == 3, "the log has the time on the wall: the jumps did happen"
