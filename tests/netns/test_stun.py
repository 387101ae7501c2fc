# SPDX-License-Identifier: MIT
"""STUN behaviour discovery (RFC 5780) against a real server with two addresses and two ports:
mapping and filtering are endpoint-independent, and IPv6 hosts learn their IPv4 endpoint.

coturn's own client cannot follow OTHER-ADDRESS, which is an IPv4 address; for the mapping tests the
client is therefore written here, and puts that address into the NAT64 prefix."""

import os
import socket
import struct

import pytest

import lab as labs
from packets import udp_socket

PORT, OTHER_PORT = 3478, 3479
COOKIE = 0x2112A442
BINDING_REQUEST, BINDING_SUCCESS = 0x0001, 0x0101
CHANGE_REQUEST, XOR_MAPPED_ADDRESS, OTHER_ADDRESS, RESPONSE_ORIGIN = 0x0003, 0x0020, 0x802C, 0x802B
CHANGE_IP, CHANGE_PORT = 4, 2


@pytest.fixture
def lab(bare_lab):
    stun = bare_lab.start("stun", bare_lab.server, [
        "turnserver", "-n", "--stun-only", "-L", labs.SERVER, "-L", labs.SERVER2, "--no-cli",
        "--no-tls", "--no-dtls", "--log-file=stdout", "--pidfile", bare_lab.folder / "stun.pid",
        "-b", bare_lab.folder / "stun.db"])
    labs.wait_for("the STUN server listens", lambda: f"{labs.SERVER2}:{OTHER_PORT} " in
                  bare_lab.server.run("ss", "-Hlun").stdout or not stun.running())
    bare_lab.start_daemon()
    return bare_lab


def ask(client, server, port, change=0):
    """{attribute: (address, port)} of the answer; a STUN binding request is sent up to three
    times."""
    request = struct.pack("!HHI", BINDING_REQUEST, 8, COOKIE) + os.urandom(12)
    request += struct.pack("!HHI", CHANGE_REQUEST, 4, change)
    for _ in range(3):
        client.sendto(request, (labs.embed(server), port))
        try:
            answer, sender = client.recvfrom(2000)
            break
        except TimeoutError:
            continue
    else:
        raise AssertionError("no answer from the STUN server")
    kind, length, cookie = struct.unpack("!HHI", answer[:8])
    assert (kind, cookie, answer[8:20]) == (BINDING_SUCCESS, COOKIE, request[8:20])
    found, rest = {"sender": sender[:2]}, answer[20:20 + length]
    while rest:
        attribute, size = struct.unpack("!HH", rest[:4])
        value, rest = rest[4:4 + size], rest[4 + (size + 3) // 4 * 4:]
        if attribute in (XOR_MAPPED_ADDRESS, OTHER_ADDRESS, RESPONSE_ORIGIN):
            _, family, port, address = struct.unpack("!BBHI", value)
            assert family == 1, "IPv4"
            if attribute == XOR_MAPPED_ADDRESS:
                port, address = port ^ COOKIE >> 16, address ^ COOKIE
            found[attribute] = (socket.inet_ntoa(struct.pack("!I", address)), port)
    return found


def test_mapping(lab):
    """RFC 5780 4.3: tests I, II and III see one mapped address, that of the pool."""
    client = udp_socket(lab.client, labs.CLIENT)
    first = ask(client, labs.SERVER, PORT)
    mapped = first[XOR_MAPPED_ADDRESS]
    assert mapped[0] == labs.POOL
    assert first[RESPONSE_ORIGIN] == (labs.SERVER, PORT)
    other, other_port = first[OTHER_ADDRESS]
    assert (other, other_port) == (labs.SERVER2, OTHER_PORT)
    for server, port in ((other, PORT), (other, other_port)):
        answer = ask(client, server, port)
        assert answer[XOR_MAPPED_ADDRESS] == mapped
        assert answer[RESPONSE_ORIGIN] == (server, port)
    (binding,) = lab.show("bindings")
    assert binding["outside"] == f"{mapped[0]}:{mapped[1]}" and binding["sessions"] == 3
    client.close()


def test_filtering(lab):
    """RFC 5780 4.4: the answers to tests II and III come from elsewhere, and get in."""
    client = udp_socket(lab.client, labs.CLIENT)
    for change, server, port in ((0, labs.SERVER, PORT), (CHANGE_PORT, labs.SERVER, OTHER_PORT),
                                 (CHANGE_IP | CHANGE_PORT, labs.SERVER2, OTHER_PORT)):
        answer = ask(client, labs.SERVER, PORT, change)
        assert answer[RESPONSE_ORIGIN] == (server, port)
        assert answer["sender"] == (labs.embed(server), port)
    client.close()


@pytest.mark.parametrize("filtering, found", [("endpoint", "Endpoint Independent"),
                                              ("address", "Address Dependent")])
def test_the_servers_own_client(lab, filtering, found):
    lab.write_config(nat64={"filtering": filtering})
    lab.viaduct("reload")
    said = lab.client.run("turnutils_natdiscovery", "-f", labs.embed(labs.SERVER)).stdout
    assert f"UDP reflexive addr: {labs.POOL}:" in said
    assert f"NAT with {found} Filtering!" in said
