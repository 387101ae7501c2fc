# SPDX-License-Identifier: MIT
"""accept, getpeername and getsockopt 4096 give the client that a TOA names: by every packet that may carry it, for
every family of socket, from senders that are listed; and never anything else."""

import struct

import pytest

from agent_lab import (CLIENT, CLIENT6, LISTED, LISTED6, PORT, STRANGER, STRANGER6, toa4, toa6)

TIMESTAMPS = bytes([1, 1, 8, 10]) + struct.pack("!II", 1, 0)
SACK_OK = bytes([4, 2, 1, 1])


@pytest.fixture(scope="module")
def port4(agent_lab):
    return agent_lab.start_server()


@pytest.fixture(scope="module")
def port6(agent_lab):
    return agent_lab.start_server("::")


def ask(lab, port, source=LISTED, syn=b"", ack=b"", data=b""):
    connection = lab.connection(port, source).open(syn=syn, ack=ack)
    told = connection.ask(data)
    connection.close()
    return connection, told


# What a socket shows: family of the socket and its peer, the option, the client as it is shown.
SOCKETS = [
    ("port4", LISTED, toa4(), CLIENT),
    ("port6", LISTED, toa4(), "::ffff:" + CLIENT),
    ("port6", LISTED6, toa6(), CLIENT6),
    ("port6", LISTED6, toa4(), "::ffff:" + CLIENT),
    ("port6", LISTED, toa6(), CLIENT6),
]


@pytest.mark.parametrize("where", ["syn", "ack", "data"])
@pytest.mark.parametrize("port, source, option, shown", SOCKETS, ids=[
    "ip4", "dual-stack", "ip6", "ip6-of-ip4", "dual-stack-of-ip6"])
def test_client_is_told(agent_lab, request, where, port, source, option, shown):
    connection, told = ask(agent_lab, request.getfixturevalue(port), source, **{where: option})
    assert told["peer"] == [shown, PORT]
    own = ["::ffff:" + source if port == "port6" and ":" not in source else source, connection.port]
    # accept() comes before the first data does, or at the same time.
    assert told["accepted"] in ([[shown, PORT]] if where != "data" else [own, [shown, PORT]])


@pytest.mark.parametrize("around", [(TIMESTAMPS, b""), (b"", TIMESTAMPS), (b"\x01", b""),
                                    (b"", SACK_OK), (TIMESTAMPS, toa4() + toa4())],
                         ids=["behind", "before", "odd", "sack", "three-times"])
def test_among_other_options(agent_lab, port4, around):
    _, told = ask(agent_lab, port4, ack=around[0] + toa4() + around[1])
    assert told["peer"] == told["accepted"] == [CLIENT, PORT]


def test_on_syn_and_ack(agent_lab, port4):
    _, told = ask(agent_lab, port4, syn=toa4(), ack=toa4(), data=toa4())
    assert told["peer"] == told["accepted"] == [CLIENT, PORT]


def test_nat64(agent_lab, port4):
    connection, told = ask(agent_lab, port4, ack=toa6())
    assert told["peer"] == [LISTED, connection.port]
    assert told["nat64"] == [20, CLIENT6, PORT]
    assert told["short"] == "EINVAL"


@pytest.mark.parametrize("option, answer", [(toa4(), "EFAULT"), (b"", "EINVAL")],
                         ids=["ip4", "none"])
def test_nat64_errors(agent_lab, port4, option, answer):
    _, told = ask(agent_lab, port4, ack=option)
    assert told["nat64"] == answer


DOUBTFUL = [
    ("malformed", b"\xfe\x00" + toa4()[2:]),
    ("malformed", b"\xfe\x01" + toa4()[2:]),
    ("malformed", b"\xfe\x07" + toa4()[2:]),
    ("malformed", b"\xfe\x09" + toa4()[2:] + b"\x01"),
    ("malformed", b"\xfe\x28" + toa4()[2:]),
    ("malformed", bytes([1] * 32) + b"\xfe\x14" + b"\xcb" * 6),
    ("malformed", toa4() + b"\x63\x00\x00\x00"),
    ("contradicting", toa4() + toa4("203.0.113.10")),
    ("contradicting", toa4() + toa4(port=1)),
    ("contradicting", toa4() + toa6()),
    ("contradicting", toa4() * 4 + toa4("203.0.113.10")),  # 40 full bytes
    ("implausible", toa4("0.0.0.0")),
    ("implausible", toa4("255.255.255.255")),
    ("implausible", toa4("127.0.0.1")),
    ("implausible", toa6("::1")),
    ("implausible", toa6("::ffff:127.0.0.1")),
    ("implausible", toa6("::ffff:224.0.0.1")),
    ("implausible", toa6("::ffff:0.0.0.1")),
    ("implausible", toa4(port=0)),
]


@pytest.mark.parametrize("where", ["syn", "ack"])
@pytest.mark.parametrize("counter, options", DOUBTFUL, ids=[options.hex() for _, options in DOUBTFUL])
def test_in_doubt_the_sockets_own(agent_lab, port4, where, counter, options):
    if where == "syn" and len(options) > 36:
        options = options[4:] if counter == "malformed" else options[8:]  # beside the MSS
    before = agent_lab.counters()[counter]
    connection = agent_lab.connection(port4)
    connection.open(**{where: options})
    told = connection.ask()
    connection.close()
    assert told["peer"] == told["accepted"] == [LISTED, connection.port]
    assert agent_lab.counters()[counter] == before + 1


def test_syn_and_ack_contradict(agent_lab, port4):
    connection, told = ask(agent_lab, port4, syn=toa4(), ack=toa4("203.0.113.10"))
    assert told["peer"] == told["accepted"] == [LISTED, connection.port]


def test_port_63881_is_a_cookie_in_a_syn_only(agent_lab, port4):
    connection, told = ask(agent_lab, port4, syn=toa4(port=63881))
    assert told["peer"] == [LISTED, connection.port]
    assert agent_lab.counters()["ambiguous"] == 1
    _, told = ask(agent_lab, port4, ack=toa4(port=63881))
    assert told["peer"] == [CLIENT, 63881]


@pytest.mark.parametrize("options", [{"ack": toa4("203.0.113.10", 63881)}, {"ack": toa4()}, {"ack": toa6(port=63881)},
                                     {"data": toa4(port=63881)}],
                         ids=["address", "port", "family", "data"])
def test_port_63881_is_no_way_in(agent_lab, port4, options):
    """Who may choose his port may have made the SYN's TOA one in doubt: another one behind it is not taken instead."""
    connection, told = ask(agent_lab, port4, syn=toa4(port=63881), **options)
    assert told["peer"] == told["accepted"] == [LISTED, connection.port]
    assert told["nat64"] == "EINVAL"


@pytest.mark.parametrize("port, source, option", [("port4", STRANGER, toa4()),
                                                  ("port6", STRANGER, toa4()),
                                                  ("port6", STRANGER6, toa6())],
                         ids=["ip4", "dual-stack", "ip6"])
@pytest.mark.parametrize("where", ["syn", "ack", "data"])
def test_stranger_is_not_believed(agent_lab, request, port, source, option, where):
    before = agent_lab.counters()["untrusted_sender"]
    connection, told = ask(agent_lab, request.getfixturevalue(port), source, **{where: option})
    shown = "::ffff:" + source if port == "port6" and ":" not in source else source
    assert told["peer"] == told["accepted"] == [shown, connection.port]
    assert agent_lab.counters()["untrusted_sender"] == before + 1


def test_later_data_changes_nothing(agent_lab, port4):
    """A program that has read something keeps the peer that it was told."""
    connection = agent_lab.connection(port4).open()
    assert connection.ask()["peer"] == [LISTED, connection.port]
    assert connection.ask(toa4())["peer"] == [LISTED, connection.port]
    assert connection.ask(TIMESTAMPS + toa4())["peer"] == [LISTED, connection.port]
    connection.close()


def test_connections_are_shown(agent_lab, port4):
    held = [agent_lab.connection(port4).open(ack=toa4("203.0.113.77")),
            agent_lab.connection(port4, STRANGER).open(syn=toa4("203.0.113.78")),
            agent_lab.connection(port4, STRANGER).open()]
    for connection, data in zip(held, (b"", b"", toa4("203.0.113.79"))):
        connection.ask(data)
    shown = {item["peer"]: item for item in agent_lab.show("connections")}
    good = shown[f"{LISTED}:{held[0].port}"]
    assert (good["client"], good["carried_by"], good["kind"]) == (f"203.0.113.77:{PORT}", "ack", "254/8")
    assert good["believed"] is True and good["state"] == "established"
    for connection, carrier in zip(held[1:], ("syn", "data")):
        bad = shown[f"{STRANGER}:{connection.port}"]
        assert bad["believed"] is False and "senders" in bad["why_not"]
        assert bad["carried_by"] == carrier
    for connection in held:
        connection.close()
