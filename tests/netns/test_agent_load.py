# SPDX-License-Identifier: MIT
"""Many connections through a sender of TOA, each with a client of its own, through each kind of socket and carried
in every way, strangers, direct ones and contradictions among them: each answer of accept, getpeername and getsockopt
4096 compared, none wrong; the counters add up to the last one, and nothing is left behind.

VIADUCT_CONNECTIONS says how many, 200,000 by default.
"""

import os

import pytest

import lab as labs
import toa_lab

CONNECTIONS = int(os.environ.get("VIADUCT_CONNECTIONS") or 200_000)
RESIDENT, GROWN, MAPS = 32 << 20, 4 << 20, 32 << 20


@pytest.fixture(scope="module", autouse=True)
def need_toalab():
    if not toa_lab.TOALAB.exists():
        print("SKIP: toalab is not built (VIADUCT_BPF)")
        pytest.exit("skipped: toalab is not built", 77)


def test_none_is_wrong(bare_agent_lab):
    lab = bare_agent_lab
    lab.start_agent(nat64_getsockopt=True)
    toa_lab.quiet(lab)
    servers = [toa_lab.Server(lab, "serve", address) for address in ("0.0.0.0", "::")]
    before, maps = toa_lab.resident(lab.agent), toa_lab.maps_of(lab.agent)

    told = toa_lab.send(lab, *(server.port for server in servers), connections=CONNECTIONS)
    print(told)
    assert (told["wrong"], told["examples"]) == (0, [])
    assert told["right"] == told["connections"] == sum(told["ways"].values()) == CONNECTIONS
    # A connection is over here when its reset is sent: the backend is to have taken the last ones.
    labs.wait_for("no connection is left", lambda: not lab.show("connections"), 30)
    labs.wait_for("no storage is left",
                  lambda: not any(toa_lab.sockets_with(lab, name) for name in ("connections", "waiting")), 30)
    sums = [server.sums() for server in servers]
    assert sum(each["accepted"] for each in sums) == CONNECTIONS
    assert wrong_counters(lab.counters(), told, sums) == {}

    assert toa_lab.maps_of(lab.agent) == maps
    assert sum(maps.values()) < MAPS
    after = toa_lab.resident(lab.agent)
    assert after < RESIDENT and after - before < GROWN


def wrong_counters(counters, told, sums):
    """Those that do not say what the sender and the servers know (0 of everything else): what they count, what it
    should be."""
    ways = told["ways"]
    names = sum(each["names"] for each in sums)
    right = {
        **dict.fromkeys(counters, 0),
        "syn_recv_sock_toa": ways["syn"] + ways["ack"] + ways["syn_ack"] + ways["ack_data"],
        "syn_recv_sock_no_toa": sum(ways[way] for way in (
            "none", "data", "stranger_syn", "stranger_ack", "contradicting", "ambiguous")),
        "source_syn": ways["syn"] + ways["syn_ack"],
        "source_ack": ways["ack"] + ways["ack_data"],
        "late_found": ways["data"],
        "kind_254": sum(ways[way] for way in ("syn", "ack", "data", "syn_ack", "ack_data")),
        "untrusted_sender": ways["stranger_syn"] + ways["stranger_ack"],
        "contradicting": ways["contradicting"],
        "ambiguous": ways["ambiguous"],
        "getname_toa_ok": told["rewritten"],
        "getname_toa_mismatch": counters["getname_toa_mismatch"],
        "getname_toa_empty": names - told["rewritten"] - counters["getname_toa_mismatch"],
        "nat64_getsockopt_ok": told["nat64"],
        "nat64_getsockopt_miss": sum(each["nat64"] for each in sums) - told["nat64"],
    }
    return {name: (counters[name], value) for name, value in right.items() if counters[name] != value}
