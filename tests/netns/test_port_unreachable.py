# SPDX-License-Identifier: MIT
"""A program that sends UDP to a closed port hears it as it would without a translator: its
connected socket says "connection refused" (RFC 7915 4.2, 5.2: port unreachable)."""

import socket

import pytest

import lab as labs
from packets import UdpEcho, udp_socket


def refused(sender):
    """Sends one datagram through a connected socket and returns the error that comes back."""
    sender.settimeout(3)
    sender.send(b"anybody there?")
    with pytest.raises(OSError) as error:
        sender.recv(100)
    return type(error.value)


def changes(lab, before):
    return {key: value - before[key] for key, value in lab.counters().items()
            if value != before[key]}


def test_the_client_hears_it(gateway_lab):
    before = gateway_lab.counters()
    client = gateway_lab.client.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    client.connect((labs.embed(labs.SERVER), 4999))
    assert refused(client) is ConnectionRefusedError
    assert refused(client) is ConnectionRefusedError
    client.close()
    counted = changes(gateway_lab, before)
    assert counted.pop("translated_6to4") == 2
    assert counted.pop("translated_error_4to6") == 2
    assert counted.pop("session_made") == 1 and counted.pop("binding_made") == 1
    assert counted == {}


def test_the_server_hears_it(gateway_lab):
    with UdpEcho(gateway_lab.server, labs.SERVER, 7001):
        client = udp_socket(gateway_lab.client, labs.CLIENT)
        client.sendto(b"who am I?", (labs.embed(labs.SERVER), 7001))
        address, port = client.recv(200).decode().split()
    before = gateway_lab.counters()
    sender = gateway_lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect((address, int(port)))
    sender.send(b"open")
    assert client.recv(100) == b"open"
    client.close()  # from here on nobody has the port; the binding lives on
    assert refused(sender) is ConnectionRefusedError
    sender.close()
    counted = changes(gateway_lab, before)
    assert counted["translated_4to6"] == 2 and counted["translated_error_6to4"] == 1
