# SPDX-License-Identifier: MIT
"""Who may ask: root and the socket's group, nobody else; reloads at the same moment are done one
after another."""

import os
import subprocess

import lab as labs
from packets import Connection, TcpEcho

NOBODY = 65534
COUNT = 16


def test_another_user_is_refused(nat_lab):
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    command = [labs.BIN / "viaduct", "--socket", nat_lab.socket_path, "show", "status"]
    done = nat_lab.gateway.run(*as_nobody, *command, check=False)
    assert done.returncode != 0 and "no permission" in done.stderr, done.stderr
    os.chown(nat_lab.socket_path, 0, NOBODY)
    assert nat_lab.gateway.run(*as_nobody, *command).stdout
    assert nat_lab.gateway.run(*command).stdout


def test_reloads_at_the_same_moment(nat_lab):
    with TcpEcho(nat_lab.server, labs.SERVER, 7), \
            Connection(nat_lab.client, labs.embed(labs.SERVER), 7) as connection:
        connection.talk()
        for number in range(3):
            pool = [labs.POOL, *[f"203.0.113.{10 + other}" for other in range(number)]]
            nat_lab.write_config(nat64={"pool4": pool})
            command = nat_lab.gateway.command(
                [labs.BIN / "viaduct", "--socket", nat_lab.socket_path, "reload"])
            reloads = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True) for _ in range(COUNT)]
            for reload in reloads:
                said = reload.communicate(timeout=20)[0]
                assert reload.returncode == 0, said
            assert [item["address"] for item in nat_lab.show("pools")] == pool
            connection.talk()
        assert nat_lab.counters()["session_made"] == 1
