# SPDX-License-Identifier: MIT
"""recvfrom gives the client that a UOA names, as IPv4 option and as protocol 248, and what a program answers him
goes to the load balancer; never anything else."""

import json
import re
import struct

import pytest

import lab as labs
from agent_lab import (BACKEND, CLIENT, CLIENT6, LISTED, LISTED6, PORT, STRANGER, STRANGER6)
from agent_udp import FRAGMENTS, Flow, protocol_248, start_server, uoa4, uoa6

SECOND = "192.0.2.81"
RECORD_ROUTE = bytes([7, 7, 4, 0, 0, 0, 0])
MAPPED = "::ffff:"


@pytest.fixture(scope="module")
def lab(agent_lab):
    agent_lab.configure(udp_ports=["eth0"], uoa_getsockopt=True)
    agent_lab.command("reload")
    agent_lab.backend.ip("address", "add", f"{SECOND}/24", "dev", "eth0")
    return agent_lab


@pytest.fixture(scope="module")
def port4(lab):
    return start_server(lab)


@pytest.fixture(scope="module")
def port6(lab):
    return start_server(lab, "::")


FORMS = {
    "option": lambda option: {"option": option},
    "protocol-248": lambda option: {"between": protocol_248(option)},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("port, before", [("port4", ""), ("port6", MAPPED)], ids=["ip4", "dual-stack"])
def test_ip4_client(lab, request, form, port, before):
    flow = Flow(lab, request.getfixturevalue(port))
    told = flow.ask(**FORMS[form](uoa4()))
    assert (told["from"], told["length"]) == ([before + CLIENT, PORT], 1)
    # Only a flow's first datagrams have it.
    for _ in range(3):
        assert flow.ask()["from"] == [before + CLIENT, PORT]


def test_ip6_client(lab, port6):
    flow = Flow(lab, port6, LISTED6)
    assert flow.ask(between=protocol_248(uoa6()))["from"] == [CLIENT6, PORT]
    assert flow.ask()["from"] == [CLIENT6, PORT]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("port, before", [("port4", ""), ("port6", MAPPED)], ids=["ip4", "dual-stack"])
def test_ip6_client_of_an_ip4_sender(lab, request, form, port, before):
    """No answer could be sent to him: the socket's own address, and the answer arrives."""
    flow = Flow(lab, request.getfixturevalue(port))
    seen = lab.counters()["uoa_receive_mismatch"]
    assert flow.ask(**FORMS[form](uoa6()))["from"] == [before + LISTED, flow.port]
    assert lab.counters()["uoa_receive_mismatch"] == seen + 1


@pytest.mark.parametrize("options", [uoa4() + RECORD_ROUTE, RECORD_ROUTE + uoa4(), b"\1" + uoa4(),
                                     uoa4() + b"\1" * 24 + uoa4(), b"\1" * 32 + uoa4()],
                         ids=["before", "behind", "odd", "40-bytes", "at-the-end"])
def test_among_other_options(lab, port4, options):
    assert Flow(lab, port4).ask(option=options)["from"] == [CLIENT, PORT]


@pytest.mark.parametrize("options", [RECORD_ROUTE, RECORD_ROUTE + b"\1", b"\0" * 4, b"\1" * 28],
                         ids=["end", "no-end", "only-ends", "longest"])
def test_protocol_248_behind_options(lab, port4, options):
    flow = Flow(lab, port4)
    told = flow.ask(b"four", option=options, between=protocol_248(uoa4()))
    assert (told["from"], told["length"]) == ([CLIENT, PORT], 4)


@pytest.mark.parametrize("size", [1, 2, 1000, 1440])
@pytest.mark.parametrize("checksum", [True, False], ids=["checksum", "zero"])
def test_checksums(lab, port4, size, checksum):
    """The kernel verifies what protocol 248 leaves behind; zero stays zero."""
    flow = Flow(lab, port4)
    told = flow.ask(b"x" * size, between=protocol_248(uoa4()), checksum=checksum)
    assert (told["from"], told["length"]) == ([CLIENT, PORT], size)


def test_ip6_without_a_checksum_is_not_taken(lab, port6):
    """RFC 8200 8.1: the kernel discards it, whatever was in front of it."""
    flow = Flow(lab, port6, LISTED6)
    flow.send(between=protocol_248(uoa6()), checksum=False)
    assert flow.receive(1) is None
    assert flow.ask(between=protocol_248(uoa6()))["from"] == [CLIENT6, PORT]


def test_new_client_of_the_same_port(lab, port4):
    """The load balancer has given its port to another one."""
    flow = Flow(lab, port4)
    assert flow.ask(option=uoa4())["from"] == [CLIENT, PORT]
    assert flow.ask(between=protocol_248(uoa4("203.0.113.44", 44)))["from"] == ["203.0.113.44", 44]
    assert flow.ask()["from"] == ["203.0.113.44", 44]


def test_client_that_comes_another_way(lab, port4):
    """The answer goes where his last datagram came from."""
    first, second = Flow(lab, port4), Flow(lab, port4)
    for flow in (first, second, first, second):
        assert flow.ask(option=uoa4("203.0.113.45"))["from"] == ["203.0.113.45", PORT]


def test_datagram_without_data_ahead(lab, port4):
    """DPVS sends one where there is no room for a UOA: it says who it is, and no program gets it."""
    for form in FORMS.values():
        flow = Flow(lab, port4)
        alone = lab.counters()["uoa_alone"]
        before = flow.ask()["count"]
        flow.send(b"", **form(uoa4()))
        told = flow.ask()
        assert (told["from"], told["count"]) == ([CLIENT, PORT], before + 1)
        assert lab.counters()["uoa_alone"] == alone + 1
    told = flow.ask(b"")  # another's is given
    assert (told["from"], told["length"]) == ([CLIENT, PORT], 0)


DOUBTFUL = [
    ("uoa_malformed", b"\x1f\x07" + uoa4()[2:7] + b"\1"),
    ("uoa_malformed", b"\x1f\x0c" + uoa4()[2:] + b"\1" * 4),
    ("uoa_malformed", b"\x1f\x10" + uoa4()[2:] + b"\1" * 8),
    ("uoa_malformed", b"\x1f\x04" + b"\1" * 10),
    ("uoa_malformed", b"\x1f\x28" + uoa4()[2:] + b"\1" * 32),
    ("uoa_contradicting", uoa4() + uoa4("203.0.113.10")),
    ("uoa_contradicting", uoa4() + uoa6()),
    ("uoa_contradicting", uoa4() * 5),  # nobody sends so many
    ("uoa_implausible", uoa4(port=0)),
    ("uoa_implausible", uoa4("0.0.0.0")),
    ("uoa_implausible", uoa4("255.255.255.255")),
    ("uoa_implausible", uoa4("224.0.0.1")),
    ("uoa_implausible", uoa4("127.0.0.1")),
]


@pytest.mark.parametrize("counter, options", DOUBTFUL, ids=[options.hex() for _, options in DOUBTFUL])
def test_in_doubt_the_sockets_own(lab, port4, counter, options):
    flow, before = Flow(lab, port4), lab.counters()[counter]
    assert flow.ask(option=options)["from"] == [LISTED, flow.port]
    assert lab.counters()[counter] == before + 1


NOT_UDP = [
    ("uoa_malformed", {"between": protocol_248(uoa4(), version=0)}),
    ("uoa_malformed", {"between": protocol_248(uoa4(), version=3)}),
    ("uoa_malformed", {"between": protocol_248(uoa4(), protocol=6)}),
    ("uoa_malformed", {"between": protocol_248(uoa4(), length=8)}),
    ("uoa_malformed", {"between": protocol_248(uoa4(), length=13)}),
    ("uoa_malformed", {"between": protocol_248(uoa4(), length=16)}),
    ("uoa_malformed", {"between": protocol_248(uoa4(), length=0xffff)}),
    ("uoa_malformed", {"between": protocol_248(uoa4())[:4]}),
    ("uoa_malformed", {"between": protocol_248(b"\x1f\x00" + uoa4()[2:])}),
    ("uoa_malformed", {"between": protocol_248(b"\x1f\x09" + uoa4()[2:])}),
    ("uoa_malformed", {"between": protocol_248(uoa4() * 4 + b"\1" * 8), "option": b"\1" * 8}),
    ("uoa_fragment", {"between": protocol_248(uoa4()), "fragment": FRAGMENTS}),
]


@pytest.mark.parametrize("counter, packet", NOT_UDP, ids=range(len(NOT_UDP)))
def test_what_is_not_understood_is_left_as_it_is(lab, port4, counter, packet):
    """It is no UDP then, and the kernel knows of no such protocol."""
    flow, before = Flow(lab, port4), lab.counters()
    flow.send(b"x" * 40, **packet)
    told = flow.ask()
    assert told["from"] == [LISTED, flow.port] and told["length"] == 1
    after = lab.counters()
    assert after[counter] == before[counter] + 1 and after["uoa_taken_off"] == before["uoa_taken_off"]


@pytest.mark.parametrize("between", [protocol_248(uoa6(), version=1), protocol_248(uoa4(), version=1),
                                     protocol_248(uoa6(), length=16)], ids=["version", "ip4", "length"])
def test_ip6_that_is_not_understood(lab, port6, between):
    flow, before = Flow(lab, port6, LISTED6), lab.counters()["uoa_malformed"]
    flow.send(b"x" * 40, between=between)
    assert flow.ask()["from"] == [LISTED6, flow.port]
    assert lab.counters()["uoa_malformed"] == before + 1


@pytest.mark.parametrize("form", FORMS)
def test_stranger_is_not_believed(lab, port4, form):
    flow, before = Flow(lab, port4, STRANGER), lab.counters()["uoa_untrusted"]
    flow.send(**FORMS[form](uoa4()))
    assert flow.ask()["from"] == [STRANGER, flow.port]
    assert lab.counters()["uoa_untrusted"] == before + 1


def test_stranger_over_ip6(lab, port6):
    flow, before = Flow(lab, port6, STRANGER6), lab.counters()["uoa_untrusted"]
    flow.send(between=protocol_248(uoa6()))
    assert flow.ask()["from"] == [STRANGER6, flow.port]
    assert lab.counters()["uoa_untrusted"] == before + 1


def test_two_clients_that_the_socket_cannot_tell_apart(lab, port4):
    """One port of the load balancer, two of our addresses, one socket: in doubt the socket's own."""
    first = Flow(lab, port4)
    second = Flow(lab, port4, server=SECOND, source_port=first.port)
    assert first.ask(option=uoa4())["from"] == [CLIENT, PORT]
    second.send(option=uoa4("203.0.113.10"))  # the server answers by its first address
    assert json.loads(first.receive())["from"] == [LISTED, first.port]
    assert first.ask()["from"] == [LISTED, first.port]
    # A socket that is bound to an address has no doubt.
    own = start_server(lab, BACKEND)
    assert Flow(lab, own, source_port=first.port).ask(option=uoa4())["from"] == [CLIENT, PORT]


@pytest.mark.parametrize("address, before", [("0.0.0.0", ""), ("::", MAPPED)], ids=["ip4", "dual-stack"])
def test_server_that_connects_to_its_client(lab, address, before):
    flow = Flow(lab, start_server(lab, address, "connect"))
    client = [before + CLIENT, PORT]
    told = flow.ask(option=uoa4())
    assert told["from"] == told["peer"] == client
    told = flow.ask(option=uoa4())  # to the socket that is connected
    assert told["from"] == told["peer"] == client
    told = flow.ask()
    assert told["from"] == told["peer"] == client


def test_server_that_connects_to_its_ip6_client(lab):
    flow = Flow(lab, start_server(lab, "::", "connect"), LISTED6)
    for between in (protocol_248(uoa6()), b""):
        told = flow.ask(between=between)
        assert told["from"] == told["peer"] == [CLIENT6, PORT]


def ask_2048(flow, **question):
    told = flow.ask(json.dumps(question).encode())
    return told["answer"]


def test_getsockopt_2048(lab, port4):
    flow = Flow(lab, port4)
    assert flow.ask(option=uoa4())["from"] == [CLIENT, PORT]
    before = lab.counters()
    answer = [58, True, CLIENT, PORT]
    assert ask_2048(flow) == answer  # about the client that recvfrom has given
    assert ask_2048(flow, source=[LISTED, flow.port]) == answer
    assert ask_2048(flow, source=[LISTED, 1]) == "ENOENT"
    assert ask_2048(flow, family=6, source=[CLIENT6, PORT]) == "ENOENT"
    for length in (57, 18, 0):  # the kernel's own answer
        assert ask_2048(flow, length=length) == "ENOPROTOOPT"
    after = lab.counters()
    assert after["uoa_getsockopt_ok"] == before["uoa_getsockopt_ok"] + 2
    assert after["uoa_getsockopt_miss"] == before["uoa_getsockopt_miss"] + 2


def test_getsockopt_2048_tells_an_ip6_client_of_an_ip4_sender(lab, port4):
    flow = Flow(lab, port4)
    assert flow.ask(between=protocol_248(uoa6()))["from"] == [LISTED, flow.port]
    assert ask_2048(flow) == [58, True, CLIENT6, PORT]


def test_getsockopt_2048_of_ip6(lab, port6):
    flow = Flow(lab, port6, LISTED6)
    assert flow.ask(between=protocol_248(uoa6()))["from"] == [CLIENT6, PORT]
    for source in (CLIENT6, PORT), (LISTED6, flow.port):
        assert ask_2048(flow, family=6, source=source) == [58, True, CLIENT6, PORT]


def test_container(lab):
    """Another network namespace behind ours: the port takes protocol 248 off, the socket there is told."""
    inside = labs.Namespace(lab.sender.name.replace("sender", "inside"))
    try:
        inside.ip("link", "add", "eth0", "type", "veth", "peer", "name", "inside", "netns", lab.backend.name)
        inside.ip("address", "add", "198.51.100.2/24", "dev", "eth0")
        inside.ip("link", "set", "eth0", "up")
        lab.backend.ip("address", "add", "198.51.100.1/24", "dev", "inside")
        lab.backend.ip("link", "set", "inside", "up")
        inside.ip("route", "add", "default", "via", "198.51.100.1")
        lab.backend.sysctl("net/ipv4/ip_forward", 1)
        port = start_server(lab, inside=inside)
        for form in FORMS.values():
            flow = Flow(lab, port, server="198.51.100.2")
            for packet in (form(uoa4()), {}):
                assert flow.ask(**packet)["from"] == [CLIENT, PORT]
    finally:
        inside.close()


def test_uoa_stats(lab, port4):
    """The format that scrapers of /proc/net/uoa_stats know."""
    Flow(lab, port4).ask(option=uoa4())
    lines = lab.command("uoa-stats").stdout.splitlines()
    assert lines[0] == " Success     Miss  Invalid|UOA  Got     None    Saved Ack-Fail"
    assert len(lines) == 2 and re.fullmatch(r"( *\d+){7}", lines[1])
    numbers = [int(lines[1][at:at + 8]) for at in range(0, 63, 9)]
    counters = lab.counters()
    assert numbers[0] == counters["uoa_receive_ok"] + counters["uoa_getsockopt_ok"] > 0
    assert numbers[3] == counters["uoa_got"] and numbers[5] == counters["uoa_saved"] > 0


def test_doctor(lab):
    doctor = lab.command("doctor", check=False)
    levels = {line.split()[1]: line.split()[0] for line in doctor.stdout.splitlines()
              if line and not line.startswith(" ")}
    assert levels["udp"] == levels["udp_ports"] == levels["uoa_getsockopt"] == "ok", doctor.stdout


def test_checksum_that_is_wrong_stays_wrong(lab, port4):
    """What a bit of noise has changed must not look right afterwards."""
    flow = Flow(lab, port4)
    real, wire = lab.wire, []
    lab.wire = type("Wire", (), {"send": staticmethod(wire.append)})
    flow.send(between=protocol_248(uoa4()))
    lab.wire = real
    frame = bytearray(wire[0])
    frame[14 + 8] ^= 1  # TTL
    before = lab.counters()["uoa_taken_off"]
    lab.wire.send(bytes(frame))
    assert flow.receive(1) is None
    assert lab.counters()["uoa_taken_off"] == before + 1
    assert struct.unpack("!H", wire[0][24:26])[0] != 0
