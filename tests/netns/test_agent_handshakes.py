# SPDX-License-Identifier: MIT
"""TOA under what changes a handshake: SYN cookies, TCP_DEFER_ACCEPT, Fast Open, MPTCP."""

import pytest

from agent_lab import ACK, CLIENT, LISTED, PORT, SYN, toa4
from lab import LabError


@pytest.fixture
def lab(agent_lab):
    yield agent_lab
    agent_lab.backend.sysctl("net/ipv4/tcp_syncookies", 1)


def test_syn_cookies(lab):
    """Nothing of the SYN is left; the third packet's option is found all the same."""
    port = lab.start_server()
    lab.backend.sysctl("net/ipv4/tcp_syncookies", 2)
    told = lab.connection(port).open(syn=toa4(), ack=toa4()).ask()
    assert told["accepted"] == told["peer"] == [CLIENT, PORT]
    lost = lab.connection(port).open(syn=toa4())
    assert lost.ask()["peer"] == [LISTED, lost.port]
    late = lab.connection(port).open(syn=toa4())
    assert late.ask(toa4())["peer"] == [CLIENT, PORT]


@pytest.mark.parametrize("bare_ack", [True, False])
def test_defer_accept(lab, bare_ack):
    """The kernel drops the bare third packet and makes the connection with the first data."""
    port = lab.start_server("0.0.0.0", "defer")
    connection = lab.connection(port).open(ack=toa4(), bare_ack=bare_ack)
    told = connection.ask(toa4())
    assert told["accepted"] == told["peer"] == [CLIENT, PORT]


def test_fast_open(lab):
    """The connection is made by the SYN, which carries data and the option."""
    lab.backend.sysctl("net/ipv4/tcp_fastopen", 0x203)  # without a cookie
    port = lab.start_server("0.0.0.0", "fastopen")
    connection = lab.connection(port)
    connection.send(SYN, b"\x02\x04\x05\xb4" + toa4(), b"?")
    answer = connection.receive()
    assert answer and answer[0] & SYN
    connection.acknowledged = answer[1] + 1
    connection.send(ACK)
    told = connection.ask()
    assert told["accepted"] == told["peer"] == [CLIENT, PORT]


def fast_open(lab, port, data=b"?"):
    connection = lab.connection(port)
    connection.send(SYN, b"\x02\x04\x05\xb4", data)
    answer = connection.receive()
    assert answer and answer[0] & SYN
    connection.acknowledged = answer[1] + 1
    assert connection.told()["peer"] == [LISTED, connection.port]
    return connection


def test_fast_open_and_more_data(lab):
    """The first data behind that of the SYN is the last chance."""
    lab.backend.sysctl("net/ipv4/tcp_fastopen", 0x203)
    port = lab.start_server("0.0.0.0", "fastopen")
    told = fast_open(lab, port, b"?" * 500).ask(toa4())
    assert (told["peer"], lab.counters()["late_found"] > 0) == ([CLIENT, PORT], True)
    connection = fast_open(lab, port, b"?" * 500)
    for option in (b"", toa4(), toa4()):
        assert connection.ask(option)["peer"] == [LISTED, connection.port]


KEY = bytes(range(8))


def mptcp_open(lab, port, option, number=None, ahead=(b"", b"")):
    """A client that speaks MPTCP (RFC 8684 3.1): its handshake, with the TOA on the third packet; `ahead` of MPTCP's
    option in the SYN and there."""
    connection = lab.connection(port)
    if number:
        connection.port, connection.sequence = number, 5000000
    connection.open(syn=ahead[0] + bytes([30, 4, 0x01, 0x01]), bare_ack=False)
    options = connection.syn_ack[20:(connection.syn_ack[12] >> 4) * 4]
    at = options.find(bytes([30, 12]))
    assert at >= 0, "the server does not speak MPTCP"
    keys = KEY + options[at + 4:at + 12]
    connection.send(ACK, ahead[1] + bytes([30, 20, 0x01, 0x01]) + keys + option)
    return connection, bytes([30, 22, 0x01, 0x01]) + keys + b"\x00\x01\x01\x01"


def test_mptcp(lab):
    """Programs hold another socket than the one that saw the option."""
    try:
        port = lab.start_server("0.0.0.0", "mptcp")
    except LabError as problem:
        pytest.skip(f"no MPTCP here: {problem}")
    connection, data_option = mptcp_open(lab, port, toa4())
    told = connection.ask(data_option)
    assert told["peer"] == told["accepted"] == [CLIENT, PORT]
    assert lab.counters()["mptcp_fallback"] > 0
    connection.close()
    # The same addresses and ports again, without the option: nothing is left of the first.
    again, data_option = mptcp_open(lab, port, b"", connection.port)
    assert again.ask(data_option)["peer"] == [LISTED, connection.port]
    again.close()
    plain = lab.connection(port)
    plain.port, plain.sequence = connection.port, 9000000
    assert plain.open().ask()["peer"] == [LISTED, connection.port]


NEVER = bytes([254, 4, 0, 0])  # a length that no TOA has


@pytest.mark.parametrize("where", ["both", "ack"])
def test_mptcp_behind_what_cannot_be_walked(lab, where):
    """The kernel finds its option behind one that stops us. With `both`, nothing says that this is MPTCP: what the same
    addresses and ports had before is forgotten all the same."""
    try:
        port = lab.start_server("0.0.0.0", "mptcp")
    except LabError as problem:
        pytest.skip(f"no MPTCP here: {problem}")
    first, data_option = mptcp_open(lab, port, toa4())
    assert first.ask(data_option)["peer"] == [CLIENT, PORT]
    first.close()
    before = lab.counters()
    again, data_option = mptcp_open(lab, port, b"", first.port, ahead=(NEVER if where == "both" else b"", NEVER))
    told = again.ask(data_option)
    again.close()
    assert told["peer"] == told["accepted"] == [LISTED, first.port]
    assert told["nat64"] == "EINVAL"
    after = lab.counters()
    assert after["malformed"] == before["malformed"] + 1
    assert (after["mptcp_fallback"] > before["mptcp_fallback"]) == (where == "ack")


def test_plain_client_of_an_mptcp_server(lab):
    try:
        port = lab.start_server("0.0.0.0", "mptcp")
    except LabError as problem:
        pytest.skip(f"no MPTCP here: {problem}")
    told = lab.connection(port).open(ack=toa4()).ask()
    assert told["peer"] == told["accepted"] == [CLIENT, PORT]
