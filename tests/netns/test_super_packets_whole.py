# SPDX-License-Identifier: MIT
"""With offloads on, TCP super-packets go through nvi0 whole, in both directions and both forms, and
every byte arrives as it was."""

import socket

import pytest

import lab as labs
from packets import Capture, Connection, move

LARGEST_SEGMENT = {4: 1480, 6: 1500}  # as IPv4, as IPv6
BYTES = 20_000_000


@pytest.fixture
def transfer(nat_lab):
    """transfer("up"/"down") moves BYTES over one connection, and gives the lengths of the
    super-packets that nvi0 saw: per form (4, 6), on the way into the translation and out of it."""
    listener = nat_lab.server.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((labs.SERVER, 7))
    listener.listen()
    connection = Connection(nat_lab.client, labs.embed(labs.SERVER), 7)
    ends = {"client": connection.socket, "server": listener.accept()[0]}
    listener.close()

    def run(direction):
        source, sink = ends["client"], ends["server"]
        if direction == "down":
            source, sink = sink, source
        with Capture(nat_lab.gateway, "nvi0", ethernet=False, head=40) as nvi:
            move(source, sink, BYTES)

        def large(way, form):
            return [length for packet, length in zip(getattr(nvi, way), nvi.lengths[way])
                    if packet[0] >> 4 == form and length > LARGEST_SEGMENT[form]]

        return {form: (large("left", form), large("arrived", form)) for form in (4, 6)}

    yield run
    for end in ends.values():
        end.close()


@pytest.mark.parametrize("direction, before, after", [("up", 6, 4), ("down", 4, 6)])
def test_whole(transfer, direction, before, after):
    seen = transfer(direction)
    entered, came_out = seen[before][0], seen[after][1]
    if labs.ENGINE == "bpf":  # takes packets before tcpdump sees them enter nvi0
        assert len(came_out) > 100, "hardly any super-packet left nvi0 whole"
        return
    assert len(entered) > 100, "hardly any super-packet reached nvi0: nothing was tested"
    # an IPv6 header is 20 bytes longer; the order may change between two queues, nothing else
    difference = 20 if after == 6 else -20
    assert sorted(length + difference for length in entered) == sorted(came_out)
