# SPDX-License-Identifier: MIT
"""The gateway counts two hops, one for each routing pass; the translation counts none."""

import lab as labs
from packets import Capture, drain, parse

OFFLOADS_OFF_TOO = True


def test_two_hops_each_way(nat_lab):
    with Capture(nat_lab.client, "eth0") as client, Capture(nat_lab.server, "eth0") as server:
        nat_lab.client.run("ping", "-c", "1", "-W", "2", "-t", "64", labs.embed(labs.SERVER))
        drain(lambda: False, 0.2)
    requests = [packet for packet in server.arrived if packet[0] >> 4 == 4]
    replies = [packet for packet in client.arrived
               if packet[0] >> 4 == 6 and parse(packet)[3] == 58 and parse(packet)[4][0] == 129]
    assert [packet[8] for packet in requests] == [62]
    assert [packet[7] for packet in replies] == [62]
