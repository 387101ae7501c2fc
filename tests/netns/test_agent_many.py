# SPDX-License-Identifier: MIT
"""Thousands of connections with a client each, carried in every way, strangers and direct ones among them: every
address compared, none wrong."""

import collections

from agent_lab import LISTED, STRANGER, toa4

CONNECTIONS = 4000
WAYS = ("syn", "ack", "data", "stranger", "none", "cancelled")


def test_none_is_wrong(agent_lab):
    lab = agent_lab
    port = lab.start_server()
    right = collections.Counter()
    for number in range(CONNECTIONS):
        way = WAYS[number % len(WAYS)]
        client, client_port = f"203.{number >> 8}.{number & 255}.7", 1 + number
        option = toa4(client, client_port)
        # Ports come again and again: what the last connection with one was told must not stay.
        source = STRANGER if way == "stranger" else LISTED
        connection = lab.connection(port, source)
        connection.port = 30000 + number % 500
        connection.sequence = (number + 1) * 1000003 % 2**32
        connection.open(syn=option if way == "syn" else b"",
                        ack=option if way in ("ack", "stranger") else
                        option + toa4("203.0.113.1") if way == "cancelled" else b"")
        told = connection.ask(option if way == "data" else b"")
        connection.close()
        own = [source, connection.port]
        assert told["peer"] == ([client, client_port] if way in ("syn", "ack", "data") else own), way
        right[way] += 1
    assert sum(right.values()) == CONNECTIONS
    counters = lab.counters()
    assert counters["storage_failed"] == 0
    assert counters["untrusted_sender"] == right["stranger"]
    assert counters["contradicting"] == right["cancelled"]
    assert counters["late_found"] == right["data"]
