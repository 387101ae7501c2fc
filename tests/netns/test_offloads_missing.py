# SPDX-License-Identifier: MIT
"""A kernel that gives nvi0 fewer offloads than there are, or none: viaductd starts all the same, says
which are missing, and every byte of a transfer arrives as it was."""

import errno
import json
import socket

import pytest

import lab as labs
from packets import Capture, Connection, move
from test_metrics import exposition, scrape

ALL = ["csum", "tso4", "tso6", "tso_ecn", "uso4", "uso6"]
CSUM, TSO4, TSO6 = 1, 2, 4  # TUN_F_*
BYTES = 5_000_000
LARGEST_SEGMENT = 1500

# error, mask of what is given (-1: the request is not even known), how many of ALL that are
KERNELS = {
    "unknown": (errno.ENOTTY, -1, 0),
    "none": (errno.EOPNOTSUPP, 0, 0),
    "csum": (errno.EINVAL, CSUM, 1),
    "tso": (errno.EOPNOTSUPP, CSUM | TSO4 | TSO6, 3),
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_starts_and_says_what_is_missing(bare_lab, kernel):
    lab = bare_lab
    refusal, given, count = KERNELS[kernel]
    lab.start_daemon(wrapper=lab.preload("refuse_offloads.c", REFUSAL=refusal, GIVEN=given),
                     control={"metrics": "127.0.0.1:9464"})
    status = lab.show("status")[0]
    assert status["offloads"] == ALL[:count] and status["offloads_refused"] == []
    assert status["offloads_missing"] == ALL[count:]
    assert f"(not given by the kernel: {', '.join(ALL[count:])})" in lab.viaduct("show", "status").stdout
    families = scrape(lab.gateway, "127.0.0.1", 9464)
    assert {name: exposition.value(families, "viaduct_offload_enabled", offload=name)
            for name in ALL} == {name: int(name in ALL[:count]) for name in ALL}
    lines = json.loads(lab.viaduct("doctor", "--json", lab.config_path, check=False).stdout)
    found = next(line for line in lines if line["check"] == "offloads")
    assert ("gives the interface no TCP super-packets" in found["text"]) == (count < 2), found
    assert "offloads_missing" in lab.daemon.said()

    with lab.server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener, \
            Capture(lab.gateway, "nvi0", ethernet=False, head=40) as nvi:
        listener.bind((labs.SERVER, 7))
        listener.listen()
        with Connection(lab.client, labs.embed(labs.SERVER), 7) as connection:
            server = listener.accept()[0]
            move(connection.socket, server, BYTES)
            move(server, connection.socket, BYTES)
            server.close()
    if labs.ENGINE == "tun":  # the other takes them before they reach the tun
        assert (max(nvi.lengths["left"]) > LARGEST_SEGMENT) == (count > 1)
