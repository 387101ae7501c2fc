# SPDX-License-Identifier: MIT
"""Whoever on the IPv4 side knows a binding reaches its host (RFC 6146 3.5.1, the filtering called
endpoint-independent); a port of the pool without a binding is closed, and counted."""

import socket

import lab as labs
from packets import UdpEcho, drain, udp_socket


def test_another_server_gets_in_by_the_binding(nat_lab):
    with UdpEcho(nat_lab.server, labs.SERVER, 7001):
        client = udp_socket(nat_lab.client, labs.CLIENT, 40123)
        client.sendto(b"who am I?", (labs.embed(labs.SERVER), 7001))
        address, port = client.recv(200).decode().split()
    other = nat_lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind((labs.SERVER2, 9999))
    other.sendto(b"unasked", (address, int(port)))
    data, sender = client.recvfrom(200)
    assert data == b"unasked" and sender[:2] == (labs.embed(labs.SERVER2), 9999)
    client.sendto(b"answered", sender)
    other.settimeout(2)
    assert other.recvfrom(200) == (b"answered", (address, int(port)))
    other.close()
    client.close()


def test_a_port_without_binding_is_closed_and_counted(nat_lab):
    other = nat_lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind((labs.SERVER, 9999))
    before = nat_lab.counters()["no_binding"]
    for port in range(20000, 20010):
        other.sendto(b"knock", (labs.POOL, port))
    drain(lambda: nat_lab.counters()["no_binding"] >= before + 10)
    other.close()
    assert nat_lab.counters()["no_binding"] == before + 10
    assert nat_lab.show("sessions") == [] and nat_lab.show("bindings") == []
