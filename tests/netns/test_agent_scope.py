# SPDX-License-Identifier: MIT
"""For whom the agent works (`[agent] ports`, `network_namespace`), and `getsockname` with the virtual address
where the option carries it."""

import socket
import struct

import pytest

import agent_udp
from agent_lab import BACKEND, CLIENT, LISTED, PORT, STRANGER, AgentLab, toa4
from agent_udp import Flow, uoa4
from lab import LabError, wait_for
from test_agent_containers import Host
from test_agent_handshakes import mptcp_open

VIRTUAL, VIRTUAL_PORT = "198.51.100.7", 443


@pytest.fixture
def lab():
    with AgentLab() as made:
        yield made


def toa_virtual(address=VIRTUAL, port=VIRTUAL_PORT, client=CLIENT):
    return (bytes([254, 16]) + struct.pack("!H", PORT) + socket.inet_aton(client) +
            bytes(2) + struct.pack("!H", port) + socket.inet_aton(address))


def is_told(connection, **options):
    """Whether the server is told the client; anything but him and the connection's own address is a failure."""
    told = connection.open(**options).ask()
    assert told["accepted"] == told["peer"]
    assert told["peer"] in ([CLIENT, PORT], [connection.source, connection.port])
    return told["peer"] == [CLIENT, PORT]


@pytest.mark.parametrize("way", ["syn", "ack"])
def test_only_listeners_of_these_ports(lab, way):
    named, other = next(lab.ports), next(lab.ports)
    lab.ports = iter([named, other])
    lab.start_agent(ports=[80, named])
    assert (lab.start_server(), lab.start_server()) == (named, other)
    assert is_told(lab.connection(named), **{way: toa4()})
    assert not is_told(lab.connection(other), **{way: toa4()})
    counters = lab.counters()
    assert counters["syn_recv_sock_toa"] == 1 and counters["syn_recv_sock_no_toa"] == 0
    assert f"ports 80 {named}" in lab.command("show", "status").stdout


def test_ports_change_by_reload(lab):
    """What is open keeps its address; a listener from before has kept no SYN."""
    lab.start_agent(ports=[1])
    port = lab.start_server()
    assert not is_told(lab.connection(port), ack=toa4())
    lab.configure(ports=[port])
    lab.command("reload")
    held = lab.connection(port).open(ack=toa4())
    assert held.ask()["peer"] == [CLIENT, PORT]
    lab.configure()
    lab.command("reload")
    assert is_told(lab.connection(port), ack=toa4())
    lab.configure(ports=[1])
    lab.command("reload")
    assert held.ask()["peer"] == [CLIENT, PORT]
    assert not is_told(lab.connection(port), ack=toa4())


def test_mptcp_is_forgotten_where_nobody_looks_any_more(lab):
    """The same addresses and ports again, while the listener is out of scope: the first one's client is not told."""
    lab.start_agent(ports=[1])
    try:
        port = lab.start_server("0.0.0.0", "mptcp")
        other = lab.start_server("0.0.0.0", "mptcp")
    except LabError as problem:
        pytest.skip(f"no MPTCP here: {problem}")
    lab.configure()
    lab.command("reload")
    held, held_data = mptcp_open(lab, other, toa4())
    assert held.ask(held_data)["peer"] == [CLIENT, PORT]
    first, data = mptcp_open(lab, port, toa4())
    assert first.ask(data)["peer"] == [CLIENT, PORT]
    first.close()
    lab.configure(ports=[other])
    lab.command("reload")
    again, data = mptcp_open(lab, port, b"", first.port)
    told = again.ask(data)
    assert told["peer"] == told["accepted"] == [LISTED, first.port]
    assert held.ask(held_data)["peer"] == [CLIENT, PORT]


def test_a_sender_that_is_not_listed_any_more(lab):
    """The list changes between the handshake and the first data."""
    lab.start_agent()
    port = lab.start_server()
    connection = lab.connection(port).open()
    wait_for("the connection is made", lambda: lab.counters()["syn_recv_sock_no_toa"] == 1)
    lab.configure(senders=[STRANGER])
    lab.command("reload")
    assert connection.ask(toa4())["peer"] == [LISTED, connection.port]
    assert lab.counters()["untrusted_sender"] == 1


def test_only_listeners_of_the_agents_network_namespace():
    with Host() as host:
        host.start_agent(network_namespace="own")
        contained = host.start_contained(host.cgroup_below("container"), "0.0.0.0")
        here = host.start_server()
        assert is_told(host.connection(here), ack=toa4())
        assert not is_told(host.to_pod(contained), ack=toa4())
        assert "all of this network namespace" in host.command("show", "status").stdout
        host.configure(network_namespace="any")
        host.command("reload")
        assert is_told(host.to_pod(contained), ack=toa4())


def test_udp_only_of_these_ports(lab):
    named = next(lab.ports)
    lab.ports = iter([named, named + 1])
    lab.start_agent(ports=[named], udp=True)
    first, second = agent_udp.start_server(lab), agent_udp.start_server(lab)
    assert first == named
    assert Flow(lab, first).ask(option=uoa4())["from"] == [CLIENT, PORT]
    other = Flow(lab, second)
    assert other.ask(option=uoa4())["from"] == [LISTED, other.port]
    other.send(data=b"", option=uoa4())  # and what says only who comes is not kept from it
    assert other.receive() is not None
    assert (lab.counters()["uoa_got"], lab.counters()["uoa_alone"]) == (1, 0)


def test_udp_only_of_the_agents_network_namespace():
    with Host() as host:
        host.start_agent(network_namespace="own", udp=True)
        here = agent_udp.start_server(host)
        there = agent_udp.start_server(host, inside=host.pod)
        assert Flow(host, here).ask(option=uoa4())["from"] == [CLIENT, PORT]
        flow = Flow(host, there, server="198.51.100.2")
        assert flow.ask(option=uoa4())["from"] == [LISTED, flow.port]
        flow.send(data=b"", option=uoa4())
        assert flow.receive() is not None


@pytest.mark.parametrize("address, before", [("0.0.0.0", ""), ("::", "::ffff:")])
def test_getsockname_gives_the_virtual_address(lab, address, before):
    lab.start_agent(kinds=["254/8", "254/16"], getsockname=True)
    port = lab.start_server(address)
    told = lab.connection(port).open(ack=toa_virtual()).ask()
    assert told["own"] == [before + VIRTUAL, VIRTUAL_PORT]
    assert told["peer"] == [before + CLIENT, PORT]
    answered = lab.counters()["getsockname_ok"]
    assert answered > 0  # Python asks, too, as it makes the socket's object
    for option in (toa4(), b"", toa_virtual(address="0.0.0.0"), toa_virtual(port=0)):
        assert lab.connection(port).open(ack=option).ask()["own"] == [before + BACKEND, port]
    assert lab.counters()["getsockname_ok"] == answered
    hooks = lab.hooks_attached()
    assert "agent_getsockname4" in hooks and "agent_getsockname6" in hooks


def test_getsockname_is_the_sockets_own_by_default(lab):
    lab.start_agent(kinds=["254/8", "254/16"])
    port = lab.start_server()
    held = lab.connection(port).open(ack=toa_virtual())
    assert held.ask()["own"] == [BACKEND, port]
    assert not any("getsockname" in name for name in lab.hooks_attached())
    lab.configure(kinds=["254/8", "254/16"], getsockname=True)
    lab.command("reload")
    assert held.ask()["own"] == [VIRTUAL, VIRTUAL_PORT]
    lab.configure(kinds=["254/8", "254/16"])
    lab.command("reload")
    assert held.ask()["own"] == [BACKEND, port]
    assert not any("getsockname" in name for name in lab.hooks_attached())


def test_a_strangers_virtual_address_is_not_believed(lab):
    lab.start_agent(kinds=["254/16"], getsockname=True)
    port = lab.start_server()
    told = lab.connection(port, "192.0.2.99").open(ack=toa_virtual()).ask()
    assert told["own"] == [BACKEND, port]
