# SPDX-License-Identifier: MIT
"""ping, by name and of every size that fits a packet: each answer comes back with its own bytes."""

import lab as labs


def test_ping_by_name(gateway_lab):
    said = gateway_lab.on_client("ping", "-6", "-c", "3", "-i", "0.05", "-W", "2",
                                 "web.example.net").stdout
    assert "3 received" in said and labs.embed(labs.SERVER) in said


def test_ping_of_every_size(gateway_lab):
    sizes = [0, 1, 2, 7, 8, 15, 16, 55, 56, 57, *range(100, 1401, 100), 1451, 1452]
    for size in sizes:  # ping compares the pattern itself and says "wrong data byte"
        said = gateway_lab.client.run("ping", "-c", "1", "-W", "2", "-s", size, "-p", "a55a",
                                      labs.embed(labs.SERVER), check=False).stdout
        assert "1 received" in said and "wrong" not in said, f"size {size}\n{said}"


def test_two_pings_at_once_are_two_sessions(gateway_lab):
    before = len(gateway_lab.sessions(protocol="icmp"))
    for _ in range(2):
        gateway_lab.client.run("ping", "-c", "1", "-W", "2", labs.embed(labs.SERVER2))
    shown = gateway_lab.sessions(protocol="icmp")
    assert len(shown) == before + 2
    assert len({item["outside"]["source"] for item in shown}) == len(shown)
