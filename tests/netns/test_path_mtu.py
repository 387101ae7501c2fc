# SPDX-License-Identifier: MIT
"""IPv4 packets that would not fit as IPv6 are not lost in silence: the sender hears the MTU, 20
less than the IPv6 path's (RFC 7915 1.4), and what fits arrives whole."""

import socket

import pytest

import lab as labs
from packets import UdpEcho, udp_socket

OFFLOADS_OFF_TOO = True

IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
FITS = 1480 - 20 - 8


def test_the_server_hears_the_mtu(nat_lab):
    with UdpEcho(nat_lab.server, labs.SERVER, 7001) as echo:
        client = udp_socket(nat_lab.client, labs.CLIENT)
        client.sendto(b"who am I?", (labs.embed(labs.SERVER), 7001))
        address, port = client.recv(200).decode().split()
        sender = nat_lab.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind((labs.SERVER2, 9999))
        sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        sender.connect((address, int(port)))

        sender.send(b"f" * FITS)
        assert client.recv(65536) == b"f" * FITS
        sender.send(b"l" * (FITS + 1))  # leaves; the gateway answers "fragmentation needed"
        with pytest.raises(OSError) as refused:
            labs.wait_for("the answer", lambda: sender.send(b"l" * (FITS + 1)) == 0, 3)
        assert refused.value.errno == 90  # EMSGSIZE
        assert sender.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1480
        sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # the answer's, still pending
        sender.send(b"f" * FITS)
        assert client.recv(65536) == b"f" * FITS
        sender.close()
        client.close()
        assert len(echo.seen) == 1
